"""Tell n classes apart through a bottleneck, with cross-entropy: superposition of classes."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import Scalar
from superpos.data import MAX_FEATURES
from superpos.models.toy import ToyModel
from superpos.tasks.base import Metrics, Task
from superpos.tasks.one_layer import MAX_WEIGHTS, initial_std
from superpos.tasks.registry import register


@register("one_hot_classifier")
@dataclass(frozen=True, kw_only=True)
class OneHotClassifier(Task):
    r"""Say which one of n features is active, through m dimensions, by cross-entropy.

    $$L = -\frac1n \sum_{i=1}^n \log \mathrm{softmax}(W^\top W e_i)_i, \qquad
    \text{minimised: } L + \frac{\lambda}{n} \sum_{ki} W_{ki}^2,$$

    the mean over classes, which are all in every step: nothing is sampled. The outputs $W^\top W x$ are logits, so the model
    is linear and has no bias; the softmax is what silences other classes. λ = `weight_l2` keeps lengths finite: longer
    weights always lower L once every class is told apart. Weights start normal with the Xavier standard deviation of one
    model, √(2 / (n + m)), times `init_scale`. The reported loss is L alone.

    For directions in which all classes see the same angles, the least loss is known (`superpos.theory.class_loss`).

    Fields that may be swept without recompiling: `weight_l2` and `init_scale`.

    The question is Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 4.12.
    """

    DATA: ClassVar[str | None] = "all {n_features} one-hot inputs in every step"
    SIZES: ClassVar[dict[str, str]] = {"n_features": "{} classes", "n_hidden": "in {} hidden dimensions"}
    NAMES: ClassVar[dict[str, str]] = {"weight_l2": "L2 penalty"}

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    weight_l2: Scalar = 0.0  # weight of the sum of W² beside the sum of the losses of all classes
    init_scale: Scalar = 1.0

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_features", self.n_features, at_least=2, at_most=MAX_FEATURES)
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=MAX_FEATURES)
        n, m = int(self.n_features), int(self.n_hidden)
        check.integer("n_features × n_hidden", n * m, at_most=MAX_WEIGHTS)
        check.integer("n_features × n_features", n * n, at_most=MAX_WEIGHTS)  # all logits of all inputs
        check.scalar("weight_l2", self.weight_l2)
        check.scalar("init_scale", self.init_scale)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.in_range("weight_l2", self.weight_l2, at_least=0)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def init(self, key: PRNGKeyArray) -> ToyModel:
        """A new model: Xavier-normal weights of this one model times `init_scale`."""
        W = initial_std(self) * jax.random.normal(key, (self.n_hidden, self.n_features), float)
        return ToyModel(W, activation="identity")

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """L of all classes, with the penalty; neither key nor batch is used."""
        logits = model(jnp.eye(self.n_features))
        lost = jax.nn.logsumexp(logits, axis=0) - jnp.diagonal(logits)
        return jnp.mean(lost) + self.weight_l2 * jnp.sum(jnp.square(model.W[...])) / self.n_features, {}

    def evaluation_task(self) -> "OneHotClassifier":
        """The task whose loss is reported after training: the same without penalty."""
        return replace(self, weight_l2=0.0)

    def expected_loss(self, model: ToyModel) -> Float[Array, ""]:
        """L, which is exact."""
        return self.evaluation_task().loss(model, jax.random.key(0), 0)[0]

    def training_defaults(self) -> dict[str, Any]:
        """2,000 steps of Adam with short memories at a learning rate of 0.03: nothing is sampled."""
        return {"steps": 2_000, "learning_rate": 0.03, "beta1": 0.9, "beta2": 0.99}

    def unread(self) -> dict[str, str]:
        """What is about batches and held-out samples."""
        why = "all one-hot inputs are in every step"
        return {"batch_size": why, "evaluation_samples": why}

    def elements_per_step(self, batch_size: int) -> int:
        """All logits of all inputs."""
        return self.n_features * max(self.n_features, self.n_hidden)
