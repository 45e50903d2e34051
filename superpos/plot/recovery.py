"""What sparse autoencoders recovered: decoder columns beside true directions."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos.errors import ConfigError
from superpos.plot.appearance import PALETTE, current_axes
from superpos.plot.features import axes_3d

TRUE_COLOR = "#BBBBBB"
LATENT_COLORS = [PALETTE[name] for name in ("blue", "orange", "green", "purple", "red", "sky", "black", "yellow")]


def recovered_directions(directions: Any, decoder: Any, ax: Axes | None = None) -> Axes:
    """True directions in the plane as broad grey lines, decoder columns over them as thin coloured arrows.

    `directions` is (2, n_features), `decoder` (2, n_latents). All are drawn at the length 1; columns of no length are left
    out, and true ones that are not to be shown are better left out before.
    """
    ax, (directions, decoder) = current_axes(ax), _checked(directions, decoder, 2)
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="#E5E5E5", lw=0.7, zorder=0)
    for end in directions.T:
        ax.plot([0, end[0]], [0, end[1]], color=TRUE_COLOR, lw=4.5, solid_capstyle="butt", zorder=1)
    for j, end in enumerate(decoder.T):
        color = LATENT_COLORS[j % len(LATENT_COLORS)]
        arrow = {"arrowstyle": "-|>", "color": color, "lw": 1.3, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
        ax.annotate("", xy=tuple(end), xytext=(0, 0), arrowprops=arrow, zorder=3)
    ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def recovered_directions_3d(
    directions: Any, decoder: Any, ax: Any = None, *, view: tuple[float, float] = (20, 35)
) -> Any:
    """As `recovered_directions`, in space: `directions` is (3, n_features), `decoder` (3, n_latents).

    `ax` is an axes with `projection="3d"`, made if there is none; `view` is the elevation and azimuth of the eye in degrees.
    """
    directions, decoder = _checked(directions, decoder, 3)
    ax = axes_3d(ax)
    turn = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(turn), np.sin(turn), 0 * turn])
    for shift in range(3):
        ax.plot(*np.roll(circle, shift, axis=0), color="#E5E5E5", lw=0.6)
    for end in directions.T:
        ax.plot(*np.stack([0 * end, end]).T, color=TRUE_COLOR, lw=4.5, solid_capstyle="butt")
    for j, end in enumerate(decoder.T):
        color = LATENT_COLORS[j % len(LATENT_COLORS)]
        ax.plot(*np.stack([0 * end, end]).T, color=color, lw=1.4, solid_capstyle="round")
        ax.plot(*end[:, None], "o", color=color, ms=4.5, mec="white", mew=0.5)
    ax.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
    ax.set_box_aspect((1, 1, 1), zoom=1.5)
    ax.view_init(*view)
    ax.set_axis_off()
    return ax


def _checked(directions: Any, decoder: Any, n_hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as columns of length 1, without those of no length."""
    both = []
    for name, value in (("directions", directions), ("decoder", decoder)):
        columns = np.asarray(value, float)
        if columns.ndim != 2 or len(columns) != n_hidden:
            raise ConfigError(f"{name} must have shape ({n_hidden}, any), got {columns.shape}.")
        lengths = np.linalg.norm(columns, axis=0)
        both.append(columns[:, lengths > 0] / lengths[lengths > 0])
    return both[0], both[1]
