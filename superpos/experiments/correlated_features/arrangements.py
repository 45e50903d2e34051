"""How the directions of sets of features lie: in W of shape (n_hidden, n_features), for sets of feature numbers."""

from typing import Any

import numpy as np

from superpos.analysis.features import angle_gaps
from superpos.data import Sets

COLLAPSED_ABOVE = 0.95


def cosines(W: Any) -> np.ndarray:
    """Cosines between feature directions, (n_features, n_features); 0 for a feature of no length."""
    W = np.asarray(W, float)
    norms = np.linalg.norm(W, axis=0)
    U = W / np.where(norms > 0, norms, 1)
    return U.T @ U


def within(W: Any, sets: Sets) -> np.ndarray:
    """Cosines between different members of one set, all sets together."""
    cos = cosines(W)
    return np.concatenate([cos[np.ix_(s, s)][~np.eye(len(s), dtype=bool)] for s in map(list, sets)])


def across(W: Any, sets: Sets) -> np.ndarray:
    """Cosines from every feature (a row) to the features of other sets, -inf … inf; NaN inside a set."""
    cos = cosines(W)
    for s in map(list, sets):
        cos[np.ix_(s, s)] = np.nan
    return cos


def orthogonal_within(W: Any, sets: Sets, tolerance: float = 0.1) -> bool:
    """Whether sets are orthogonal bases placed on each other: every feature opposite to exactly one of another set."""
    partners = np.sum(across(W, sets) < -0.95, axis=1)
    return bool(np.all(np.abs(within(W, sets)) < tolerance) and np.all(partners == 1))


def antipodal_within(W: Any, sets: Sets) -> bool:
    """Whether members of a pair are opposite and different pairs orthogonal."""
    return bool(np.all(within(W, sets) < -0.98) and np.nanmax(np.abs(across(W, sets))) < 0.05)


def n_collapsed(W: Any, sets: Sets) -> int:
    """How many pairs share one direction, or nearly so: cosine above .95.

    Solutions with three pairs in two dimensions have cosines below .51 or above .98. The second pair collapses in two steps:
    at 1 − S = .14 it jumps to cosine .985, and at .18 it has closed smoothly.
    """
    return int(np.sum(pair_cosines(W, sets) > COLLAPSED_ABOVE))


def pair_cosines(W: Any, sets: Sets) -> np.ndarray:
    """Cosine between the two members of every pair."""
    cos = cosines(W)
    return np.array([cos[i, j] for i, j in sets])


def hexagon_of_pairs(W: Any, sets: Sets) -> bool:
    """Whether all directions are 60° ± 10° apart and the members of a pair are neighbours."""
    order = np.argsort(np.arctan2(*np.asarray(W)[::-1]))
    neighbours = {frozenset((int(i), int(j))) for i, j in zip(order, np.roll(order, -1), strict=True)}
    return bool(np.all(np.abs(angle_gaps(W) - 60) <= 10)) and all(frozenset(s) in neighbours for s in sets)


def sum_and_difference(W: Any, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """Norms of the directions of (a + b)/√2 and of (a − b)/√2 of every pair in hidden space."""
    W = np.asarray(W)
    both = np.array([(W[:, i] + W[:, j], W[:, i] - W[:, j]) for i, j in sets]) / np.sqrt(2)
    lengths = np.linalg.norm(both, axis=2)
    return lengths[:, 0], lengths[:, 1]
