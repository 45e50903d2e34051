"""All distinct minima of one cell: ends of many descents, grouped, taken to the bottom, and told apart."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np

from superpos.landscapes.bottoms import Bottom, bottom_below
from superpos.landscapes.curvature import Curvature, has_kink, judged
from superpos.landscapes.descent import Ends
from superpos.landscapes.merging import canonical, grouped, invariants, permutation
from superpos.landscapes.problem import Problem, frame_at, loss_at, value_and_slope
from superpos.landscapes.tangents import dead_tangents, rotation_tangents

# Ends of descents this near to each other are taken for one valley's, and two of each group go to the bottom to see. Bottoms
# this near, in every entry of G and b, whose losses are alike, are one minimum. (Where outputs end exactly on a kink, as they
# do when all features are active, a series that is cut has many bottoms around the true one, closer to it by far.)
NEAR = 0.01
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


class Minima:
    """The distinct minima of one cell, as far as they are known."""

    def __init__(self, problem: Problem, label: np.ndarray) -> None:
        """`label` are classes of equal features."""
        self.problem, self.label = problem, label
        self.basins: list[Basin] = []

    def add(self, point: np.ndarray, source: str) -> Basin:
        """The basin of the minimum below a point, new or known."""
        return self.add_bottom(bottom_below(self.problem, point), source)

    def add_ends(self, ends: Ends, source: str = "random start") -> None:
        """Count the ends of descents from random starts, each to the basin that it is in."""
        usable = np.flatnonzero(np.isfinite(ends.loss) & np.isfinite(ends.flat).all(axis=1))
        W, b = self._parts(ends.flat[usable].astype(np.float64))
        points = invariants(*canonical(W, b), self.label)
        order = np.argsort(ends.loss[usable], kind="stable")
        for group in grouped(points[order], NEAR):
            members = order[group]
            farthest = members[np.abs(points[members] - points[members[0]]).max(axis=1).argmax()]
            basins = [self.add(ends.flat[usable[k]], source) for k in dict.fromkeys((members[0], farthest))]
            if basins[0] is basins[-1]:
                basins[0].starts += len(members)
                continue
            for k in members:  # the group holds several: each goes to the bottom by itself
                self.add(ends.flat[usable[k]], source).starts += 1

    def _parts(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        m, n = self.problem.shape
        return flat[:, : m * n].reshape(-1, m, n), flat[:, m * n :] if self.problem.bias else None

    def add_bottom(self, bottom: Bottom, source: str) -> Basin:
        """The basin of a minimum, new or known."""
        gram, bias = (x[0] for x in canonical(*self._parts(bottom.flat[None])))
        new = Basin(bottom, gram, bias, invariants(gram, bias, self.label), 0, [source])
        known = next((basin for basin in self.basins if self.same(basin, new)), None)
        if known is None:
            self.basins.append(new)
            return new
        if source not in known.sources:
            known.sources.append(source)
        if np.abs(new.bottom.slope).max() < np.abs(known.bottom.slope).max():
            known.bottom, known.gram, known.bias, known.invariant = bottom, gram, bias, new.invariant
        return known

    def same(self, one: Basin, other: Basin) -> bool:
        """Whether two are one minimum: losses and invariants alike, and a permutation that takes one to the other."""
        scale = max(abs(one.bottom.loss), abs(other.bottom.loss), 1e-6 * self.problem.untrained)
        if abs(one.bottom.loss - other.bottom.loss) > SAME_LOSS * scale:
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
    dead = () if b is None else dead_tangents(W, b, signed=problem.task.magnitude != "uniform")
    with jax.enable_x64(True):
        slope = partial(_slope, task=problem.task, frame=frame, static=static)
        kinked = has_kink(slope, bottom.flat, bottom.hessian)
    return judged(bottom.flat, bottom.slope, bottom.hessian, symmetries, dead, kinked=kinked)


def _slope(flat: np.ndarray, task: Any, frame: Any, static: Any) -> np.ndarray:
    return np.asarray(value_and_slope(flat, task, frame, *static)[1])


def exact_value(problem: Problem, bottom: Bottom) -> float:
    """The loss of a minimum with as many terms as are affordable. (Its place has an error that counts in second order.)"""
    terms = int(max(problem.order, min(MOST_TERMS, MOST_NUMBERS // problem.shape[1] ** 2)))
    with jax.enable_x64(True):
        frame = frame_at(problem, bottom.flat)
        return float(loss_at(bottom.flat, problem.task, frame, problem.shape, problem.bias, terms))
