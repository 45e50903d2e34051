"""Compute one number of every pair of features, their maximum or their product, through one hidden layer."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.pairs import PairModel
from superpos.tasks.base import Metrics, Task
from superpos.tasks.one_layer import MAX_WEIGHTS
from superpos.tasks.registry import register
from superpos.theory.pairs import PAIR_TARGETS, PairBaseline, pair_baseline


@register("pair_computation")
@dataclass(frozen=True, kw_only=True)
class PairComputation(Task):
    r"""Compute y = f(x₂ⱼ, x₂ⱼ₊₁) of N = `n_pairs` pairs of neighbouring features with too few neurons.

    $$L = \frac1N \sum_j E\,(y_j - y'_j)^2, \qquad y' = \mathrm{ReLU}(W_2\, \mathrm{ReLU}(W_1 x) + b),$$

    the mean over batch and pairs. $f$ = `target` is `"max"` or `"product"`. All 2N features are independent, active with
    probability `feature_probability` and then uniform on [0, 1]. There is no bias on the hidden layer.

    Two neurons compute a maximum exactly, max(x, y) = ReLU(x − y) + ReLU(y), so m of them solve ⌊m/2⌋ pairs. Where features
    are sparse, one neuron ReLU(x + y) is nearly as good. `baseline` is the loss of dealing out whole neurons.

    Initial `W1` is normal with the Xavier standard deviation of one model, √(2 / (2N + m)), times `init_scale`. `W2` starts
    with the mean magnitude with which a neuron reads a pair, so no output starts silent, and b at 0. The loss of a trained
    model is measured on held-out inputs.

    Fields that may be swept without recompiling: `feature_probability` and `init_scale`, one number each.

    Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 4.6.
    """

    SIZES: ClassVar[dict[str, str]] = {"n_pairs": "{} pairs of features", "n_hidden": "in {} hidden neurons"}

    n_pairs: int = jax.tree.static()  # shape of W2
    n_hidden: int = jax.tree.static()  # shape of W1
    feature_probability: Scalar = 1.0  # P(x_i != 0) = 1 - sparsity
    init_scale: Scalar = 1.0
    target: str = jax.tree.static(default="max")  # chooses code

    @property
    def n_features(self) -> int:
        """Two for every pair."""
        return 2 * self.n_pairs

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from."""
        return FeatureDistribution(n_features=self.n_features, feature_probability=self.feature_probability)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_pairs", self.n_pairs, at_least=1, at_most=MAX_FEATURES // 2)
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=MAX_FEATURES)
        check.integer("n_pairs × n_hidden", int(self.n_pairs) * int(self.n_hidden), at_most=MAX_WEIGHTS // 2)
        check.one_of("target", self.target, tuple(PAIR_TARGETS))
        check.scalar("feature_probability", self.feature_probability)
        check.scalar("init_scale", self.init_scale)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.in_range("feature_probability", self.feature_probability, at_least=0, at_most=1)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def init(self, key: PRNGKeyArray) -> PairModel:
        """A new model: `W1` normal, `W2` as positive as `W1` is large, zero bias."""
        std = self.init_scale * jnp.sqrt(2.0 / (self.n_features + self.n_hidden))
        W1 = std * jax.random.normal(key, (self.n_hidden, self.n_features), float)
        W2 = jnp.mean(jnp.abs(W1).reshape(self.n_hidden, self.n_pairs, 2), axis=2).T
        return PairModel(W1, W2, jnp.zeros(self.n_pairs, float))

    def outputs(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_pairs *batch"]:
        """What is asked for, of one input or of a batch of them as columns."""
        return PAIR_TARGETS[self.target](x[0::2], x[1::2])

    def loss(self, model: PairModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The squared error on a fresh batch, the mean over batch and pairs."""
        x = self.features.sample(key, batch_size)
        return jnp.mean(jnp.square(model(x) - self.outputs(x))), {}

    def baseline(self, *, one_each: bool = True) -> PairBaseline:
        """The naive baseline in the units of `loss`; with `one_each=False` that of ⌊m/2⌋ pairs with two neurons each.

        Raises:
            ConfigError: feature_probability is no single number.
        """
        if arrays.is_traced(self.feature_probability) or np.ndim(self.feature_probability):
            raise ConfigError("feature_probability must be one number for a baseline.")
        return pair_baseline(
            self.target, float(self.feature_probability), self.n_pairs, self.n_hidden, one_each=one_each
        )

    def training_defaults(self) -> dict[str, Any]:
        """5,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 5_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def elements_per_step(self, batch_size: int) -> int:
        """The batch at the wider of the two layers."""
        return max(self.n_features, self.n_hidden) * batch_size
