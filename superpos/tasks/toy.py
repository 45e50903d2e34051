"""Squeeze n sparse features through m dimensions and back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from superpos import check
from superpos.data import FeatureDistribution, Sets
from superpos.errors import ConfigError
from superpos.models.activations import check_activation
from superpos.models.toy import ToyModel
from superpos.tasks import one_layer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.registry import register
from superpos.theory import series
from superpos.theory.expectation import check_expected, expected_errors, is_known

OBJECTIVES = ("sampled", "expected", "auto")

# Above this many features sampling comes near the best loss sooner. Measured on two cores at p = 0.05 (2→1: 0.1) with
# tests/benchmarks/versus_peers.py, seconds per model within 1 % of the best known loss, sampled against expected: 2→1
# 0.0008 and 0.0003, 5→2 0.0031 and 0.0009, 20→5 0.034 and 0.036, 100→20 0.48 and 2.6. A step without noise costs 9 sampled
# ones at n = 10, 16 at n = 20 and 23 at n = 50, where the default trainings (300 against 5,000 steps) cost the same at 17.
EXPECTED_UP_TO = 20

# The loss of a trained model is computed exactly up to this size, with a series long enough to compare seeds by.
EXACT_UP_TO = 128
EXACT_ORDER = 128


@register("toy")
@dataclass(frozen=True, kw_only=True)
class Toy(Task):
    r"""The toy model of superposition: reconstruct x through a bottleneck, weighing features by importance.

    The loss is the mean over batch and features,

    $$L = \frac1n \sum_i I_i \, E\,|x_i - x'_i|^q, \qquad x' = f(W^\top W x + b),$$

    with $I$ = `importance` and $q$ = `loss_exponent`; the paper writes the sum over features, n times this number.
    Initial weights are normal with the Xavier standard deviation of *one* model, times `init_scale`:
    $\sigma$ = `init_scale` · √(2 / (n + m)); biases start at 0. (The published notebook applies Xavier to the joint
    array of all its instances, so its weights start smaller the more models it trains; `init_scale` reproduces that.)

    `objective` chooses how L is minimised. `"sampled"`: on a fresh batch at every step, as everyone does. `"expected"`: the
    population loss itself, through `superpos.expected_loss` with a series of `order` terms: no noise, a few hundred
    steps instead of thousands, for ReLU and linear models, uniform and signed uniform magnitudes and exponent 2. By default
    `order` is 32, and more for many features: a shorter series has minima where the loss has none. A training that goes
    there is not taken for one that went well: the model counts as diverged (see `superpos.theory.series`).
    `"auto"`: expected where it exists and n is at most 20, where it costs no more; sampled otherwise.

    `hidden_l1` = λ adds an L1 penalty on the hidden layer $h = Wx$ to what is minimised on samples,

    $$L + \frac{\lambda}{n} \, E \, \|h\|_1,$$

    so λ is in the units of the paper's loss, the sum over features. The penalty depends on the basis of the hidden layer
    (L does not): it is least where features lie along the axes. The reported loss is L alone, so the price is seen.

    Fields that may be swept without recompiling: `feature_probability`, `importance` (scalars, or one value per feature),
    `init_scale` and `hidden_l1`. See `FeatureDistribution` for `magnitude` and the two kinds of sets.

    Elhage et al. 2022, "Demonstrating Superposition"; "Approaches to Solving Superposition" for `hidden_l1`.
    """

    NAMES: ClassVar[dict[str, str]] = {"hidden_l1": "hidden L1 penalty"}
    UNSAID: ClassVar[tuple[str, ...]] = ("objective", "order")  # `describe_data` says them

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    feature_probability: Any = 1.0  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    importance: Any = 1.0  # scalar or (n_features,)
    init_scale: Any = 1.0
    hidden_l1: Any = None  # weight of E ‖h‖₁ beside the sum over features; None costs no time, 0 does
    activation: str = jax.tree.static(default="relu")  # chooses code
    bias: bool = jax.tree.static(default=True)  # whether b exists
    loss_exponent: int = jax.tree.static(default=2)  # a static power is products; a traced one needs logarithms
    magnitude: str = jax.tree.static(default="uniform")  # chooses code
    correlated_sets: Sets = jax.tree.static(default=())  # index structure
    anticorrelated_sets: Sets = jax.tree.static(default=())
    objective: str = jax.tree.static(default="sampled")  # chooses code
    order: int | None = jax.tree.static(default=None)  # shape of the series; None: by n

    @property
    def features(self) -> Any:
        """Where the inputs come from: a class derived from this one may return a distribution of its own.

        It is any object with `sample(key, batch_size)`, an array (n_features, batch_size), and `check()`, which raises
        `ConfigError` for numbers that are not allowed. The expected loss of it is not known here.
        """
        return one_layer.features_of(self)

    @property
    def terms(self) -> int:
        """Length of the series: `order`, or what suits the numbers of features and dimensions."""
        return series.chosen_order(self.n_features, self.n_hidden) if self.order is None else self.order

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        one_layer.check_settings(self)
        if self.hidden_l1 is not None:
            check.scalar("hidden_l1", self.hidden_l1)
        check_activation(self.activation)
        check.one_of("objective", self.objective, OBJECTIVES)
        if self.order is not None:
            check.integer("order", self.order, at_least=1, at_most=series.MAX_TERMS)
        if self.objective == "expected":
            if not self._has_known_features():
                name = type(self.features).__name__
                raise ConfigError(f'objective must be "sampled" for features of one\'s own ({name}), got "expected".')
            check_expected(self.features, self.activation)
            if self.loss_exponent != 2:
                raise ConfigError(f'loss_exponent must be 2 for objective="expected", got {self.loss_exponent}.')
            if self.activation == "relu":
                series.check_order(self.order, self.n_features, self.n_hidden)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        one_layer.check_numbers(self)
        if self.hidden_l1 is None:
            return
        check.in_range("hidden_l1", self.hidden_l1, at_least=0)
        if self._resolved() == "expected" and not check.is_traced(self.hidden_l1) and np.any(self.hidden_l1):
            most = float(np.max(self.hidden_l1))
            raise ConfigError(f'hidden_l1 must be 0 unless objective="sampled": E ‖h‖₁ is sampled; got {most:g}.')

    def broadcast(self) -> "Toy":
        """The same task with every numeric field an array of its full shape."""
        return one_layer.broadcast(self)

    def init(self, key: PRNGKeyArray) -> ToyModel:
        """A new model: Xavier-normal weights of this one model times `init_scale`, zero bias."""
        W = one_layer.initial_std(self) * jax.random.normal(key, (self.n_hidden, self.n_features), float)
        b = jnp.zeros(self.n_features, float) if self.bias else None
        return ToyModel(W, b, activation=self.activation)

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The objective: importance-weighted error, the mean over features and over a fresh batch or all inputs.

        On samples, with the penalty of `hidden_l1`.
        """
        if self._resolved() == "expected":
            return self._expected(model, self.terms), {}
        x = self.features.sample(key, batch_size)
        hidden = model.encode(x)
        return self._penalised(one_layer.weighted_error(self, model.activate(hidden) - x), hidden), {}

    def least_loss(self) -> Float[Array, ""] | None:
        """What no training loss is below, but for rounding; None where nothing could take it there.

        Only a series shorter than n is doubted: longer ones lead nowhere wrong (see `superpos.theory.series`).
        """
        if not (self._has_series() and series.doubtful(self.n_features, self.terms)):
            return None
        return -series.ROUNDING * self._untrained()

    def misled(self, model: ToyModel) -> Bool[Array, ""] | None:
        """Whether the loss that was minimised is far from the true one at the trained model; None where it cannot be."""
        if not (self._has_series() and series.doubtful(self.n_features, self.terms)):
            return None
        found, more = (self._expected(model, order) for order in (self.terms, series.longer(self.terms)))
        untrained = self._untrained()
        return series.below_zero(found, untrained) | series.far(found, more, untrained)

    def too_short(self) -> str:
        """What to do about a training that its series led astray."""
        return series.too_short(self.terms, self.n_features, self.n_hidden)

    def doubts(self) -> list[str]:
        """Sentences about settings that are likely to mislead."""
        return series.doubts(self.terms, self.n_features, self.n_hidden) if self._has_series() else []

    def evaluation_task(self) -> "Toy":
        """The task whose loss is reported after training: the same without penalty."""
        return replace(self, hidden_l1=None)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""] | None:
        """L without sampling and without penalty, whatever the objective was.

        None where it is unknown, and above 128 features unless it was the objective.
        """
        if self._resolved() == "expected":
            return self._expected(model, max(self.terms, EXACT_ORDER if self.n_features <= EXACT_UP_TO else 0))
        small = self.activation == "identity" or self.n_features <= EXACT_UP_TO
        return self._expected(model, EXACT_ORDER) if small and self._has_expectation() else None

    def training_defaults(self) -> dict[str, Any]:
        """5,000 noisy steps at a learning rate of 0.01, or 300 exact ones at 0.08 with little momentum.

        Without noise there is nothing to average: short memories get there in half the steps or less (of 5→2 and 20→5
        at densities .01 … 1, as many restarts reach the best within 1 % after 100 steps as after 200 of the usual).
        """
        if self._resolved() == "expected":
            return {"steps": 300, "learning_rate": 0.08, "beta1": 0.7, "beta2": 0.9}
        return {"steps": 5_000, "learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields of this and of `TrainConfig` that have no effect given the others, each with why."""
        exact = self._resolved() == "expected"
        found = {} if self._has_series() else {"order": "no series is trained on"}
        if exact:
            found |= {"batch_size": "the expected loss draws no batches", "hidden_l1": "E ‖h‖₁ is sampled"}
        small = self.activation == "identity" or self.n_features <= EXACT_UP_TO
        if exact or (small and self._has_expectation()):
            found["evaluation_samples"] = "the loss of the trained model is computed, not sampled"
        return found

    @classmethod
    def describe_data(cls, settings: Mapping[str, Any], swept: set[str], batch: str) -> list[str]:
        """What a step sees, in words, by the objective."""
        objective = settings.get("objective", "sampled")
        if "objective" in swept:
            return [batch, "objective swept"]
        if objective == "expected":
            return [f"expected loss (order {settings['order']}), no sampling"]
        return [batch] if objective == "sampled" else [batch, f"objective {objective}"]

    def elements_per_step(self, batch_size: int) -> int:
        """The batch of inputs, or the n² × order terms of the series with the arrays that make them."""
        if self._resolved() == "expected":
            return 8 * self.n_features**2 * (self.terms if self.activation == "relu" else 1)
        return self.n_features * batch_size

    def _penalised(self, loss: Float[Array, ""], hidden: Float[Array, "n_hidden batch"]) -> Float[Array, ""]:
        if self.hidden_l1 is None:
            return loss
        return loss + self.hidden_l1 * jnp.mean(jnp.sum(jnp.abs(hidden), axis=0)) / self.n_features

    def _untrained(self) -> Float[Array, ""]:
        """Loss of W = 0 and b = 0: the mean of $I_i E x_i^2$."""
        return jnp.mean(self.importance * self.features.moment(2))

    def _has_series(self) -> bool:
        return self.activation == "relu" and self._resolved() == "expected"

    def _resolved(self) -> str:
        if self.objective != "auto":
            return self.objective
        return "expected" if self._has_expectation() and self.n_features <= EXPECTED_UP_TO else "sampled"

    def _has_expectation(self) -> bool:
        return self.loss_exponent == 2 and is_known(self.magnitude, self.activation) and self._has_known_features()

    def _has_known_features(self) -> bool:
        return type(self).features is Toy.features or type(self.features) is FeatureDistribution

    def _expected(self, model: ToyModel, order: int) -> Float[Array, ""]:
        b = None if model.b is None else model.b[...]
        errors = expected_errors(model.W[...], b, self.features, activation=self.activation, order=order)
        return jnp.mean(self.importance * errors)
