"""How the loss of the toy model is minimised: on samples, or through its expected value."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from superpos import arrays
from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.models import sums_over_samples
from superpos.models.products import is_gpu
from superpos.models.toy import ToyModel
from superpos.tasks import one_layer
from superpos.tasks.base import Approximation
from superpos.theory import series
from superpos.theory.expectation import check_expected, expected_errors, is_known

OBJECTIVES = ("sampled", "expected", "auto")

# Above this many features sampling came near the best loss sooner. Measured on two cores at p = 0.05 (2→1: 0.1) with
# tests/benchmarks/versus_peers.py, seconds per model within 1 % of the best known loss, sampled against expected: 2→1
# 0.0008 and 0.0003, 5→2 0.0031 and 0.0009, 20→5 0.034 and 0.036, 100→20 0.48 and 2.6. Since then a step without noise has
# become 1.4 to 2 times faster: it costs 2 sampled ones at n = 10, 4 at n = 20, 5 at n = 30 and 9 at n = 50, where the
# default trainings (300 against 5,000 steps) cost the same at 17. So the limit may be too low; nothing was measured between.
EXPECTED_UP_TO = 20

# The loss of a trained model is computed exactly up to this size, with a series long enough to compare seeds by.
EXACT_UP_TO = 128
EXACT_ORDER = 128


@dataclass(frozen=True)
class Objective(ABC):
    """What a step minimises, of a task (a `Toy`, which has the numbers)."""

    task: Any

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, where the task has no such objective."""
        return

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        return

    @abstractmethod
    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> Float[Array, ""]:
        """What a step minimises."""

    @abstractmethod
    def expected_loss(self, model: ToyModel) -> Float[Array, ""] | None:
        """The loss of a trained model without sampling and penalty; None where it is unknown or too large to compute."""

    @abstractmethod
    def training_defaults(self) -> dict[str, Any]:
        """Values for the fields of `TrainConfig` that were left None."""

    @abstractmethod
    def unread(self) -> dict[str, str]:
        """Fields of the task and of `TrainConfig` that have no effect, each with why."""

    @abstractmethod
    def elements_per_step(self, batch_size: int) -> int:
        """How many numbers one model's step goes through, roughly."""

    def approximation(self) -> Approximation | None:
        """The series whose sum is minimised, where it may be too short to be trusted."""
        return None


