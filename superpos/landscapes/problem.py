"""The loss whose landscape is explored: that of a toy task, exact, as a function of one flat vector."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import check
from superpos.data.magnitudes import is_plain
from superpos.errors import ConfigError
from superpos.landscapes.merging import canonical
from superpos.landscapes.tangents import dead_features
from superpos.theory.expectation import check_expected, expected_errors
from superpos.theory.polishing import TaskWithExpectedLoss
from superpos.theory.series import check_order, doubtful

# Room that the bound of the series leaves around a point: descent moves the point, the bound stays.
ROOM = 1.25
# Fields of a task that its expected loss does not depend on, the same for all: tasks that differ in them share programs.
UNSEEN = {"hidden_l1": None, "objective": "expected"}
# Terms of the series with which minima are found to the last digit.
TERMS = 256


class Problem(NamedTuple):
    """One task at one density and importance, in double precision, and the shape of its models."""

    task: Any  # numeric fields are arrays of their full shapes
    shape: tuple[int, int]  # (n_hidden, n_features)
    bias: bool
    order: int  # terms of the series
    untrained: float  # loss of W = 0 without bias

    def parts(self, flat: Any) -> tuple[Any, Any]:
        """W and b, or None, of a flat vector."""
        return parts_of(flat, self.shape, self.bias)

    @property
    def size(self) -> int:
        """How many parameters a model has."""
        return self.shape[0] * self.shape[1] + self.shape[1] * self.bias

    @property
    def inputs(self) -> dict[str, Any]:
        """What of the inputs decides whether a feature is dead: arguments of `superpos.landscapes.dead_features`."""
        return {
            "signed": self.task.magnitude != "uniform",
            "anticorrelated_sets": self.task.anticorrelated_sets,
        }

    def canonical(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """G and b of flat vectors (…, d), without what no output shows: equal where models are equal up to rotation."""
        m, n = self.shape
        W, b = flat[..., : m * n].reshape(*flat.shape[:-1], m, n), flat[..., m * n :] if self.bias else None
        return canonical(W, b, activation=self.task.activation, **self.inputs)

    def flat(self, W: Any, b: Any) -> np.ndarray:
        """The flat vector of W and b."""
        pieces = [np.ravel(W)] if b is None else [np.ravel(W), np.ravel(b)]
        return np.concatenate(pieces).astype(np.float64)


def problem_of(task: Any, order: int | None = None) -> Problem:
    """The problem that a task poses.

    Raises:
        ConfigError: the task has no expected loss here, its loss is no mean of squares, or a field of it is not allowed.
    """
    check_task(task)
    task.check()
    check_expected(task.features, task.activation)
    if not is_plain(task.features):
        raise ConfigError("magnitude must be one law without numbers of its own for a landscape.")
    if task.loss_exponent != 2:
        raise ConfigError(f"loss_exponent must be 2 for a landscape, got {task.loss_exponent}.")
    if not np.any(np.asarray(task.importance) > 0):
        raise ConfigError("importance must not be 0 for every feature.")
    check.in_range("feature_probability", task.features.feature_probability, above=0, at_most=1)
    if getattr(task, "n_used", None) is not None:
        raise ConfigError("n_used must be None for a landscape, which is over all n_hidden dimensions.")
    n, m = int(task.n_features), int(task.n_hidden)
    terms = check_order(order, n if task.activation == "relu" else 1, m, at_least=TERMS)
    if doubtful(n, terms):
        raise ConfigError(f"order must be at least n_features = {n} for a landscape, got {terms}.")
    with jax.enable_x64(True):
        full = jax.tree.map(lambda x: np.asarray(x, np.float64), replace(task, **UNSEEN)).broadcast()
        full = jax.tree.map(np.asarray, full)
        untrained = float(np.mean(full.importance * np.asarray(full.features.moment(2))))
    return Problem(full, (m, n), bool(task.bias), terms, untrained)


def check_task(task: Any) -> None:
    """Refuse what is no task with an expected loss."""
    if not isinstance(task, TaskWithExpectedLoss):
        raise ConfigError(
            f"task must be a superpos.tasks.Toy, whose expected loss is known, got {type(task).__name__}."
        )


def parts_of(flat: Any, shape: tuple[int, int], bias: bool) -> tuple[Any, Any]:
    """W (m, n) and b (n,), or None, of a flat vector."""
    m, n = shape
    return flat[: m * n].reshape(shape), flat[m * n :] if bias else None


class Frame(NamedTuple):
    """What is held fixed around a point, so that the loss is as smooth there as it truly is."""

    bound: Any  # (n_features,) of the series
    alive: Any  # (n_features,) False: the output is 0 whatever is active, exactly, and its error is E x²


def frame_at(problem: Problem, flat: np.ndarray) -> Frame:
    """The frame around a point: a bound that leaves room, and which outputs can be other than 0.

    An output is dead if its bias is below 0 by at least what reaches it; the point has a whole neighbourhood like that.
    """
    W, b = problem.parts(np.asarray(flat, np.float64))
    alive = np.ones(problem.shape[1], bool)
    if problem.task.activation == "relu" and b is not None:
        alive = ~dead_features(W, b, **problem.inputs)
    return moved_frame(problem, flat, Frame(None, alive))


def moved_frame(problem: Problem, flat: np.ndarray, frame: Frame) -> Frame:
    """The frame with a bound for another point; dead outputs stay dead."""
    W, b = problem.parts(np.asarray(flat, np.float64))
    gram = W.T @ W
    above, below = np.maximum(gram, 0).sum(axis=1), np.maximum(-gram, 0).sum(axis=1)
    reach = above + below if problem.inputs["signed"] else np.maximum(above, below)
    reach = 1.02 * (reach + (0 if b is None else np.abs(b)))  # as `superpos.theory.relu_errors.reach_of`
    return Frame(ROOM * np.where(frame.alive, reach, 1.0) + 0.1, frame.alive)


def exact_loss(
    flat: Float[Array, " d"], task: Any, frame: Any, shape: tuple[int, int], bias: bool, order: int
) -> Float[Array, ""]:
    """The mean over features of importance times expected squared error; `frame` as `frame_at` gives it, or None."""
    W, b = parts_of(flat, shape, bias)
    bound, alive = (None, None) if frame is None else frame
    if alive is not None and b is not None:  # the series of a dead output would only show its own error
        b = jnp.where(alive, b, 0.0)
    errors = expected_errors(W, b, task.features, activation=task.activation, order=order, bound=bound)
    if alive is not None:
        errors = jnp.where(alive, errors, task.features.moment(2))
    return jnp.mean(task.importance * errors)


_STATIC = ("shape", "bias", "order")
loss_at = jax.jit(exact_loss, static_argnames=_STATIC)
value_and_slope = jax.jit(jax.value_and_grad(exact_loss), static_argnames=_STATIC)


@partial(jax.jit, static_argnames=_STATIC)
def hessian_at(flat: Any, task: Any, frame: Any, shape: tuple[int, int], bias: bool, order: int) -> Float[Array, "d d"]:
    """Second derivatives, one direction after the other: a far smaller program than all at once."""
    slope = jax.grad(exact_loss)

    def column(direction: Any) -> Any:
        return jax.jvp(lambda x: slope(x, task, frame, shape, bias, order), (flat,), (direction,))[1]

    return jax.lax.map(column, jnp.eye(len(flat), dtype=flat.dtype))
