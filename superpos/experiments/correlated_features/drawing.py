"""Panels of sets of features that come together, or never do, and the figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos import check
from superpos.errors import ConfigError
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.features import feature_directions, gram, set_colors, weights
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import SweepResult


def set_directions(
    best: Any,
    axes: Sequence[Axes],
    densities: Sequence[float],
    sets: Sequence[Sequence[int]],
    *,
    per_density: float = 1,
) -> None:
    """One panel of feature directions per density, the members of a set in one colour.

    `best` is a sweep result over `feature_probability` alone, which is `per_density` times the density that is written
    above: 1/2 for anticorrelated pairs, of which one member is active at a time.
    """
    for ax, density in zip(axes, densities, strict=True):
        cell = best.sel(feature_probability=per_density * density, method="nearest")
        W = weights(cell)
        feature_directions(W, ax, color=set_colors(W.shape[1], sets), limit=1.3)
        ax.set_title(f"1 − S = {float(cell['feature_probability']) / per_density:.2g}")


def collapse_by_density(table: xr.Dataset, count: Axes, cosine: Axes) -> None:
    """How many pairs share a direction, and the cosine within each pair, against density.

    `table` is over `feature_probability`, with `collapsed` (of the best seed), `mean_collapsed` (over seeds) and `cosine`
    (also over `pair`). Where it has `every_collapsed` (also over `seed`) the middle half of the seeds is shaded.
    """
    p = table.feature_probability.values
    if "every_collapsed" in table:
        low, high = np.quantile(table["every_collapsed"].transpose(..., "seed"), (0.25, 0.75), axis=-1)
        count.fill_between(p, low, high, color=PALETTE["grey"], alpha=0.2, lw=0)
    count.plot(p, table["mean_collapsed"], color=PALETTE["grey"], label="mean over seeds")
    count.plot(p, table["collapsed"], "o-", color="black", ms=3, label="best seed")
    count.set(ylabel="collapsed pairs", yticks=range(table.sizes["pair"] + 1), ylim=(-0.2, table.sizes["pair"] + 0.2))
    count.legend(loc="upper left")
    cosine.axhline(1, color="#CCCCCC", lw=0.8, zorder=0)
    for k, values in enumerate(table["cosine"].transpose("pair", "feature_probability").values):
        cosine.plot(
            p, values, "o", color="black", ms=2.5, alpha=0.6, label="each pair of the best seed" if not k else None
        )
    cosine.set(ylabel="cos within a pair", xlabel="density 1 − S", ylim=(min(-0.1, float(table["cosine"].min())), 1.1))
    for ax in (count, cosine):
        ax.set(xscale="log", xlim=(p.min() / 1.1, p.max() * 1.1))
        plain_ticks(ax)
    count.set_xticklabels([])


def set_gram(source: Any, sets: Sequence[Sequence[int]], ax: Axes | None = None) -> Axes:
    """Heat map of WᵀW with the features in order of their sets, and lines between the sets."""
    ax, W = current_axes(ax), weights(source)
    order = [i for members in sets for i in members]
    for i in order:
        check.integer("sets: a feature", i, at_most=W.shape[1] - 1)
    if not order:
        raise ConfigError("sets must name some features.")
    gram(W[:, order], ax)
    for edge in np.cumsum([len(members) for members in sets])[:-1] - 0.5:
        ax.axhline(edge, color="black", lw=0.6)
        ax.axvline(edge, color="black", lw=0.6)
    return ax


def draw(results: Mapping[str, SweepResult], table: xr.Dataset, densities: Sequence[float]) -> tuple[Figure, str]:
    """Directions of pairs over density, the collapse of three correlated pairs, and two large correlated sets.

    `results` has "pairs", "opposite" and "three" over (feature_probability, seed), and "bases" over the same with one
    density; `table` is the `collapse` of "three".
    """
    figure = plt.figure(figsize=(8, 8))
    top = figure.add_gridspec(3, len(densities), left=0.05, right=0.99, bottom=0.37, top=0.97, wspace=0.02, hspace=0.12)
    rows = (("pairs", "two correlated pairs", 1.0), ("opposite", "two anticorrelated pairs", 0.5))
    captions = []
    for row, (name, words, share) in enumerate((*rows, ("three", "three correlated pairs", 1.0))):
        best, axes = results[name].best("seed"), [figure.add_subplot(top[row, k]) for k in range(len(densities))]
        task = best.attrs["task"]
        sets = task["correlated_sets"] or task["anticorrelated_sets"]
        set_directions(best, axes, densities, sets, per_density=share)
        axes[0].set_ylabel(words)
        captions.append(caption(best.attrs, f"{words.capitalize()}, {results[name].best_of()}:"))
        for ax in axes if row else ():
            ax.set_title("")
    left = figure.add_gridspec(2, 1, left=0.08, right=0.42, bottom=0.06, top=0.31, hspace=0.15)
    collapse_by_density(table, figure.add_subplot(left[0, 0]), figure.add_subplot(left[1, 0]))
    right = figure.add_gridspec(1, 3, left=0.47, right=0.93, bottom=0.06, top=0.27, width_ratios=(2, 1, 1), wspace=0.12)
    panels = [figure.add_subplot(right[0, k]) for k in range(3)]
    best = results["bases"].isel(feature_probability=0).best("seed")
    W, sets = best["W"].values, best.attrs["task"]["correlated_sets"]
    set_gram(W, sets, panels[0]).set_title("$W^\\top W$, two sets")
    for k, (members, ax) in enumerate(zip(sets, panels[1:], strict=True)):
        gram(W[:, list(members)], ax).set_title(f"set {k + 1} alone")
    bar = figure.add_axes((0.945, 0.09, 0.012, 0.15))
    figure.colorbar(panels[0].images[0], cax=bar, ticks=[-1, 0, 1])
    captions.append(caption(best.attrs, f"Two large sets, {results['bases'].isel(feature_probability=0).best_of()}:"))
    text = (
        "Top: feature directions at several densities 1 − S of the sets; members of one set share a colour. Bottom left: "
        "collapse of the three correlated pairs (shaded: the middle half of the seeds). Bottom right: Gram matrices of "
        "two large correlated sets."
    )
    return figure, " ".join([text, *captions])
