"""Pictures of the minima of a loss along an axis."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.appearance import current_axes
from superpos.plot.shape_colors import shape_look
from superpos.plot.sweeps import plain_ticks

STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
OTHERS = "#BBBBBB"


def minima_lines(
    table: xr.Dataset,
    variable: str,
    labels: dict[int, tuple[str, str]],
    ax: Axes | None = None,
    *,
    relative_to: Any = None,
    crossing: Any = (),
) -> Axes:
    """One line per minimum of a `landscape` along an axis: `variable` over the axis.

    `labels` are of the minima to name: number → (shape, label). Their colour is that of the shape, their dashes tell apart
    those of one colour; the others are thin and grey. Points are as large as the share of starts that end there. Values are
    divided by `relative_to` (one per setting). Dotted: `crossing`. A
    `variable` with an interval, `share`, has it as a band.
    """
    ax = current_axes(ax)
    axis = next(str(d) for d in table["loss"].dims if d != "minimum")
    x, ratio = table[axis].values, 1.0 if relative_to is None else np.asarray(relative_to)
    for value in np.atleast_1d(crossing):
        ax.axvline(value, color="#888888", ls=":", lw=1, zorder=0)
    of_color: dict[str, int] = {}
    for place, number in enumerate(table["minimum"].values.tolist()):
        branch = table.isel(minimum=place)
        y = branch[variable].values / ratio
        if number not in labels:
            if variable == "loss":
                ax.plot(x, y, color=OTHERS, lw=0.6, zorder=1)
            continue
        shape, label = labels[number]
        color = shape_look(shape).fill
        style = STYLES[of_color.setdefault(color, 0) % len(STYLES)]
        of_color[color] += 1
        ax.plot(x, y, color=color, ls=style, lw=1.4, label=label, zorder=2)
        if variable == "loss":
            ax.scatter(x, y, s=60 * np.nan_to_num(branch["share"].values), color=color, lw=0, zorder=3)
        if variable == "share":
            low, high = branch["share_low"].values, branch["share_high"].values
            ax.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
    ax.set(xscale="log")
    plain_ticks(ax)
    return ax
