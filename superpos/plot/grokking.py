"""Pictures of a model that learned to add modulo p: its progress, and the circuit it ended with."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos import arrays
from superpos.plot.style import DIVERGING, PALETTE, current_axes

PHASE_SHADES = {"memorisation": "#EEEEEE", "circuit formation": "#D6E9F5", "clean-up": "#FBE8C8"}
CURVES = {
    "train": ("-", PALETTE["blue"]),
    "test": ("-", PALETTE["red"]),
    "restricted": ("--", PALETTE["green"]),
    "excluded": ("--", PALETTE["purple"]),
}


def progress_curves(
    table: xr.Dataset, ax: Axes | None = None, *, of: str = "loss", control: xr.DataArray | None = None
) -> Axes:
    """Train and test `of` "loss" or "accuracy" over `step`, with the progress measures, and the phases shaded.

    `table` is that of `superpos.analysis.grokking.progress`. Restricted: the key frequencies alone; excluded: training
    pairs without them. `control` is the same test measure of another run, over `step`, dotted.
    """
    ax, steps = current_axes(ax), table["step"].values
    ends = [table.attrs[f"phase_{name}"] for name in ("memorised", "circuit", "clean")]
    for start, end, (name, color) in zip([steps[0], *ends], ends, PHASE_SHADES.items(), strict=False):
        if start < end:
            ax.axvspan(start, end, color=color, lw=0, label=name, zorder=0)
    for name, (line, color) in CURVES.items():
        if (full := f"{name}_{of}") in table:
            ax.plot(steps, table[full], line, color=color, label=name)
    if control is not None:
        ax.plot(control["step"], control, ":", color="black", label="test, no weight decay")
    ax.set(xlabel="step", ylabel=of, xlim=(steps[0], steps[-1]), yscale="log" if of == "loss" else "linear")
    return ax


def frequency_energy(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Energy of the embedding by frequency, as shares of all but the constant; key frequencies orange and labelled."""
    ax, keys = current_axes(ax), table["key"].values
    share = table["embedding_energy"].values[1:] / table["embedding_energy"].values[1:].sum()
    k = np.arange(1, len(share) + 1)
    ax.bar(k, share, 0.9, color=[PALETTE["orange"] if i in keys else PALETTE["grey"] for i in k])
    for i in keys:
        ax.text(i, share[i - 1], f"{i}", ha="center", va="bottom", fontsize=7)
    ax.set(xlabel="frequency k", ylabel="share of ‖F $W_E$‖²")
    return ax


def neuron_waves(neurons: Any, frequencies: Any, ax: Axes | None = None) -> Axes:
    """Neurons (n, p) of `frequencies` (n,) against a, each from its least value to its largest, one above the other."""
    ax, x = current_axes(ax), np.asarray(neurons, float)
    for row, wave in enumerate(x):
        height = np.ptp(wave) or 1.0
        ax.plot((wave - wave.min()) / height + 1.25 * row, ".-", color="black", ms=2.5, lw=0.8)
    ax.set(xlabel="a (mean over b)", ylabel="neuron of frequency k")
    ax.set_yticks(1.25 * np.arange(len(x)) + 0.5, [f"{k}" for k in frequencies])
    return ax


def logit_map(logits: Any, ax: Axes | None = None, *, label: str = "logit") -> Axes:
    """One logit of all pairs, (p, p), a up and b to the right; white is its mean."""
    ax, z = current_axes(ax), arrays.as_numpy("logits", logits, ndim=2)
    z = z - z.mean()
    most = np.abs(z).max()
    image = ax.imshow(z, origin="lower", cmap=DIVERGING, vmin=-most, vmax=most, interpolation="nearest")
    ax.set(xlabel="b", ylabel="a")
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85)
    return ax


def embedding_circle(points: Any, frequency: int, ax: Axes | None = None) -> Axes:
    """Embeddings of the numbers in the plane of a frequency, (p, 2), labelled, joined in the order in which they turn."""
    ax, x = current_axes(ax), arrays.as_numpy("points", points, shape=(None, 2))
    p = len(x)
    around = np.arange(p + 1) * pow(int(frequency), -1, p) % p  # neighbours on the circle: k times their distance is 1
    ax.plot(*x[around].T, color="#CCCCCC", lw=0.7, zorder=0)
    ax.scatter(*x.T, c=np.arange(p), cmap="viridis", s=9)
    for a in around[:-1][:: max(1, p // 12)]:
        ax.text(1.13 * x[a, 0], 1.13 * x[a, 1], f"{a}", ha="center", va="center", fontsize=6)
    ax.set(aspect="equal", xlabel=f"cos direction, k = {frequency}", ylabel="sin direction")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.margins(0.12)
    return ax


def grokking(
    table: xr.Dataset,
    control: xr.Dataset,
    waves: tuple[Any, Any],
    logits: Any,
    circle: tuple[Any, int],
) -> tuple[Figure, str]:
    """Progress above, the circuit below, and what the panels show in words.

    `table` is `superpos.analysis.grokking.progress` of a model and `control` has the `test_loss` and `test_accuracy` of its
    twin without weight decay, over `step`; the others are the arguments of `neuron_waves`, `logit_map` and
    `embedding_circle`. Nanda et al. 2023, figures 1, 2, 3, 6 and 7.
    """
    figure = plt.figure(figsize=(10.2, 6), layout="constrained")
    axes = figure.subplot_mosaic("AAAABBBBCCCC;DDDDEEEEFFFF")
    progress_curves(table, axes["A"], of="accuracy", control=control["test_accuracy"])
    progress_curves(table, axes["B"], of="loss", control=control["test_loss"])
    handles = {label: h for k in "AB" for h, label in zip(*axes[k].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    frequency_energy(table, axes["C"])
    neuron_waves(*waves, axes["D"])
    logit_map(logits, axes["E"], label="logit of c = 0, centred")
    embedding_circle(*circle, axes["F"])
    text = (
        "Top: accuracy and loss through training, with the phases shaded (memorisation ends where the excluded loss is "
        "least, circuit formation where the test loss falls below half its maximum for good, clean-up where the test "
        "accuracy stays above 99.9 %); restricted: all pairs, from the key frequencies alone; excluded: training pairs, "
        "without them. Right: energy of the embedding by frequency; orange: key frequencies, which hold 2 % or more of "
        "the map from neurons to logits; grey: in the embedding, but hardly read by that map. Bottom: for every key "
        "frequency the neuron it explains best, its mean over b against a, scaled; the logit of c = 0 for all pairs; "
        "the embeddings of the numbers in the plane of the strongest key frequency, neighbours on the circle joined."
    )
    return figure, text
