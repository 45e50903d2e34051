"""A task of one's own: features on a ring."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import superpos as sp


@sp.tasks.register("ring")
@dataclass(frozen=True, kw_only=True)
class Ring(sp.tasks.Task):
    n_features: int = jax.tree.static()
    n_hidden: int = jax.tree.static(default=2)
    width: Any = 0.1

    def init(self, key):
        W = jax.random.normal(key, (self.n_hidden, self.n_features)) * 0.5
        return sp.models.ToyModel(W, jnp.zeros(self.n_features))

    def loss(self, model, key, batch_size):
        at = jax.random.uniform(key, (1, batch_size))
        place = jnp.arange(self.n_features)[:, None] / self.n_features
        gap = jnp.abs((at - place + 0.5) % 1 - 0.5)
        x = jnp.exp(-((gap / self.width) ** 2))
        error = jnp.mean((model(x) - x) ** 2)
        return error, {"largest": jnp.max(jnp.abs(model.W[...]))}
