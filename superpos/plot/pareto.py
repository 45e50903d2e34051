"""Sparsity of autoencoders against how good they are."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.plot.style import ARCHITECTURE_COLORS, ARCHITECTURE_NAMES, caption, current_axes
from superpos.plot.sweeps import plain_ticks


def sparsity_frontier(table: xr.Dataset, score: str, ax: Axes | None = None) -> Axes:
    """A score against L0, one line per architecture: means over seeds in the order of the sparsity, dots for single models.

    `table` is over (`architecture`, `setting`, `seed`) and has `l0` and the score. The dotted line is the true L0.
    """
    ax = current_axes(ax)
    for name in table["architecture"].values:
        one = table.sel(architecture=name)
        color = ARCHITECTURE_COLORS[str(name)]
        mean = one[["l0", score]].mean("seed").sortby("l0")
        ax.plot(one["l0"].values.ravel(), one[score].values.ravel(), ".", color=color, ms=3, alpha=0.35, mew=0)
        ax.plot(mean["l0"], mean[score], "-", color=color, label=ARCHITECTURE_NAMES[str(name)])
    ax.axvline(float(table["l0_true"].mean()), color="#888888", ls=":", lw=1)
    ax.set(xscale="log", xlabel="L0 (active latents per input)")
    return ax


def baseline(value: Any, text: str, ax: Axes) -> Axes:
    """A dashed grey line across the panel, named at its right end."""
    value = float(np.mean(value))
    ax.axhline(value, color="#888888", ls="--", lw=0.8, zorder=0)
    ax.annotate(
        text, (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7, color="#555555"
    )
    return ax


def sae_pareto(result: Any, table: xr.Dataset, probe_f1: float) -> tuple[Figure, str]:
    """Explained variance, F1 and MCC against L0; `table` over (`architecture`, `setting`, `seed`) is that of `result`."""
    figure, panels = plt.subplots(1, 3, figsize=(9.4, 3.0), layout="constrained")
    for ax, (score, label) in zip(
        panels, (("explained_variance", "explained variance R²"), ("f1", "F1"), ("mcc", "MCC")), strict=True
    ):
        plain_ticks(sparsity_frontier(table, score, ax))
        ax.set(ylabel=label, ylim=(None, 1.02))
    baseline(probe_f1, "linear probe", panels[1])
    baseline(table["random_f1"], "random", panels[1])
    baseline(table["random_mcc"], "random", panels[2])
    panels[0].annotate(
        "true L0", (float(table["l0_true"].mean()), 0.02), xycoords=("data", "axes fraction"), rotation=90,
        ha="right", va="bottom", fontsize=7, color="#555555",
    )  # fmt: skip
    panels[0].legend(loc="lower right")
    text = (
        "Sparse autoencoders on the hidden layer of one toy model, against the number of active latents: how well they "
        "reconstruct, how well their latents tell when a feature is active, and how well they match the true directions. "
        f"Lines are means over {table.sizes['seed']} seeds, dots single models; dotted: the true L0; dashed: random "
        "directions, and a linear probe that was taught the truth, with the best threshold."
    )
    return figure, caption(result.attrs, text)
