"""The loss of a task as a function of flat parameters: itself where it is known, or of fresh batches."""

from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos import check
from superpos.errors import ConfigError
from superpos.identity import code_token
from superpos.tasks.base import Task

CONVENTIONS = ("sum", "mean")


@dataclass(frozen=True)
class TaskLoss:
    """A loss that programs are compiled for: two equal ones share a program."""

    structure: Any  # of a model
    shapes: tuple[tuple[int, ...], ...]  # of its parameters
    scale: float  # number of outputs where the sum over them is meant, else 1
    batch_size: int | None  # None: the loss itself
    code: str | None  # of tasks that are not superpos's own

    def prepared(self, task: Task) -> Task:
        """The task with what it computes once and not at every step."""
        return task.precompute()

    def __call__(self, w: Any, task: Task, key: Any) -> Any:
        """The loss at flat parameters (d,)."""
        model = rebuilt(w, self.structure, self.shapes)
        if self.batch_size is None:
            return self.scale * expected(task, model)
        return self.scale * task.evaluation_task().loss(model, key, self.batch_size)[0]


def loss_of(task: Task, model: Any, *, convention: str, batch_size: int | None) -> TaskLoss:
    """The `TaskLoss` of tasks of the family of this one; `model` is an example of one, or its shapes."""
    leaves = jax.tree.leaves(model)
    shapes = tuple(tuple(np.shape(leaf)) for leaf in leaves)
    scale = float(task.n_features) if convention == "sum" else 1.0  # type: ignore[attr-defined]
    return TaskLoss(jax.tree.structure(model), shapes, scale, batch_size, code_token(task))


def is_mean_over_features(task: Task) -> bool:
    """Whether the loss of a task is a mean over features, so that there is a sum over them."""
    return "n_features" in {f.name for f in fields(task)} and hasattr(task, "features")  # type: ignore[arg-type]


def convention_of(task: Task, convention: str | None) -> str:
    """The convention that is meant: by default the sum over features, and the loss as it is where it is no mean over them."""
    if convention is None:
        return "sum" if is_mean_over_features(task) else "mean"
    check.one_of("convention", convention, CONVENTIONS)
    if convention == "sum" and not is_mean_over_features(task):
        raise ConfigError(f'convention must be "mean" for {type(task).__name__}: its loss is no mean over features.')
    return convention


def expected(task: Task, model: Any) -> Any:
    """The loss without sampling; None where it is unknown.

    For toy models with the terms that training uses, so that a model trained on it rests at the minimum of this very sum.
    """
    task = task.evaluation_task()
    if (loss := task.expected_loss(model)) is None:
        return None
    if "objective" in {f.name for f in fields(task)}:  # type: ignore[arg-type]
        return replace(task, objective="expected").loss(model, jax.random.key(0), 1)[0]  # type: ignore[call-arg]
    return loss


def has_expected(task: Task, model: Any) -> bool:
    """Whether the loss of a task is known without sampling."""
    return jax.eval_shape(expected, task.broadcast(), model) is not None


def flat(model: Any) -> np.ndarray:
    """The parameters of a model as one vector, in the order of its leaves."""
    return np.concatenate([np.asarray(leaf, np.float32).ravel() for leaf in jax.tree.leaves(model)])


def flat_rows(models: Any) -> np.ndarray:
    """The parameters of many models, which lead with one axis, in rows."""
    return np.concatenate(
        [np.asarray(leaf, np.float32).reshape(len(leaf), -1) for leaf in jax.tree.leaves(models)], axis=1
    )


def rebuilt(w: Any, structure: Any, shapes: tuple[tuple[int, ...], ...]) -> Any:
    """The model, or any pytree of arrays, that flat parameters stand for."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    parts = jnp.split(w, np.cumsum(sizes)[:-1].tolist())
    return jax.tree.unflatten(structure, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
