"""Where minima are likely, whether random starts find them or not: known shapes, and neighbours of minima that are known."""

from typing import Any

import numpy as np

from superpos.landscapes.labels import LONG, SHORT
from superpos.landscapes.merging import grouped, invariants
from superpos.landscapes.problem import Problem
from superpos.landscapes.tangents import dead_features
from superpos.theory.planted import planted_start
from superpos.theory.polytopes import known_shapes

MOST = 64
LAID = 0.3  # length at which a feature is laid along another, over that one's
# What is tried where a feature without length lies beside a long one: its length over that one's, and how much of what it
# says there the long one's bias takes away. Any of them may end on a kink.
HIDDEN = ((0.4, 0.4), (0.45, 0.2), (0.5, 0.6), (0.35, 0.2))
DEAD = 0.1  # depth of the bias of a feature that is silenced
SAME = 1e-3  # points nearer than this, in every entry of G and b, are one
MOST_MOVES = 256  # of one minimum; evenly chosen where there are more
OFF = 0.003  # noise, so that no symmetry holds a point on a saddle


def arrangements(n_features: int, n_hidden: int) -> list[list[str]]:
    """Lists of shapes that fit into `n_hidden` dimensions with `n_features` features, those of most features first."""
    every = [s for k in range(1, n_features + 1) for s in known_shapes(k)]
    shapes = [(s.name, len(s.vertices), s.dimensions) for s in every if s.dimensions <= n_hidden]
    shapes.sort(key=lambda s: (-s[1], s[0]))
    results: list[tuple[int, list[str]]] = []

    def extend(names: list[str], first: int, features: int, dimensions: int) -> None:
        if names:
            results.append((n_features - features, names))
        for k, (name, size, space) in enumerate(shapes[first:], start=first):
            if size <= features and space <= dimensions and len(results) < 100 * MOST:
                extend([*names, name], k, features - size, dimensions - space)

    extend([], 0, n_features, n_hidden)
    results.sort(key=lambda r: (-r[0], len(r[1]), r[1]))
    return [names for _, names in results[:MOST]]


def candidate_points(task: Any) -> list[np.ndarray]:
    """The arrangements as flat vectors of W and b, each a little off its symmetry; features left over silent, and dead."""
    points = []
    for names in arrangements(int(task.n_features), int(task.n_hidden)):
        W, b = planted_start(names, task)
        points.append(np.concatenate([W.ravel()] if b is None else [W.ravel(), b]))
        left_over = np.linalg.norm(W, axis=0) < LONG
        if b is not None and left_over.any():
            points.append(np.concatenate([np.where(left_over, 0.0, W).ravel(), np.where(left_over, -DEAD, b)]))
    return points


def moved_features(problem: Problem, flat: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Points that differ from a minimum in what one feature does, (k, d), those that are equal but for symmetry once.

    Every feature in turn is silenced (its output is constant), dead (its output is 0), and laid short opposite and beside
    every long one. So minima with several dead features are reached, too: those of fewer features. `label` are classes of
    equal features.
    """
    W, b = problem.parts(flat)
    W, lengths, n = np.asarray(W), np.linalg.norm(W, axis=0), problem.shape[1]
    mean = np.broadcast_to(np.asarray(problem.task.features.moment(1)), n)
    dead = np.zeros(n, bool) if b is None else dead_features(W, b, **problem.inputs)
    points: list[np.ndarray] = []

    def put(i: int, column: Any, bias: float) -> None:
        moved, biases = W.copy(), None if b is None else np.array(b)
        moved[:, i] = column
        if biases is not None:
            biases[i] = bias
        points.append(problem.flat(moved, biases))

    for i in range(n):
        put(i, 0.0, mean[i])
        if not dead[i]:
            put(i, 0.0, -DEAD)
        for j in np.flatnonzero((lengths > LONG) & (np.arange(n) != i)):
            put(i, LAID * W[:, j], 0.0)
            put(i, -LAID * W[:, j], 0.0)
    chosen = _once(problem, points, label)
    return chosen + OFF * np.random.default_rng(0).standard_normal(chosen.shape)


def narrow_places(problem: Problem, flat: np.ndarray, label: np.ndarray) -> list[np.ndarray]:
    """Points to try for minima that may be narrower than a step of a descent: these leave them, Newton's method does not.

    There a short feature of a known minimum is silent, or lies beside a long one, whose bias hides it. Of all such places,
    those that are equal but for symmetry once, a few points to try, (k, d).
    """
    weights, biases = problem.parts(flat)
    if biases is None:
        return []
    W, b = np.asarray(weights), np.asarray(biases)
    lengths = np.linalg.norm(W, axis=0)
    mean = np.broadcast_to(np.asarray(problem.task.features.moment(1)), problem.shape[1])
    short, long = np.flatnonzero(lengths < SHORT).tolist(), np.flatnonzero(lengths > LONG).tolist()

    def silent(i: int) -> np.ndarray:
        return problem.flat(np.where(np.arange(len(b)) == i, 0.0, W), np.where(np.arange(len(b)) == i, mean[i], b))

    def beside(i: int, j: int, share: float, hidden: float) -> np.ndarray:
        moved, lowered = W.copy(), b.copy()
        moved[:, i], lowered[i] = share * W[:, j], 0.0
        lowered[j] -= hidden * share * lengths[j] ** 2
        return problem.flat(moved, lowered)

    each = [silent(i)[None] for i in short]
    each += [np.stack([beside(i, j, *variant) for variant in HIDDEN]) for i in short for j in long]
    if not each:
        return []
    return [each[group[0]] for group in _alike(problem, np.stack([points[0] for points in each]), label)]


def _once(problem: Problem, points: list[np.ndarray], label: np.ndarray) -> np.ndarray:
    """One of all points that are equal but for symmetry, (k, d)."""
    each = np.stack(points)
    chosen = each[[group[0] for group in _alike(problem, each, label)]]
    return chosen[:: -(-len(chosen) // MOST_MOVES)]


def _alike(problem: Problem, points: np.ndarray, label: np.ndarray) -> list[Any]:
    return grouped(invariants(*problem.canonical(points), label), SAME)
