"""Pictures of circuits: features, neurons and outputs, and what silencing them costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superpos.plot.appearance import PALETTE, current_axes

EXCITES, INHIBITS = PALETTE["black"], PALETTE["red"]
MARKED = PALETTE["sky"]


def circuit(
    W1: Any,
    W2: Any,
    ax: Axes | None = None,
    *,
    marked: Sequence[int] = (),
    features: Sequence[int] = (),
    above: float = 0.1,
) -> Axes:
    """Features (left) → neurons → outputs (right): line width is |weight|, black is positive, red negative.

    Weights below `above` of the largest of their layer are not drawn. Neurons in `marked` are blue; of `features`, if
    there are any, alone the lines are drawn in full, all others pale.
    """
    ax = current_axes(ax)
    W1, W2 = np.asarray(W1), np.asarray(W2)
    n_hidden, n = W1.shape
    y, z = np.linspace(1, 0, n), np.linspace(0.95, 0.05, n_hidden) if n_hidden > 1 else np.array([0.5])
    for W, x0, left, right in ((W1.T, 0, y, z), (W2.T, 1, z, y)):
        largest = np.max(np.abs(W))
        for i, k in np.argwhere(np.abs(W) > above * largest):
            feature, neuron = (i, k) if x0 == 0 else (k, i)
            in_full = (not len(features) or feature in features) and (not len(marked) or neuron in marked)
            ax.plot(
                [x0, x0 + 1],
                [left[i], right[k]],
                color=EXCITES if W[i, k] > 0 else INHIBITS,
                lw=4 * abs(W[i, k]) / largest,
                alpha=0.9 if in_full else 0.13,
                solid_capstyle="butt",
                zorder=2 if in_full else 1,
            )
    for x, heights, ha, shift in ((0, y, "right", -0.06), (2, y, "left", 0.06)):
        ax.plot(np.full(n, x), heights, "o", color="white", mec="black", ms=6, zorder=3)
        for i, height in enumerate(heights):
            ax.text(x + shift, height, f"{i + 1}", ha=ha, va="center_baseline", fontsize=7)
    for k, height in enumerate(z):
        ax.plot([1], [height], "s", color=MARKED if k in marked else "white", mec="black", ms=11, zorder=3)
        ax.text(1, height, f"{k + 1}", ha="center", va="center_baseline", fontsize=7, zorder=4)
    for x, name in enumerate(("features", "neurons", "outputs")):
        ax.text(x, 1.08, name, ha="center", fontsize=8)
    ax.set(xlim=(-0.25, 2.25), ylim=(-0.06, 1.14))
    ax.axis("off")
    return ax


def circuit_keys() -> list[Line2D]:
    """What the colours of `circuit` mean, for a legend."""
    lines = [Line2D([], [], color=c, lw=2.5, label=w) for c, w in ((EXCITES, "positive"), (INHIBITS, "negative"))]
    return [*lines, Line2D([], [], marker="s", ls="", color=MARKED, mec="black", ms=8, label="the motif")]


def ablations(
    names: Sequence[str], rise: Any, ax: Axes | None = None, *, loss: float, marked: Sequence[int] = ()
) -> Axes:
    """By what factor the loss grows without each group of neurons, one bar each; `loss` is that of the whole model."""
    ax = current_axes(ax)
    factor = 1 + np.asarray(rise) / loss
    colors = [MARKED if k in marked else "#BBBBBB" for k in range(len(names))]
    ax.barh(np.arange(len(names)), factor, color=colors)
    ax.axvline(1, color="black", lw=0.8)
    ax.set(yticks=np.arange(len(names)), xlabel="loss without them / loss")
    ax.set_yticklabels(names)
    ax.invert_yaxis()
    return ax
