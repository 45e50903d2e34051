"""The saddle between two minima: how high a model would have to climb to get from one to the other."""

from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment

from superpos import check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.landscapes.bottoms import newton, quasi_newton
from superpos.landscapes.merging import classes
from superpos.landscapes.problem import Problem, frame_at, hessian_at, problem_of, value_and_slope
from superpos.landscapes.tangents import rotation_tangents

# Places on the line between two minima from which a saddle is sought: the highest point, then these.
PLACES = (0.5, 0.4, 0.6, 0.3, 0.7)
STEPS, LONGEST = 80, 0.1  # of the climb
CLIMBED = 1e-5  # slope of the loss over that of W = 0, from which Newton's method goes on
TURNS = 48  # random rotations from which the nearest position is sought
STATIONARY = 1e-9  # length of the gradient, over the loss of W = 0
KICK = 0.03  # off the saddle, to either side
SIDE = 0.05  # largest difference of G and b within which a descent has ended in a minimum


class Saddle(NamedTuple):
    """A point without slope from which the loss falls in one direction only, to the two minima."""

    loss: float
    W: np.ndarray
    b: np.ndarray | None
    index: int  # negative curvatures; 1 for a saddle between two valleys
    gradient: float  # length, over the loss of W = 0


def saddle_between(task: Any, first: xr.Dataset, second: xr.Dataset, *, order: int | None = None) -> Saddle:
    """The saddle between two minima of the `landscape` of a task, rows of its table: `table.isel(minimum=0)`.

    The second is turned, and its equal features exchanged, to lie as near to the first as it can. From the highest point on
    the straight line between them the search climbs along the direction of least curvature and descends along all others
    (eigenvector following), rotations left out, and ends by Newton's method. What it finds counts only if descent from one
    side of it ends in the first minimum and from the other in the second. Other saddles between the two may be lower.

    Raises:
        ConfigError: a row is no minimum of this task, or the search finds no saddle whose two sides lead to them.
    """
    problem = problem_of(task, order)
    ends = []
    for name, row in (("first", first), ("second", second)):
        if not isinstance(row, xr.Dataset) or "W" not in row or row["W"].shape != problem.shape:
            raise ConfigError(
                f"{name} must be one row of a landscape of this task, got {check.short(type(row).__name__)}."
            )
        ends.append((np.asarray(row["W"].values, float), np.asarray(row["b"].values, float)))
    (W, b), (V, c) = ends
    V, c = _nearest(W, b, V, c, classes(problem.task))
    start, goal = (problem.flat(x, y if problem.bias else None) for x, y in ((W, b), (V, c)))
    use_compilation_cache()
    line = [start + t * (goal - start) for t in np.linspace(0.05, 0.95, 19)]
    heights = [_scaled(problem, x)[0] for x in line]
    begins = [line[int(np.argmax(heights))], *(start + t * (goal - start) for t in PLACES)]
    sides = [problem.canonical(x) for x in (start, goal)]
    for begin in begins:
        end = newton(problem, _climbed(problem, begin), steps=40, uphill=True)
        sizes, vectors = np.linalg.eigh(end.hessian)
        index, slope = int(np.sum(sizes < -1e-7 * sizes[-1])), float(np.linalg.norm(end.slope)) / problem.untrained
        if index == 1 and slope < STATIONARY and _joins(problem, end.flat, vectors[:, 0], sides):
            return Saddle(end.loss, *problem.parts(end.flat), index, slope)
    raise ConfigError("first and second have no saddle on whose two sides they lie, as far as this search can tell.")


def _nearest(W: np.ndarray, b: np.ndarray, V: np.ndarray, c: np.ndarray, label: np.ndarray) -> tuple[Any, Any]:
    """V and c with equal features exchanged and hidden space turned, as near to W and b as a few attempts come."""
    rng, m = np.random.default_rng(0), len(W)
    forbidden = 1e9 * (label[:, None] != label[None])
    results = []
    for _ in range(TURNS):
        turn = np.linalg.qr(rng.normal(size=(m, m)))[0]
        for _ in range(3):  # to and fro: exchange, then turn
            turned = turn @ V
            cost = np.sum((W[:, :, None] - turned[:, None]) ** 2, axis=0) + (b[:, None] - c[None]) ** 2
            order = linear_sum_assignment(cost + forbidden)[1]
            turn = orthogonal_procrustes(V[:, order].T, W.T)[0].T
        moved = turn @ V[:, order]
        results.append((float(np.sum((moved - W) ** 2) + np.sum((c[order] - b) ** 2)), moved, c[order]))
    return min(results, key=lambda r: r[0])[1:]


def _joins(problem: Problem, top: np.ndarray, down: np.ndarray, sides: list[Any]) -> bool:
    """Whether descents from the two sides of a saddle end in the two minima."""
    ended = [problem.canonical(quasi_newton(problem, top + sign * KICK * down)) for sign in (1, -1)]
    return any(all(_near(*pair) for pair in zip(ended, order, strict=True)) for order in (sides, sides[::-1]))


def _near(one: Any, other: Any) -> bool:
    return bool(max(np.abs(x - y).max() for x, y in zip(one, other, strict=True)) < SIDE)


def _climbed(problem: Problem, flat: np.ndarray) -> np.ndarray:
    """Up along the direction of least curvature, down along all others."""
    for _ in range(STEPS):
        _, slope = _scaled(problem, flat)
        if np.linalg.norm(slope) < CLIMBED:
            break
        frame = frame_at(problem, flat)
        with jax.enable_x64(True):
            hessian = np.asarray(hessian_at(flat, problem.task, frame, problem.shape, problem.bias, problem.order))
        hessian = hessian / problem.untrained
        tangents = rotation_tangents(*problem.parts(flat))
        if len(tangents):  # rotations do not count: they are made stiff
            basis = np.linalg.svd(tangents, full_matrices=False)[2]
            across = np.eye(len(flat)) - basis.T @ basis
            hessian = across @ hessian @ across + np.abs(hessian).max() * basis.T @ basis
        sizes, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        along = vectors.T @ slope
        steps = -along / np.maximum(np.abs(sizes), 1e-3)
        steps[0] *= -1
        step = vectors @ steps
        flat = flat + step * min(1.0, LONGEST / float(np.linalg.norm(step)))
    return flat


def _scaled(problem: Problem, flat: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss over that of W = 0, and its gradient."""
    frame = frame_at(problem, flat)
    with jax.enable_x64(True):
        value, slope = value_and_slope(flat, problem.task, frame, problem.shape, problem.bias, problem.order)
    return float(value) / problem.untrained, np.asarray(slope) / problem.untrained
