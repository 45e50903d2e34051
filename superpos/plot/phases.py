"""Phase diagrams: density across, relative importance up."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from superpos.plot.appearance import PALETTE, current_axes
from superpos.plot.sweeps import log_edges, plain_ticks

PHASE_COLORS = {
    "ignored": "#F2F2F2",
    "dedicated": PALETTE["blue"],
    "in superposition": PALETTE["orange"],
}


def phase_map(norm: xr.DataArray, interference: xr.DataArray, ax: Axes | None = None, *, boundaries: Any = ()) -> Axes:
    """Colour every cell by the paper's two numbers: how long the feature is, and how much others share its direction.

    Grey is ignored, blue has a direction of its own, orange shares it; in between the colours mix. Both arrays are over
    (feature_probability, relative_importance). `boundaries` are curves of `superpos.theory.boundaries`.
    """
    ax = current_axes(ax)
    ignored, dedicated, shared = (np.array(to_rgb(c)) for c in PHASE_COLORS.values())
    length = np.clip(_upright(norm), 0, 1)[..., None]
    share = np.clip(_upright(interference), 0, 1)[..., None]
    colors = (1 - length) * ignored + length * ((1 - share) * dedicated + share * shared)
    _cells(norm, np.clip(colors, 0, 1), ax)
    for curve in boundaries:
        ax.plot(curve.feature_probability, curve.importance, "--", color="black", lw=1.0)
    return _frame(norm, ax)


def excess_map(excess: xr.DataArray, ax: Axes | None = None, *, agrees: xr.DataArray | None = None) -> Any:
    """How far every cell's loss is above the optimum, in per cent; rings where the phase differs. Returns the image."""
    ax = current_axes(ax)
    mesh = _cells(excess, 100 * _upright(excess), ax, vmin=0, vmax=2, cmap="Greys")
    if agrees is not None:
        where = np.argwhere(~_upright(agrees).astype(bool))
        p, r = excess.feature_probability.values, excess.relative_importance.values
        ax.plot(p[where[:, 1]], r[where[:, 0]], "o", mfc="none", mec=PALETTE["red"], ms=3.5, mew=0.8)
    _frame(excess, ax)
    return mesh


def basin_map(basin_probability: xr.DataArray, ax: Axes | None = None) -> Any:
    """Share of the restarts that reached the best solution, cell by cell. Returns the image."""
    ax = current_axes(ax)
    mesh = _cells(basin_probability, _upright(basin_probability), ax, vmin=0, vmax=1, cmap="viridis")
    _frame(basin_probability, ax)
    return mesh


def phase_keys() -> list[Patch]:
    """Handles for a legend of the three phases."""
    return [Patch(facecolor=color, edgecolor="#888888", label=name) for name, color in PHASE_COLORS.items()]


def _upright(values: xr.DataArray) -> np.ndarray:
    return values.transpose("relative_importance", "feature_probability").values


def _cells(labels: xr.DataArray, values: np.ndarray, ax: Axes, **style: Any) -> Any:
    p, r = labels.feature_probability.values, labels.relative_importance.values
    return ax.pcolormesh(log_edges(p), log_edges(r), values, rasterized=True, shading="flat", **style)


def _frame(labels: xr.DataArray, ax: Axes) -> Axes:
    p, r = labels.feature_probability.values, labels.relative_importance.values
    ax.set(xscale="log", yscale="log", xlim=(p.max(), p.min()), ylim=(r.min(), r.max()))
    ax.set(xlabel="density 1 − S", ylabel="relative importance of the extra feature")
    plain_ticks(ax, subs=(1,), y=True)
    return ax