class Sampled(Objective):
    """The loss of a fresh batch at every step, with the penalty of `hidden_l1`: thousands of noisy steps."""

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> Float[Array, ""]:
        """The mean over features and over a fresh batch, and the penalty."""
        x = self.task.features.sample(key, batch_size)
        if self._is_one_sum(model):
            b = None if model.b is None else model.b[...]
            importance = jnp.broadcast_to(self.task.importance, (self.task.n_features,))
            return sums_over_samples.loss_on(model.W[...], b, importance, self.task.hidden_l1, x, self.task.activation)
        hidden = model.encode(x)
        return penalised(self.task, one_layer.weighted_error(self.task, model.activate(hidden) - x), hidden)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""] | None:
        """None where it is unknown, and above 128 features."""
        return population_loss(self.task, model, EXACT_ORDER) if self._is_computed() else None

    def training_defaults(self) -> dict[str, Any]:
        """5,000 steps with Adam's usual memories."""
        return {"steps": 5_000, "learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """The series' length, and held-out samples where the loss is computed."""
        fields = {"order": "no series is trained on"}
        return fields | (_COMPUTED if self._is_computed() else {})

    def elements_per_step(self, batch_size: int) -> int:
        """The batch of inputs."""
        return self.task.n_features * batch_size

    def _is_one_sum(self, model: ToyModel) -> bool:
        """Whether loss and gradient of a model are one sum: of a few features, in what is traced for a GPU."""
        task = self.task
        few = sums_over_samples.are_few(task.n_features, task.n_hidden)
        known = task.loss_exponent == 2 and task.activation in sums_over_samples.ACTIVATIONS
        return is_gpu() and few and known and type(model) is ToyModel

    def _is_computed(self) -> bool:
        small = self.task.activation == "identity" or self.task.n_features <= EXACT_UP_TO
        return small and has_expected_loss(self.task)


class Expected(Objective):
    """The population loss itself, by a series of `order` terms for ReLU: a few hundred steps without noise."""

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, where the expected loss is unknown or its series too long."""
        task = self.task
        if not has_known_features(task):
            name = type(task.features).__name__
            raise ConfigError(f'objective must be "sampled" for features of one\'s own ({name}), got "expected".')
        check_expected(task.features, task.activation)
        if task.loss_exponent != 2:
            raise ConfigError(f'loss_exponent must be 2 for objective="expected", got {task.loss_exponent}.')
        if task.activation == "relu":
            series.check_order(task.order, task.n_features, task.n_hidden)

    def check_values(self) -> None:
        """Raise `ConfigError` for a penalty, which is known on samples alone."""
        penalty = self.task.hidden_l1
        if penalty is not None and not arrays.is_traced(penalty) and np.any(penalty):
            most = float(np.max(penalty))
            raise ConfigError(f'hidden_l1 must be 0 unless objective="sampled": E ‖h‖₁ is sampled; got {most:g}.')

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> Float[Array, ""]:
        """The mean over features and all inputs; neither key nor batch is used."""
        return population_loss(self.task, model, self.task.terms)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""]:
        """The same, with more terms where there are few features."""
        more = EXACT_ORDER if self.task.n_features <= EXACT_UP_TO else 0
        return population_loss(self.task, model, max(self.task.terms, more))

    def training_defaults(self) -> dict[str, Any]:
        """300 steps with short memories, since there is no noise to average.

        They get there in half the steps or less: of 5→2 and 20→5 at densities .01 … 1, as many restarts reach the best within
        1 % after 100 steps as after 200 of the usual.
        """
        return {"steps": 300, "learning_rate": 0.08, "beta1": 0.7, "beta2": 0.9}

    def unread(self) -> dict[str, str]:
        """What is about batches and held-out samples; the series' length where a sum needs no series."""
        fields = {} if self.task.activation == "relu" else {"order": "no series is trained on"}
        batches = {"batch_size": "the expected loss draws no batches", "hidden_l1": "E ‖h‖₁ is sampled"}
        return fields | batches | _COMPUTED

    def elements_per_step(self, batch_size: int) -> int:
        """The n² × order terms of the series with the arrays that make them."""
        return 8 * self.task.n_features**2 * (self.task.terms if self.task.activation == "relu" else 1)

    def approximation(self) -> Approximation | None:
        """The series where it is shorter than n: longer ones lead nowhere wrong (see `superpos.theory.series`)."""
        short = self.task.activation == "relu" and series.doubtful(self.task.n_features, self.task.terms)
        return ShortSeries(self.task) if short else None


@dataclass(frozen=True)
class ShortSeries(Approximation):
    """A series that may be too short: training finds the weights at which its sum is far below the loss."""

    task: Any

    def warnings(self) -> list[str]:
        """One sentence if it is likely to mislead."""
        return series.doubts(self.task.terms, self.task.n_features, self.task.n_hidden)

    def remedy(self) -> str:
        """The order to set."""
        return series.too_short(self.task.terms, self.task.n_features, self.task.n_hidden)

    def least_loss(self) -> Float[Array, ""]:
        """0, but for rounding."""
        return -series.ROUNDING * self._untrained()

    def misleads(self, model: ToyModel) -> Bool[Array, ""]:
        """Whether more terms give another loss."""
        terms = self.task.terms
        loss, longer = (population_loss(self.task, model, order) for order in (terms, series.longer(terms)))
        untrained = self._untrained()
        return series.below_zero(loss, untrained) | series.far(loss, longer, untrained)

    def _untrained(self) -> Float[Array, ""]:
        """Loss of W = 0 and b = 0: the mean of $I_i E x_i^2$."""
        return jnp.mean(self.task.importance * self.task.features.moment(2))


_COMPUTED = {"evaluation_samples": "the loss of the trained model is computed, not sampled"}


def objective_of(task: Any) -> Objective:
    """The objective that a task names; of "auto", the expected loss where it exists and costs no more than sampling."""
    cheap = task.objective == "auto" and task.n_features <= EXPECTED_UP_TO and has_expected_loss(task)
    return Expected(task) if task.objective == "expected" or cheap else Sampled(task)


def has_expected_loss(task: Any) -> bool:
    """Whether the expected loss of a toy model is known."""
    if not has_known_features(task):
        return False
    features = task.features
    in_factors = features.world is None and not features.parents and features.correlated_through is None
    known = is_known(features, task.activation) and (in_factors or task.activation == "identity")
    return task.loss_exponent == 2 and known


def has_known_features(task: Any) -> bool:
    """Whether inputs are drawn from the library's own distribution, not from one that a derived task returns."""
    return type(task.features) is FeatureDistribution


def population_loss(task: Any, model: ToyModel, order: int) -> Float[Array, ""]:
    r"""The mean over features of $I_i E (x_i - x'_i)^2$, by a series of so many terms for ReLU."""
    b = None if model.b is None else model.b[...]
    errors = expected_errors(model.W[...], b, task.features, activation=task.activation, order=order)
    return jnp.mean(task.importance * errors)


def penalised(task: Any, loss: Float[Array, ""], hidden: Float[Array, "n_hidden batch"]) -> Float[Array, ""]:
    """The loss of a batch with the task's L1 penalty on its hidden layer."""
    if task.hidden_l1 is None:
        return loss
    return loss + task.hidden_l1 * jnp.mean(jnp.sum(jnp.abs(hidden), axis=0)) / task.n_features
