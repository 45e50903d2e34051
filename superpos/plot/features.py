"""Pictures of one model."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos.errors import ConfigError
from superpos.plot.style import DIVERGING, current_axes
from superpos.sweep import SweepResult
from superpos.train import Run


def weights(source: Any) -> np.ndarray:
    """W of a model, a run, a sweep result holding one cell, or W itself, as (n_hidden, n_features)."""
    model = source.model() if isinstance(source, SweepResult) else source.model if isinstance(source, Run) else source
    W = np.asarray(model.W if hasattr(model, "W") else model)
    if W.ndim != 2:
        raise ConfigError(f"one model's W of shape (n_hidden, n_features) is needed, got shape {W.shape}.")
    return W


def feature_directions(source: Any, ax: Axes | None = None, *, color: Any = None, limit: float | None = None) -> Axes:
    """Feature directions of a model with two hidden dimensions as lines from the origin, with the unit circle.

    `source` is a model, a run, a sweep result holding one cell, or W. Features run from dark (first) to bright (last)
    unless `color` gives one colour.
    """
    ax, W = current_axes(ax), weights(source)
    if len(W) != 2:
        raise ConfigError(f"feature directions can be drawn in 2 hidden dimensions, this model has {len(W)}.")
    limit = 1.25 * max(1.0, float(np.abs(W).max())) if limit is None else limit
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="#DDDDDD", lw=0.8, zorder=0)
    shades = _shades(W.shape[1])
    for i, (x, y) in enumerate(W.T):
        ax.plot([0, x], [0, y], color=color or shades[i], lw=1.6, solid_capstyle="round")
        ax.plot([x], [y], "o", color=color or shades[i], ms=4, mec="white", mew=0.5, label=f"feature {i}")
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def gram(source: Any, ax: Axes | None = None) -> Axes:
    """Heat map of WᵀW: the diagonal shows what is represented, the rest who interferes with whom."""
    ax, W = current_axes(ax), weights(source)
    image = ax.imshow(W.T @ W, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest")
    image.set_gid("gram")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(True)
    return ax


def feature_norms(norms: Any, interference: Any, ax: Axes | None = None) -> Axes:
    """Bars of ‖W_i‖, one per feature, dark where others do not interfere and orange where they do (saturating at 1)."""
    ax = current_axes(ax)
    norms, interference = np.asarray(norms), np.clip(np.asarray(interference), 0, 1)
    dark, bright = np.array([0.0, 0.0, 0.0]), np.array([0.902, 0.624, 0.0])
    colors = dark + interference[:, None] * (bright - dark)
    ax.barh(np.arange(len(norms)), norms, color=colors, height=0.85)
    ax.set(ylim=(len(norms) - 0.5, -0.5), xlim=(0, max(1.2, 1.05 * float(norms.max(initial=0)))), yticks=[])
    return ax


def _shades(n: int) -> list[Any]:
    """From dark (feature 0) to bright, in steps that any colour vision tells apart."""
    import matplotlib as mpl

    return [mpl.colormaps["viridis"](0.92 * i / max(1, n - 1)) for i in range(n)]
