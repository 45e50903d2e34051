"""Which known shape a group of directions has."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from superpos.theory.polytopes import KnownShape, known_shapes

IRREGULAR = "irregular"
# Largest relative error of the cosines, ‖C - C*‖_F / ‖C*‖_F, that still earns a name. Weights with 2 % noise stay below
# 0.15; random directions lie above 0.4.
RESIDUAL_LIMIT = 0.2
# Largest difference between one cosine and the one it should be.
COSINE_LIMIT = 0.25
# The same for every vertex, relative to its cosines with the others alone. Those of a large simplex are small, and a smaller
# one with an unrelated feature beside it would pass the first limit; that feature's row has an error of 1.
ROW_LIMIT = 0.7
# An eigenvalue of the cosines below this share of the largest counts as 0.
RANK_LIMIT = 0.05
# Of a few hundred directions, 2 % noise in other dimensions adds up to an eigenvalue of half this share of the others.
NOISE_LIMIT = 0.01
# Give up aligning after this many tries: a shape that fits is found in about k.
MAX_TRIES = 20_000


class Match(NamedTuple):
    """The known shape that a group of k directions is nearest to."""

    name: str
    dimensions: int
    residual: float  # of an irregular group that of the nearest known shape, at most 1
    ideal: np.ndarray  # (k, k): cosines of the exact shape, in the group's order; NaN for an irregular group


def match_shape(cosines: np.ndarray) -> Match:
    r"""Name a group of k directions from its cosines, shape (k, k).

    The residual is $\|C - C^*\|_F / \|C^*\|_F$, with $C^*$ the shape's cosines in an order of its vertices that fits. A
    group has the name of a shape in d dimensions only if it spans d dimensions: eigenvalue d + 1 of its cosines may not
    exceed 1 / (2 (k + 1)) of eigenvalue d, or a hundredth if k is large. (A regular simplex without a vertex has cosines
    close to those of the smaller simplex. Its eigenvalues are 1 + 1/k and, once, 1/k: twice the limit.)
    A group no shape fits is "irregular", and its dimensions are the numerical rank.
    """
    k = len(cosines)
    eigenvalues = np.linalg.eigvalsh(cosines)[::-1]
    rank = max(1, int(np.sum(eigenvalues > RANK_LIMIT * eigenvalues[0])))
    noise = max(1 / (2 * (k + 1)), NOISE_LIMIT)
    nearest = Match(IRREGULAR, rank, 1.0, np.full(cosines.shape, np.nan))
    for shape in known_shapes(k):
        d = shape.dimensions
        fit = _fit(cosines, shape)
        if fit is None or fit.residual >= nearest.residual:
            continue
        spanned = rank >= d and (d == k or eigenvalues[d] <= noise * eigenvalues[d - 1])
        if spanned and fit.residual <= RESIDUAL_LIMIT:
            nearest = Match(shape.name, d, fit.residual, fit.ideal)
        else:  # the nearest shape decides, fitting or not
            nearest = Match(IRREGULAR, rank, fit.residual, np.full(cosines.shape, np.nan))
    return nearest


class _Fit(NamedTuple):
    residual: float
    ideal: np.ndarray  # (k, k): the shape's cosines in the group's order


def _fit(cosines: np.ndarray, shape: KnownShape) -> _Fit | None:
    """How well a group fits one shape; None where no order of its vertices comes close."""
    k = len(cosines)
    if k == 1:
        return _Fit(0.0, np.ones((1, 1)))
    seen = np.sort(cosines[~np.eye(k, dtype=bool)].reshape(k, k - 1), axis=1)
    like = [np.abs(seen - view).max(axis=1) <= COSINE_LIMIT for view in shape.views]  # of every kind of vertex, (k,)
    if not np.any(like, axis=0).all():
        return None
    order = _order(cosines, shape, like[0])
    if order[0] < 0:
        return None
    difference = cosines[np.ix_(order, order)] - shape.gram
    with_others = np.sqrt(np.sum(shape.gram**2, axis=1) - 1)
    if np.abs(difference).max() > COSINE_LIMIT:
        return None
    if np.any(np.linalg.norm(difference, axis=1) > ROW_LIMIT * with_others):
        return None
    ideal = np.empty(cosines.shape)
    ideal[np.ix_(order, order)] = shape.gram
    return _Fit(float(np.linalg.norm(difference, axis=(0, 1)) / np.linalg.norm(shape.gram)), ideal)


def _order(cosines: np.ndarray, shape: KnownShape, like_first: np.ndarray) -> np.ndarray:
    """Which direction is each of the shape's vertices, (k,); -1s if none fits. `like_first`: may be the first vertex."""
    if shape.is_simplex:  # all orders are equal
        return np.arange(len(cosines))
    if shape.is_plane:
        return _around_the_circle(cosines)
    if len(shape.views) == 1:
        return _align(cosines, shape.gram, [0])
    return _nearest_order(cosines, shape, np.flatnonzero(like_first))


def _around_the_circle(cosines: np.ndarray) -> np.ndarray:
    """Order a group of (almost) coplanar directions by angle, (k,)."""
    plane = np.linalg.eigh(cosines)[1][:, -2:]
    return np.argsort(np.arctan2(plane[:, 1], plane[:, 0]))


def _nearest_order(cosines: np.ndarray, shape: KnownShape, starts: np.ndarray) -> np.ndarray:
    """An order of the group that fits a shape with several kinds of vertices; -1s if there is none.

    Cosines of such shapes are so many that the first order within the limit need not be the nearest. So it is improved:
    the group is turned onto the shape (Procrustes) and vertices are assigned anew, until nothing changes.
    """
    order = _align(cosines, shape.gram, starts)
    if order[0] < 0:
        return order
    from scipy.linalg import orthogonal_procrustes  # late, as in `superpos.theory.naive`
    from scipy.optimize import linear_sum_assignment

    values, vectors = np.linalg.eigh(cosines)
    directions = vectors[:, -shape.dimensions :] * np.sqrt(np.maximum(values[-shape.dimensions :], 0))
    for _ in range(10):
        rotation = orthogonal_procrustes(directions[order], shape.vertices)[0]
        improved = linear_sum_assignment(shape.vertices @ (directions @ rotation).T, maximize=True)[1]
        if np.array_equal(improved, order):
            break
        order = improved
    return order


def _align(cosines: np.ndarray, gram: np.ndarray, starts: Sequence[int] | np.ndarray) -> np.ndarray:
    """An order of the group in which its cosines are those of `gram` to within the limit, by backtracking; else -1s.

    The shape's first vertex is one of the directions `starts`; any one will do if the shape looks the same from everywhere.
    """
    k, tries = len(gram), 0
    for start in starts:
        order, candidates = [int(start)], [_fitting(cosines, gram, [int(start)])]
        while candidates:
            tries += 1
            if tries > MAX_TRIES:
                return np.full(k, -1)
            if len(order) > len(candidates):
                order.pop()
            if not candidates[-1]:
                candidates.pop()
                continue
            order.append(candidates[-1].pop())
            if len(order) == k:
                return np.array(order)
            candidates.append(_fitting(cosines, gram, order))
    return np.full(k, -1)


def _fitting(cosines: np.ndarray, gram: np.ndarray, order: list[int]) -> list[int]:
    """Directions that may be the next vertex, the best one last."""
    v = len(order)
    worst = np.abs(cosines[:, order] - gram[v, :v]).max(axis=1)
    worst[order] = np.inf
    fits = np.flatnonzero(worst <= COSINE_LIMIT)
    return fits[np.argsort(-worst[fits], kind="stable")].tolist()
