"""Compute a function of every feature through one hidden layer."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import PerFeature, Scalar
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.models.computation import HIDDEN_ACTIVATIONS, ComputationModel
from superpos.tasks import one_layer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.registry import register

# What is asked of every feature, by name.
TARGETS = {"identity": lambda x: x, "absolute": jnp.abs, "square": jnp.square}


@register("computation")
@dataclass(frozen=True, kw_only=True)
class Computation(Task):
    r"""Compute y = f(x), feature by feature, with a hidden layer of too few neurons.

    $$L = \frac1n \sum_i I_i \, E\,|y_i - y'_i|^q, \qquad y = f(x), \quad y' = \mathrm{ReLU}(W_2 \sigma(W_1 x) + b),$$

    the mean over batch and features; papers write the sum over features, n times this number. $f$ = `target` is
    `"identity"` (x), `"absolute"` (|x|) or `"square"` (x²); σ = `hidden_activation`, `"relu"`,
    `"identity"`, `"gelu"` or `"solu"`; $I$ = `importance`; $q$ =
    `loss_exponent`. With `tied`, $W_1 = W$ and $W_2 = W^\top$ are one parameter. There is no bias on the hidden layer.

    Initial weights are normal with the Xavier standard deviation of one model, √(2 / (n + m)), times `init_scale`; b
    starts at 0. With `paired_init` untied weights start as $W_2 = |W_1|^\top$: each feature, active alone, then excites
    its own output from both sides. Independent weights leave a quarter of the outputs silent on both sides of 0; a ReLU
    that is silent has no gradient, and where features are sparse nothing else wakes it. Of these the first
    `dedicated_features` may start solved: +1 and −1 are added to the weights with which two neurons read each. With
    ⌊m / 2⌋ of them, and importances that fall, that is the naive baseline and noise. The loss of a trained model is
    measured on held-out inputs, the same for all models of a density.

    The defaults are the model in which a basis is privileged: h = ReLU(Wx), x' = ReLU(Wᵀh + b). The paper's absolute value
    is `target="absolute", tied=False, magnitude="signed_uniform"`.

    Fields that may be swept without recompiling: `feature_probability`, `importance` (scalars, or one value per feature),
    `init_scale` and `dedicated_features`. See `FeatureDistribution` for `magnitude`.

    Elhage et al. 2022, "Superposition in a Privileged Basis" and "Computation in Superposition".
    """

    n_features: int = jax.tree.static()  # shape of W1
    n_hidden: int = jax.tree.static()  # shape of W1
    feature_probability: PerFeature = 1.0  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    importance: PerFeature = 1.0  # scalar or (n_features,)
    init_scale: Scalar = 1.0
    target: str = jax.tree.static(default="identity")  # chooses code
    tied: bool = jax.tree.static(default=True)  # which parameters exist
    hidden_activation: str = jax.tree.static(default="relu")  # chooses code
    bias: bool = jax.tree.static(default=True)  # whether b exists
    paired_init: bool = jax.tree.static(default=False)  # chooses code
    dedicated_features: Scalar = 0  # how many of the first features start with two neurons of their own
    loss_exponent: int = jax.tree.static(default=2)  # a static power is products; a traced one needs logarithms
    magnitude: str = jax.tree.static(default="uniform")  # chooses code

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from."""
        return one_layer.features_of(self)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        one_layer.check_settings(self)
        check.one_of("target", self.target, tuple(TARGETS))
        check.boolean("tied", self.tied)
        check.one_of("hidden_activation", self.hidden_activation, tuple(HIDDEN_ACTIVATIONS))
        check.boolean("paired_init", self.paired_init)
        if self.paired_init and self.tied:
            raise ConfigError("paired_init must be false where tied is true: tied weights have no W2 to start.")
        check.scalar("dedicated_features", self.dedicated_features)
        self.check_values()
        if self.target == "absolute" and self.magnitude != "signed_uniform":
            raise ConfigError(
                'magnitude must be signed_uniform for target="absolute": features that are never negative are their own '
                f"absolute values; got {self.magnitude!r}."
            )

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        one_layer.check_numbers(self)
        most = min(self.n_hidden // 2, self.n_features)
        check.in_range("dedicated_features", self.dedicated_features, at_least=0, at_most=most)
        check.whole_numbers("dedicated_features", self.dedicated_features)
        numbers = check.finite_array("dedicated_features", self.dedicated_features)
        if not self.paired_init and numbers is not None and numbers.any():
            raise ConfigError("dedicated_features must be 0 where paired_init is false: W2 has to fit their weights.")

    def broadcast(self) -> "Computation":
        """The same task with every numeric field an array of its full shape."""
        return one_layer.broadcast(self)

    def init(self, key: PRNGKeyArray) -> ComputationModel:
        """A new model: Xavier-normal weights of this one model times `init_scale`, zero bias."""
        std = one_layer.initial_std(self)
        W1 = std * jax.random.normal(key, (self.n_hidden, self.n_features), float)
        W2 = None
        if self.paired_init:
            W1 += self._dedicated_weights()
            W2 = jnp.abs(W1.T)
        elif not self.tied:
            W2 = std * jax.random.normal(jax.random.fold_in(key, 1), (self.n_features, self.n_hidden), float)
        b = jnp.zeros(self.n_features, float) if self.bias else None
        return ComputationModel(W1, W2, b, hidden_activation=self.hidden_activation)

    def _dedicated_weights(self) -> Float[Array, "n_hidden n_features"]:
        """+1 and −1 where neurons 2i and 2i + 1 read feature i, for the first `dedicated_features`; 0 elsewhere."""
        k = jnp.arange(self.n_hidden)
        sign = jnp.where(k // 2 < self.dedicated_features, jnp.where(k % 2 == 0, 1.0, -1.0), 0.0)
        return sign[:, None] * (k[:, None] // 2 == jnp.arange(self.n_features)[None])

    def loss(self, model: ComputationModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Importance-weighted error on a fresh batch, the mean over batch and features."""
        x = self.features.sample(key, batch_size)
        return one_layer.weighted_error(self, model(x) - TARGETS[self.target](x)), {}

    def expected_loss(self, model: ComputationModel) -> None:
        """None: held-out inputs must estimate it, a hidden ReLU has no series here."""
        return None

    def training_defaults(self) -> dict[str, Any]:
        """5,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 5_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        return {} if self.paired_init else {"dedicated_features": "paired_init is false"}

    def elements_per_step(self, batch_size: int) -> int:
        """The batch at the wider of the two layers."""
        return max(self.n_features, self.n_hidden) * batch_size
