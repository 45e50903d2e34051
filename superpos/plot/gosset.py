"""Benefit per dimension against sparsity: structures of theory, trained models on them, and the winner of every range."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos.plot.style import PALETTE, current_axes, shape_color
from superpos.plot.sweeps import plain_ticks

# Colours of structures that have none elsewhere.
COLORS = {
    "triangular prism": "#8C6D31",
    "rectified 5-cell": PALETTE["yellow"],
    "5-demicube": "#6AA84F",
    "2_21": PALETTE["red"],
    "3_21": "#882255",
    "4_21": PALETTE["black"],
    "icosahedron": "#BBBBBB",
    "24-cell": "#888888",
}


def structure_color(name: str) -> str:
    """The colour of a structure in pictures of benefits."""
    return COLORS.get(name, shape_color(name))


def benefits_by_sparsity(x: Any, curves: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Benefit per hidden dimension of every structure against x = 1/(1 − S), on a logarithmic axis."""
    ax = current_axes(ax)
    for name, values in curves.items():
        ax.plot(x, values, color=structure_color(name), lw=1.3, label=name)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="benefit per hidden dimension, in units of v")
    plain_ticks(ax)
    return ax


def trained_on_curves(
    name: str, x: Any, benefit: Any, share: Any, ax: Axes | None = None, *, largest: float = 110.0
) -> Axes:
    """Trained models that found a structure: one disc per x, its area the share of seeds that did; none where none did."""
    ax = current_axes(ax)
    size = largest * np.asarray(share, float)
    ax.scatter(x, benefit, s=size, facecolor=structure_color(name), edgecolor="black", lw=0.6, zorder=4)
    return ax


def winners_band(ranges: Sequence[tuple[float, float, str]], ax: Axes | None = None, *, least: float = 1.4) -> Axes:
    """The winner of every range (from, to, name) of the axis as a band; names stand in ranges wider than a ratio `least`."""
    ax = current_axes(ax)
    for start, stop, name in ranges:
        ax.axvspan(start, stop, color=structure_color(name), alpha=0.65, lw=0)
        if stop / start >= least:
            ax.text(np.sqrt(start * stop), 0.5, name, ha="center", va="center", fontsize=7)
    ax.set(ylim=(0, 1), yticks=[])
    return ax
