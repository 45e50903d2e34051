"""Neurons in a privileged basis: Elhage et al. 2022, "Superposition in a Privileged Basis"."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from superpos.analysis.neurons import HAS_ABOVE, neuron_has_feature
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult

# By density: neurons with exactly one feature; features in how many other neurons; how far off the count may be.
EXPECTED = {
    0.7: (5, None, 0),
    0.5: (5, None, 0),
    0.35: (3, (3, 2), 0),
    0.25: (3, (3, 2), 0),
    0.15: (2, (5, 3), 1),
    0.12: (1, (6, 4), 0),
    0.08: (0, (8, 5), 0),
    0.06: (0, (8, 5), 0),
    0.04: (0, (10, 5), 0),
}
# Below this density features differ too much in length for a common cut-off, so every feature has its own.
OWN_CUT_OFF_BELOW = 0.05
# Models whose losses are this close are as good as each other.
NEAR_TIE = 0.002


class Neurons(NamedTuple):
    """What the neurons of one model serve."""

    single: int  # neurons with exactly one feature
    shared: int  # features that polysemantic neurons have
    sharing: int  # polysemantic neurons


def has(W: Any, feature_probability: float) -> np.ndarray:
    """Which neuron has which feature, with the cut-off that suits the density."""
    return np.asarray(neuron_has_feature(W, per_feature=bool(feature_probability < OWN_CUT_OFF_BELOW)))


def neurons(W: Any, feature_probability: float) -> Neurons:
    """Count the neurons of one model, with the cut-off that suits the density."""
    return counted(has(W, feature_probability))


def counted(own: np.ndarray) -> Neurons:
    """Count neurons by which has which feature, (n_hidden, n_features)."""
    several = own.sum(axis=1) > 1
    return Neurons(int(np.sum(own.sum(axis=1) == 1)), int(own[several].any(axis=0).sum()), int(several.sum()))


def pairs(W: Any) -> int:
    """How many pairs of neurons stand for a feature that nothing else has, in a model of very sparse features."""
    return len({tuple(np.flatnonzero(column)) for column in has(W, 0.0).T if column.sum() == 2})


def near_ties(result: SweepResult) -> list[tuple[float, int]]:
    """(density, neurons with exactly one feature) of models within 0.2 % of the least loss that count otherwise."""
    found = set()
    for k, p in enumerate(result["feature_probability"].values):
        loss = result["loss"].isel(feature_probability=k).values
        W = result["W"].isel(feature_probability=k).transpose("seed", "hidden", "feature").values
        best = neurons(W[np.nanargmin(loss)], p).single
        counts = {neurons(W[seed], p).single for seed in np.flatnonzero(loss <= (1 + NEAR_TIE) * np.nanmin(loss))}
        found |= {(float(p), count) for count in counts - {best}}
    return sorted(found)


def judge(models: dict[float, Any], claims: Claims, *, full: bool = False) -> None:
    """The rows of the table, and that neurons do not come back; `models` are the W of least loss by density.

    Counts are the analyser's (`superpos.analysis.neurons`): a feature belongs to the neurons that it excites, judged by
    the largest *positive* weight, or by each feature's own where features are sparsest. The largest magnitude would not
    do: a weight below 0 keeps a ReLU neuron silent, and one such weight of −3 (at 1 − S = .15 and .06, where all positive
    ones are 1 or less) lifts .3 max|W| above every excitation of the neurons that share. Where that cut-off would count
    otherwise, its count and the two weights are said.

    Of forty models at .04 one or none finds the pairs that others fall just short of; sparser, several do.
    """
    found = {p: neurons(W, p) for p, W in models.items()}
    for p, (single, rest, off) in EXPECTED.items():
        got, within = found[p], abs(found[p].single - single) <= off
        wanted = f"{single} with one feature" + f" (± {off})" * bool(off)
        if rest and (p > OWN_CUT_OFF_BELOW or full):
            wanted += f", {rest[0]} features in the other {rest[1]}"
            if got.single != single:  # the near-tie: one neuron fewer for itself, and one more feature to share
                rest = (rest[0] + single - got.single, rest[1] + single - got.single)
            within &= (got.shared, got.sharing) == rest
        measured = f"{got.single}, {got.shared} in {got.sharing}"
        W = np.asarray(models[p])
        largest = counted(HAS_ABOVE * np.abs(W).max() < W)
        if largest != got and p > OWN_CUT_OFF_BELOW:
            measured += f" (by max |W|: {largest.single}, {largest.shared} in {largest.sharing}; "
            measured += f"W lies in {W.min():.2f}…{W.max():.2f}, and a negative weight excites nothing)"
        claims.add(f"1 − S = {p:g}: neurons", wanted, measured, within)
    for p in (0.35, 0.25):
        own = has(models[p], p)
        code = own[own.sum(axis=1) > 1]
        words = sorted("".join(str(int(bit)) for bit in column) for column in code.T[code.T.any(axis=1)])
        holds = words == ["01", "10", "11"]
        claims.add(f"1 − S = {p:g}: the two others are a binary code", "01, 10, 11", ", ".join(words), holds)
    every = "every feature is its own pair of neurons"
    if full:
        claims.add(f"1 − S = 0.04: {every}", "10 of C(5, 2) pairs", pairs(models[0.04]), pairs(models[0.04]) == 10)
    else:
        claims.needs_full(
            f"1 − S = 0.04: {every}", "10 of C(5, 2) pairs", f"{pairs(models[0.04])}; one in forty finds them"
        )
    if sparser := [p for p in models if p < 0.04]:
        fewest = min(pairs(models[p]) for p in sparser)
        at = ", ".join(f"{p:g}" for p in sparser)
        claims.add(f"1 − S = {at}: {every}", "10 of C(5, 2) pairs", f"{fewest} or more", fewest == 10)
    ordered = sorted(found, reverse=True)  # dense to sparse, also those of no row
    rises = [
        found[sparser].single - found[p].single > (1 if 0.15 in (p, sparser) else 0) for p, sparser in pairwise(ordered)
    ]
    counts = ", ".join(str(found[p].single) for p in ordered)
    claims.add("that count never rises as features get sparser", "± 1 at .15", counts, not any(rises))


def judge_control(relu: xr.DataArray, linear: xr.DataArray, claims: Claims) -> None:
    """Without the hidden ReLU, W is any rotation: participation ratios of neurons, over (feature_probability, …)."""
    for p in (0.7, 0.5):
        ours, control = (float(table.sel(feature_probability=p).median()) for table in (relu, linear))
        claims.add(
            f"1 − S = {p:g}: without the hidden ReLU no basis is privileged",
            "median participation ratio 1.5 times larger",
            f"{control:.2f} linear, {ours:.2f} ReLU",
            control >= 1.5 * ours,
        )
