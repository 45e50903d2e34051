"""Pictures of attention heads: patterns, scores through training, ablations, periods; and the figure made of them."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from superpos.plot.style import PALETTE, current_axes

TWO, ONE, TRAP = PALETTE["blue"], PALETTE["grey"], PALETTE["red"]
PREVIOUS = PALETTE["green"]
SET_COLORS = {"induction heads": TWO, "previous-token heads": PREVIOUS, "other heads": PALETTE["grey"]}


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
    """Scores of heads through training, one thin line per head, of one seed of `induction_heads.through_training`.

    `window` shades steps, such as those in which the loss falls.
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
    for n_layers, color in ((1, ONE), (2, TWO)):
        loss = table["loss"].sel(n_layers=n_layers)
        ax.plot(steps, loss, color=color, label=f"{n_layers} layer{'s' * (n_layers > 1)}")
    ax.set(xlim=(0, steps[-1]), ylim=(0, None), xlabel="step", ylabel="repeat loss (nats)")
    return ax


def removed_gain(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of the gain over chance that is gone without a set of heads, of `induction_heads.without_heads`.

    Bars: mean ablation, light: the same with attention patterns kept. Sets of several heads first, then every head alone,
    with the `ov_eigenvalue_score` that says whether it copies, where the table has it.
    """
    ax = current_axes(ax)
    names = [str(name) for name in table["set"].values]
    together = [name for name in names if not name.startswith("head ")]
    alone = [name for name in names if name.startswith("head ")]
    ticks, y = [], 0.0
    for name in [*together, *alone]:
        y += 1 + 0.6 * (bool(alone) and name == alone[0])
        heads = table["heads"].sel(set=name)
        color = _set_color(name, heads.values, table["heads"])
        for mode, side, alpha in zip(table["mode"].values, (-0.2, 0.2), (1.0, 0.4), strict=True):
            ax.barh(y + side, 100 * table["removed"].sel(set=name, mode=mode), 0.4, color=color, alpha=alpha)
        word = name.rstrip(" 0123456789") if name not in alone else name
        if name in alone and "ov_eigenvalues" in table:
            word += f" ({float(table['ov_eigenvalues'].values[heads.values][0]):.1f})"
        count = int(heads.sum())
        ticks.append((y, f"{count} {word.removesuffix('s') if count == 1 else word}" if name in together else word))
    ax.axvline(100, color="black", ls="--", lw=0.8)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(*zip(*ticks, strict=True))
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="gain over ln V that is gone (%)", ylim=(y + 0.6, 0.4), xlim=(None, 118))
    modes = [Patch(color="black", alpha=a, label=m) for m, a in zip(table["mode"].values, (1.0, 0.4), strict=True)]
    key: Any = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 1, "fontsize": 7}
    ax.legend(handles=modes, loc="center right", bbox_to_anchor=(1, 0.46), handlelength=0.8, **key)
    return ax


def _set_color(name: str, heads: np.ndarray, every: xr.DataArray) -> str:
    for kind in ("induction heads", "previous-token heads"):
        if name == kind or (heads.sum() == 1 and (heads & every.sel(set=kind).values).any()):
            return SET_COLORS[kind]
    return SET_COLORS["other heads"]


def accuracy_by_period(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of right predictions by the period of the test sequences, of `induction_heads.by_period`; all seeds.

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
            ax.plot(periods, score, ":", color=color, label="… prefix matching of its best head")
    ax.set(xlabel="period of the test sequences", ylabel="share of right tokens", ylim=(-0.03, 1.03))
    return ax


def induction_heads(
    table: xr.Dataset, window: tuple[float, float], periods: xr.Dataset, ablated: xr.Dataset, patterns: xr.Dataset
) -> tuple[Figure, str]:
    """Patterns of four heads; scores and loss through training; ablations; test periods.

    `table` is one seed of `through_training`, `window` the steps in which its loss falls, and `patterns` is of
    `drawn_patterns`; all of them in `claims.induction_heads`. Olsson et al. 2022, "In-context Learning and Induction Heads".
    """
    figure = plt.figure(figsize=(9.6, 6.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25))  # type: ignore[misc]
    panels = above.subplots(1, 4, sharey=True)
    words = ("previous-token head", "induction head", "the trap, own period", "the trap, another period")
    for ax, word, (_, one) in zip(panels, words, patterns.groupby("panel"), strict=True):
        one, period = one.squeeze(), int(one["period"].squeeze())
        attention_pattern(one["pattern"], ax, period=period)
        ax.set_title(f"{word}\nhead {int(one['layer'])}.{int(one['head'])}, period {period}")
        ax.set_ylabel("query position" if ax is panels[0] else "")
    left, middle, right = below.subfigures(1, 3, width_ratios=(1.15, 1, 1.05))
    top, bottom = left.subplots(2, 1, sharex=True)
    scores_by_step(table, top, window=window)
    repeat_loss_by_step(table, bottom, window=window)
    top.set_xlabel("")
    left.legend(*top.get_legend_handles_labels(), loc="outside upper left", ncols=2, handlelength=1.2, fontsize=7)
    bottom.legend(loc="center right", handlelength=1.2)
    removed_gain(ablated, middle.subplots())
    ax = accuracy_by_period(periods, right.subplots())
    right.legend(*ax.get_legend_handles_labels(), loc="outside upper center", handlelength=1.6, fontsize=7.5)
    text = (
        "Top: attention patterns on repeated random tokens; between the dashed lines lies what followed the last "
        "occurrence of the query's token; stripes further down are earlier occurrences. The first two heads are those of a "
        "model of two layers; its previous-token head is sharp up to the longest period, the positions that later queries "
        "look back to. The trap is one layer that was "
        f"trained on period {periods.attrs['fixed']} alone: the same picture at that period, and the same stripe at "
        "any other. Bottom left: every head's scores and the loss of the repeat; shaded is from 10 to 90 % of the loss's "
        "fall. Middle: share of the gain over chance that is gone without some heads of the model of two layers (mean "
        "ablation; light: attention patterns kept), sets of heads and each head alone; in brackets Σλ / Σ|λ| over the "
        "eigenvalues of its OV circuit, 1 for a head that copies. Right: right predictions by the "
        f"period of the test sequences, every seed; shaded are the periods of training, {periods.attrs['shortest']} to "
        f"{periods.attrs['longest']}. Where the trap's period is a multiple of the test's, copying from its distance is "
        "right by luck from the second repeat on."
    )
    return figure, text
