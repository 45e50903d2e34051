"""Training through time."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from superpos.plot.appearance import PALETTE, current_axes


def dimensionality_levels(
    D: Any, steps: Any, ax: Axes | None = None, *, levels: tuple[float, ...] = (0, 1 / 2)
) -> Axes:
    """D_i through training, one line per feature, (n_points, n_features) at `steps` (n_points,), and the levels.

    Features that end on the upper half of the levels are blue, others grey.
    """
    ax = current_axes(ax)
    D = np.asarray(D)
    for level in levels:
        ax.axhline(level, color="#CCCCCC", lw=0.8, zorder=0)
    clear = D[-1] > max(levels) / 2
    for chosen, color, name in ((~clear, PALETTE["grey"], "not represented"), (clear, PALETTE["blue"], "represented")):
        lines = ax.plot(steps, D[:, chosen], color=color, lw=0.9, alpha=0.8)
        if lines:
            lines[0].set_label(f"{name} in the end")
    ax.set(xlabel="step", ylabel="feature dimensionality $D_i$")
    return ax


def loss_steps(loss: Any, steps: Any, ax: Axes | None = None, *, windows: Any = ()) -> Axes:
    """Loss at the points `steps`, with the intervals shaded that the mask `windows` (n_points - 1,) marks."""
    ax = current_axes(ax)
    steps = np.asarray(steps)
    for k in np.flatnonzero(windows):
        ax.axvspan(steps[k], steps[k + 1], color=PALETTE["orange"], alpha=0.3, lw=0)
    ax.plot(steps, loss, color="black")
    ax.set(xlabel="step", ylabel="loss")
    return ax


def logistic_growth(share: Any, rates: Any, steps: Any, names: Any, ax: Axes | None = None, **style: Any) -> Axes:
    r"""$\log(a/(1-a))$ against the step, one line per row of `share` (n_lines, n_points).

    Dashed: straight lines of the slopes `rates` (n_lines,) through the point where a passes one half.
    """
    ax = current_axes(ax)
    a, steps = np.asarray(share), np.asarray(steps)
    limit = 6.0  # beyond that, single precision has nothing to say about 1 - a
    shades = [PALETTE[name] for name in ("black", "blue", "green", "orange", "purple")]
    for k, (row, rate, name) in enumerate(zip(a, rates, names, strict=True)):
        inside = (row > 1 / (1 + np.exp(limit))) & (row < 1 / (1 + np.exp(-limit)))
        logit = np.log(row[inside] / (1 - row[inside]))
        ax.plot(steps[inside], logit, ".", color=shades[k % 5], ms=3, label=name, **style)
        if np.any(logit > 0) and np.any(logit < 0):
            half = np.interp(0, logit, steps[inside])
            ends = np.array([-limit, limit])
            ax.plot(half + ends / float(rate), ends, "--", color=shades[k % 5], lw=0.9)
    ax.set(xlabel="step", ylabel="$\\log(a/(1-a))$", ylim=(-limit, limit), xlim=(0, None))
    return ax
