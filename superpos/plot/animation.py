"""Training as a moving picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from superpos.errors import ConfigError
from superpos.plot.features import feature_directions_3d


def directions_animation(
    snapshots: Any,
    steps: Any,
    *,
    color: Any = None,
    faces: Sequence[Sequence[int]] = (),
    turn: float = 90.0,
    frames_per_second: int = 12,
) -> FuncAnimation:
    """Feature directions in three hidden dimensions through training, the eye turning by `turn` degrees meanwhile.

    `snapshots` has shape (n_frames, 3, n_features) and `steps` (n_frames,); `color` and `faces` are as in
    `feature_directions_3d`. Save it with `sp.plot.publish(..., animation=…)`, or `.save("x.gif", writer="pillow")`.

    Raises:
        ConfigError: a shape does not fit.
    """
    Ws, at = np.asarray(snapshots), np.asarray(steps)
    if Ws.ndim != 3 or Ws.shape[1] != 3 or at.shape != Ws.shape[:1]:
        raise ConfigError(
            f"snapshots must have shape (n_frames, 3, n_features), and steps (n_frames,); got {Ws.shape} and {at.shape}."
        )
    figure = Figure(figsize=(3.0, 3.2), dpi=85)
    ax: Any = figure.add_axes((0, 0, 1, 0.94), projection="3d")
    limit = max(1.0, float(np.abs(Ws).max()))

    def draw(k: int) -> list[Any]:
        ax.clear()
        view = (20, 35 + turn * k / max(1, len(Ws) - 1))
        feature_directions_3d(Ws[k], ax, color=color, faces=faces, limit=limit, view=view)
        ax.set_title(f"step {at[k]:,}", fontsize=9)
        return []

    return FuncAnimation(figure, draw, frames=len(Ws), interval=1000 / frames_per_second, init_func=list)
