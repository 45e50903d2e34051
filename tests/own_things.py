"""One of each, of one's own: an activation, an optimiser, a metric, a distribution of features."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

import superpos as sp


@sp.models.register_activation("softsign")
def softsign(x):
    return x / (1 + jnp.abs(x))


@sp.optimizers.register("belief")
def belief(beta1, beta2=0.95):
    return optax.scale_by_belief(beta1, beta2)


@sp.metrics.register("largest_weight")
def largest_weight(task, model):
    return jnp.max(jnp.abs(model.W[...])) + 0 * jnp.sum(task.feature_probability)


@dataclass(frozen=True)
class Shared:
    """Features that are all the same number, each with some probability, and else uniform."""

    n_features: int
    share: Any

    def check(self):
        pass

    def sample(self, key, batch_size):
        drawn, of_all, shares = jax.random.uniform(key, (3, self.n_features, batch_size))
        return jnp.where(shares < self.share, of_all[:1], drawn)


@sp.tasks.register("shared_toy")
@dataclass(frozen=True, kw_only=True)
class SharedToy(sp.tasks.Toy):
    share: Any = 0.5

    @property
    def features(self):
        return Shared(self.n_features, self.share)
