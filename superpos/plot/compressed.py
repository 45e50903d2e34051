"""Compressed computation: losses beside the naive baseline, and what every output makes of its own input."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from superpos.plot.style import PALETTE, current_axes
from superpos.plot.sweeps import plain_ticks

SIZE_COLORS = [PALETTE[name] for name in ("sky", "blue", "black")]


def compressed_computation(table: xr.Dataset, embedded: xr.DataArray, across: xr.Dataset) -> Figure:
    """Losses and responses at one size above; losses across density, neurons and the kind of labels below.

    `table` is `superpos.experiments.compressed_computation.measure`'s over (loss_exponent, label_noise, seed); `embedded` is
    relative losses over (loss_exponent, seed), `across` that table over (loss_exponent, n_hidden, n_residual,
    feature_probability), NaN where nothing was trained. The linear control is drawn where it tells most: for L4.
    """
    figure = plt.figure(figsize=(9.8, 5.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    first, *others = halves[0].subplots(1, 3, width_ratios=(2, 1, 1))
    loss_over_naive(table["relative"], first, linear=table["linear"], embedded=embedded)
    for q, ax in zip((2, 4), others, strict=True):
        responses(table["response"].sel(loss_exponent=q, label_noise=0).isel(seed=0), ax)
        ax.set_title(f"L{q}, clean labels")
    panels = halves[1].subplots(1, 2)
    for q, ax in zip((2, 4), panels, strict=True):
        at = across.sel(loss_exponent=q)
        loss_by_density(at["relative"], ax, linear=at["linear"].sel(n_residual=0) if q == 4 else None)
        ax.set_title(f"L{q}")
    halves[1].legend(handles=density_keys(across["relative"]), loc="outside lower center", ncols=7)
    return figure


def loss_over_naive(
    relative: xr.DataArray,
    ax: Axes | None = None,
    *,
    linear: xr.DataArray | None = None,
    embedded: xr.DataArray | None = None,
) -> Axes:
    """A dot per model: its loss over the naive baseline's; `relative` is over (loss_exponent, label_noise, seed).

    `linear`, over the same, is drawn as a green bar in every column: the loss of a linear control. `embedded`, over
    (loss_exponent, seed), are models whose features are random directions.
    """
    ax = current_axes(ax)
    names = []
    for q in relative["loss_exponent"].values:
        for noise in relative["label_noise"].values:
            values = relative.sel(loss_exponent=q, label_noise=noise).values.ravel()
            color = PALETTE["red"] if noise else PALETTE["blue"]
            ax.plot(np.full(len(values), len(names)), values, "o", color=color, ms=5, alpha=0.7)
            if linear is not None:
                height = float(linear.sel(loss_exponent=q, label_noise=noise).mean())
                ends, label = [len(names) - 0.35, len(names) + 0.35], None if names else "linear control"
                ax.plot(ends, [height] * 2, color=PALETTE["green"], lw=2, label=label)
            names.append(f"L{q}\nnoise {noise:g}" if noise else f"L{q}\nclean")
        if embedded is not None and q in embedded["loss_exponent"]:
            values = embedded.sel(loss_exponent=q).values.ravel()
            ax.plot(np.full(len(values), len(names)), values, "o", color=PALETTE["orange"], ms=5, alpha=0.7)
            names.append(f"L{q}\nembedded")
    ax.axhline(1, color="black", lw=0.8, ls="--", label="naive baseline")
    ax.set(yscale="log", xlim=(-0.6, len(names) - 0.4), ylabel="loss / naive loss")
    ax.set_xticks(range(len(names)), names, fontsize=7)
    ax.legend()
    return ax


def responses(response: xr.DataArray, ax: Axes | None = None) -> Axes:
    """What the hidden layer adds to each output for its own input alone, a line per feature; dashed is ReLU.

    `response` is over (feature, input).
    """
    ax = current_axes(ax)
    x = response["input"].values
    ax.plot(x, response.transpose("input", "feature").values, color=PALETTE["blue"], lw=0.6, alpha=0.35)
    ax.plot(x, np.maximum(x, 0), "--", color="black", lw=1)
    ax.set(xlabel="$x_i$", ylabel="added to output i")
    return ax


def loss_by_density(relative: xr.DataArray, ax: Axes | None = None, *, linear: xr.DataArray | None = None) -> Axes:
    """Loss over the naive baseline's against 1/(1 − S), over (n_hidden, n_residual, feature_probability).

    A colour per number of neurons; solid lines where n_residual is 0 and labels are clean, dashed where features are random
    directions of a stream. `linear`, over (n_hidden, feature_probability), are thin lines: the loss of a linear control.
    """
    ax = current_axes(ax)
    x = 1 / relative["feature_probability"].values
    for color, m in zip(SIZE_COLORS, relative["n_hidden"].values, strict=False):
        for d in relative["n_residual"].values:
            values = relative.sel(n_hidden=m, n_residual=d).values
            ax.plot(x, values, "s--" if d else "o-", color=color, ms=4, mfc="white" if d else color)
        if linear is not None:
            ax.plot(x, linear.sel(n_hidden=m).values, "-.", color=color, lw=1)
    ax.axhline(1, color="black", lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel="1 / (1 − S)", ylabel="loss / naive loss")
    plain_ticks(ax, y=True)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    return ax


def density_keys(relative: xr.DataArray) -> list[Line2D]:
    """What colours and lines of `loss_by_density` mean, for a legend."""
    sizes = zip(SIZE_COLORS, relative["n_hidden"].values, strict=False)
    lines = [Line2D([], [], color=color, lw=2, label=f"{m} neurons") for color, m in sizes]
    kinds = (("o-", "black", "clean labels"), ("s--", "white", "embedded"))
    marks = [Line2D([], [], ls=s[1:], marker=s[0], color="black", mfc=c, ms=4, label=name) for s, c, name in kinds]
    others = ((":", "naive baseline"), ("-.", "linear control"))
    return [*lines, *marks, *(Line2D([], [], color="black", lw=1, ls=s, label=name) for s, name in others)]
