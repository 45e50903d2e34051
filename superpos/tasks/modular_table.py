"""What tasks share that learn arithmetic modulo p from a part of its table."""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray

from superpos import check
from superpos.arrays import Scalar, Table
from superpos.data.modular import modular_table
from superpos.errors import ConfigError
from superpos.tasks.base import Metrics, Model, Task


@dataclass(frozen=True, kw_only=True)
class ModularTable(Task):
    r"""a ∘ b modulo p for all p² pairs, of which some train and the others test; full batch.

    With logits z of the p answers and the right one c, the loss is the mean over the training pairs of
    $-\log\mathrm{softmax}(z)_c$. It is computed as $\mathrm{softplus}\,\log\sum_{j \ne c} e^{z_j - z_c}$: see
    `cross_entropy`.

    A permutation of all pairs is drawn from `data_seed` (or given as `order`, of numbers a·p + b); the first
    `train_fraction` · p² of them train. Gradients go through the first `gradient_pairs` pairs (default: all), of which those
    that do not train count 0. Of the others the first `test_pairs` are looked at in every step (default: all).

    A task says how a model's neurons see every pair (`_inputs`), what they say (`_neurons`), and what follows (`_answers`).
    """

    DATA: ClassVar[str] = "full batch"
    UNSAID: ClassVar[tuple[str, ...]] = ("gradient_pairs", "test_pairs", "data_seed", "order")

    p: int = jax.tree.static(default=113)  # shape of what reads numbers
    operation: str = jax.tree.static(default="addition")  # chooses the table
    gradient_pairs: int | None = jax.tree.static(default=None)  # shape of the batch
    test_pairs: int | None = jax.tree.static(default=None)  # shape of the batch
    train_fraction: Scalar = 0.3
    data_seed: Scalar = 0
    init_scale: Scalar = 1.0
    order: Table = None  # (p²,)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        modular_table(self.p, self.operation)
        for name in ("gradient_pairs", "test_pairs"):
            if getattr(self, name) is not None:
                check.integer(name, getattr(self, name), at_least=1, at_most=self.p**2)
        for name in ("train_fraction", "data_seed", "init_scale"):
            check.scalar(name, getattr(self, name))
        if (order := check.finite_array("order", self.order) if self.order is not None else None) is not None and (
            order.shape != (self.p**2,) or set(order) != set(range(self.p**2))
        ):
            raise ConfigError(f"order must be a permutation of 0 … {self.p**2 - 1}.")
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.in_range("train_fraction", self.train_fraction, at_least=1 / self.p**2, below=1 - 0.5 / self.p**2)
        if self.gradient_pairs is not None:
            check.in_range("train_fraction", self.train_fraction, at_most=(self.gradient_pairs + 0.5) / self.p**2)
        check.in_range("data_seed", self.data_seed, at_least=0, at_most=2**24)
        check.whole_numbers("data_seed", self.data_seed)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def broadcast(self) -> "ModularTable":
        """The same task with every numeric field an array."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), self)

    def precompute(self) -> "ModularTable":
        """The task with the order of its pairs, (p²,); needed before `loss`."""
        if self.order is not None:
            return self
        key = jax.random.key(jnp.asarray(self.data_seed, jnp.uint32))
        return replace(self, order=jax.random.permutation(key, self.p**2))

    def _inputs(self, model: Model) -> Float[Array, "pairs d"]:
        raise NotImplementedError

    def _neurons(self, model: Model, x: Float[Array, "pairs d"]) -> Float[Array, "pairs neurons"]:
        raise NotImplementedError

    def _answers(self, model: Model, x: Float[Array, "pairs d"]) -> Float[Array, "pairs p"]:
        raise NotImplementedError

    def logits(self, model: Model) -> Float[Array, "pairs p"]:
        """Logits of the p answers to all p² pairs a·p + b."""
        return self._answers(model, self._inputs(model))

    def neurons(self, model: Model) -> Float[Array, "pairs neurons"]:
        """What the neurons say of all pairs, after the activation."""
        return self._neurons(model, self._inputs(model))

    def loss(self, model: Model, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The mean over the training pairs, and how the others fare."""
        del key, batch_size
        count = self.p**2 if self.gradient_pairs is None else self.gradient_pairs
        order = self._order[: None if self.test_pairs is None else count + self.test_pairs]
        x = self._inputs(model)
        error, right = self._scores(model, x, order[:count])
        if count < len(order):
            others = self._scores(*jax.lax.stop_gradient((model, x)), order[count:])
            error, right = (jnp.concatenate(both) for both in zip((error, right), others, strict=True))
        train = self._trains[: len(order)]
        n_train = jnp.sum(train, dtype=error.dtype)
        loss = jnp.sum(jnp.where(train, error, 0)) / n_train
        accuracy = jnp.sum(train & right, dtype=error.dtype) / n_train
        n_test = len(order) - n_train
        test_loss = jax.lax.stop_gradient(jnp.sum(jnp.where(train, 0, error))) / n_test
        test_accuracy = jnp.sum(~train & right, dtype=error.dtype) / n_test
        return loss, {"accuracy": accuracy, "test_loss": test_loss, "test_accuracy": test_accuracy}

    def _scores(self, model: Model, x: Array, pairs: Integer[Array, " pairs"]) -> tuple[Array, Array]:
        answers = jnp.asarray(modular_table(self.p, self.operation)[2])[pairs]
        # No pair comes twice, so the gradient of this lookup adds nothing up, in whatever order.
        logits = self._answers(model, x.at[pairs].get(unique_indices=True, mode="promise_in_bounds"))
        return cross_entropy(logits, answers), jnp.argmax(logits, axis=1) == answers

    @property
    def _order(self) -> Integer[Array, " pairs"]:
        return jnp.asarray(self.order, jnp.int32)

    @property
    def _trains(self) -> Bool[Array, " pairs"]:
        return jnp.arange(self.p**2) < jnp.round(self.train_fraction * self.p**2)

    def training_pairs(self) -> Bool[Array, " pairs"]:
        """Which pairs a·p + b train, (p²,)."""
        task = self.broadcast().precompute()
        return jnp.zeros(self.p**2, bool).at[task._order].set(task._trains)

    def expected_loss(self, model: Model) -> Float[Array, ""]:
        """The mean over the pairs that do not train."""
        return replace(self, test_pairs=None).loss(model, jax.random.key(0), 0)[1]["test_loss"]

    def unread(self) -> dict[str, str]:
        """Fields of this and of `TrainConfig` that have no effect given the others, each with why."""
        fields = {"batch_size": "training is full batch", "evaluation_samples": "all other pairs test"}
        return fields if self.order is None else fields | {"data_seed": "order is given"}


def cross_entropy(logits: Float[Array, "pairs p"], answers: Integer[Array, " pairs"]) -> Float[Array, " pairs"]:
    r"""$-\log\mathrm{softmax}(z)_c = \mathrm{softplus}\,\log\sum_{j \ne c} e^{z_j - z_c}$, accurate however small it is."""
    true_logit = jnp.take_along_axis(logits, answers[:, None], axis=1)
    others = jnp.arange(logits.shape[1])[None] != answers[:, None]
    return jax.nn.softplus(jax.nn.logsumexp(logits - true_logit, axis=1, where=others))
