r"""Whether features that come together in the data lie together in the weights: two clusterings, and how well they agree."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from superpos import arrays, check
from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.errors import ConfigError

MIN_FEATURES = 4
MAX_PERMUTATIONS = 1_000_000
CHUNK = 1_024  # permutations held in memory at a time


class ClusterAgreement(NamedTuple):
    """How well clusters of feature directions agree with those of features in the data, and how often chance does as well."""

    adjusted_rand: float  # 1: the same clusters; 0: as well as chance, on average
    p_value: float  # share of random assignments that agree at least as well; at least 1 / (1 + permutations)
    of_directions: Int[np.ndarray, " n_features"]  # cluster of every feature in the weights; -1 where left out
    of_data: Int[np.ndarray, " n_features"]  # in the data; -1 where left out


def cluster_agreement(
    W: Any,
    co_activation: Any,
    *,
    n_clusters: int | None = None,
    permutations: int = 9_999,
    seed: int = 0,
    above: float = REPRESENTED_ABOVE,
) -> ClusterAgreement:
    r"""Compare clusters of the columns of W with clusters of features that are active together.

    `co_activation` is $P(x_i \neq 0, x_j \neq 0)$ with $p_i$ on the diagonal, (n_features, n_features):
    `FeatureDistribution.co_activation()`. Both sides are clustered by average linkage into `n_clusters`: features by
    1 − their correlation of activity, $(P_{ij} - p_i p_j) / \sqrt{p_i (1 - p_i)\,p_j (1 - p_j)}$, directions by 1 − their
    cosine. Where `n_clusters` is None it is the number, at most half the features, at which the data's tree of merges has
    its largest gap. Agreement is the adjusted Rand index; its law under the hypothesis of no relation comes from random
    permutations of the features on one side, so p-values are exact. Columns shorter than `above` are left out.

    Hubert and Arabie 1985, "Comparing partitions".

    >>> W = np.repeat(np.eye(3), 2, axis=1)
    >>> together = 0.05 + 0.1 * (W.T @ W) + 0.15 * np.eye(6)
    >>> sp.analysis.cluster_agreement(W, together).adjusted_rand
    1.0

    Raises:
        ConfigError: fewer than four features count, an activity never changes, or a setting is not allowed.
    """
    W = arrays.as_numpy("W", arrays.weights("W", W)).astype(np.float64)
    n = W.shape[1]
    P = arrays.as_numpy("co_activation", co_activation, shape=(n, n)).astype(np.float64)
    check.integer("permutations", permutations, at_least=99, at_most=MAX_PERMUTATIONS)
    check.integer("seed", seed)
    check.number("above", above, at_least=0)
    check.in_range("co_activation", P, at_least=-1e-6, at_most=1 + 1e-6)
    norms = np.linalg.norm(W, axis=0)
    counted = norms > above
    k = int(counted.sum())
    if k < MIN_FEATURES:
        raise ConfigError(f"W must have {MIN_FEATURES} or more features with a norm above {above:g}, got {k}.")
    if n_clusters is not None:
        check.integer("n_clusters", n_clusters, at_least=2, at_most=k - 1)
    P = P[np.ix_(counted, counted)]
    p = np.diagonal(P)
    if np.any(constant := p * (1 - p) < 1e-12):
        raise ConfigError(
            "co_activation must be of features that are active at times: feature "
            f"{int(np.flatnonzero(counted)[constant][0])} has {p[constant][0]:g}."
        )
    correlation = (P - np.outer(p, p)) / np.sqrt(np.outer(p * (1 - p), p * (1 - p)))
    unit = W[:, counted] / norms[counted]
    data, n_clusters = _clusters(1 - correlation, n_clusters)
    directions, _ = _clusters(1 - unit.T @ unit, n_clusters)

    # Permutations leave the sizes of clusters alone, so the index grows with the pairs that are together on both sides.
    pairs, rng, at_least = _pairs_together(directions[None], data)[0], np.random.default_rng(seed), 0
    for start in range(0, permutations, CHUNK):
        shuffled = rng.permuted(np.tile(directions, (min(CHUNK, permutations - start), 1)), axis=1)
        at_least += int(np.sum(_pairs_together(shuffled, data) >= pairs))
    of_directions, of_data = np.full(n, -1), np.full(n, -1)
    of_directions[counted], of_data[counted] = directions, data
    return ClusterAgreement(
        _adjusted_rand(directions, data), (1 + at_least) / (1 + permutations), of_directions, of_data
    )


def _clusters(distance: Float[np.ndarray, "k k"], n_clusters: int | None) -> tuple[Int[np.ndarray, " k"], int]:
    """Labels 0, 1, … by average linkage, and how many there are."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.maximum((distance + distance.T) / 2, 0)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    k = len(distance)
    if n_clusters is None:
        heights = tree[:, 2]  # the merge in row r leaves k − 1 − r clusters
        counts = np.arange(2, max(2, k // 2) + 1)
        n_clusters = int(counts[np.argmax([heights[k - c] - heights[k - c - 1] for c in counts])])
    return fcluster(tree, n_clusters, "maxclust") - 1, n_clusters


def _pairs_together(first: Int[np.ndarray, "N k"], second: Int[np.ndarray, " k"]) -> Float[np.ndarray, " N"]:
    """Pairs of features that share a cluster on both sides, for every row of `first`."""
    in_first = (first[:, None] == np.arange(first.max() + 1)[None, :, None]).astype(float)
    return _pairs(in_first @ (second[:, None] == np.arange(second.max() + 1)).astype(float)).sum(axis=(1, 2))


def _pairs(counts: Any) -> Any:
    """How many pairs there are among so many."""
    return counts * (counts - 1) / 2


def _adjusted_rand(first: Int[np.ndarray, " k"], second: Int[np.ndarray, " k"]) -> float:
    """Agreement of two clusterings, 1 at most and 0 in the mean over permutations; 1 if neither separates anything."""
    both = float(_pairs_together(first[None], second)[0])
    rows, columns = (float(_pairs(np.bincount(labels)).sum()) for labels in (first, second))
    expected, most = rows * columns / _pairs(len(first)), (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
