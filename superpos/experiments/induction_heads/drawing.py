"""The figure: patterns of four heads; scores and loss through training; ablations; test periods."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from superpos.experiments.induction_heads.evaluation import windows
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.transformers import (
    ONE,
    PREVIOUS,
    TWO,
    accuracy_by_period,
    attention_pattern,
    repeat_loss_by_step,
    scores_by_step,
)
from superpos.sweeping import SweepResult

SET_COLORS = {"induction heads": TWO, "previous-token heads": PREVIOUS, "other heads": PALETTE["grey"]}


def draw(
    result: SweepResult, table: xr.Dataset, periods: xr.Dataset, ablated: dict[int, xr.Dataset], patterns: xr.Dataset
) -> tuple[Figure, str]:
    """Figure and caption: patterns of four heads; scores and loss through training; ablations; test periods.

    Tables are of `through_training`, `by_period`, `without_heads` (by seed) and `drawn_patterns`. Of the models of two layers
    the seed of least loss is drawn. Olsson et al. 2022, "In-context Learning and Induction Heads".
    """
    seed = int(result.sel(n_layers=2).best("seed")["seed"])
    others, table = table.drop_sel(seed=seed), table.sel(seed=seed)
    _, window = windows(table.sel(n_layers=2))
    figure = plt.figure(figsize=(11, 6.2), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1))  # type: ignore[misc]
    panels = above.subplots(1, 4, sharey=True)
    titles = ("previous-token head", "induction head", "the trap, own period", "the trap, another period")
    for ax, title, (_, head) in zip(panels, titles, patterns.groupby("panel"), strict=True):
        head, period = head.squeeze(), int(head["period"].squeeze())
        attention_pattern(head["pattern"], ax, period=period)
        ax.set_title(f"{title}\nhead {int(head['layer'])}.{int(head['head'])}, period {period}")
        ax.set_ylabel("query position" if ax is panels[0] else "")
    scores, losses, removed, accuracy = below.subplots(1, 4, width_ratios=(1, 1, 0.85, 1.1))
    scores_by_step(table, scores, window=window)
    repeat_loss_by_step(table, losses, window=window)
    for n_layers, color, label, above in ((1, ONE, "1 layer", False), (2, TWO, "2 layers", True)):
        loss = others["loss"].sel(n_layers=n_layers).transpose("snapshot", "seed")
        losses.plot(others["step"], loss, color=color, lw=0.5, alpha=0.6)
        end = (float(table["step"][-1]), float(table["loss"].sel(n_layers=n_layers)[-1]))
        place: dict[str, Any] = {"xytext": (0, 3 if above else -3), "va": "bottom" if above else "top"}
        losses.annotate(label, end, textcoords="offset points", ha="right", color=color, fontsize=8, **place)
    removed_gain(ablated[seed], removed, others=[ablated[k] for k in ablated if k != seed])
    accuracy_by_period(periods, accuracy)
    for ax in (scores, accuracy):
        ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), handlelength=1.4, fontsize=7)
    text = (
        "Top: attention patterns on repeated random tokens; between the dashed lines lies what followed the last "
        "occurrence of the query's token; stripes further down are earlier occurrences. The first two heads are those of a "
        "model of two layers; its previous-token head is sharp up to the longest period, the positions that later queries "
        f"look back to. The trap is one layer that was trained on period {periods.attrs['fixed']} alone: the same picture at "
        "that period, and the same stripe at any other. Bottom: every head's scores and the loss of the repeat; shaded is "
        f"from 10 to 90 % of the loss's fall; thin: the loss of the {others.sizes['seed']} other seeds. Then: share of the "
        "gain over chance that is gone without some heads of the model of two layers (mean ablation; light: attention "
        "patterns kept), sets of heads and each head alone; in brackets Σλ / Σ|λ| over the eigenvalues of its OV circuit, 1 "
        "for a head that copies; dots: the same kinds of heads in the other seeds. Right: right predictions by the "
        f"period of the test sequences, every seed; shaded are the periods of training, {periods.attrs['shortest']} to "
        f"{periods.attrs['longest']}. Where the trap's period is a multiple of the test's, copying from its distance is "
        f"right by luck from the second repeat on. Two layers but on the right: seed {seed}, of least loss among "
        f"{len(ablated)}."
    )
    return figure, caption(result.attrs, text)


def removed_gain(table: xr.Dataset, ax: Axes | None = None, *, others: Sequence[xr.Dataset] = ()) -> Axes:
    """Share of the gain over chance that is gone without a set of heads, of `without_heads`.

    Bars: mean ablation, light: the same with attention patterns kept. Sets of several heads first, then every head alone,
    with the `ov_eigenvalue_score` that says whether it copies, where the table has it. `others` are tables of other seeds,
    whose heads have other numbers: dots at the sets that they have, too.
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
            same = [other for other in others if name in together and name in other["set"]]
            dots = [100 * float(other["removed"].sel(set=name, mode=mode)) for other in same]
            ax.plot(dots, [y + side] * len(dots), ".", color="black", ms=3)
        label = name.rstrip(" 0123456789") if name not in alone else name
        if name in alone and "ov_eigenvalues" in table:
            label += f" ({float(table['ov_eigenvalues'].values[heads.values][0]):.1f})"
        count = int(heads.sum())
        ticks.append((y, f"{count} {label.removesuffix('s') if count == 1 else label}" if name in together else label))
    ax.axvline(100, color="black", ls="--", lw=0.8)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(*zip(*ticks, strict=True))
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="gain over ln V that is gone (%)", ylim=(y + 0.6, 0.4), xlim=(None, 118))
    modes = [Patch(color="black", alpha=a, label=m) for m, a in zip(table["mode"].values, (1.0, 0.4), strict=True)]
    # Above the bars, where it hides neither them nor the line at 100 %.
    ax.legend(handles=modes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handlelength=0.8, fontsize=7)
    return ax


def _set_color(name: str, heads: np.ndarray, every: xr.DataArray) -> str:
    for kind in ("induction heads", "previous-token heads"):
        if name == kind or (heads.sum() == 1 and (heads & every.sel(set=kind).values).any()):
            return SET_COLORS[kind]
    return SET_COLORS["other heads"]
