r"""Whether features lie around a circle in the order in which the data has them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from superpos import arrays, check
from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.errors import ConfigError

MIN_FEATURES = 4  # three always lie in order, one way round or the other
MAX_PERMUTATIONS = 1_000_000
CHUNK = 4_096  # permutations held in memory at a time
# A component counts as a ring in data order below this p-value, divided by the number of components that were tested.
LEVEL = 0.01
PERMUTATIONS = 1_999  # of one component


class RingOrder(NamedTuple):
    """How well the order of features around a circle follows that of the data, and how often chance does as well."""

    statistic: float  # 1: the same circular order, up to where it begins and which way it runs
    p_value: float  # share of random orders with a statistic at least as large; at least 1 / (1 + permutations)
    angles: Float[np.ndarray, " n_features"]  # of every direction in the plane, radians in (−π, π]; NaN where left out
    reversed: bool  # whether the features run the other way round than the data


def ring_order(
    W: Any,
    positions: Any = None,
    *,
    permutations: int = 9_999,
    seed: int = 0,
    above: float = REPRESENTED_ABOVE,
) -> RingOrder:
    r"""Compare the circular order of the columns of W with the circular order of `positions`, one number per feature.

    Columns are projected on the plane of the two largest singular values of W. With ranks $r_i$ of their angles and
    $s_i$ of the positions, each 0 … k − 1 over the k features that count, the statistic is

    $$R = \max_\pm \Big| \frac 1k \sum_i e^{2\pi i (r_i \mp s_i) / k} \Big|,$$

    which is 1 for equal circular orders and does not depend on where a circle begins or which way it runs. Its law under
    the hypothesis of no order comes from random permutations of the ranks, so p-values are exact: among orders without
    meaning, at most a share p has a p-value of p or less. Features shorter than `above` are left out; positions are
    0, 1, …, n − 1 by default and must differ.

    The uniform scores of Mardia 1975, "Statistics of directional data".

    >>> angle = 2 * np.pi * np.arange(8) / 8
    >>> sp.analysis.ring_order(np.stack([np.cos(angle), np.sin(angle)])).p_value < 0.01
    True

    Raises:
        ConfigError: W has fewer than two rows, fewer than four features count, or a setting is not allowed.
    """
    W = arrays.as_numpy("W", arrays.weights("W", W)).astype(np.float64)
    n_features = W.shape[1]
    check.integer("permutations", permutations, at_least=99, at_most=MAX_PERMUTATIONS)
    check.integer("seed", seed)
    check.number("above", above, at_least=0)
    if len(W) < 2:
        raise ConfigError("W must have two or more rows: there is no circle in one dimension.")
    given = np.arange(n_features) if positions is None else arrays.as_numpy("positions", positions, shape=(n_features,))
    counted = np.linalg.norm(W, axis=0) > above
    k = int(counted.sum())
    if k < MIN_FEATURES:
        raise ConfigError(f"W must have {MIN_FEATURES} or more features with a norm above {above:g}, got {k}.")
    if len(np.unique(given[counted])) < k:
        raise ConfigError("positions must differ from feature to feature.")
    axes = np.linalg.svd(W[:, counted], full_matrices=False)[0][:, :2]
    x, y = axes.T @ W[:, counted]
    angles = np.full(n_features, np.nan)
    angles[counted] = np.arctan2(y, x)
    turns = _turns(angles[counted])
    data_turns = _turns(given[counted])
    same, opposite = _association(turns, data_turns), _association(turns.conj(), data_turns)
    statistic = max(same, opposite)

    rng, at_least = np.random.default_rng(seed), 0
    for start in range(0, permutations, CHUNK):
        shuffled = rng.permuted(np.tile(turns, (min(CHUNK, permutations - start), 1)), axis=1)
        chance = np.maximum(_association(shuffled, data_turns), _association(shuffled.conj(), data_turns))
        at_least += int(np.sum(chance >= statistic - 1e-12))
    return RingOrder(float(statistic), (1 + at_least) / (1 + permutations), angles, bool(opposite > same))


def rings_in_data_order(
    W: np.ndarray, groups: Sequence[Sequence[int]], positions: np.ndarray, *, permutations: int = PERMUTATIONS
) -> list[float | None]:
    """The p-value of the circular order of every group of features in its own plane; None where there is none to test.

    `W` is (n_hidden, n_features), and `positions` has one number per feature, NaN for one without a place. A group is tested
    if it has at least four features that all have different places, in two or more dimensions.
    """
    tested: list[float | None] = []
    for group in groups:
        members, places = np.asarray(group, int), positions[np.asarray(group, int)]
        fit = len(W) > 1 and len(members) >= MIN_FEATURES and not np.any(np.isnan(places))
        if fit and len(np.unique(places)) == len(places):
            tested.append(ring_order(W[:, members], places, permutations=permutations, above=0.0).p_value)
        else:
            tested.append(None)
    return tested


def _turns(values: np.ndarray) -> np.ndarray:
    """Ranks as points of the unit circle, shape (k,)."""
    return np.exp(2j * np.pi * np.argsort(np.argsort(values, kind="stable")) / len(values))


def _association(turns: np.ndarray, data_turns: np.ndarray) -> Any:
    """|mean of the products|, one number per row of `turns`."""
    return np.abs(np.mean(turns * data_turns.conj(), axis=-1))
