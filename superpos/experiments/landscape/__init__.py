"""Every minimum of five and of six features in two dimensions by density: its loss, its basin, and how degenerate it is."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos import __version__
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.landscapes import crossings_of, landscape
from superpos.plot.minima import minima_lines
from superpos.tasks import Toy

SOURCE = "Elhage et al. 2022; Lau et al. 2023"
DIMENSIONS = 2
NAMED = 0.03  # share of starts at some density from which a minimum is named in the figure


@dataclass(frozen=True)
class Size:
    """Numbers of features, how many densities between .6 and .01, and starts at each.

    Then densities and seeds at which shares are compared with those of `superpos demo`, and densities and starts at which
    further minima are sought.
    """

    features: tuple[int, ...] = (5, 6)
    densities: int = 12
    starts: int = 512
    compared: int = 10
    seeds: int = 16
    sought: int = 0
    further: int = 65_536


SIZES = Sizes(
    quick=Size(features=(3,), densities=3, starts=12, compared=0),
    laptop=Size(),
    full=Size(densities=24, starts=4_096, seeds=64, sought=10),
)


def densities(count: int) -> list[float]:
    """So many densities from .6 to .01."""
    return np.geomspace(0.6, 0.01, count).tolist()


def measure(n_features: int, densities: int, starts: int) -> xr.Dataset:
    """The landscape of so many features of equal importance in two dimensions, from density .6 to .01."""
    task = Toy(n_features=n_features, n_hidden=DIMENSIONS)
    return landscape(task, starts, along={"feature_probability": np.geomspace(0.6, 0.01, densities)})


def named(table: xr.Dataset) -> dict[int, tuple[str, str]]:
    """Number → (shape, label) of the minima that are the lowest somewhere or that many starts end in."""
    losses = table["loss"].values
    lowest = set(np.nanargmin(losses, axis=1).tolist())
    often = set(np.flatnonzero(np.nanmax(np.nan_to_num(table["share"].values), axis=0) >= NAMED).tolist())
    result = {}
    for place in sorted(lowest | often):
        branch = table.isel(minimum=place)
        there = np.flatnonzero(np.isfinite(losses[:, place]))
        words = Counter(str(label) for label in branch["label"].values[there])
        shapes = Counter(str(name) for name in branch["name"].values[there])
        values = np.unique(branch["learning_coefficient"].values[there])
        coefficient = f", λ = {values[0]:g}" if len(values) == 1 and np.isfinite(values[0]) else ""
        label = f"{words.most_common(1)[0][0]}{coefficient}"
        result[int(table["minimum"].values[place])] = (shapes.most_common(1)[0][0], label)
    return result


def evaluate(tables: list[xr.Dataset], claims: Claims) -> None:
    """The best shapes by density, transitions of first order, stable ranks, and what a dead feature does to λ."""
    for table in tables:
        n, p = table.sizes["feature"], table["feature_probability"].values
        best = np.nanargmin(table["loss"].values, axis=1)
        names = table["name"].values[np.arange(len(p)), best]
        polygon = {5: "pentagon", 6: "hexagon"}.get(n, "triangle")
        claims.check(
            f"{n}→2: the sparsest best minimum is a regular polygon, the densest is not",
            f"{polygon}; pairs",
            f"{names[-1]}; {names[0]}",
            names[-1] == polygon and names[0] != polygon,
        )
        crossings = crossings_of(table)
        at = crossings["feature_probability"].values[crossings["lowest"].values]
        changed = np.flatnonzero(best[1:] != best[:-1])
        inside = [bool(np.any((at <= p[k]) & (at >= p[k + 1]))) for k in changed]
        claims.check(
            f"{n}→2: where the best minimum changes, both are minima on both sides (first order)",
            "losses cross wherever it changes",
            f"{sum(inside)} of {len(inside)} changes; crossings at 1 − S = {', '.join(f'{value:.3f}' for value in at)}",
            all(inside) and bool(inside),
        )
        exists = np.isfinite(table["loss"].values)
        flagged = np.char.find(table["flags"].values.astype(str), "rank") >= 0
        gaps = table["gap"].values[exists & ~flagged & (table["rank"].values > 0)]  # where all is dead there is none
        claims.check(
            f"{n}→2: ranks do not depend on the threshold",
            "the same over four orders of magnitude, at every minimum",
            f"{np.log10(gaps.min()):.1f} orders at least; {int(flagged.sum())} of {int(exists.sum())} unclear",
            gaps.min() >= 1e4 and not flagged.any(),
        )
        zero, explained = table["zero_modes"].values[exists], table["symmetry_modes"].values[exists]
        explained = explained + table["dead_modes"].values[exists]
        unexplained = int(np.sum(zero != explained))
        values = table["learning_coefficient"].values[exists]
        claims.check(
            f"{n}→2: the rotation and dead features explain all zero modes",
            f"λ = {(3 * n - 1) / 2:g}, and ½ less for every zero mode of dead features",
            f"λ from {values.min():g} to {values.max():g}; {unexplained} of {len(zero)} minima unexplained",
            unexplained == 0 and np.all(values == (3 * n - explained) / 2),
        )
        _evaluate_shares(table, best, claims)


def _evaluate_shares(table: xr.Dataset, best: np.ndarray, claims: Claims) -> None:
    """Whether starts find the best minimum: of five features they do, of six they do not where features are rare."""
    n, p = table.sizes["feature"], table["feature_probability"].values
    rows = np.arange(len(p))
    share, high = (table[name].values[rows, best] for name in ("share", "share_high"))
    passed_over = np.nanmax(table["share_low"].values, axis=1) > high
    least = int(np.argmin(share))
    measured = f"passed over at {int(passed_over.sum())} of {len(p)} densities; least share {100 * share[least]:.0f} %"
    if n == 6:
        claims.check(
            "6→2: where features are rarest, more starts end in another minimum than in the best",
            "passed over at the lowest density",
            f"{measured}; {100 * share[-1]:.0f} % at the lowest",
            passed_over[-1],
        )
    else:
        claims.check(
            f"{n}→2: no minimum has a wider basin than the best one",
            "at no density, beyond 95 % intervals",
            measured,
            not passed_over.any(),
        )


def draw(tables: list[xr.Dataset]) -> tuple[Figure, str]:
    """Figure and caption: loss, share of starts and learning coefficient of the minima by density."""
    figure, axes = plt.subplots(
        2, len(tables), figsize=(4.2 * len(tables) + 0.4, 6.0), sharex=True, squeeze=False, layout="constrained",
        height_ratios=(1.6, 1),
    )  # fmt: skip
    for column, table in zip(axes.T, tables, strict=True):
        labels, n = named(table), table.sizes["feature"]
        crossings = crossings_of(table)
        at = crossings["feature_probability"].values[crossings["lowest"].values]
        untrained = table["feature_probability"].values / 3
        minima_lines(table, "loss", labels, column[0], relative_to=untrained, crossing=at)
        minima_lines(table, "share", labels, column[1], crossing=at)
        column[0].set(title=f"{n} features in 2 dimensions", yscale="log")
        column[1].set(ylim=(-0.03, 1.03), xlabel="feature density 1 − S")
        handles, words = column[0].get_legend_handles_labels()
        options: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.28), "frameon": False}
        column[1].legend(handles, words, fontsize=7, handlelength=2.6, **options)
        _plain_values(column[0])
    for ax, label in zip(axes[:, 0], ("loss / loss of W = 0", "share of starts"), strict=True):
        ax.set_ylabel(label)
    first = tables[0].attrs
    text = (
        f"All minima of the expected loss, from {first['starts']:,} random starts and known shapes at every density, "
        "features of equal importance. Top: loss, over that of W = 0; grey: minima that few starts find; points are as large "
        "as the share of starts. Bottom: share of starts that end there, with 95 % intervals. λ is the learning coefficient, "
        "half the rank of the Hessian. Dotted: the best minimum changes. Dead features answer 0, constant ones have a bias "
        "alone, short ones little length; letters, by loss, tell apart minima that are described alike."
    )
    return figure, f"{text} {_made_with()}"


def _plain_values(ax: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 3, 5), numticks=12))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _made_with() -> str:
    return f"Made with superpos {__version__}, JAX {jax.__version__}."
