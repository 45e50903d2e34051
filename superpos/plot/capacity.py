"""How much of a dimension every feature gets."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos import arrays, check
from superpos.plot.style import PALETTE, current_axes
from superpos.plot.sweeps import log_edges, plain_ticks


def capacity_map(capacity: xr.DataArray, ax: Axes | None = None) -> Any:
    """C_i over 1/(1 − S) and features, first feature on top; dims (feature_probability, feature). Returns the image."""
    ax = current_axes(ax)
    values = capacity.sortby("feature_probability", ascending=False).transpose("feature", "feature_probability")
    n = values.sizes["feature"]
    mesh = ax.pcolormesh(
        log_edges(1 / values.feature_probability.values),
        np.arange(n + 1) - 0.5,
        values.values,
        vmin=0,
        vmax=1,
        cmap="viridis",
        rasterized=True,
    )
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="feature i", ylim=(n - 0.5, -0.5))
    plain_ticks(ax)
    return mesh


def capacity_by_importance(importance: Any, capacity: Any, ax: Axes | None = None, *, expected: Any = None) -> Axes:
    """C_i of one model against importance, most important first; `expected` capacities as a staircase behind."""
    ax = current_axes(ax)
    importance = arrays.as_numpy("importance", importance, ndim=1)
    check.in_range("importance", importance, above=0)
    capacity = arrays.as_numpy("capacity", capacity, shape=importance.shape)
    if expected is not None:
        expected = arrays.as_numpy("expected", expected, shape=importance.shape)
        ax.step(importance, expected, where="mid", color=PALETTE["orange"], lw=1.4, label="equal marginal benefit")
    ax.plot(importance, capacity, "o", color="black", ms=3.5, label="trained")
    ax.set(xscale="log", xlim=(1.15 * importance.max(), importance.min() / 1.15), ylim=(-0.05, 1.08))
    ax.set(xlabel="importance $I_i$", ylabel="capacity $C_i$", yticks=[0, 0.5, 1])
    return ax


def capacity_bound(missing: Any, defect: Any, ax: Axes | None = None, *, color: Any = "black", label: str = "") -> Axes:
    """Capacity missing from m against the largest frame defect, one dot per model; equality is the lower left corner."""
    ax = current_axes(ax)
    missing, defect = arrays.as_numpy("missing", missing, ndim=1), arrays.as_numpy("defect", defect, ndim=1)
    ax.plot(defect, missing, "o", color=color, ms=2.5, mec="none", alpha=0.6, label=label)
    ax.set(xlabel="largest frame defect", ylabel="$m - \\Sigma C_i$")
    ax.locator_params(nbins=4)  # numbers of three digits: more would run into each other
    return ax
