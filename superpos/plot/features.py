"""Pictures of one model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos import arrays
from superpos.errors import ConfigError
from superpos.plot.appearance import DIVERGING, PALETTE, current_axes


def weights(source: Any) -> np.ndarray:
    """W of a model, a run, a sweep result holding one cell, or W itself, as (n_hidden, n_features)."""
    W = arrays.as_numpy("source", arrays.weights_of("source", source), empty=True, largest=arrays.MAX_WEIGHT)
    if W.ndim != 2:
        raise ConfigError(f"one model's W of shape (n_hidden, n_features) is needed, got shape {W.shape}.")
    return W


def feature_directions(source: Any, ax: Axes | None = None, *, color: Any = None, limit: float | None = None) -> Axes:
    """Feature directions of a model with two hidden dimensions as lines from the origin, with the unit circle.

    `source` is a model, a run, a sweep result holding one cell, or W. Features run from dark (first) to bright (last)
    unless `color` gives one colour, or a list of one per feature.
    """
    ax, W = current_axes(ax), weights(source)
    if len(W) != 2:
        raise ConfigError(f"feature directions can be drawn in 2 hidden dimensions, this model has {len(W)}.")
    limit = 1.25 * max(1.0, float(np.abs(W).max())) if limit is None else limit
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="#DDDDDD", lw=0.8, zorder=0)
    shades = _colors(color, W.shape[1])
    for i, (x, y) in enumerate(W.T):
        ax.plot([0, x], [0, y], color=shades[i], lw=1.6, solid_capstyle="round")
        ax.plot([x], [y], "o", color=shades[i], ms=4, mec="white", mew=0.5, label=f"feature {i}")
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def feature_directions_3d(
    source: Any,
    ax: Any = None,
    *,
    color: Any = None,
    faces: Sequence[Sequence[int]] = (),
    limit: float | None = None,
    view: tuple[float, float] = (20, 35),
) -> Any:
    """Feature directions of a model with three hidden dimensions as lines from the origin, inside the unit sphere.

    `source` and `color` are as in `feature_directions`; `ax` is an axes with `projection="3d"`, made if there is none.
    Each of `faces` is a group of features whose ends are joined to a shaded face, `view` the elevation and azimuth of the
    eye in degrees.
    """
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    W = weights(source)
    if len(W) != 3:
        raise ConfigError(f"feature directions in space need 3 hidden dimensions, this model has {len(W)}.")
    ax = axes_3d(ax)
    limit = max(1.0, float(np.abs(W).max())) if limit is None else limit
    turn = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(turn), np.sin(turn), 0 * turn])
    for shift in range(3):
        ax.plot(*np.roll(circle, shift, axis=0), color="#DDDDDD", lw=0.6)
    shades = _colors(color, W.shape[1])
    for members in faces:
        corners = W[:, list(members)].T
        ax.add_collection3d(Poly3DCollection([corners], color=shades[members[0]], alpha=0.18, lw=0))
    for i, end in enumerate(W.T):
        ax.plot(*np.stack([0 * end, end]).T, color=shades[i], lw=1.4, solid_capstyle="round")
        ax.plot(*end[:, None], "o", color=shades[i], ms=4.5, mec="white", mew=0.5, label=f"feature {i}")
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), zlim=(-limit, limit))
    ax.set_box_aspect((1, 1, 1), zoom=1.5)
    ax.view_init(*view)
    ax.set_axis_off()
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
    norms = arrays.as_numpy("norms", norms, ndim=1, finite=False)
    interference = np.clip(arrays.as_numpy("interference", interference, shape=norms.shape, finite=False), 0, 1)
    dark, bright = np.array([0.0, 0.0, 0.0]), np.array([0.902, 0.624, 0.0])
    colors = dark + interference[:, None] * (bright - dark)
    ax.barh(np.arange(len(norms)), norms, color=colors, height=0.85)
    ax.set(ylim=(len(norms) - 0.5, -0.5), xlim=(0, max(1.2, 1.05 * float(norms.max(initial=0)))), yticks=[])
    return ax


def set_colors(n_features: int, sets: Sequence[Sequence[int]]) -> list[str]:
    """One colour per feature: the same for the members of a set, grey for features in none."""
    colors, wheel = [PALETTE["grey"]] * n_features, ("blue", "orange", "green", "purple", "sky", "red")
    for k, members in enumerate(sets):
        for i in members:
            colors[i] = PALETTE[wheel[k % len(wheel)]]
    return colors


def axes_3d(ax: Any) -> Any:
    """`ax`, or new axes in space in the current figure of pyplot."""
    import matplotlib.pyplot as plt

    ax = plt.gcf().add_subplot(projection="3d") if ax is None else ax
    if not hasattr(ax, "set_zlim"):
        raise ConfigError('ax must be an axes with projection="3d".')
    return ax


def _colors(color: Any, n: int) -> list[Any]:
    """One colour per feature from one for all, from a list, or from none."""
    if color is None:
        return _shades(n)
    colors = [color] * n if isinstance(color, str) or np.ndim(color) < 1 else list(color)
    if len(colors) != n:
        raise ConfigError(f"color must be one colour or a list of {n}, one per feature, got {len(colors)}.")
    return colors


def _shades(n: int) -> list[Any]:
    """From dark (feature 0) to bright, in steps that any colour vision tells apart."""
    import matplotlib as mpl

    return [mpl.colormaps["viridis"](0.92 * i / max(1, n - 1)) for i in range(n)]
