"""Levels of dimensionality: which shape every feature is part of, and which shape theory lets win there."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.plot.style import SHAPE_COLORS, current_axes, shape_color
from superpos.plot.sweeps import NAMED_LINES


def winner_bands(winners: Sequence[tuple[float, float, str]], ax: Axes | None = None) -> Axes:
    """Shade the ranges (left, right, shape) of an axis in the colours of the shapes, behind everything else."""
    ax = current_axes(ax)
    for left, right, name in winners:
        ax.axvspan(left, right, color=shape_color(name), alpha=0.16, lw=0, zorder=-2)
    return ax


def dimensionality_by_shape(
    D: xr.DataArray, shapes: xr.DataArray, ax: Axes | None = None, *, jitter: float = 0.003, seed: int = 0
) -> Axes:
    """D_i against 1/(1 − S), one dot per feature in the colour of the shape it is part of, over the named lines.

    `D` and `shapes` (a geometry table's `dimensionality` and `component_shape`) have dims (feature_probability, …,
    feature). Features in no shape, and shapes without a colour of their own, are small and grey, below the others. Dots
    are spread sideways by a relative `jitter`.
    """
    ax = current_axes(ax)
    D = D.transpose("feature_probability", ...)
    names = shapes.transpose(*D.dims).values.ravel()
    spread = np.exp(jitter * np.random.default_rng(seed).standard_normal(D.shape))
    x = (spread / D.feature_probability.values.reshape(-1, *[1] * (D.ndim - 1))).ravel()
    y = D.values.ravel()
    for value, name in NAMED_LINES.items():
        ax.axhline(value, color=shape_color(name), lw=0.7, zorder=0)
    rest = ~np.isin(names, list(NAMED_LINES.values()))
    ax.plot(
        x[rest], y[rest], ".", color=SHAPE_COLORS["irregular"], ms=1.6, mec="none", alpha=0.5, label="other or none"
    )
    for value, name in NAMED_LINES.items():
        here = names == name
        if np.any(here):
            label = f"{name}, {Fraction(value).limit_denominator(10)}"
            ax.plot(x[here], y[here], ".", color=shape_color(name), ms=4, mec="none", alpha=0.8, label=label, zorder=3)
    ax.set(ylim=(-0.02, 1.05), xlabel="1 / (1 − S)", ylabel="feature dimensionality $D_i$")
    return ax


def benefit_curves(x: Any, benefits: dict[str, Any], ax: Axes | None = None) -> Axes:
    """Benefit per dimension of every shape against 1/(1 − S), in per cent of the best one's, in the shapes' colours."""
    ax = current_axes(ax)
    best = np.max(list(benefits.values()), axis=0)
    for name, values in benefits.items():
        ax.plot(x, 100 * (np.asarray(values) / best - 1), color=shape_color(name), label=name)
    ax.set(xlabel="1 / (1 − S)", ylabel="benefit per dimension\n(% below the best)")
    return ax


def uniform_levels(
    table: xr.Dataset, curves: Sequence[tuple[Any, dict[str, Any]]], bands: Sequence[tuple[float, float, str]]
) -> Figure:
    """Dimensionalities above benefits, one column per window of 1/(1 − S), over the ranges of the winners.

    `table` is a geometry table over `feature_probability`; `curves` holds x and the `benefit_curves` there of every window,
    and `bands` are those of `winner_bands`.
    """
    layout: Any = {"height_ratios": (2.2, 1), "sharex": "col", "layout": "constrained"}
    figure, axes = plt.subplots(2, len(curves), figsize=(8.2, 5.6), squeeze=False, **layout)
    labels, inverse = {}, 1 / table["feature_probability"].values
    for (above, below), (x, benefits) in zip(axes.T, curves, strict=True):
        ends = x[0], x[-1]
        inside = table.isel(feature_probability=(inverse > ends[0] - 1e-9) & (inverse < ends[1] + 1e-9))
        dimensionality_by_shape(inside["dimensionality"], inside["component_shape"], above)
        benefit_curves(x, benefits, below)
        for ax in (above, below):
            winner_bands(bands, ax)
        above.set(xlabel="", xlim=(ends[0] - 0.02 * np.ptp(ends), ends[1] + 0.02 * np.ptp(ends)))
        below.set_ylim(-5, 0.4)
        labels |= {label: handle for handle, label in zip(*above.get_legend_handles_labels(), strict=True)}
    plt.setp(axes[:, 1:], ylabel="")
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=4, markerscale=2)
    return figure
