"""Pictures of double descent: test loss, dimensionality and hidden vectors against the number of data points."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.plot.style import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks


def loss_by_points(
    loss: xr.DataArray, best: xr.DataArray, ax: Axes | None = None, *, color: Any = "black", label: str = ""
) -> Axes:
    """`loss` over (n_points, seed): a dot per seed and a line through the `best` ones; 1 is the loss of predicting zero."""
    ax = current_axes(ax)
    loss = loss.transpose("n_points", "seed")
    x = loss["n_points"].values
    ax.plot(x, loss.isel(seed=best), "-", color=color, label=label)
    ax.plot(x, loss.values, "o", color=color, ms=2.5, mec="none", alpha=0.5)
    ax.axhline(1, color="#BBBBBB", lw=0.8, zorder=0)
    ax.set(xscale="log", xlabel="data points T", ylabel="test loss")
    plain_ticks(ax, subs=(1,))
    return ax


def shares_by_points(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Mean dimensionality of points and largest of features against T, with m/T of the polygon (m = 2) in grey."""
    ax = current_axes(ax)
    x = table["n_points"].values
    ax.plot(x, np.minimum(2 / x, 1), color="#BBBBBB", lw=3, label="2/T", zorder=0)
    ax.plot(x, table["point_share"], "o-", color=PALETTE["blue"], ms=3, label="points, mean $D_X$")
    ax.plot(x, table["feature_share"], "s-", color=PALETTE["orange"], ms=3, label="features, largest $D_f$")
    ax.set(xscale="log", xlabel="data points T", ylabel="dimensionality", ylim=(0, None))
    ax.legend()
    plain_ticks(ax, subs=(1,))
    return ax


def hidden_vectors(vectors: Any, ax: Axes | None = None, *, color: Any = "black") -> Axes:
    """Vectors of two hidden dimensions, (2, count), as lines from the origin that end in dots, in units of the longest."""
    ax, vectors = current_axes(ax), np.asarray(vectors)
    vectors = vectors / np.linalg.norm(vectors, axis=0).max()
    lines = np.stack([0 * vectors, vectors, np.full_like(vectors, np.nan)], axis=-1).reshape(2, -1)
    ax.plot(*lines, color=color, lw=0.5, alpha=0.6)
    ax.plot(*vectors, "o", color=color, ms=2, mec="none")
    ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def double_descent(
    result: Any, table: xr.Dataset, four: xr.Dataset, shown: Sequence[tuple[int, np.ndarray, np.ndarray]]
) -> tuple[Figure, str]:
    """Test loss and dimensionalities against T, and below the hidden vectors of features and points of some T.

    `table` is that of `experiments.double_descent.measure` for two hidden dimensions, of which the first weight decay
    is drawn, and `four` has the `losses` for four; `shown` holds (T, W, hidden vectors of the points). Henighan et al.
    2023, "Superposition, Memorization, and Double Descent".
    """
    figure = plt.figure(figsize=(8.4, 5.2))
    top = figure.add_gridspec(1, 3, left=0.07, right=0.98, bottom=0.58, top=0.94, wspace=0.32)
    panels = [figure.add_subplot(top[0, k]) for k in range(3)]
    for losses, ax in ((table.isel(weight_decay=[0]), panels[0]), (four, panels[1])):
        for k, color in zip(range(losses.sizes["weight_decay"]), ("black", PALETTE["red"]), strict=False):
            one = losses.isel(weight_decay=k)
            label = f"weight decay {float(one['weight_decay']):g}"
            loss_by_points(one["test_loss"], one["best"], ax, color=color, label=label)
        ax.set_title(f"test loss, m = {losses.attrs['m']}")
        ax.margins(y=0.2)  # room for the legend above the bump
        ax.legend(loc="upper left")
    shares_by_points(table.isel(weight_decay=0), panels[2]).set_title("dimensionality, m = 2")
    bottom = figure.add_gridspec(2, len(shown), left=0.08, right=0.98, bottom=0.0, top=0.44, wspace=0.05, hspace=0.05)
    for k, (count, W, H) in enumerate(shown):
        for row, (vectors, color) in enumerate(((W, PALETTE["orange"]), (H, PALETTE["blue"]))):
            ax = hidden_vectors(vectors, figure.add_subplot(bottom[row, k]), color=color)
            if row == 0:
                ax.set_title(f"T = {count:,}")
            if k == 0:
                ax.set_ylabel(("features", "points")[row])
    text = (
        "Top: loss on fresh points, of every seed (dots) and the one of least training loss (line), with m hidden "
        "dimensions; grey: predicting zero. Right: share of a hidden dimension, in the model of least training loss. "
        "Bottom: hidden vectors of features (columns of W) and of the data points, m = 2, each in units of the longest."
    )
    train = result.attrs["train"]
    text += f" {train['warmup_steps']:,} steps of warm-up; biases {'decay' if train['decay_bias'] else 'do not decay'}."
    return figure, caption(result.attrs, text)
