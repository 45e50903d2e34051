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


def baseline(value: Any, text: str, ax: Axes, *, left: bool = False) -> Axes:
    """A dashed grey line across the panel, named at its right end, or the left one."""
    value = float(np.mean(value))
    ax.axhline(value, color="#888888", ls="--", lw=0.8, zorder=0)
    ax.annotate(
        text, (0.01 if left else 0.99, value), xycoords=("axes fraction", "data"), ha="left" if left else "right",
        va="bottom", fontsize=7, color="#555555",
    )  # fmt: skip
    return ax


def sae_pareto(
    result: Any, table: xr.Dataset, optimised: xr.Dataset, controls: xr.Dataset, probe_f1: float
) -> tuple[Figure, str]:
    """Explained variance, F1 (of the encoder, and of pursuit) and MCC against L0.

    `table` and `optimised`, over (`architecture`, `setting`, `seed`), are of `result`, with latents by the encoder and by
    pursuit; `controls` has F1 of pursuit in a "true" and a "random" `dictionary`.
    """
    figure, panels = plt.subplots(1, 4, figsize=(11.6, 3.0), layout="constrained")
    drawn = (
        (table, "explained_variance", "explained variance R²"),
        (table, "f1", "F1 of the encoder"),
        (optimised, "f1", "F1 of pursuit"),
        (table, "mcc", "MCC"),
    )
    for ax, (scores, score, label) in zip(panels, drawn, strict=True):
        plain_ticks(sparsity_frontier(scores, score, ax))
        ax.set(ylabel=label, ylim=(0, 1.04) if score == "f1" else (None, 1.02))
    baseline(probe_f1, "linear probe", panels[1])
    baseline(table["random_f1"], "random", panels[1])
    for name in ("true", "random"):
        baseline(controls["f1"].sel(dictionary=name), f"{name} directions", panels[2], left=name == "random")
    baseline(table["random_mcc"], "random", panels[3])
    panels[0].annotate(
        "true L0", (float(table["l0_true"].mean()), 0.02), xycoords=("data", "axes fraction"), rotation=90,
        ha="right", va="bottom", fontsize=7, color="#555555",
    )  # fmt: skip
    panels[0].legend(loc="lower right")
    text = (
        "Sparse autoencoders on the hidden layer of one toy model, against the number of active latents: how well they "
        "reconstruct; how well their latents tell when a feature is active, by their own encoder and by non-negative "
        "orthogonal matching pursuit in their decoder columns; and how well these match the true directions. "
        f"Lines are means over {table.sizes['seed']} seeds, dots single models; dotted: the true L0; dashed: random "
        "directions, a linear probe that was taught the truth, with the best threshold, and pursuit in the true directions."
    )
    return figure, caption(result.attrs, text)
