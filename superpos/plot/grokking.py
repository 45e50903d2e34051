"""Pictures of a model that learned to add modulo p: its progress, and the circle on which it put the numbers."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos import arrays
from superpos.plot.appearance import PALETTE, current_axes

PHASE_SHADES = {"memorisation": "#EEEEEE", "circuit formation": "#D6E9F5", "clean-up": "#FBE8C8"}
CURVES = {
    "train": ("-", PALETTE["blue"]),
    "test": ("-", PALETTE["red"]),
    "restricted": ("--", PALETTE["green"]),
    "excluded": ("--", PALETTE["purple"]),
}


def progress_curves(
    table: xr.Dataset,
    ax: Axes | None = None,
    *,
    of: str = "loss",
    control: xr.DataArray | None = None,
    others: xr.DataArray | None = None,
) -> Axes:
    """Train and test `of` "loss" or "accuracy" over `step`, with the progress measures, and the phases shaded.

    `table` is that of `superpos.analysis.grokking.progress`. Restricted: the key frequencies alone; excluded: training
    pairs without them. `control` is the same test measure of another run, over `step`, dotted; `others` that of other seeds,
    thin. Both may be over `seed`, too.
    """
    ax, steps = current_axes(ax), table["step"].values
    ends = [table.attrs[f"phase_{name}"] for name in ("memorised", "circuit", "clean")]
    for start, end, (name, color) in zip([steps[0], *ends], ends, PHASE_SHADES.items(), strict=False):
        if start < end:
            ax.axvspan(start, end, color=color, lw=0, label=name, zorder=0)
    for name, (line, color) in CURVES.items():
        if (measured := f"{name}_{of}") in table:
            ax.plot(steps, table[measured], line, color=color, label=name)
    if others is not None:
        ax.plot(others["step"], _by_step(others), color=CURVES["test"][1], lw=0.6, alpha=0.6)
    if control is not None:
        lines = ax.plot(control["step"], _by_step(control), ":", color="black")
        lines[0].set_label("test, no weight decay")
    ax.set(xlabel="step", ylabel=of, xlim=(steps[0], steps[-1]), yscale="log" if of == "loss" else "linear")
    return ax


def _by_step(values: xr.DataArray) -> np.ndarray:
    """Columns of values, one per seed if there are several."""
    return values.transpose("step", ...).values


def embedding_circle(points: Any, frequency: int, ax: Axes | None = None) -> Axes:
    """Embeddings of the numbers in the plane of a frequency, (p, 2), labelled, joined in the order in which they turn."""
    ax, x = current_axes(ax), arrays.as_numpy("points", points, shape=(None, 2))
    p = len(x)
    around = np.arange(p + 1) * pow(int(frequency), -1, p) % p  # neighbours on the circle: k times their distance is 1
    ax.plot(*x[around].T, color="#CCCCCC", lw=0.7, zorder=0)
    ax.scatter(*x.T, c=np.arange(p), cmap="viridis", s=9)
    for a in around[:-1][:: max(1, p // 12)]:
        ax.text(1.22 * x[a, 0], 1.22 * x[a, 1], f"{a}", ha="center", va="center", fontsize=6)
    ax.set(aspect="equal", xlabel=f"cos direction, k = {frequency}", ylabel="sin direction")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.margins(0.2)
    return ax
