"""Pictures of solutions that are followed while a setting changes."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos.plot.appearance import current_axes
from superpos.plot.shape_colors import shape_look
from superpos.plot.sweeps import plain_ticks


def branches(curves: dict[str, tuple[Any, Any]], ax: Axes | None = None, *, crossing: Any = ()) -> Axes:
    """One line per solution, (values, quantity), in the colour of its shape; dotted lines where two of them cross.

    A line is dashed by what is beside the largest shape (`superpos.plot.shape_look`).
    """
    ax = current_axes(ax)
    for value in np.atleast_1d(crossing):
        ax.axvline(value, color="#888888", ls=":", lw=1, zorder=0)
    for name, (x, y) in curves.items():
        look = shape_look(name)
        ax.plot(x, y, color=look.fill, ls=look.dashes, label=name)
    ax.set(xscale="log")
    plain_ticks(ax)
    return ax


def hysteresis(curves: dict[str, tuple[Any, Any]], ax: Axes | None = None, *, arrows: Any = ()) -> Axes:
    """The ways through one range of values, (values, quantity) each, with an arrow at every value of `arrows`.

    The first way is drawn solid, others dashed; a jump is a steep line.
    """
    ax = current_axes(ax)
    for k, (name, (x, y)) in enumerate(curves.items()):
        x, y = np.asarray(x), np.asarray(y)
        ax.plot(x, y, color="black", ls="--" if k else "-", lw=1.2, label=name)
        for at in np.atleast_1d(arrows):
            i = int(np.clip(np.abs(np.log(x / at)).argmin(), 1, len(x) - 1))
            head = {"arrowstyle": "-|>", "color": "black", "lw": 0}
            ax.annotate("", xy=(x[i], y[i]), xytext=(x[i - 1], y[i - 1]), arrowprops=head)
    ax.set(xscale="log")
    plain_ticks(ax)
    return ax
