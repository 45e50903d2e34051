"""Published solutions against the best that were found."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.style import PALETTE, current_axes


def audit_bars(table: xr.Dataset, ax: Axes | None = None, *, same_within: float = 0.2) -> Axes:
    """How far every published solution is above the best, in %, and the share of restarts that reached the best.

    `table` is over `case` with `excess`, `share`, `shown` and `published_is`. Bars are orange where the solution is more than
    `same_within` % above, or no minimum.
    """
    ax = current_axes(ax)
    excess, share = table["excess"].values, table["share"].values
    worse = (excess > same_within) | (table["shown"] != table["published_is"]).values
    at = np.arange(len(excess))
    ax.barh(at, np.maximum(excess, 0), color=np.where(worse, PALETTE["orange"], PALETTE["blue"]), height=0.6)
    right = max(1.0, 1.25 * float(excess.max()))
    for y, part in zip(at, share, strict=True):
        said = "no restarts" if np.isnan(part) else f"{100 * part:.0f} % of restarts"
        ax.text(right, float(y), said, ha="right", va="center", fontsize="small")
    ax.set(xlim=(0, right), ylim=(len(at) - 0.5, -0.5), xlabel="loss above the best found (%)")
    ax.set_yticks(at, table["case"].values.tolist())
    return ax
