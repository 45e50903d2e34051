"""How strongly to ask for sparsity: Sharkey et al. 2022, "Taking features out of superposition with sparse autoencoders"."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.matching import cosines, random_directions
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult

BAND = 0.95  # MMCS above this counts as having found the features
# Latents active on a smaller share of inputs are as good as dead. An L1 penalty stops pushing a latent once it is silent on
# a batch, so few are silent on all inputs ever.
SILENT_BELOW = 1e-3
DENSE = 2  # × the true L0
AXES = ("n_latents", "sparsity_coefficient")


def scan(result: SweepResult, **options: Any) -> xr.Dataset:
    """`by_size` of a result that lists cells over `n_latents` and `sparsity_coefficient`, a full product.

    Every size must start from a seed of its own, or columns that never learned would agree. `options` are those of
    `SweepResult.sae_scores`.
    """
    cells = range(result["loss"].size)
    decoders = [np.asarray(result.isel(cell=k).model().decoder) for k in cells]
    return by_size(result.sae_scores(**options), decoders, result.attrs["task"]["n_features"])


def by_size(table: xr.Dataset, decoders: Sequence[np.ndarray], n_features: int) -> xr.Dataset:
    r"""Scores of dictionaries by size and L1 coefficient; dims (dictionary_ratio, sparsity_coefficient).

    `table` is that of `SweepResult.sae_scores` over `cell`, and `decoders` are in its order. `mmcs`, `mcc`, `l0`, `l0_true`
    and `random_mmcs` are the table's; `silent_share` is the share of latents active on fewer than 1 in 1,000 inputs. `proxy`
    needs no true features: the mean over the latents of one dictionary of the largest cosine with a latent of the next
    larger one at the same coefficient, $\frac1k \sum_j \max_l \cos(D_j, D'_l)$ (NaN for the largest); `random_proxy` the
    same of random dictionaries.
    """
    active = table["frequency"]
    table = table.assign(silent_share=(active < SILENT_BELOW).sum("latent") / active.notnull().sum("latent"))
    names = ["mmcs", "mcc", "l0", "l0_true", "random_mmcs", "silent_share"]
    found = table[names].reset_coords(drop=True).assign_coords({a: table[a] for a in AXES})
    found = found.set_index(cell=AXES).unstack("cell").transpose(*AXES)
    sizes, coefficients = (found[a].values.tolist() for a in AXES)
    decoder = dict(zip(zip(*(table[a].values.tolist() for a in AXES), strict=True), decoders, strict=True))
    proxy, chance = np.full((len(sizes), len(coefficients)), np.nan), np.full(len(sizes), np.nan)
    m = len(decoders[0])
    for i, (small, large) in enumerate(pairwise(sizes)):
        proxy[i] = [agreement(decoder[small, c], decoder[large, c]) for c in coefficients]
        chance[i] = agreement(random_directions(m, small, (0,)), random_directions(m, large, (1,)))
    found = found.assign(proxy=(AXES, proxy), random_proxy=("n_latents", chance))
    return found.assign_coords(n_latents=np.array(sizes) / n_features).rename(n_latents="dictionary_ratio")


def agreement(decoder: np.ndarray, larger: np.ndarray) -> float:
    """MMCS of one dictionary's columns against another's: the mean over the first's of the largest cosine."""
    return float(cosines(decoder, larger).max(axis=1).mean())


def judge(found: xr.Dataset, claims: Claims) -> None:
    """A band of coefficients in which dictionaries that are large enough find all features; `found` is of `scan`."""
    ratios, coefficients = found["dictionary_ratio"].values, found["sparsity_coefficient"].values
    enough, (mmcs, l0) = ratios >= 1, (found[name].values for name in ("mmcs", "l0"))
    inside = mmcs > BAND
    chance = found["random_mmcs"].mean("sparsity_coefficient").values
    said = [
        f"ratio {r:g}: {_range(coefficients[row])} (at best {best:.3f}; random {c:.2f})"
        for r, row, best, c in zip(ratios, inside, mmcs.max(axis=1), chance, strict=True)
        if r >= 1
    ]
    holds = all(row.any() and np.all(np.diff(np.flatnonzero(row)) == 1) for row in inside[enough])
    wanted = f"MMCS > {BAND} in one range of λ, for every dictionary ratio ≥ 1"
    claims.add("enough latents: there is a band of λ", wanted, "; ".join(said), holds)
    if not enough.all():
        few, mcc = ~enough, found["mcc"].values
        measured = "; ".join(
            f"ratio {r:g}: MMCS ≤ {a:.3f} (random {c:.2f})"
            for r, a, c in zip(ratios[few], mmcs[few].max(axis=1), chance[few], strict=True)
        )
        claims.add("too few latents: there is none", f"MMCS never > {BAND}", measured, not inside[few].any())
        most = mcc[few].max(axis=1)  # a mean over features of which only so many have a latent
        measured = "; ".join(f"ratio {r:g}: MCC ≤ {b:.3f}" for r, b in zip(ratios[few], most, strict=True))
        holds = np.all(most <= ratios[few] + 1e-6)
        claims.identity("too few latents: MCC is at most their share of the features", "MCC ≤ ratio", measured, holds)
    true = float(found["l0_true"].mean())
    low, high, dense = mmcs[enough, 0], mmcs[enough, -1], l0[enough, 0]
    measured = f"MMCS {_span(low)}, L0 {_span(dense)} at λ = {coefficients[0]:.3g}"
    wanted = f"MMCS ≤ {BAND}, L0 above {DENSE} × the true {true:.2f}"
    holds = low.max() <= BAND and dense.min() > DENSE * true
    claims.add("λ too small, enough latents: they are dense", wanted, measured, holds)
    silent = found["silent_share"].values[enough, -1]
    measured = f"MMCS {_span(high)}, silent {_span(silent)} at λ = {coefficients[-1]:.3g}"
    wanted = f"MMCS ≤ {BAND}, most latents active on less than {SILENT_BELOW:g} of inputs"
    holds = high.max() <= BAND and silent.min() > 0.5
    claims.add("λ too large, enough latents: they are dead", wanted, measured, holds)
    pairs = [k for k in np.flatnonzero(enough) if k + 1 < len(ratios)]
    peaks = found["proxy"].values[pairs].argmax(axis=1)
    near = [inside[k, max(0, at - 1) : at + 2].any() for k, at in zip(pairs, peaks, strict=True)]
    measured = "; ".join(
        f"ratio {ratios[k]:g}: {found['proxy'].values[k, at]:.3f} at λ = {coefficients[at]:.3g}, where MMCS is "
        f"{mmcs[k, at]:.3f}"
        for k, at in zip(pairs, peaks, strict=True)
    )
    wanted = "the cosine with a larger dictionary is largest in the band or one λ beside it"
    claims.add("no true features needed to find the band", wanted, measured, pairs and all(near))


def _range(values: np.ndarray) -> str:
    return f"λ {values[0]:.3g} … {values[-1]:.3g}" if len(values) else "no λ"


def _span(values: np.ndarray) -> str:
    return f"{values.min():.2f} … {values.max():.2f}"
