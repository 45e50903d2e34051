"""What became of a feature that others imply."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.plot.style import ARCHITECTURE_COLORS, DIVERGING, current_axes
from superpos.plot.sweeps import plain_ticks


def score_by_l0(
    found: Mapping[str, xr.Dataset],
    score: str,
    ax: Axes | None = None,
    *,
    names: Mapping[str, str] | None = None,
    ls: str = "-",
) -> Axes:
    """One score of dictionaries against their number of active latents, a curve with error bars per architecture.

    `found` holds, by architecture, `l0`, the score, and the score's standard error under the name `{score}_error`. Only
    curves with an entry in `names` have a label.
    """
    ax = current_axes(ax)
    for kind, table in found.items():
        l0, mean, error = (table[name].values for name in ("l0", score, f"{score}_error"))
        order = np.argsort(l0)
        style: dict[str, Any] = {"ls": ls, "ms": 3, "capsize": 2, "elinewidth": 0.8, "color": ARCHITECTURE_COLORS[kind]}
        ax.errorbar(l0[order], mean[order], error[order], fmt="o", label=(names or {}).get(kind), **style)
    ax.set(xscale="log", xlabel="active latents $L_0$", ylabel=score)
    plain_ticks(ax)
    return ax


def family_map(cosine: xr.DataArray, parents: Sequence[int], ax: Axes | None = None) -> Any:
    """Cosines of features (down) and latents (across), families framed by lines, parents named P. Returns the image.

    `cosine` has dims (feature, latent), latents in the order of the features they are matched to. A perfect dictionary is
    the identity up to the interference of the features; a latent that absorbed a parent has its row lit up in the children's
    columns.
    """
    ax = current_axes(ax)
    values = cosine.transpose("feature", "latent").values
    image = ax.imshow(values, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    roots = [i for i, parent in enumerate(parents) if parent < 0]
    for i in roots[1:]:
        ax.axhline(i - 0.5, color="#777777", lw=0.6)
        ax.axvline(i - 0.5, color="#777777", lw=0.6)
    ax.set(xticks=[], yticks=range(len(parents)), yticklabels=["P" if p < 0 else "c" for p in parents])
    ax.set(xlabel="matched latents", ylabel="true features")
    ax.tick_params(axis="y", length=0, labelsize=7)
    ax.spines[:].set_visible(True)
    return image


def absorption_figure(
    tree: Mapping[str, xr.Dataset],
    flat: Mapping[str, xr.Dataset],
    maps: Mapping[str, xr.DataArray],
    parents: Sequence[int],
    names: Mapping[str, str],
    true_l0: float,
) -> Figure:
    """Absorption and splitting of every architecture, with a hierarchy (lines) and without (dotted), over two `maps`."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(7.4, 6.4), height_ratios=(1, 1.25), layout="constrained")
    for ax, score in zip(axes[0], ("absorption", "splitting"), strict=True):
        ax.axvline(true_l0, color="#999999", ls="--", lw=0.8, zorder=0)
        score_by_l0(tree, score, ax, names=names)
        score_by_l0(flat, score, ax, ls=":")
    axes[0, 0].set_ylim(-0.03, 1.03)
    axes[0, 1].set_ylabel("further latents per feature")
    axes[0, 0].legend(loc="upper right")
    for ax, (kind, cosine) in zip(axes[1], maps.items(), strict=False):
        figure.colorbar(family_map(cosine, parents, ax), ax=ax, label="cosine")
        ax.set_title(names[kind])
    for ax in axes[1, len(maps) :]:
        ax.set_axis_off()
    return figure
