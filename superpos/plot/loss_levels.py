"""Loss through training beside the levels that theory knows, and the polygons that training ends with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos.plot.style import PALETTE, current_axes
from superpos.plot.sweeps import plain_ticks

LEVEL_COLORS = ("blue", "green", "sky", "orange", "red", "purple")


def loss_on_levels(
    loss: Any, steps: Any, levels: Any, names: Sequence[str], ax: Axes | None = None, *, chosen: Any = None
) -> Axes:
    """Losses (n_models, n_points) at `steps`, and the values `levels` with their `names`, dashed, one colour each.

    A line has the colour of the level whose number `chosen` (n_models,) holds, and is black where that is -1 or not given.
    """
    ax, loss = current_axes(ax), np.asarray(loss)
    shades = [PALETTE[LEVEL_COLORS[k % len(LEVEL_COLORS)]] for k in range(len(names))]
    for value, name, color in zip(levels, names, shades, strict=True):
        ax.axhline(float(value), color=color, ls="--", lw=0.8, zorder=0)
        place: Any = {
            "xycoords": ("axes fraction", "data"),
            "textcoords": "offset points",
            "ha": "right",
            "va": "bottom",
        }
        ax.annotate(name, (1.0, float(value)), (-1, 0.5), fontsize=6.5, color=color, **place)
    for k, line in enumerate(loss):
        level = -1 if chosen is None else int(chosen[k])
        ax.plot(steps, line, color="black" if level < 0 else shades[level], lw=0.8, alpha=0.7)
    ax.set(
        xlabel="step", ylabel="loss (sum over features)", xscale="log", yscale="log", xlim=(None, 2.5 * np.max(steps))
    )
    plain_ticks(ax, y=True)
    plain_ticks(ax, subs=(1,))
    return ax
