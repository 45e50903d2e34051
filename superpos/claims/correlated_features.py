"""Features that come together, or never do: Elhage et al. 2022, "Correlated and Anticorrelated Features"."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.features import angle_gaps
from superpos.claims.base import Claims
from superpos.data import Sets
from superpos.sweep import SweepResult

# Densities at which three correlated pairs in two dimensions have so many collapsed pairs.
COLLAPSED = {0: (0, 0.05), 1: (0.05, 0.15), 2: (0.15, 0.25)}
SPARSE = 0.1  # densities up to this one count as sparse


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
    """How many pairs share one direction: cosine above .99."""
    cos = cosines(W)
    return sum(bool(cos[i, j] > 0.99) for i, j in sets)


def hexagon_of_pairs(W: Any, sets: Sets) -> bool:
    """Whether all directions are 60° ± 10° apart and the members of a pair are neighbours."""
    order = np.argsort(np.arctan2(*np.asarray(W)[::-1]))
    neighbours = {frozenset((int(i), int(j))) for i, j in zip(order, np.roll(order, -1), strict=True)}
    return bool(np.all(np.abs(angle_gaps(W) - 60) <= 10)) and all(frozenset(s) in neighbours for s in sets)


def sum_and_difference(W: Any, sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """What is kept of (a + b)/√2 and of (a − b)/√2 in every pair: norms of their directions in hidden space."""
    W = np.asarray(W)
    both = np.array([(W[:, i] + W[:, j], W[:, i] - W[:, j]) for i, j in sets]) / np.sqrt(2)
    lengths = np.linalg.norm(both, axis=2)
    return lengths[:, 0], lengths[:, 1]


def sets_of(result: SweepResult) -> Sets:
    """The correlated sets of a result's task, or its anticorrelated ones."""
    task = result.attrs["task"]
    return tuple(tuple(members) for members in task["correlated_sets"] or task["anticorrelated_sets"])


def hit_rate(result: SweepResult, good: Callable[[Any], bool]) -> np.ndarray:
    """Share of the seeds whose W is `good`, at every density; dims (feature_probability, seed)."""
    Ws = result["W"].transpose("feature_probability", "seed", "hidden", "feature").values
    return np.array([np.mean([good(W) for W in over_seeds]) for over_seeds in Ws])


def best_weights(result: SweepResult) -> np.ndarray:
    """W of the best seed at every density, (n_densities, n_hidden, n_features)."""
    return result.best("seed")["W"].transpose("feature_probability", "hidden", "feature").values


def collapse(result: SweepResult) -> xr.Dataset:
    """Pairs that share a direction at every density of a result over (feature_probability, seed).

    `collapsed` of the best seed, `mean_collapsed` over seeds, and `cosine` within each `pair` of the best seed.
    """
    sets: Sets = sets_of(result)
    best, every = best_weights(result), result["W"].transpose("feature_probability", "seed", "hidden", "feature").values
    over = "feature_probability"
    variables = {
        "collapsed": (over, [n_collapsed(W, sets) for W in best]),
        "mean_collapsed": (over, [np.mean([n_collapsed(W, sets) for W in Ws]) for Ws in every]),
        "cosine": ((over, "pair"), [[cosines(W)[i, j] for i, j in sets] for W in best]),
    }
    return xr.Dataset(variables, {over: result[over].values})


def judge_pairs(correlated: SweepResult, anticorrelated: SweepResult, claims: Claims) -> None:
    """Two correlated pairs lie orthogonally, two anticorrelated ones oppositely; over (feature_probability, seed)."""
    sets: Sets = sets_of(correlated)
    p = correlated["feature_probability"].values
    sparse = p <= SPARSE
    Ws, loss = best_weights(correlated)[sparse], 4 * correlated.best("seed")["loss"].values[sparse]
    inside, partners = max(np.abs(within(W, sets)).max() for W in Ws), [np.sum(across(W, sets) < -0.95, 1) for W in Ws]
    measured = f"|cos| ≤ {inside:.3f}, partners {np.min(partners)}…{np.max(partners)}"
    measured, holds = _found(correlated, partial(orthogonal_within, sets=sets), measured, sparse, p)
    wanted = "within |cos| < .1, one partner of the other pair at cos < −.95"
    claims.add("two correlated pairs, sparse: pairs are orthogonal", wanted, measured, holds)
    above = 100 * np.max(loss / (4 * p[sparse] ** 2 / 6) - 1)
    claims.add("two correlated pairs, sparse: loss (sum)", "4p²/6 + 2 % or less", f"{above:+.2f} %", above <= 2)

    sets = sets_of(anticorrelated)
    density = 2 * anticorrelated["feature_probability"].values  # of a pair: one of its two features is active
    sparse = density <= SPARSE + 1e-9
    Ws, loss = best_weights(anticorrelated)[sparse], 4 * anticorrelated.best("seed")["loss"].values[sparse]
    inside, outside = max(within(W, sets).max() for W in Ws), max(np.nanmax(np.abs(across(W, sets))) for W in Ws)
    measured = f"within at most {inside:.4f}, across at most {outside:.4f}"
    measured, holds = _found(anticorrelated, partial(antipodal_within, sets=sets), measured, sparse, density)
    wanted = "within cos < −.98, across |cos| < .05"
    claims.add("two anticorrelated pairs, sparse: pairs are opposite", wanted, measured, holds)
    most = float(loss.max())
    claims.add("two anticorrelated pairs, sparse: loss (sum)", "below 1e-4", f"{most:.1e}", most < 1e-4)


