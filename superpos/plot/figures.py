"""Whole figures that more than one place draws: a figure and its caption."""

from typing import Any

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.figure import Figure

from superpos.plot.style import caption
from superpos.plot.sweeps import directions_by_density, plain_ticks, shape_shares

PANELS = (1.0, 0.45, 0.2, 0.1, 0.05, 0.01)


def five_features(result: Any, table: xr.Dataset) -> tuple[Figure, str]:
    """Feature directions by density, and below the share of seeds that found each geometry.

    `result` has dims (feature_probability, seed) and two hidden dimensions; `table` is its geometry. Elhage et al. 2022,
    opening figure and "Demonstrating Superposition".
    """
    best = result.best("seed")
    won = table["shape"].isel(seed=result.best_index("seed"))
    figure = plt.figure(figsize=(8.4, 3.9))
    top = figure.add_gridspec(1, len(PANELS), left=0.02, right=0.87, bottom=0.6, top=0.95, wspace=0.06)
    panels = [figure.add_subplot(top[0, k]) for k in range(len(PANELS))]
    directions_by_density(best, panels, PANELS, won)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1.02, 0.5), handlelength=1)
    bottom = figure.add_gridspec(1, 1, left=0.07, right=0.72, bottom=0.1, top=0.44)
    shares = shape_shares(table["shape"], figure.add_subplot(bottom[0, 0]))
    plain_ticks(shares)
    text = (
        "Top: directions of the features (columns of W) in the best of "
        f"{result.dims['seed']} seeds at several densities 1 − S. Bottom: share of the seeds that ended in each geometry."
    )
    return figure, caption(result.attrs, text)
