"""Dictionaries by their size and how strongly they are asked to be sparse."""

from fractions import Fraction
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from superpos.plot.style import current_axes
from superpos.plot.sweeps import log_edges, plain_ticks

GAP = 1.35  # between the map and the column of the random dictionaries, as a factor


def coefficient_map(
    values: xr.DataArray, ax: Axes | None = None, *, random: xr.DataArray | None = None, band: float | None = None
) -> Any:
    """Numbers between 0 and 1 over the L1 coefficient λ (across) and the size of the dictionary (up). Returns the image.

    `values` has dims (dictionary_ratio, sparsity_coefficient) and every cell its number; rows of NaN are left out. `random`,
    over dictionary_ratio, is a column of its own on the right. Runs of cells above `band` are framed.
    """
    ax = current_axes(ax)
    values = values.dropna("dictionary_ratio", how="all").transpose("dictionary_ratio", "sparsity_coefficient")
    x, ratios = values["sparsity_coefficient"].values, values["dictionary_ratio"].values
    edges, rows = log_edges(x), np.arange(len(ratios) + 1) - 0.5
    style: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": "viridis", "rasterized": True}
    mesh = ax.pcolormesh(edges, rows, values.values, **style)
    _write(ax, x, values.values)
    if band is not None:
        for row, inside in enumerate(values.values > band):
            turns = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
            for begin, end in zip(turns[::2], turns[1::2], strict=True):
                corner, width = (float(edges[begin]), row - 0.5), float(edges[end] - edges[begin])
                ax.add_patch(Rectangle(corner, width, 1, fill=False, ec="black", lw=1.6, zorder=3))
    right = edges[-1]
    if random is not None:
        chance = random.sel(dictionary_ratio=ratios).values[:, None]
        left = edges[-1] * GAP
        right = left * edges[-1] / edges[-2]
        ax.pcolormesh([left, right], rows, chance, **style)
        _write(ax, np.array([np.sqrt(left * right)]), chance)
        ax.text(np.sqrt(left * right), rows[-1] + 0.06, "random", ha="center", va="bottom", fontsize=7)
    ax.set(xscale="log", xlabel="L1 coefficient λ", xlim=(edges[0], right), ylim=(rows[0], rows[-1]))
    ax.set(ylabel="latents per feature", yticks=range(len(ratios)), yticklabels=[str(Fraction(r)) for r in ratios])
    ax.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    plain_ticks(ax, subs=(1,))
    inside = [tick for tick in ax.get_xticks(minor=True) if edges[0] <= tick <= edges[-1]]
    ax.set_xticks(inside, labels=[""] * len(inside), minor=True)  # none under the random dictionaries
    return mesh


def by_coefficient(
    values: xr.DataArray, ax: Axes | None = None, *, label: str = "", level: float | None = None
) -> Axes:
    """One curve over the L1 coefficient λ per size of the dictionary; a dashed line at `level`.

    `values` has dims (dictionary_ratio, sparsity_coefficient).
    """
    ax = current_axes(ax)
    ratios = values["dictionary_ratio"].values
    colors = colormaps["plasma"](np.linspace(0, 0.85, len(ratios)))
    if level is not None:
        ax.axhline(level, color="black", ls="--", lw=0.9, zorder=0)
    for r, color in zip(ratios, colors, strict=True):
        row = values.sel(dictionary_ratio=r)
        ax.plot(row["sparsity_coefficient"], row, "o-", color=color, ms=2.5, label=f"{Fraction(r)} × features")
    ax.set(xscale="log", xlabel="L1 coefficient λ", ylabel=label)
    plain_ticks(ax, subs=(1,))
    return ax


def _write(ax: Axes, x: Any, values: Any) -> None:
    """Every number in its cell."""
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        text, color = f"{value:.2f}".lstrip("0"), "black" if value > 0.6 else "white"
        ax.text(float(x[column]), float(row), text, ha="center", va="center", fontsize=6.5, color=color)
