"""All distinct minima of one cell: ends of many descents, grouped, taken to the bottom, and told apart."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np

from superpos.landscapes.bottoms import Bottom, bottom_below, is_minimum, loss_of, newton, quasi_newton
from superpos.landscapes.curvature import Curvature, has_kink, judged
from superpos.landscapes.descent import Ends
from superpos.landscapes.merging import grouped, invariants, permutation
from superpos.landscapes.problem import Problem, frame_at, loss_at, value_and_slope
from superpos.landscapes.tangents import dead_tangents, rotation_tangents
from superpos.theory.relu_errors import one_active_at_most

# Bottoms this near to each other, in every entry of G and b, whose losses are alike, are one minimum. (Where outputs end
# exactly on a kink, as they do when all features are active, a series that is cut has many bottoms around the true one,
# closer to it by far.)
NEAR = 0.01
# Ends of descents this near to a minimum are in its valley: measured for 5→2, those that are there are nearer than .004, and
# those that are on their way are farther than .1.
ARRIVED = 0.03
SAME_LOSS = 1e-4  # relative
# Terms of the series for the loss of a minimum: its error falls with their third power. Bounded by n² × terms.
MOST_TERMS, MOST_NUMBERS = 4_096, 2**22


@dataclass(eq=False)
class Basin:
    """One minimum of one cell, and how many of the starts end there."""

    bottom: Bottom
    gram: np.ndarray
    bias: np.ndarray
    invariant: np.ndarray
    starts: int = 0
    sources: list[str] = field(default_factory=list)
    checked: bool = False  # whether an end of a descent that is taken for this basin's has gone to the bottom


class Minima:
    """The distinct minima of one cell, as far as they are known."""

    def __init__(self, problem: Problem, label: np.ndarray) -> None:
        """`label` are classes of equal features."""
        self.problem, self.label = problem, label
        self.basins: list[Basin] = []

    def add(self, point: np.ndarray, source: str) -> Basin:
        """The basin of the minimum below a point, new or known."""
        point = quasi_newton(self.problem, np.asarray(point, np.float64))
        if self.basins:  # where Newton's method would confirm what is known, it is spared
            distance = self._distances(self._invariants(point))
            known = self.basins[int(distance.argmin())]
            if distance.min() <= NEAR and self._same_loss(loss_of(self.problem, point), known.bottom.loss):
                return self._seen(known, source)
        return self.add_bottom(bottom_below(self.problem, point), source)

    def add_first(self, points: np.ndarray, source: str) -> bool:
        """Add the first minimum that Newton's method alone leads to from any of the points, and say whether there is one.

        A known one keeps its bottom, to which quasi-Newton led: beside a kink this one may be of the cut series alone.
        """
        for point in points:
            bottom = newton(self.problem, np.asarray(point, np.float64))
            if np.isfinite(bottom.loss) and is_minimum(self.problem, bottom):
                self.add_bottom(bottom, source, is_better=False)
                return True
        return False

    def settle(self, ends: Ends, source: str, *, last: bool, count: bool = True) -> np.ndarray:
        """Give the ends of descents to the basins that they are in; which are still on their way, (k,).

        An end is in a basin if it is near the minimum, and nearer by far than to any other. Of ends that are near each other
        and no known minimum one goes to the bottom to see; at the `last` leg all do that are left. With `count`, they are
        counted as starts.
        """
        points = self._invariants(ends.flat.astype(np.float64))
        waiting = np.isfinite(ends.loss) & np.isfinite(points).all(axis=1)
        self._give(ends, points, waiting, source, count)
        left = np.flatnonzero(waiting)
        left = left[np.argsort(ends.loss[left], kind="stable")]
        for group in grouped(points[left], NEAR):
            members = left[group]
            while (members := members[waiting[members]]).size > (0 if last else 1):
                self.add(ends.flat[members[0]], source).starts += count
                waiting[members[0]] = False
                self._give(ends, points, waiting, source, count)
                if not last:
                    break
        return waiting

    def _give(self, ends: Ends, points: np.ndarray, waiting: np.ndarray, source: str, count: bool) -> None:
        """Settle what is near a known minimum. Once for every minimum, the farthest of these goes to the bottom to see."""
        while self.basins and waiting.any():
            rows = np.flatnonzero(waiting)
            distance = self._distances(points[rows])
            nearest, first = distance.argmin(axis=1), distance.min(axis=1)
            others = np.where(np.arange(len(self.basins)) == nearest[:, None], np.inf, distance).min(axis=1)
            near = (first <= ARRIVED) & (first <= others / 2)
            doubtful = [
                rows[near & (nearest == k)][first[near & (nearest == k)].argmax()]
                for k, basin in enumerate(self.basins)
                if not basin.checked and np.any(near & (nearest == k))
            ]
            known = len(self.basins)
            for k in {*nearest[near].tolist()}:
                self.basins[k].checked = True
            for row in doubtful:
                self.add(ends.flat[row], source)
            if len(self.basins) > known:
                continue  # a minimum so near to another that ends are to be given anew
            for k, many in zip(*np.unique(nearest[near], return_counts=True), strict=True):
                self._seen(self.basins[k], source).starts += int(many) * count
            waiting[rows[near]] = False
            return

    def _invariants(self, flat: np.ndarray) -> np.ndarray:
        return invariants(*self.problem.canonical(flat), self.label)

    def _distances(self, points: np.ndarray) -> np.ndarray:
        """The largest difference of an invariant of every point, (…, k), from every known minimum, (…, minima)."""
        return np.stack([np.abs(points - basin.invariant).max(axis=-1) for basin in self.basins], axis=-1)

    def _seen(self, basin: Basin, source: str) -> Basin:
        if source not in basin.sources:
            basin.sources.append(source)
        return basin

    def add_bottom(self, bottom: Bottom, source: str, *, is_better: bool = True) -> Basin:
        """The basin of a minimum, new or known; of a known one the bottom of less slope stays, if this one may be better."""
        bottom = self._without_unseen(bottom)
        gram, bias = self.problem.canonical(bottom.flat)
        new = Basin(bottom, gram, bias, invariants(gram, bias, self.label), 0, [source])
        known = next((basin for basin in self.basins if self.same(basin, new)), None)
        if known is None:
            self.basins.append(new)
            return new
        if is_better and np.abs(new.bottom.slope).max() < np.abs(known.bottom.slope).max():
            known.bottom, known.gram, known.bias, known.invariant = bottom, gram, bias, new.invariant
        return self._seen(known, source)

    def _without_unseen(self, bottom: Bottom) -> Bottom:
        """The same minimum without the length of features that no output shows."""
        W, b = self.problem.parts(bottom.flat)
        gram, _ = self.problem.canonical(bottom.flat)
        unseen = np.all(gram == 0, axis=0) & np.any(W != 0, axis=0)
        if not unseen.any():
            return bottom
        return newton(self.problem, self.problem.flat(np.where(unseen, 0.0, W), b))

    def _same_loss(self, one: float, other: float) -> bool:
        return abs(one - other) <= SAME_LOSS * max(abs(one), abs(other), 1e-6 * self.problem.untrained)

    def same(self, one: Basin, other: Basin) -> bool:
        """Whether two are one minimum: losses and invariants alike, and a permutation that takes one to the other."""
        if not self._same_loss(one.bottom.loss, other.bottom.loss):
            return False
        if np.abs(one.invariant - other.invariant).max() > NEAR:
            return False
        pair = (one.gram, one.bias), (other.gram, other.bias)
        return permutation(*pair, self.label, tolerance=NEAR) is not None


def curvature_of(problem: Problem, bottom: Bottom) -> Curvature:
    """How the expected loss bends at one of its minima, with rotations and dead features taken into account."""
    W, b = problem.parts(bottom.flat)
    static, frame = (problem.shape, problem.bias, problem.order), frame_at(problem, bottom.flat)
    symmetries = rotation_tangents(W, b)
    is_cut = b is not None and problem.task.activation == "relu"
    dead = dead_tangents(W, b, **problem.inputs) if is_cut else ()
    with jax.enable_x64(True):
        slope = partial(_slope, task=problem.task, frame=frame, static=static)
        kinked = has_kink(slope, bottom.flat, bottom.hessian)
    return judged(bottom.flat, bottom.slope, bottom.hessian, symmetries, dead, kinked=kinked)


def _slope(flat: np.ndarray, task: Any, frame: Any, static: Any) -> np.ndarray:
    return np.asarray(value_and_slope(flat, task, frame, *static)[1])


def exact_value(problem: Problem, bottom: Bottom) -> float:
    """The loss of a minimum with as many terms as are affordable. (Its place has an error that counts in second order.)"""
    if problem.task.activation != "relu" or one_active_at_most(problem.task.features):
        return bottom.loss  # it has no series
    terms = int(max(problem.order, min(MOST_TERMS, MOST_NUMBERS // problem.shape[1] ** 2)))
    with jax.enable_x64(True):
        frame = frame_at(problem, bottom.flat)
        return float(loss_at(bottom.flat, problem.task, frame, problem.shape, problem.bias, terms))
