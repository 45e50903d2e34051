"""Pictures of many models over density."""

from collections.abc import Sequence
from functools import cache
from textwrap import fill
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from superpos.plot.appearance import current_axes
from superpos.plot.features import feature_directions
from superpos.plot.shape_colors import shape_color, shape_look
from superpos.theory.polytopes import COLORS, known_shape


@cache  # here and not as this module is read: all known shapes are built for it, which takes a fifth of a second
def named_lines() -> dict[float, str]:
    """The lines that feature dimensionalities gather at, with the shape of each, highest first.

    Elhage et al. 2022, "The Geometry of Superposition".
    """
    return {known_shape(name).dimensionality: name for name in COLORS}


def directions_by_density(best: Any, axes: Sequence[Axes], densities: Sequence[float], shapes: xr.DataArray) -> None:
    """One panel of feature directions per density: the nearest trained one, with its shape written below.

    `best` is a sweep result over `feature_probability` alone; `shapes` its table's `shape`.
    """
    limit = 1.12 * float(np.nanmax(np.linalg.norm(best["W"].values, axis=-2)))
    for ax, density in zip(axes, densities, strict=True):
        cell = best.sel(feature_probability=density, method="nearest")
        p = float(cell["feature_probability"])
        shape = str(shapes.sel(feature_probability=p).item())
        feature_directions(cell, ax, limit=limit)
        ax.set_title(f"1 − S = {p:.2g}", fontsize=8.5)
        ax.set_xlabel(fill(shape, 15), fontsize=8, color=shape_look(shape).letters)


def shape_shares(shapes: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Share of the seeds that ended in each geometry, stacked over density; dims (feature_probability, seed).

    The colour says the largest shape, the texture what is beside it (`superpos.plot.shape_look`).
    """
    ax = current_axes(ax)
    shapes = shapes.sortby("feature_probability").transpose("feature_probability", "seed")
    x = 1 / shapes.feature_probability.values
    edges = log_edges(x[::-1])[::-1]
    bottom = np.zeros(len(x))
    for name in _by_frequency(shapes):
        share, look = (shapes.values == name).mean(axis=1), shape_look(name)
        style: Any = {"facecolor": look.fill, "edgecolor": look.ink, "hatch": look.hatch, "label": name, "lw": 0}
        ax.bar(edges[1:], share, edges[:-1] - edges[1:], bottom, align="edge", **style)
        bottom += share
    ax.set(xscale="log", xlim=(edges[-1], edges[0]), ylim=(0, 1), xlabel="1 / (1 − S)", ylabel="share of seeds")
    ax.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        title="geometry",
        alignment="left",
        handleheight=1.4,
        handlelength=2.0,
    )
    return ax


def dimensionality(D: xr.DataArray, ax: Axes | None = None, *, jitter: float = 0.012, seed: int = 0) -> Axes:
    """D_i against 1/(1 − S), one dot per feature, with the named lines; dims (feature_probability, …, feature).

    Dots are spread sideways by a relative `jitter` so that a crowd on one line is seen as a crowd.
    """
    ax = current_axes(ax)
    D = D.transpose("feature_probability", ...)
    values = D.values.reshape(D.sizes["feature_probability"], -1)
    spread = np.exp(jitter * np.random.default_rng(seed).standard_normal(values.shape))
    x = spread / D.feature_probability.values[:, None]
    ax.plot(x.ravel(), values.ravel(), ".", color="black", ms=2.2, mec="none", alpha=0.6, zorder=3)
    for value, name in named_lines().items():
        ax.axhline(value, color=shape_color(name), lw=1.0, zorder=1)
        high = name not in ("square antiprism", "triangle")  # two labels that would touch their upper neighbour
        ax.annotate(
            name,
            (1.01, value),
            (0, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="bottom" if high else "top",
            fontsize=7.5,
            color=shape_color(name),
        )
    ax.set(xscale="log", ylim=(-0.02, 1.05), xlabel="1 / (1 − S)", ylabel="feature dimensionality $D_i$")
    plain_ticks(ax)
    return ax


def d_star(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Hidden dimensions per feature D* = m / ‖W‖² against 1/(1 − S), with its plateaus at 1 and 1/2."""
    ax = current_axes(ax)
    for plateau in (1, 1 / 2):
        ax.axhline(plateau, color="#BBBBBB", lw=0.8, zorder=0)
    ax.plot(1 / values.feature_probability, values, "o-", color="black", ms=3)
    ax.set(xscale="log", ylim=(0, 1.08), xlabel="1 / (1 − S)", ylabel="$D^* = m / \\|W\\|_F^2$", yticks=[0, 0.5, 1])
    plain_ticks(ax)
    return ax


def loss_history(source: Any, ax: Axes | None = None) -> Axes:
    """Loss curve of a run, or the curves of every cell of a sweep result."""
    ax = current_axes(ax)
    if hasattr(source, "history"):
        steps, losses = source.history_steps, np.asarray(source.history.loss)[None]
    else:
        losses = source["loss_history"].values
        losses = losses.reshape(-1, losses.shape[-1])
        steps = np.broadcast_to(source["record_step"].values.reshape(-1, losses.shape[-1]), losses.shape)
    ax.plot(np.broadcast_to(steps, losses.shape).T, losses.T, color="black", alpha=max(0.05, min(1, 10 / len(losses))))
    ax.set(yscale="log", xlabel="step", ylabel="loss (mean over features)")
    return ax


def log_edges(x: np.ndarray) -> np.ndarray:
    """Edges of cells around rising or falling values on a logarithmic axis."""
    if len(x) < 2:
        return np.array([x[0] / 1.2, x[0] * 1.2])
    middle = np.sqrt(x[1:] * x[:-1])
    return np.concatenate([[x[0] ** 2 / middle[0]], middle, [x[-1] ** 2 / middle[-1]]])


def plain_ticks(ax: Axes, *, subs: tuple[float, ...] = (1, 2, 5), y: bool = False) -> None:
    """Write 1, 2, 5, 10 … (`subs` in every decade) on a logarithmic x axis, or both, instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (ax.xaxis, ax.yaxis) if y else (ax.xaxis,):
        axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=15))  # on a short axis, too
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _by_frequency(shapes: xr.DataArray) -> list[str]:
    names, counts = np.unique(shapes.values, return_counts=True)
    return [str(n) for n in names[np.argsort(-counts, kind="stable")]]
