"""What a penalty on the hidden layer does: density, and the weight of the penalty, which may be 0."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.phases import PHASE_COLORS
from superpos.plot.style import DIVERGING, PALETTE, current_axes
from superpos.plot.sweeps import log_edges, plain_ticks


def represented_by_penalty(
    count: xr.DataArray, interference: xr.DataArray, n_hidden: int, ax: Axes | None = None
) -> Axes:
    """Represented features (black, left) and their mean interference (orange, right) against the penalty's weight.

    Both are over `hidden_l1`. The grey line is the number of hidden dimensions.
    """
    ax = current_axes(ax)
    x = _positions(count.hidden_l1.values)
    ax.axhline(n_hidden, color="#BBBBBB", lw=0.8, zorder=0)
    ax.annotate("m", (1.005, n_hidden), xycoords=("axes fraction", "data"), va="center", color="#888888", fontsize=8)
    ax.plot(x, count, "o-", color="black", ms=3)
    ax.set(ylabel="features represented", ylim=(0, None))
    other = ax.twinx()
    other.plot(x, interference, "s--", color=PALETTE["red"], ms=3)
    other.set(ylim=(0, None))
    other.set_ylabel("mean interference", color=PALETTE["red"])
    other.tick_params(axis="y", colors=PALETTE["red"])
    other.spines["right"].set_visible(True)
    return _penalty_axis(ax, count.hidden_l1.values)


def loss_by_penalty(loss: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Loss without penalty against the penalty's weight, one line per density; dims (feature_probability, hidden_l1)."""
    import matplotlib as mpl

    ax = current_axes(ax)
    x, n = _positions(loss.hidden_l1.values), loss.sizes["feature_probability"]
    for k, p in enumerate(loss.feature_probability.values):
        line = loss.isel(feature_probability=k).transpose("hidden_l1")
        ax.plot(x, line, "o-", ms=2.5, lw=1, color=mpl.colormaps["viridis"](0.92 * k / max(1, n - 1)), label=f"{p:.2g}")
    ax.set(yscale="log", ylabel="loss, without the penalty")
    ax.legend(title="1 − S", loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2)
    return _penalty_axis(ax, loss.hidden_l1.values)


def regime_map(regime: xr.DataArray, ax: Axes | None = None, *, ends: Any = ()) -> Axes:
    """Colour every cell by the phase of the whole model; dims (feature_probability, hidden_l1), colours of `phase_map`.

    `ends` are weights of the penalty at which dashed lines are drawn.
    """
    from matplotlib.colors import to_rgb

    ax = current_axes(ax)
    names = regime.transpose("hidden_l1", "feature_probability").values
    colors = np.array([[to_rgb(PHASE_COLORS[name]) for name in row] for row in names])
    p, y = regime.feature_probability.values, _positions(regime.hidden_l1.values)
    ax.pcolormesh(log_edges(p), log_edges(y), colors, rasterized=True, shading="flat")
    for level in np.ravel(ends):
        ax.axhline(level, ls="--", color="black", lw=1)
    edges = log_edges(p)
    ax.set(xscale="log", xlim=(edges.max(), edges.min()), xlabel="density 1 − S")
    _penalty_axis(ax, regime.hidden_l1.values, y=True)
    plain_ticks(ax, subs=(1, 2, 5) if p.max() / p.min() < 50 else (1,))
    return ax


def _positions(weights: np.ndarray) -> np.ndarray:
    """Where weights stand on a logarithmic axis: 0 stands one step of the others below the least of them."""
    positive = np.sort(weights[weights > 0])
    if not len(positive):
        return np.ones(len(weights))
    step = positive[1] / positive[0] if len(positive) > 1 else 2
    return np.where(weights > 0, weights, positive[0] / step)


def _penalty_axis(ax: Axes, weights: np.ndarray, *, y: bool = False) -> Axes:
    from matplotlib.ticker import NullLocator

    at = _positions(weights)
    round_ones = np.ravel(np.outer(10.0 ** np.arange(-6, 4), (1, 2, 5)))
    inside = round_ones[(round_ones >= at[weights > 0].min(initial=np.inf) * 0.99) & (round_ones <= at.max() * 1.01)]
    ticks = {float(at[weights == 0][0]): "0"} if np.any(weights == 0) else {}
    ticks |= {float(v): f"{v:g}" for v in inside}
    axis = ax.yaxis if y else ax.xaxis
    ax.set(**{"yscale" if y else "xscale": "log", "ylabel" if y else "xlabel": "weight λ of the L1 penalty"})
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(list(ticks), list(ticks.values()))
    if y:
        edges = log_edges(at)
        ax.set_ylim(edges.min(), edges.max())
    return ax


def hidden_weights(models: Sequence[Any], ax: Axes | None = None, *, names: Sequence[str]) -> Axes:
    """Weights of several models, one block of rows (hidden units) above the other; blue negative, orange positive.

    Each model is W of shape (n_hidden, n_features). Features that lie along hidden axes have one entry that is not 0.
    """
    ax = current_axes(ax)
    arrays = [np.asarray(W) for W in models]
    m, n = arrays[0].shape
    gap = np.full((1, n), np.nan)
    rows = np.concatenate([part for W in arrays for part in (W, gap)][:-1])
    ax.imshow(rows, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    ax.set_yticks([(m + 1) * k + (m - 1) / 2 for k in range(len(arrays))], names)
    ax.set(xlabel="feature, most important first", xticks=[])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return ax
