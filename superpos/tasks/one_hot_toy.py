"""The toy model on one feature at a time, with room for all: features may share a neuron by chance alone."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import OptionalScalar, Scalar
from superpos.data import MAX_FEATURES
from superpos.models.toy import ToyModel
from superpos.tasks.base import Metrics, Task
from superpos.tasks.objectives import penalised
from superpos.tasks.one_layer import MAX_WEIGHTS
from superpos.tasks.registry import register


@register("one_hot_toy")
@dataclass(frozen=True, kw_only=True)
class OneHotToy(Task):
    r"""Reconstruct the n standard basis vectors through m hidden neurons, usually $m \ge n$, with a price on activity.

    $$L = \frac1{n^2} \sum_{i=1}^n \|e_i - \mathrm{ReLU}(W^\top W e_i)\|^2, \qquad
    \text{minimised: } L + \frac{\lambda}{n^2} \sum_{ki} |W_{ki}|,$$

    the mean over features and over the n inputs, which are all in every step: nothing is sampled. λ = `hidden_l1` is in the
    units of the paper's loss, n² times this one; None is no penalty. There is no bias. Each hidden activation is one weight,
    $h_k = W_{ki}$, so the penalty makes every feature end on one neuron of its own choice, with either sign. Weights start
    normal with standard deviation `init_scale` / √m, so every feature starts with a length near 1.

    The paper's W is this one's transpose. It trains by gradient descent on its loss; the same steps here have n² times its
    learning rate (`optimizer="sgd"`).

    Fields that may be swept without recompiling: `hidden_l1` and `init_scale`.

    Lecomte, Thaman, Schaeffer, Bashkansky, Chow and Koyejo 2023, "What Causes Polysemanticity? An Alternative Origin Story of
    Mixed Selectivity from Incidental Causes", section 2.
    """

    DATA: ClassVar[str | None] = "all {n_features} one-hot inputs in every step"
    NAMES: ClassVar[dict[str, str]] = {"hidden_l1": "hidden L1 penalty"}

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    hidden_l1: OptionalScalar = None  # weight of the sum of |W| beside the sum of squared errors
    init_scale: Scalar = 1.0

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_features", self.n_features, at_least=1, at_most=MAX_FEATURES)
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=MAX_FEATURES)
        n, m = int(self.n_features), int(self.n_hidden)
        check.integer("n_features × n_hidden", n * m, at_most=MAX_WEIGHTS)
        check.integer("n_features × n_features", n * n, at_most=MAX_WEIGHTS)  # all outputs of all inputs
        if self.hidden_l1 is not None:
            check.scalar("hidden_l1", self.hidden_l1)
        check.scalar("init_scale", self.init_scale)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        if self.hidden_l1 is not None:
            check.in_range("hidden_l1", self.hidden_l1, at_least=0)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def init(self, key: PRNGKeyArray) -> ToyModel:
        """A new model: normal weights, so that each feature's squared length is `init_scale`² on average."""
        std = self.init_scale / jnp.sqrt(1.0 * self.n_hidden)
        return ToyModel(std * jax.random.normal(key, (self.n_hidden, self.n_features), float))

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """L on all one-hot inputs, with the penalty; neither key nor batch is used."""
        x = jnp.eye(self.n_features)
        hidden = model.encode(x)
        return penalised(self, jnp.mean(jnp.square(model.activate(hidden) - x)), hidden), {}

    def evaluation_task(self) -> "OneHotToy":
        """The task whose loss is reported after training: the same without penalty."""
        return replace(self, hidden_l1=None)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""]:
        """L, which is exact."""
        return self.evaluation_task().loss(model, jax.random.key(0), 0)[0]

    def training_defaults(self) -> dict[str, Any]:
        """2,000 steps of Adam at a learning rate of 0.003."""
        return {"steps": 2_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """What is about batches and held-out samples."""
        why = "all one-hot inputs are in every step"
        return {"batch_size": why, "evaluation_samples": why}

    def elements_per_step(self, batch_size: int) -> int:
        """All outputs of all inputs, and the hidden layer's."""
        return self.n_features * max(self.n_features, self.n_hidden)
