"""A quantity per dimension against the number of dimensions."""

import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.style import PALETTE, current_axes


def benefit_by_dimensions(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Best benefit per dimension against m, the spread of the seeds as bars, and sums of known structures as steps.

    `table` is over `n_hidden` with `best`, `trained`, `low`, `middle`, `high` and `planted`.
    """
    ax = current_axes(ax)
    m = table["n_hidden"].values
    ax.step(m, table["planted"], where="mid", color=PALETTE["orange"], lw=1.2, label="known structures side by side")
    ax.vlines(m, table["low"], table["high"], color=PALETTE["blue"], lw=3, alpha=0.35, label="seeds, 10 to 90 %")
    ax.plot(m, table["middle"], "_", color=PALETTE["blue"], ms=9, label="median seed")
    ax.plot(m, table["best"], "-", color="black", lw=0.8)
    ax.plot(m, table["trained"], "o", color="black", ms=4, label="best trained seed")
    ax.set(xlabel="hidden dimensions m", ylabel="benefit per dimension B", xlim=(0, m.max() + 1))
    return ax


def share_by_dimensions(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """The share of the seeds that come near the best one, against m; below a tenth "best" means "best found"."""
    ax = current_axes(ax)
    m = table["n_hidden"].values
    ax.axhline(10, color="#999999", lw=0.8, ls=":")
    ax.plot(m, 100 * table["share"], "o-", color="black", ms=4, lw=0.8)
    ax.text(m.max() + 0.8, 11, "below: best found", ha="right", va="bottom", fontsize="small", color="#666666")
    ax.set(
        xlabel="hidden dimensions m", ylabel="seeds within .5 % of the best (%)", ylim=(0, 103), xlim=(0, m.max() + 1)
    )
    return ax
