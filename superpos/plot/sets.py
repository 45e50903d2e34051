"""Sets of features that come together, or never do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos import check
from superpos.errors import ConfigError
from superpos.plot.features import feature_directions, gram, set_colors, weights
from superpos.plot.style import PALETTE, current_axes
from superpos.plot.sweeps import plain_ticks


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
    (also over `pair`).
    """
    p = table.feature_probability.values
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
