"""Pictures of hidden neurons: what each one serves, and how many serve a single feature."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from superpos.errors import ConfigError
from superpos.plot.appearance import PALETTE, current_axes
from superpos.plot.features import weights
from superpos.plot.sweeps import plain_ticks

# The colours of `feature_norms`: black has a direction to itself, orange shares it.
NEURON_COLORS = {
    "monosemantic": PALETTE["black"],
    "polysemantic": PALETTE["orange"],
    "too small to count, or inhibiting": "#DADADA",
}


def stacked_weights(source: Any, has: Any, ax: Axes | None = None) -> Axes:
    """One bar per neuron: its weights stacked feature by feature, positive ones up and negative ones down.

    `source` is a model, a run, a result of one cell, or W; `has` says which neuron has which feature, (n_hidden,
    n_features). Features that a neuron has are numbered, black if it has no other and orange if it has several. Neurons
    stand in the order given. Elhage et al. 2022, "Superposition in a Privileged Basis".
    """
    ax, W, has = current_axes(ax), weights(source), np.asarray(has)
    mono, poly, small = NEURON_COLORS.values()
    for k, (row, is_read) in enumerate(zip(W, has, strict=True)):
        up, down = 0.0, 0.0
        for i in np.lexsort((np.arange(len(row)), ~is_read)):  # what counts at the bottom
            bottom = up if row[i] > 0 else down
            color = small if not is_read[i] else mono if is_read.sum() == 1 else poly
            ax.bar(k, row[i], 0.8, bottom, color=color, edgecolor="white", linewidth=0.5)
            if is_read[i]:
                dark = is_read.sum() == 1
                ax.text(
                    k,
                    bottom + row[i] / 2,
                    f"{i + 1}",
                    ha="center",
                    va="center_baseline",
                    color="white" if dark else "black",
                    fontsize=6,
                )
            up, down = (up + row[i], down) if row[i] > 0 else (up, down + row[i])
    ax.axhline(0, color="black", lw=0.6)
    ax.set(xticks=[], xlim=(-0.6, len(W) - 0.4))
    return ax


def neuron_keys() -> list[Patch]:
    """What the colours of `stacked_weights` mean, for a legend."""
    return [Patch(color=color, label=name) for name, color in NEURON_COLORS.items()]


def participation(values: Mapping[str, xr.DataArray], ax: Axes | None = None) -> Axes:
    """Effective number of features per neuron against 1/(1 − S): median of all neurons, band from quartile to quartile.

    `values` are `polysemanticity` by name of the kind of model, each over `feature_probability` and anything else.

    Raises:
        ConfigError: there is none.
    """
    if not len(values):
        raise ConfigError("values must hold one table at least.")
    ax = current_axes(ax)
    colors = ("black", *(PALETTE[name] for name in ("sky", "orange", "green", "purple", "blue")))
    for (name, table), color in zip(values.items(), cycle(colors), strict=False):
        table = table.transpose("feature_probability", ...)
        x = 1 / table.feature_probability.values
        low, middle, high = np.nanquantile(table.values.reshape(len(x), -1), (0.25, 0.5, 0.75), axis=1)
        ax.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
        ax.plot(x, middle, "o-", color=color, ms=3, label=name)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="features per neuron\n(participation ratio)")
    ax.set_ylim(0, None)
    ax.legend()
    plain_ticks(ax)
    return ax
