"""Compute what one hidden layer cannot, of every pair of features, through two."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.models.deep_pairs import DeepPairModel
from superpos.tasks.base import Metrics, Task
from superpos.tasks.one_layer import MAX_WEIGHTS
from superpos.tasks.registry import register


@register("deep_pairs")
@dataclass(frozen=True, kw_only=True)
class DeepPairs(Task):
    r"""Compute $y = \min(\mathrm{ReLU}(x_{2j}), \mathrm{ReLU}(x_{2j+1}))$ of N = `n_pairs` pairs through hidden layers.

    $$L = \frac1N \sum_j E\,(y_j - y'_j)^2, \qquad
    y' = W_{out}\, \mathrm{ReLU}(W_2\, \mathrm{ReLU}(W_1 x)) + b,$$

    the mean over batch and pairs: the smaller of two features where both are positive, 0 elsewhere. All 2N features are
    independent, active with probability `feature_probability` and then uniform on [−1, 1]. There is no bias on hidden layers.

    With `n_layers=2` each hidden layer has `n_hidden` neurons, and three neurons compute a pair exactly, two in the first
    layer and one in the second: $\mathrm{ReLU}(\mathrm{ReLU}(x) - \mathrm{ReLU}(x - y))$. So ⌊m/2⌋ pairs is what whole
    neurons solve. With `n_layers=1` there is no W_2, and no number of neurons loses less than
    `superpos.theory.one_layer_floor`.

    Initial weights are normal with the Xavier standard deviation of their layer, √(2 / (inputs + outputs)), times
    `init_scale`; b starts at 0. The loss of a trained model is measured on held-out inputs.

    Fields that may be swept without recompiling: `feature_probability` and `init_scale`, one number each.

    Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 4.14.
    """

    SIZES: ClassVar[dict[str, str]] = {"n_pairs": "{} pairs of features", "n_hidden": "in {} neurons a layer"}
    NAMES: ClassVar[dict[str, str]] = {"n_layers": "number of hidden layers"}

    n_pairs: int = jax.tree.static()  # shape of W_out
    n_hidden: int = jax.tree.static()  # shape of W1
    n_layers: int = jax.tree.static(default=2)  # whether W2 exists
    feature_probability: Scalar = 1.0  # P(x_i != 0) = 1 - sparsity
    init_scale: Scalar = 1.0

    @property
    def n_features(self) -> int:
        """Two for every pair."""
        return 2 * self.n_pairs

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from."""
        return FeatureDistribution(
            n_features=self.n_features, feature_probability=self.feature_probability, magnitude="signed_uniform"
        )

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_pairs", self.n_pairs, at_least=1, at_most=MAX_FEATURES // 2)
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=MAX_FEATURES)
        check.integer("n_layers", self.n_layers, at_least=1, at_most=2)
        widest = max(int(self.n_hidden), 2 * int(self.n_pairs))
        check.integer(
            "n_hidden × the wider of n_hidden and 2 n_pairs", int(self.n_hidden) * widest, at_most=MAX_WEIGHTS
        )
        check.scalar("feature_probability", self.feature_probability)
        check.scalar("init_scale", self.init_scale)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.in_range("feature_probability", self.feature_probability, above=0, at_most=1)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def init(self, key: PRNGKeyArray) -> DeepPairModel:
        """A new model: Xavier-normal weights, zero bias."""
        m, shapes = self.n_hidden, {"W1": (self.n_hidden, self.n_features), "W_out": (self.n_pairs, self.n_hidden)}
        if self.n_layers == 2:
            shapes["W2"] = (m, m)
        weights = {
            name: self.init_scale
            * (2.0 / sum(shape)) ** 0.5
            * jax.random.normal(jax.random.fold_in(key, k), shape, float)
            for k, (name, shape) in enumerate(shapes.items())
        }
        return DeepPairModel(weights["W1"], weights.get("W2"), weights["W_out"], jnp.zeros(self.n_pairs, float))

    def outputs(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_pairs *batch"]:
        """What is asked for, of one input or of a batch of them as columns."""
        return jnp.minimum(jax.nn.relu(x[0::2]), jax.nn.relu(x[1::2]))

    def loss(self, model: DeepPairModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The squared error on a fresh batch, the mean over batch and pairs."""
        x = self.features.sample(key, batch_size)
        return jnp.mean(jnp.square(model(x) - self.outputs(x))), {}

    def training_defaults(self) -> dict[str, Any]:
        """5,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 5_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def elements_per_step(self, batch_size: int) -> int:
        """The batch at the widest layer."""
        return max(self.n_features, self.n_hidden) * batch_size