def judge_three(result: SweepResult, claims: Claims) -> None:
    """Three correlated pairs in two dimensions: a hexagon, then pairs collapse one by one into principal components."""
    sets: Sets = sets_of(result)
    p, Ws = result["feature_probability"].values, best_weights(result)
    for wanted_count, (low, high) in COLLAPSED.items():
        at = (p > low) & (p < high)
        found = [n_collapsed(W, sets) for W in Ws[at]]
        name, wanted = f"three correlated pairs, 1 − S in {low:g}…{high:g}", f"{wanted_count} collapsed"
        measured = f"{', '.join(map(str, found))} at {_range(p[at])}"
        holds = bool(found) and all(n == wanted_count for n in found)
        if wanted_count == 0:
            gaps = [angle_gaps(W) for W in Ws[at]] or [np.zeros(1)]
            measured += f", gaps {np.min(gaps):.0f}…{np.max(gaps):.0f}°"
            wanted += ", hexagon, partners adjacent, gaps 60 ± 10°"
            holds &= all(hexagon_of_pairs(W, sets) for W in Ws[at])

        def good(W: Any, count: int = wanted_count) -> bool:
            return n_collapsed(W, sets) == count and (count > 0 or hexagon_of_pairs(W, sets))

        measured += f", by {_percent(hit_rate(result, good)[at])} of seeds"
        claims.add(name, wanted, measured, holds)
    at = p > 0.5
    kept, dropped = zip(*[sum_and_difference(W, sets) for W in Ws[at]], strict=True)
    measured = f"sums at least {np.min(kept):.2f}, differences at most {np.max(dropped):.3f}, at {_range(p[at])}"
    holds = np.min(kept) > 0.5 and np.max(dropped) < 0.1
    wanted = "norm of (a + b)/√2 above .5, of (a − b)/√2 below .1"
    claims.add("three correlated pairs, 1 − S > .5: principal components", wanted, measured, holds)


def judge_local_bases(result: SweepResult, claims: Claims) -> None:
    """Two large correlated sets: each is orthogonal in itself, although features outnumber dimensions; over `seed`."""
    sets: Sets = sets_of(result)
    W = result.best("seed")["W"].values
    inside, norms = float(np.abs(within(W, sets)).max()), np.linalg.norm(W, axis=0)
    opposite, n_hidden = float(np.nanmin(across(W, sets))), len(W)
    holds = inside < 0.1 and np.all(np.abs(norms - 1) < 0.1)
    measured = f"|cos| ≤ {inside:.3f}, norms {norms.min():.2f}…{norms.max():.2f}"
    claims.add("two large correlated sets: each is a basis", "within |cos| < .1, norms 1 ± .1", measured, holds)
    measured = f"{np.sum(norms > 0.5)} in {n_hidden}, least cos {opposite:.2f}"
    holds = np.sum(norms > 0.5) > n_hidden and opposite < -0.5
    claims.add("… and all together are in superposition", "more than m, some opposite", measured, holds)
    inside = [within(V, sets) for V in result["W"].transpose("seed", "hidden", "feature").values]
    good, collapsed = np.mean([np.abs(c).max() < 0.1 for c in inside]), np.mean([c.max() > 0.9 for c in inside])
    measured = f"{100 * good:.0f} %, members collapse in {100 * collapsed:.0f} %"
    claims.add("… in what share of the seeds", "some", measured, good > 0)


def _found(
    result: SweepResult, good: Callable[[Any], bool], measured: str, chosen: np.ndarray, density: np.ndarray
) -> tuple[str, bool]:
    """What was measured at the chosen densities, in how many seeds it is good, and whether it is in every best one."""
    rates = hit_rate(result, good)[chosen]
    measured += f", at {_range(density[chosen])}, by {_percent(rates)} of seeds"
    return measured, all(good(W) for W in best_weights(result)[chosen])


def _percent(rates: np.ndarray) -> str:
    return f"{100 * rates.min():.0f}…{100 * rates.max():.0f} %" if len(rates) else "none"


def _range(values: np.ndarray) -> str:
    return f"{len(values)} densities {values.min():.3g}…{values.max():.3g}" if len(values) else "no density"
