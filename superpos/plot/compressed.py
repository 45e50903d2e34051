"""Compressed computation: losses beside the naive baseline, and what every output makes of its own input."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.appearance import PALETTE, current_axes


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
