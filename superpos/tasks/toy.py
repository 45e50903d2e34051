"""Squeeze n sparse features through m dimensions and back."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.data import MOST_FEATURES, FeatureDistribution, Sets
from superpos.models.toy import ACTIVATIONS, ToyModel
from superpos.tasks.base import Metrics

MOST_WEIGHTS = 10**9


@partial(jax.tree_util.register_dataclass)
@dataclass(frozen=True, kw_only=True)
class Toy:
    r"""The toy model of superposition: reconstruct x through a bottleneck, weighing features by importance.

    The loss is the mean over batch and features,

    $$L = \frac1n \sum_i I_i \, E\,|x_i - x'_i|^q, \qquad x' = f(W^\top W x + b),$$

    with $I$ = `importance` and $q$ = `loss_exponent`; the paper writes the sum over features, n times this number.
    Initial weights are normal with the Xavier standard deviation of *one* model, times `init_scale`:
    $\sigma$ = `init_scale` · √(2 / (n + m)); biases start at 0. (The published notebook applies Xavier to the joint
    array of all its instances, so its weights start smaller the more models it trains; `init_scale` reproduces that.)

    Fields that may be swept without recompiling: `feature_probability`, `importance` (scalars, or one value per feature)
    and `init_scale`. See `FeatureDistribution` for `magnitude` and the two kinds of sets.

    Elhage et al. 2022, "Demonstrating Superposition".
    """

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    feature_probability: Any = 1.0  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    importance: Any = 1.0  # scalar or (n_features,)
    init_scale: Any = 1.0
    activation: str = jax.tree.static(default="relu")  # chooses code
    bias: bool = jax.tree.static(default=True)  # whether b exists
    loss_exponent: int = jax.tree.static(default=2)  # a static power is products; a traced one needs logarithms
    magnitude: str = jax.tree.static(default="uniform")  # chooses code
    correlated_sets: Sets = jax.tree.static(default=())  # index structure
    anticorrelated_sets: Sets = jax.tree.static(default=())

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from."""
        return FeatureDistribution(
            n_features=self.n_features,
            feature_probability=self.feature_probability,
            magnitude=self.magnitude,
            correlated_sets=self.correlated_sets,
            anticorrelated_sets=self.anticorrelated_sets,
        )

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.whole("n_features", self.n_features, at_least=1, at_most=MOST_FEATURES)
        check.whole("n_hidden", self.n_hidden, at_least=1, at_most=MOST_FEATURES)
        check.whole("n_features × n_hidden", int(self.n_features) * int(self.n_hidden), at_most=MOST_WEIGHTS)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        check.vector("importance", self.importance, self.n_features)
        check.scalar("init_scale", self.init_scale)
        check.one_of("activation", self.activation, tuple(ACTIVATIONS))
        check.truth("bias", self.bias)
        check.whole("loss_exponent", self.loss_exponent, at_least=1, at_most=8)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        self.features.check()
        check.in_range("importance", self.importance, at_least=0)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def broadcast(self) -> "Toy":
        """The same task with every numeric field an array of its full shape."""
        per_feature = (self.n_features,)
        return replace(
            self,
            feature_probability=jnp.broadcast_to(jnp.asarray(self.feature_probability, float), per_feature),
            importance=jnp.broadcast_to(jnp.asarray(self.importance, float), per_feature),
            init_scale=jnp.asarray(self.init_scale, float),
        )

    def init(self, key: PRNGKeyArray) -> ToyModel:
        """A new model: Xavier-normal weights of this one model times `init_scale`, zero bias."""
        std = self.init_scale * jnp.sqrt(2.0 / (self.n_features + self.n_hidden))
        W = std * jax.random.normal(key, (self.n_hidden, self.n_features), float)
        b = jnp.zeros(self.n_features, float) if self.bias else None
        return ToyModel(W, b, activation=self.activation)

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Importance-weighted error on a fresh batch, the mean over batch and features; no further metrics."""
        x = self.features.sample(key, batch_size)
        error = model(x) - x
        if self.loss_exponent % 2:
            error = jnp.abs(error)
        per_feature = jnp.mean(error**self.loss_exponent, axis=1)
        return jnp.mean(self.importance * per_feature), {}
