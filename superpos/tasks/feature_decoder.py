"""Take sparse features back out of a fixed random projection, with neurons whose first bias is a choice."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import PerFeature, Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution
from superpos.models.decoder_mlp import DecoderMLP
from superpos.tasks import one_layer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.registry import register


@register("feature_decoder")
@dataclass(frozen=True, kw_only=True)
class FeatureDecoder(Task):
    r"""Reconstruct n sparse features from a fixed projection of them into d dimensions, with m hidden ReLU neurons.

    $$L = \frac1n \sum_i I_i \, E\,|x_i - x'_i|^q, \qquad x' = W_\text{out}\, \mathrm{ReLU}(W_\text{in} P x + b_\text{in}),$$

    the mean over batch and features; papers write the sum over features, n times this number. d = `n_inputs`, $q$ =
    `loss_exponent`, $I$ = `importance`. P has random unit columns, drawn once from `projection_seed`.

    Every hidden bias starts at `init_hidden_bias`. Below 0 a neuron is silent until its input is large, so few features
    drive it at first. Weights start normal with variance `init_scale`² / (number of inputs of the layer), so a feature of
    size 1 drives a neuron by about `init_scale` / √d, before the bias.

    Fields that may be swept without recompiling: `feature_probability`, `importance` (scalars, or one value per feature),
    `init_scale` and `init_hidden_bias`. See `FeatureDistribution` for `magnitude`.

    Jermyn, Schiefer and Hubinger 2022, "Engineering Monosemanticity in Toy Models".
    """

    SIZES: ClassVar[dict[str, str]] = {
        "n_features": "{} features",
        "n_inputs": "in {} dimensions",
        "n_hidden": "{} neurons",
    }
    NAMES: ClassVar[dict[str, str]] = {"init_hidden_bias": "hidden bias before training"}

    n_features: int = jax.tree.static()  # shape of W_out
    n_hidden: int = jax.tree.static()  # shape of W_in
    n_inputs: int = jax.tree.static()  # shape of W_in: dimensions of the projection
    feature_probability: PerFeature = 1.0  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    importance: PerFeature = 1.0  # scalar or (n_features,)
    init_scale: Scalar = 1.0
    init_hidden_bias: Scalar = 0.0  # where every entry of b_in starts
    loss_exponent: int = jax.tree.static(default=2)  # a static power is products; a traced one needs logarithms
    magnitude: str = jax.tree.static(default="uniform")  # chooses code
    projection_seed: int = jax.tree.static(default=0)  # which fixed projection

    @property
    def features(self) -> FeatureDistribution:
        """Where the features come from."""
        return one_layer.features_of(self)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        one_layer.check_settings(self)
        check.integer("n_inputs", self.n_inputs, at_least=1, at_most=MAX_FEATURES)
        widest = max(int(self.n_features), int(self.n_hidden))
        check.integer(
            "n_inputs × larger of n_features and n_hidden", int(self.n_inputs) * widest, at_most=one_layer.MAX_WEIGHTS
        )
        check.integer("projection_seed", self.projection_seed)
        check.scalar("init_hidden_bias", self.init_hidden_bias)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        one_layer.check_numbers(self)
        check.in_range("init_hidden_bias", self.init_hidden_bias, at_least=-100, at_most=100)

    def broadcast(self) -> "FeatureDecoder":
        """The same task with every numeric field an array of its full shape."""
        return one_layer.broadcast(self)

    def init(self, key: PRNGKeyArray) -> DecoderMLP:
        """A new model: normal weights, and every hidden bias at `init_hidden_bias`."""
        sizes = (self.n_hidden, self.n_inputs), (self.n_features, self.n_hidden)
        W_in, W_out = (
            self.init_scale / jnp.sqrt(1.0 * size[1]) * jax.random.normal(of, size, float)
            for of, size in zip((key, jax.random.fold_in(key, 1)), sizes, strict=True)
        )
        b_in = self.init_hidden_bias * jnp.ones(self.n_hidden, float)
        return DecoderMLP(W_in, b_in, W_out, projection_seed=self.projection_seed)

    def loss(self, model: DecoderMLP, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Importance-weighted error on a fresh batch, the mean over batch and features."""
        x = self.features.sample(key, batch_size)
        return one_layer.weighted_error(self, model(x) - x), {}

    def expected_loss(self, model: DecoderMLP) -> None:
        """None: held-out inputs must estimate it, a hidden ReLU has no series here."""
        return None

    def training_defaults(self) -> dict[str, Any]:
        """3,000 steps of Adam with its usual memories, at a learning rate of 0.01."""
        return {"steps": 3_000, "learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999}

    def elements_per_step(self, batch_size: int) -> int:
        """The batch at the widest layer."""
        return max(self.n_features, self.n_hidden, self.n_inputs) * batch_size
