"""Squeeze n sparse features through m dimensions and back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import OptionalScalar, PerFeature, Scalar
from superpos.data import Sets
from superpos.models.activations import check_activation
from superpos.models.toy import ToyModel
from superpos.tasks import one_layer
from superpos.tasks.base import Approximation, Metrics, Task
from superpos.tasks.objectives import OBJECTIVES, objective_of
from superpos.tasks.registry import register
from superpos.theory import series


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
    feature_probability: PerFeature = 1.0  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    importance: PerFeature = 1.0  # scalar or (n_features,)
    init_scale: Scalar = 1.0
    hidden_l1: OptionalScalar = None  # weight of E ‖h‖₁ beside the sum over features; None costs no time, 0 does
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
        objective_of(self).check()
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        one_layer.check_numbers(self)
        if self.hidden_l1 is not None:
            check.in_range("hidden_l1", self.hidden_l1, at_least=0)
        objective_of(self).check_values()

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
        return objective_of(self).loss(model, key, batch_size), {}

    def approximation(self) -> Approximation | None:
        """The series of the expected loss, where it is minimised and may be too short to be trusted."""
        return objective_of(self).approximation()

    def evaluation_task(self) -> "Toy":
        """The task whose loss is reported after training: the same without penalty."""
        return replace(self, hidden_l1=None)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""] | None:
        """L without sampling and without penalty, whatever the objective was.

        None where it is unknown, and above 128 features unless it was the objective.
        """
        return objective_of(self).expected_loss(model)

    def training_defaults(self) -> dict[str, Any]:
        """5,000 noisy steps at a learning rate of 0.01, or 300 exact ones at 0.08 with little momentum."""
        return objective_of(self).training_defaults()

    def unread(self) -> dict[str, str]:
        """Fields of this and of `TrainConfig` that have no effect given the others, each with why."""
        return objective_of(self).unread()

    @classmethod
    def describe_data(cls, settings: Mapping[str, Any], swept: set[str], batch: str) -> list[str]:
        """What a step sees, in words, by the objective."""
        objective = settings.get("objective", "sampled")
        if "objective" in swept:
            return [batch, "objective swept"]
        if objective == "expected":
            order = "" if settings["order"] is None else f" (order {settings['order']})"  # None: as n and m need
            return [f"expected loss{order}, no sampling"]
        return [batch] if objective == "sampled" else [batch, f"objective {objective}"]

    def elements_per_step(self, batch_size: int) -> int:
        """The batch of inputs, or the n² × order terms of the series with the arrays that make them."""
        return objective_of(self).elements_per_step(batch_size)
