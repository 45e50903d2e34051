"""Which known shape a group of directions has."""

from typing import NamedTuple

import numpy as np

from superpos.theory.polytopes import KnownShape, known_shapes

IRREGULAR = "irregular"
# Largest relative error of the cosines, ‖C - C*‖_F / ‖C*‖_F, that still earns a name. Weights with 2 % noise stay below
# 0.15; random directions lie above 0.4.
RESIDUAL_LIMIT = 0.2
# Largest difference between one cosine and the one it should be.
COSINE_LIMIT = 0.25
# Give up aligning after this many tries: a shape that fits is found in about k.
MAX_TRIES = 20_000


class Match(NamedTuple):
    """The best known shape for each of N groups."""

    names: np.ndarray  # (N,) of str
    dimensions: np.ndarray  # (N,) of int
    residuals: np.ndarray  # (N,); for an irregular group the residual of the nearest known shape, at most 1


def match_shapes(cosines: np.ndarray) -> Match:
    r"""Name N groups of k directions each from their cosines, shape (N, k, k).

    The residual is $\|C - C^*\|_F / \|C^*\|_F$, with $C^*$ the shape's cosines in an order of its vertices that fits. Groups
    no shape fits are "irregular", and their dimensions are the numerical rank.
    """
    n, k = cosines.shape[:2]
    eigenvalues = np.linalg.eigvalsh(cosines)
    rank = np.maximum(1, np.sum(eigenvalues > 0.05 * eigenvalues[:, -1:], axis=1))
    names, dimensions, residuals = np.full(n, IRREGULAR, object), rank, np.ones(n)
    for shape in known_shapes(k):
        error = _errors(cosines, shape)
        better = error < residuals
        residuals = np.where(better, error, residuals)
        fits = better & (error <= RESIDUAL_LIMIT)
        names[fits], dimensions[fits] = shape.name, shape.dimensions
    return Match(names, dimensions, residuals)


def _errors(cosines: np.ndarray, shape: KnownShape) -> np.ndarray:
    """Relative error of each group against one shape, (N,); infinite where no order of the vertices comes close."""
    n, k = cosines.shape[:2]
    errors = np.full(n, np.inf)
    if k == 1:
        return np.zeros(n)
    off_diagonal = cosines[:, ~np.eye(k, dtype=bool)].reshape(n, k, k - 1)
    close = np.flatnonzero(np.abs(np.sort(off_diagonal, axis=2) - shape.view).max(axis=(1, 2)) <= COSINE_LIMIT)
    if not len(close):
        return errors
    if np.ptp(shape.view) < 1e-9:  # a simplex: all orders are equal
        orders = np.broadcast_to(np.arange(k), (len(close), k))
    elif shape.dimensions == 2:
        orders = _around_the_circle(cosines[close])
    else:
        orders = np.array([_align(cosines[c], shape.gram) for c in close])
    found = orders[:, 0] >= 0
    close, orders = close[found], orders[found]
    ordered = cosines[close[:, None, None], orders[:, :, None], orders[:, None, :]]
    difference = ordered - shape.gram
    distance = np.linalg.norm(difference, axis=(1, 2))
    fits = np.abs(difference).max(axis=(1, 2), initial=0.0) <= COSINE_LIMIT
    errors[close] = np.where(fits, distance / np.linalg.norm(shape.gram), np.inf)
    return errors


def _around_the_circle(cosines: np.ndarray) -> np.ndarray:
    """Order groups of (almost) coplanar directions by angle, (N, k)."""
    plane = np.linalg.eigh(cosines)[1][:, :, -2:]
    return np.argsort(np.arctan2(plane[:, :, 1], plane[:, :, 0]), axis=1)


def _align(cosines: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """An order of the group in which its cosines are those of `gram` to within the limit, by backtracking; else -1s.

    The shape looks the same from every vertex, so its first vertex may be the group's first direction.
    """
    k, order, tries = len(gram), [0], 0
    candidates: list[list[int]] = []

    def fitting() -> list[int]:
        v = len(order)
        worst = np.abs(cosines[:, order] - gram[v, :v]).max(axis=1)
        worst[order] = np.inf
        fits = np.flatnonzero(worst <= COSINE_LIMIT)
        return fits[np.argsort(-worst[fits], kind="stable")].tolist()  # best last, to be popped first

    candidates.append(fitting())
    while candidates:
        tries += 1
        if tries > MAX_TRIES:
            break
        if len(order) > len(candidates):
            order.pop()
        if not candidates[-1]:
            candidates.pop()
            continue
        order.append(int(candidates[-1].pop()))
        if len(order) == k:
            return np.array(order)
        candidates.append(fitting())
    return np.full(k, -1)
