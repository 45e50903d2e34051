"""Gates of bits: losses beside both baselines, and how many gates a neuron serves, by density."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.style import PALETTE, current_axes
from superpos.plot.sweeps import plain_ticks

OPERATION_COLORS = {"and": PALETTE["blue"], "or": PALETTE["orange"]}


def gate_losses(
    relative: xr.DataArray, linear: xr.DataArray, bound: xr.DataArray | None = None, ax: Axes | None = None
) -> Axes:
    """Loss over the naive baseline against 1/(1 − S): a dot per model and a line through the best.

    The linear control is dashed, a lower bound dotted. `relative` is over (operation, feature_probability, seed), `linear`
    and `bound` over (operation, feature_probability); all are losses over the naive baseline's.
    """
    ax = current_axes(ax)
    x = 1 / relative["feature_probability"].values
    ax.axhline(1, color=PALETTE["grey"], lw=1, label="naive baseline")
    for operation in relative["operation"].values:
        color = OPERATION_COLORS[str(operation)]
        values = relative.sel(operation=operation).transpose("feature_probability", "seed").values
        ax.plot(x, values.min(axis=1), "-", color=color, label=f"{str(operation).upper()}, trained")
        ax.plot(x, values, "o", color=color, ms=3, alpha=0.6)
        ax.plot(x, linear.sel(operation=operation).values, "--", color=color, lw=1)
        if bound is not None:
            ax.plot(x, bound.sel(operation=operation).values, ":", color=color, lw=1)
    ax.plot([], [], "--", color="black", lw=1, label="linear control")
    if bound is not None:
        ax.plot([], [], ":", color="black", lw=1, label="least for the rank")
    ax.set(xscale="log", yscale="log", xlabel="1 / (1 − S)", ylabel="loss / naive baseline")
    plain_ticks(ax)
    ax.set_ylim(ax.get_ylim()[0] / 2, None)  # room for the legend
    ax.legend(loc="lower left")
    return ax


def gates_per_neuron(served: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Effective number of gates per neuron against 1/(1 − S): median and quartiles over (operation, feature_probability, …).

    Solid for a squared error, dotted for any other `loss_exponent`; neurons that never fire are NaN and left out.
    """
    ax = current_axes(ax)
    x = 1 / served["feature_probability"].values
    for operation in served["operation"].values:
        for q in served["loss_exponent"].values:
            values = served.sel(operation=operation, loss_exponent=q).transpose("feature_probability", ...).values
            low, middle, high = np.nanquantile(values.reshape(len(x), -1), (0.25, 0.5, 0.75), axis=1)
            color = OPERATION_COLORS[str(operation)]
            ax.fill_between(x, low, high, color=color, alpha=0.12, lw=0)
            style = "o-" if q == 2 else "s:"
            ax.plot(x, middle, style, color=color, ms=3, label=f"{str(operation).upper()}, L{q}")
    ax.axhline(1, color=PALETTE["grey"], lw=1)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="gates per neuron\n(participation ratio)")
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    plain_ticks(ax)
    ax.legend(loc="upper left", ncols=2)
    return ax
