r"""The best benefit per dimension as dimensions become many: does it converge?

At one density, with more features than find a place, the best loss of m dimensions leaves a benefit $B(m) = (n v - L)/(m v)$
per dimension, in units of $v = p/3 - p^2/4$ (what a feature left out costs; L is the sum over features). Structures side by
side in orthogonal dimensions add their benefits, so $m B(m)$ is superadditive: B(m) cannot end below any value that it once
had, and it converges to its least upper bound (Fekete 1923) if that is finite. Elhage et al. 2022, "The Geometry of
Superposition", where n ≫ m.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.gosset import NAMES, k21
from superpos.theory.polytopes import KnownShape
from superpos.theory.uniform import benefits, structures, unlearned_loss
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, The Geometry of Superposition"
DENSITY = 0.1
FEATURES_PER_DIMENSION = 6  # about four of them find a place at this density

# The best that was known before, at 1/(1 − S) = 10.
KNOWN = {1: 1.917, 2: 2.070, 3: 2.184, 5: 2.321}

# Two restarts found one solution if their benefits differ by less than this share.
BENEFIT_WITHIN = 0.005
REPRESENTED_ABOVE = 0.5


@dataclass(frozen=True)
class Size:
    """Hidden dimensions, seeds, steps, and the known structures that trained models are compared with."""

    hidden: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20)
    seeds: tuple[tuple[int, int], ...] = ((5, 32), (8, 16), (12, 8), (20, 4))  # (up to this m, so many)
    steps: int = 300
    order: int | None = None  # terms of the series of the expected loss; None: by n
    largest_piece: int = 8  # dimensions of a known structure
    piece_order: int = 64


SIZES = Sizes(
    quick=Size(hidden=(1, 2), seeds=((2, 2),), steps=20, order=8, largest_piece=2, piece_order=8),
    laptop=Size(),
    full=Size(seeds=((5, 128), (8, 64), (12, 32), (20, 16)), steps=1_000),
)


def build(size: Size) -> dict[int, tuple[Toy, TrainConfig, Grid]]:
    """Task, training and grid of every number of hidden dimensions."""
    sweeps = {}
    for m in size.hidden:
        n = FEATURES_PER_DIMENSION * m
        # Enough at this density: half as many terms as the default changes no loss by .05 %.
        order = max(32, 8 * math.ceil(n / 20)) if size.order is None else size.order
        task = Toy(n_features=n, n_hidden=m, feature_probability=DENSITY, objective="expected", order=order)
        n_seeds = next(seeds for up_to, seeds in size.seeds if m <= up_to)
        sweeps[m] = task, TrainConfig(steps=size.steps), Grid(seed=range(n_seeds))
    return sweeps


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


def summary(tables: Mapping[int, xr.Dataset], pieces: xr.Dataset) -> xr.Dataset:
    """Over `n_hidden`: best benefit, its spread over seeds, and what sums of parts reach.

    `trained` is the best seed's; `low`, `middle`, `high` are the 10th, 50th and 90th percentiles; `share` is that of the
    seeds within .5 % of the best of all; `seeds`; `left_out` the fewest features that a seed leaves out; `planted` the best
    sum of known structures; `best` the best of all, sums of trained ones included.
    """
    m = sorted(tables)
    exact = {int(d): float(pieces["benefit"].sel(dimensions=d)) for d in pieces["dimensions"].values}
    by_seed = {k: tables[k]["benefit"].dropna("seed").values for k in m}
    top = {k: float(values.max()) for k, values in by_seed.items()}
    both = {d: max(exact.get(d, 0.0), top.get(d, 0.0)) for d in exact.keys() | top.keys()}
    at = np.array(m) - 1
    best = dict(zip(m, sums(both, max(m))[at], strict=True))
    columns = {
        "trained": [top[k] for k in m],
        **{
            name: [float(np.percentile(by_seed[k], q)) for k in m]
            for name, q in (("low", 10), ("middle", 50), ("high", 90))
        },
        "share": [float(np.mean(by_seed[k] >= (1 - BENEFIT_WITHIN) * best[k])) for k in m],
        "seeds": [len(by_seed[k]) for k in m],
        "left_out": [int(tables[k].attrs["n_features"] - tables[k]["represented"].max()) for k in m],
        "planted": sums(exact, max(m))[at],
        "best": [best[k] for k in m],
    }
    return xr.Dataset({name: ("n_hidden", column) for name, column in columns.items()}, coords={"n_hidden": m})


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """The known values, features left out, and whether the curve has flattened where it ends.

    Benefits of parts side by side add up, so the limit exists and is at least the best of any m. A flat end says that nothing
    better was found; where few seeds come near it, that nothing better exists is not shown.
    """
    m = table["n_hidden"].values
    compared = [k for k in KNOWN if k in m]
    measured = ", ".join(f"{float(table['best'].sel(n_hidden=k)):.3f}" for k in compared)
    off = max((KNOWN[k] - float(table["best"].sel(n_hidden=k)) for k in compared), default=np.inf)
    expected = ", ".join(f"{KNOWN[k]:.3f}" for k in compared)
    statement = f"best benefit per dimension at m = {', '.join(map(str, compared))}"
    claims.check(statement, f"≥ {expected}", measured, off <= 2e-3)
    fewest = int(table["left_out"].min())
    claims.check("features abound: every model leaves some out", "≥ 1", f"{fewest} or more", fewest >= 1)
    best = table["best"].values
    half = np.flatnonzero(m <= m[-1] / 2)
    slope = (best[-1] / best[half[-1]] - 1) if len(half) else np.inf
    share, seeds = float(table["share"].values[-1]), int(table["seeds"].values[-1])
    start = m[half[-1]] if len(half) else m[-1]
    claims.check(
        "what was found flattens: twice the dimensions add little at the end (parts side by side reach as much)",
        "< 2 %",
        f"{100 * slope:.1f} % from m = {start} to {m[-1]}, where {100 * share:.0f} % of {seeds} seeds "
        f"are within .5 % of the best found, {best[-1]:.3f}, and the best seed has {table['trained'].values[-1]:.3f}",
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
    words = ", ".join(f"{s} at m = {a}" + (f" to {b}" if b > a else "") for a, b, s in runs)
    return f"Restarts: {words}, {steps} exact steps each."


def draw(table: xr.Dataset, sweeps: Mapping[int, SweepResult]) -> tuple[Figure, str]:
    """Figure and caption: the best benefit per dimension, and how many seeds come near it, against m.

    `table` is the `summary` of `sweeps`, which are by m.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.4), width_ratios=(1.7, 1), layout="constrained")
    benefit_by_dimensions(table, left).legend(loc="lower right")
    share_by_dimensions(table, right)
    largest = sweeps[max(sweeps)]
    tried = [(m, result.sizes["seed"]) for m, result in sweeps.items()]
    text = (
        f"Benefit per dimension B = (n v − L)/(m v), v = p/3 − p²/4, at 1/(1 − S) = {1 / DENSITY:g} with "
        f"n = {FEATURES_PER_DIMENSION}m equally "
        "important features, against m. Line: the best found, by a seed or by parts side by side, whose benefits add. "
        f"{effort(tried, largest.attrs['train']['steps'])} Here the largest m:"
    )
    return figure, caption(largest.attrs, text)


