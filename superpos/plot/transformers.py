"""Pictures of attention heads: patterns, scores and loss through training, and right predictions by period."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.appearance import PALETTE, current_axes

TWO, ONE, TRAP = PALETTE["blue"], PALETTE["grey"], PALETTE["red"]
PREVIOUS = PALETTE["green"]


def attention_pattern(pattern: Any, ax: Axes | None = None, *, period: int | None = None) -> Axes:
    """Attention of one head, [query, key], dark where it is; queries go down.

    Between the dashed lines lie the keys j = i + 1 − period: for a repeat of that `period`, what followed last time.
    """
    ax, A = current_axes(ax), np.asarray(pattern)
    ax.imshow(A, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    if period is not None:
        i = np.array([period - 1, len(A) - 1])
        for side in (-1.6, 1.6):
            ax.plot(i + 1 - period + side, i, "--", color=PALETTE["orange"], lw=1)
    ax.set(xlabel="key position", ylabel="query position", xlim=(-0.5, len(A) - 0.5), ylim=(len(A) - 0.5, -0.5))
    ax.spines[:].set_visible(True)
    return ax


def scores_by_step(table: xr.Dataset, ax: Axes | None = None, *, window: tuple[float, float] | None = None) -> Axes:
    """Scores of heads through training, one thin line per head, of one seed.

    `table` is of `superpos.experiments.induction_heads.through_training`. `window` shades steps, such as those in which
    the loss falls.
    """
    ax, steps = current_axes(ax), table["step"].values
    if window is not None:
        ax.axvspan(*window, color=PALETTE["orange"], alpha=0.2, lw=0)
    two, one = table.sel(n_layers=2), table.sel(n_layers=1)
    for values, color, words in (
        (one["prefix_matching"].isel(layer=0), ONE, "prefix matching, 1 layer"),
        (two["previous_token"].isel(layer=0), PREVIOUS, "previous token, layer 0 of 2"),
        (two["prefix_matching"].isel(layer=1), TWO, "prefix matching, layer 1 of 2"),
    ):
        lines = ax.plot(steps, values.transpose("snapshot", "head"), color=color, lw=1)
        lines[0].set_label(words)
    ax.plot(steps, two["uniform"], ":", color="black", lw=1, label="prefix matching, even attention")
    ax.set(ylim=(0, 1), xlim=(0, steps[-1]), xlabel="step", ylabel="score of each head")
    return ax


def repeat_loss_by_step(
    table: xr.Dataset, ax: Axes | None = None, *, window: tuple[float, float] | None = None
) -> Axes:
    """Loss of the repeat through training, one line per depth; dashed at ln V, what knowing nothing costs."""
    ax, steps = current_axes(ax), table["step"].values
    if window is not None:
        ax.axvspan(*window, color=PALETTE["orange"], alpha=0.2, lw=0)
    ax.axhline(table.attrs["chance"], color="black", ls="--", lw=0.8)
    ax.annotate("ln V", (steps[-1], table.attrs["chance"]), (0, 2), textcoords="offset points", ha="right", fontsize=8)
    for n_layers, color, label in ((1, ONE, "1 layer"), (2, TWO, "2 layers")):
        loss = table["loss"].sel(n_layers=n_layers)
        ax.plot(steps, loss, color=color, label=label)
    ax.set(xlim=(0, steps[-1]), ylim=(0, None), xlabel="step", ylabel="repeat loss (nats)")
    return ax


def accuracy_by_period(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of right predictions by the period of the test sequences, of `experiments.induction_heads.by_period`; all seeds.

    Shaded: the periods of training. Dotted: the prefix-matching score of the trap's best head.
    """
    ax, periods = current_axes(ax), table["period"].values
    ax.axvspan(table.attrs["shortest"] - 0.5, table.attrs["longest"] + 0.5, color="#EEEEEE", lw=0, zorder=0)
    for network, color, marker in zip(table["network"].values, (TWO, ONE, TRAP), "os^", strict=True):
        rows = table.sel(network=network)
        lines = ax.plot(periods, rows["accuracy"].transpose("period", "seed"), marker + "-", color=color, ms=3.5, lw=1)
        fixed = str(network).endswith("fixed period")
        lines[0].set_label(f"1 layer, period always {table.attrs['fixed']}" if fixed else str(network))
        if fixed:
            score = rows["prefix_matching"].mean("seed")
            ax.plot(periods, score, ":", color=color, label="… its best head's matching")
    ax.set(xlabel="period of the test sequences", ylabel="share of right tokens", ylim=(-0.03, 1.03))
    return ax
