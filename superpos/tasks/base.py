"""What a task is: everything that differs between experiments."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, PRNGKeyArray

Model = Any  # a flax nnx module, used as a pytree
Metrics = dict[str, Float[Array, ""]]


@runtime_checkable
class Task(Protocol):
    """A model, its data and its loss, as a frozen dataclass registered as a pytree.

    Numeric fields are leaves: they may be traced, so every value of them shares one compilation. Fields that set a shape
    or choose code are static (`jax.tree.static`). There is no batch-of-models axis anywhere.
    """

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        ...

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        ...

    def broadcast(self) -> "Task":
        """The same task with every numeric field an array of its full shape (a scalar importance becomes a vector)."""
        ...

    def init(self, key: PRNGKeyArray) -> Model:
        """A new model."""
        ...

    def loss(self, model: Model, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Scalar training loss on a batch drawn from `key`, and further scalars to record."""
        ...

    def population_loss(self, model: Model) -> Float[Array, ""] | None:
        """The loss without sampling, where it can be computed; None where held-out inputs must estimate it.

        They do so through `loss`. A task that trains on more than it reports (a penalty, an attack) has a method
        `reported()` as well: the task whose `loss` is meant.
        """
        ...

    def training_defaults(self) -> dict[str, Any]:
        """Values for the fields of `TrainConfig` that were left None: steps, learning_rate, beta1, beta2."""
        ...

    def numbers_per_step(self, batch_size: int) -> int:
        """How many numbers one model's step goes through, roughly; decides how many models share a block.

        A task with fields that have no effect given others has a method `unread()` as well (see `superpos.unread`). One that
        can minimise what is not its loss has `least_loss`, `misled`, `too_short` and `doubts`, as `Toy` says.
        """
        ...


# How captions say what a task's sizes are, by field; words that begin with "in" or "to" go on from the ones before. A task
# may have `SIZES` of its own, and `DATA`, with fields in braces: what a step sees, where that is no batch of fresh draws.
SIZES = {"n_features": "{} features", "n_hidden": "in {} hidden dimensions"}


def ready(task: Any) -> Any:
    """The task with fields of full shape and, where it has any, what it computes once instead of at every step."""
    task = task.broadcast()
    return getattr(task, "prepared", lambda: task)()


def objective(task: Task, model: Model, key: PRNGKeyArray, batch_size: int) -> tuple[Any, tuple[Metrics, Any]]:
    """What a step minimises, further scalars to record, and what `after_step` of the task wants to see."""
    if training_loss := getattr(task, "training_loss", None):
        return training_loss(model, key, batch_size)
    loss, metrics = task.loss(model, key, batch_size)
    return loss, (metrics, None)
