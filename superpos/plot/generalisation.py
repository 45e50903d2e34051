"""Pictures of when models generalise: curves of many seeds, and the distribution of the times, the censored ones too."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.plot.style import PALETTE, current_axes
from superpos.plot.sweeps import plain_ticks

# Weight decays from the least on: black for none, as in the other pictures of grokking.
DECAY_COLORS = [PALETTE[name] for name in ("black", "sky", "blue", "green", "orange", "red")]


def accuracy_curves(test: xr.DataArray, train: xr.DataArray, ax: Axes | None = None, *, color: Any = None) -> Axes:
    """Test accuracies over (seed, step), a line per seed, and the median of the training accuracies, dashed."""
    ax = current_axes(ax)
    steps = test["step"].values
    ax.plot(steps, test.transpose("step", "seed"), "-", color=color or PALETTE["red"], lw=0.6, alpha=0.6)
    ax.plot(steps, train.median("seed"), "--", color="black", lw=1, label="train, median")
    ax.plot([], [], "-", color=color or PALETTE["red"], label="test, each seed")
    ax.set(xlabel="step", ylabel="accuracy", xlim=(0, steps[-1]), ylim=(-0.02, 1.03))
    ax.legend(loc="upper left", bbox_to_anchor=(0.06, 0.95))
    return ax


def generalised_by(times: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of seeds that have generalised by a step, a stair per `weight_decay`, of `superpos.analysis.milestones`.

    A stair ends below 1 where seeds did not generalise in the steps of the training; their number is written at its end.
    """
    ax, last = current_axes(ax), times.attrs["steps"]
    for decay, color in zip(times["weight_decay"].values, DECAY_COLORS, strict=False):
        t = times["generalised"].sel(weight_decay=decay).values
        reached = np.sort(t[np.isfinite(t)])
        share = np.arange(len(reached) + 1) / len(t)
        label = f"{decay:g}: {len(reached)} of {len(t)}"
        ax.step([0, *reached, last], [*share, share[-1]], where="post", color=color, label=label)
    ax.set(xlabel="step", ylabel="share of seeds that have generalised", xlim=(0, last), ylim=(-0.02, 1.03))
    ax.legend(title="weight decay", loc="upper left")
    return ax


def times_by_seed(times: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Steps to memorise (small, grey) and to generalise of every seed, by `weight_decay`; triangles: not in the training."""
    ax, rng = current_axes(ax), np.random.default_rng(0)
    for k, (decay, color) in enumerate(zip(times["weight_decay"].values, DECAY_COLORS, strict=False)):
        cells = times.sel(weight_decay=decay)
        _column(ax, k, cells, color, rng)
    return _columns(ax, "weight decay", [f"{d:g}" for d in times["weight_decay"].values])


def times_by_fraction(times: xr.Dataset, ax: Axes | None = None) -> Axes:
    """The same by `train_fraction`, the share of all pairs that train."""
    ax, rng = current_axes(ax), np.random.default_rng(0)
    fractions = times["train_fraction"].values
    for k, fraction in enumerate(fractions):
        _column(ax, k, times.sel(train_fraction=fraction), PALETTE["blue"], rng)
    return _columns(ax, "training share of all pairs", [f"{100 * f:.0f} %" for f in fractions])


def _columns(ax: Axes, label: str, names: list[str]) -> Axes:
    ax.set(xlabel=label, ylabel="steps", yscale="log", xlim=(-0.5, len(names) - 0.5))
    plain_ticks(ax, y=True)
    ax.set_xticks(range(len(names)), names)
    return ax


def _column(ax: Axes, x: float, cells: xr.Dataset, color: Any, rng: np.random.Generator) -> None:
    """One column of dots, a little beside one another so that equal ones are seen."""
    t, last = cells["generalised"].values, cells.attrs["steps"]
    place = x + rng.uniform(-0.28, 0.28, t.shape)
    ax.plot(place, cells["memorised"].values, ".", color="#AAAAAA", ms=3)
    ax.plot(place, t, "o", color=color, ms=3.5, mec="none", alpha=0.8)
    censored = np.isnan(t)
    ax.plot(place[censored], np.full(censored.sum(), 1.25 * last), "^", color=color, ms=3.5, mfc="none", mew=0.7)
    if censored.any():
        ax.text(x, 1.5 * last, f"{censored.sum()}", ha="center", va="bottom", fontsize=7, color=color)


def grokking_sweep(
    times: xr.Dataset, fractions: xr.Dataset, curves: Sequence[xr.DataArray], decay: float
) -> tuple[Figure, str]:
    """Curves of one weight decay, distribution of times by weight decay, and times by the share of pairs that train.

    `times` and `fractions` are of `superpos.analysis.milestones`; `curves` are test and training accuracies over
    (seed, step) of the models with weight decay `decay`. After Nanda et al. 2023, appendix D; Power et al. 2022, figure 1.
    """
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 6.2), layout="constrained")
    accuracy_curves(curves[0], curves[1], axes[0, 0], color=_color_of(times, decay))
    axes[0, 0].set_title(f"weight decay {decay:g}")
    generalised_by(times, axes[0, 1])
    times_by_seed(times, axes[1, 0])
    times_by_fraction(fractions, axes[1, 1])
    level, last = times.attrs["level"], times.attrs["steps"]
    text = (
        f"Top left: test accuracy of every seed at weight decay {decay:g}. Top right: share of the seeds whose test "
        f"accuracy has reached {level:.0%} by a step; in the legend how many have in the end. Bottom: steps until the "
        f"training accuracy (grey) and the test accuracy (colour) first reach {level:.0%}, a dot per seed; triangles, with "
        f"their number above, are seeds that did not generalise in {last:,} steps. Left by weight decay, right by the "
        f"share of all pairs that train, at weight decay {fractions.attrs['weight_decay']:g}."
    )
    return figure, text.replace("%", " %")


def _color_of(times: xr.Dataset, decay: float) -> str:
    return DECAY_COLORS[int(np.argmin(np.abs(times["weight_decay"].values - decay)))]
