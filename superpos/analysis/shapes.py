"""Which known shape a group of directions has."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment

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
    """The best known shape for each of N groups."""

    names: np.ndarray  # (N,) of str
    dimensions: np.ndarray  # (N,) of int
    residuals: np.ndarray  # (N,); for an irregular group the residual of the nearest known shape, at most 1
    ideal: np.ndarray  # (N, k, k): cosines of the exact shape, in the group's order; NaN where nothing fits


def match_shapes(cosines: np.ndarray) -> Match:
    r"""Name N groups of k directions each from their cosines, shape (N, k, k).

    The residual is $\|C - C^*\|_F / \|C^*\|_F$, with $C^*$ the shape's cosines in an order of its vertices that fits. A
    group has the name of a shape in d dimensions only if it spans d dimensions: eigenvalue d + 1 of its cosines may not
    exceed 1 / (2 (k + 1)) of eigenvalue d, or a hundredth if k is large. (A regular simplex without a vertex has cosines
    close to those of the smaller simplex. Its eigenvalues are 1 + 1/k and, once, 1/k: twice the limit.)
    Groups no shape fits are "irregular", and their dimensions are the numerical rank.
    """
    n, k = cosines.shape[:2]
    eigenvalues = np.linalg.eigvalsh(cosines)[:, ::-1]
    rank = np.maximum(1, np.sum(eigenvalues > RANK_LIMIT * eigenvalues[:, :1], axis=1))
    names, dimensions, residuals = np.full(n, IRREGULAR, object), rank, np.ones(n)
    ideal = np.full(cosines.shape, np.nan)
    for shape in known_shapes(k):
        d = shape.dimensions
        error, gram = _errors(cosines, shape)
        better = error < residuals
        residuals = np.where(better, error, residuals)
        spanned = rank >= d
        if d < k:
            spanned &= eigenvalues[:, d] <= max(1 / (2 * (k + 1)), NOISE_LIMIT) * eigenvalues[:, d - 1]
        fits = better & spanned & (error <= RESIDUAL_LIMIT)
        names[better], dimensions[better] = IRREGULAR, rank[better]  # the nearest shape decides, fitting or not
        names[fits], dimensions[fits], ideal[fits] = shape.name, d, gram[fits]
    return Match(names, dimensions, residuals, ideal)


def _errors(cosines: np.ndarray, shape: KnownShape) -> tuple[np.ndarray, np.ndarray]:
    """Relative error of each group against one shape, (N,), and the shape's cosines in the group's order, (N, k, k).

    The error is infinite where no order of the vertices comes close.
    """
    n, k = cosines.shape[:2]
    errors, ideal = np.full(n, np.inf), np.full(cosines.shape, np.nan)
    if k == 1:
        return np.zeros(n), np.ones(cosines.shape)
    seen = np.sort(cosines[:, ~np.eye(k, dtype=bool)].reshape(n, k, k - 1), axis=2)
    like = [np.abs(seen - view).max(axis=2) <= COSINE_LIMIT for view in shape.views]  # of every kind of vertex, (N, k)
    close = np.flatnonzero(np.any(like, axis=0).all(axis=1))
    if not len(close):
        return errors, ideal
    if np.ptp(shape.views) < 1e-9:  # a simplex: all orders are equal
        orders = np.broadcast_to(np.arange(k), (len(close), k))
    elif shape.dimensions == 2:
        orders = _around_the_circle(cosines[close])
    elif len(shape.views) == 1:
        orders = np.array([_align(cosines[c], shape.gram, [0]) for c in close])
    else:
        starts = [np.flatnonzero(like[0][c]) for c in close]
        orders = np.array([_nearest_order(cosines[c], shape, s) for c, s in zip(close, starts, strict=True)])
    found = orders[:, 0] >= 0
    close, orders = close[found], orders[found]
    ordered = cosines[close[:, None, None], orders[:, :, None], orders[:, None, :]]
    difference = ordered - shape.gram
    distance = np.linalg.norm(difference, axis=(1, 2))
    with_others = np.sqrt(np.sum(shape.gram**2, axis=1) - 1)
    fits = np.abs(difference).max(axis=(1, 2), initial=0.0) <= COSINE_LIMIT
    fits &= np.all(np.linalg.norm(difference, axis=2) <= ROW_LIMIT * with_others, axis=1)
    errors[close] = np.where(fits, distance / np.linalg.norm(shape.gram), np.inf)
    ideal[close[:, None, None], orders[:, :, None], orders[:, None, :]] = shape.gram
    return errors, ideal


def _around_the_circle(cosines: np.ndarray) -> np.ndarray:
    """Order groups of (almost) coplanar directions by angle, (N, k)."""
    plane = np.linalg.eigh(cosines)[1][:, :, -2:]
    return np.argsort(np.arctan2(plane[:, :, 1], plane[:, :, 0]), axis=1)


def _nearest_order(cosines: np.ndarray, shape: KnownShape, starts: np.ndarray) -> np.ndarray:
    """An order of the group that fits a shape with several kinds of vertices; -1s if there is none.

    Cosines of such shapes are so many that the first order within the limit need not be the nearest. So it is improved:
    the group is turned onto the shape (Procrustes) and vertices are assigned anew, until nothing changes.
    """
    order = _align(cosines, shape.gram, starts)
    if order[0] < 0:
        return order
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
