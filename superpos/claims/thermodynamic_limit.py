r"""The best benefit per dimension as dimensions become many: does it converge?

At one density, with more features than find a place, the best loss of m dimensions leaves a benefit $B(m) = (n v - L)/(m v)$
per dimension, in units of $v = p/3 - p^2/4$ (what a feature left out costs; L is the sum over features). Structures side by
side in orthogonal dimensions add their benefits, so $m B(m)$ is superadditive: B(m) cannot end below any value that it once
had, and it converges to its least upper bound (Fekete 1923) if that is finite. Elhage et al. 2022, "The Geometry of
Superposition", where n ≫ m.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.theory.gosset import NAMES, k21
from superpos.theory.polytopes import KnownShape
from superpos.theory.uniform import benefits, structures, unlearned_loss

# The best that was known before, at 1/(1 − S) = 10.
KNOWN = {1: 1.917, 2: 2.070, 3: 2.184, 5: 2.321}

# Two restarts found one solution if their benefits differ by less than this share.
SAME_WITHIN = 0.005
REPRESENTED_ABOVE = 0.5


def pieces(feature_probability: float, *, largest: int = 8, order: int = 64) -> xr.Dataset:
    """The best known structure of 1 … `largest` dimensions: its `benefit` per dimension and its `name`, over `dimensions`.

    All that `superpos.theory.uniform.structures` lists, and Gosset's k_21, each with its best scale and bias.
    """
    gosset = [KnownShape(name, k21(d)) for d, name in NAMES.items() if d <= largest]
    listed = [s for s in structures() if s.dimensions <= largest]
    listed += [s for s in gosset if s.name not in {t.name for t in listed}]
    rows = benefits([feature_probability], listed, order=order)
    best: dict[int, Any] = {}
    for row in rows:
        d = row.shape.dimensions
        if d not in best or row.benefit[0] > best[d].benefit[0]:
            best[d] = row
    return xr.Dataset(
        {
            "benefit": ("dimensions", [float(best[d].benefit[0]) for d in sorted(best)]),
            "name": ("dimensions", [best[d].shape.name for d in sorted(best)]),
        },
        coords={"dimensions": sorted(best)},
    )


def trained(result: SweepResult) -> xr.Dataset:
    """Benefit per dimension of every seed of one sweep over `seed`, and how many features it represents."""
    task = result.attrs["task"]
    n, m, v = task["n_features"], task["n_hidden"], unlearned_loss(task["feature_probability"])
    represented = (np.linalg.norm(result["W"].transpose("seed", "hidden", "feature"), axis=1) > REPRESENTED_ABOVE).sum(
        1
    )
    benefit = (n * v - n * result["loss"]) / (m * v)
    return xr.Dataset({"benefit": benefit, "represented": ("seed", represented)}, attrs={"n_features": n})


def sums(values: Mapping[int, float], most: int) -> np.ndarray:
    """The largest benefit per dimension of 1 … `most` dimensions that parts of known benefit make, side by side.

    `values` holds benefits per dimension by dimensions; dimensions that no part fills gain nothing.
    """
    total = np.zeros(most + 1)
    for m in range(1, most + 1):
        total[m] = max([total[m - 1]] + [total[m - d] + d * value for d, value in values.items() if d <= m])
    return total[1:] / np.arange(1, most + 1)


def summary(tables: Mapping[int, xr.Dataset], known: xr.Dataset) -> xr.Dataset:
    """Over `n_hidden`: best benefit, its spread over seeds, and what sums of parts reach.

    `trained` is the best seed's; `low`, `middle`, `high` are the 10th, 50th and 90th percentiles; `share` is that of the
    seeds within .5 % of the best; `seeds`; `left_out` the fewest features that a seed leaves out; `planted` the best sum of
    known structures; `best` the best of all, sums of trained ones included.
    """
    m = sorted(tables)
    exact = {int(d): float(known["benefit"].sel(dimensions=d)) for d in known["dimensions"].values}
    found = {k: tables[k]["benefit"].dropna("seed").values for k in m}
    top = {k: float(values.max()) for k, values in found.items()}
    both = {d: max(exact.get(d, 0.0), top.get(d, 0.0)) for d in exact.keys() | top.keys()}
    at = np.array(m) - 1
    columns = {
        "trained": [top[k] for k in m],
        **{
            name: [float(np.percentile(found[k], q)) for k in m]
            for name, q in (("low", 10), ("middle", 50), ("high", 90))
        },
        "share": [float(np.mean(found[k] >= (1 - SAME_WITHIN) * top[k])) for k in m],
        "seeds": [len(found[k]) for k in m],
        "left_out": [int(tables[k].attrs["n_features"] - tables[k]["represented"].max()) for k in m],
        "planted": sums(exact, max(m))[at],
        "best": sums(both, max(m))[at],
    }
    return xr.Dataset({name: ("n_hidden", column) for name, column in columns.items()}, coords={"n_hidden": m})


def judge(table: xr.Dataset, claims: Claims) -> None:
    """The known values, features left out, and whether the curve has flattened where it ends."""
    m = table["n_hidden"].values
    here = [k for k in KNOWN if k in m]
    said = ", ".join(f"{float(table['best'].sel(n_hidden=k)):.3f}" for k in here)
    off = max((KNOWN[k] - float(table["best"].sel(n_hidden=k)) for k in here), default=np.inf)
    wanted = ", ".join(f"{KNOWN[k]:.3f}" for k in here)
    claims.add(f"best benefit per dimension at m = {', '.join(map(str, here))}", f"≥ {wanted}", said, off <= 2e-3)
    fewest = int(table["left_out"].min())
    claims.add("features abound: every model leaves some out", "≥ 1", f"{fewest} or more", fewest >= 1)
    best = table["best"].values
    half = np.flatnonzero(m <= m[-1] / 2)
    slope = (best[-1] / best[half[-1]] - 1) if len(half) else np.inf
    share, seeds = float(table["share"].values[-1]), int(table["seeds"].values[-1])
    start = m[half[-1]] if len(half) else m[-1]
    claims.add(
        "it converges: twice the dimensions add little at the end",
        "< 2 %",
        f"{100 * slope:.1f} % from m = {start} to {m[-1]}, where {100 * share:.0f} % of {seeds} seeds "
        f"are within .5 % of the best found, {best[-1]:.3f}",
        slope < 0.02,
    )


def effort(tables: Sequence[tuple[int, int]], steps: int) -> str:
    """How much was tried, in words: (n_hidden, seeds) pairs and steps."""
    runs: list[list[int]] = []
    for m, seeds in tables:
        if runs and runs[-1][2] == seeds:
            runs[-1][1] = m
        else:
            runs.append([m, m, seeds])
    said = ", ".join(f"{s} at m = {a}" + (f" to {b}" if b > a else "") for a, b, s in runs)
    return f"Restarts: {said}, {steps} exact steps each."