def benefit_by_dimensions(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Best benefit per dimension against m, the spread of the seeds as bars, and sums of known structures as steps.

    `table` is over `n_hidden` with `best`, `trained`, `low`, `middle`, `high` and `planted`.
    """
    ax = current_axes(ax)
    m = table["n_hidden"].values
    ax.step(m, table["planted"], where="mid", color=PALETTE["orange"], lw=1.2, label="known structures side by side")
    ax.vlines(m, table["low"], table["high"], color=PALETTE["blue"], lw=3, alpha=0.35, label="seeds, 10 to 90 %")
    ax.plot(m, table["middle"], "_", color=PALETTE["blue"], ms=9, label="median seed")
    ax.plot(m, table["best"], "-", color="black", lw=0.8)
    ax.plot(m, table["trained"], "o", color="black", ms=4, label="best trained seed")
    ax.set(xlabel="hidden dimensions m", ylabel="benefit per dimension B", xlim=(0, m.max() + 1))
    return ax


def share_by_dimensions(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """The share of the seeds that come near the best one, against m; below a tenth "best" means "best found"."""
    ax = current_axes(ax)
    m = table["n_hidden"].values
    ax.axhline(10, color="#999999", lw=0.8, ls=":")
    ax.plot(m, 100 * table["share"], "o-", color="black", ms=4, lw=0.8)
    ax.text(m.max() + 0.8, 11, "below: best found", ha="right", va="bottom", fontsize="small", color="#666666")
    ax.set(
        xlabel="hidden dimensions m", ylabel="seeds within .5 % of the best (%)", ylim=(0, 103), xlim=(0, m.max() + 1)
    )
    return ax
