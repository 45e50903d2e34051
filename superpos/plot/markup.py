"""What notebooks show of a model, a run, a result or a grid: its words, and beside them a small picture without a request."""

from html import escape
from itertools import groupby
from typing import Any

import numpy as np

from superpos import arrays
from superpos.plot.shape_colors import shape_look
from superpos.sweeping import Grid, SweepResult

SIDE = 96  # of the picture, in pixels
MAX_FEATURES = 64  # of a model whose picture is drawn
MAX_NAMED = 1_024  # models of a result whose shapes are named for its picture
# Viridis at 0, 1/4, …, 0.92: features from dark to bright, as in figures.
_RAMP = ((68, 1, 84), (60, 79, 138), (37, 132, 142), (61, 188, 116), (200, 224, 32))


def html(source: Any) -> str:
    """The words of `repr`, and beside them: of one model its directions or WᵀW, of a sweep its shapes over density."""
    words = f'<pre style="margin:0;background:none">{escape(repr(source))}</pre>'
    return f'<div style="display:flex;gap:1em;align-items:center">{picture(source)}{words}</div>'


def picture(source: Any) -> str:
    """A small inline SVG of a model, a run or a result; nothing where there is no W to draw, or too much of it."""
    if isinstance(source, Grid):
        return _cells(source)
    if isinstance(source, SweepResult):
        if "W" not in source.dataset:
            return ""
        n_models = int(np.prod(list(source.sizes.values()), dtype=int))
        if n_models > 1:
            return _shapes(source) if n_models <= MAX_NAMED else ""
        W = source["W"].squeeze().values
    else:
        model = arrays.model_of(source)
        if getattr(model, "W", None) is None:
            return ""
        W = np.asarray(model.W[...])
    if W.ndim != 2 or not np.isfinite(W).all() or not 0 < W.shape[1] <= MAX_FEATURES:
        return ""
    return _directions(W) if len(W) == 2 else _gram(W)


def _cells(grid: Grid) -> str:
    """One dot per cell over its first two axes, each value at its rank."""
    if not 1 < grid.n_cells <= MAX_NAMED:
        return ""
    ranks = [np.unique(column, return_inverse=True)[1].ravel() for column in list(grid.columns().values())[:2]]
    x, y = ranks if len(ranks) == 2 else (ranks[0], 0 * ranks[0])
    wide, high = int(x.max()) + 1, int(y.max()) + 1
    at = sorted(set(zip(x.tolist(), y.tolist(), strict=True)))
    size = max(wide, high) / 50
    dots = "".join(f'<circle cx="{i + 0.5}" cy="{high - j - 0.5}" r="{min(0.4, size):.2g}"/>' for i, j in at)
    return _svg(dots, f"0 0 {wide} {high}", "cells over " + " and ".join(list(grid.axes)[:2]))


def _directions(W: np.ndarray) -> str:
    limit = 1.15 * max(1.0, float(np.linalg.norm(W, axis=0).max()))
    ends = [(f"{x / limit * 50:.1f}", f"{-y / limit * 50:.1f}") for x, y in W.T]
    lines = "".join(
        f'<line x2="{x}" y2="{y}" stroke="{c}" stroke-width="2"/><circle cx="{x}" cy="{y}" r="2.6" fill="{c}"/>'
        for (x, y), c in zip(ends, _shades(len(ends)), strict=True)
    )
    return _svg(
        f'<circle r="{50 / limit:.1f}" fill="none" stroke="#ddd"/>{lines}', "-50 -50 100 100", "feature directions"
    )


def _gram(W: np.ndarray) -> str:
    products = np.clip(W.T @ W, -1, 1)
    n = len(products)
    squares = [
        f'<rect x="{j}" y="{i}" width="1" height="1" fill="{_diverging(value)}"/>'
        for (i, j), value in np.ndenumerate(products)
    ]
    return _svg("".join(squares), f"0 0 {n} {n}", "WᵀW")


def _shapes(result: SweepResult) -> str:
    """The shape of the best seed along the first axis, as a band; stretches of one shape are one piece, with its name."""
    best = result.best("seed") if "seed" in result.sizes else result
    axes = list(best.sizes)
    if len(axes) != 1:
        return ""
    names = [str(name) for name in best.geometry()["shape"].values]
    parts, at = [], 0
    for name, group in groupby(names):
        width = len(list(group))
        title = f"<title>{escape(name)}</title>"
        parts.append(f'<rect x="{at}" width="{width}" height="1" fill="{shape_look(name).fill}">{title}</rect>')
        at += width
    box = f'0 0 {at} 1" preserveAspectRatio="none'
    return _svg("".join(parts), box, f"shape of the best model along {axes[0]}: " + ", ".join(dict.fromkeys(names)))


def _svg(inside: str, box: str, label: str) -> str:
    size = f'width="{SIDE}" height="{SIDE}" viewBox="{box}" role="img" aria-label="{escape(label)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="flex:none;background:#fff">{inside}</svg>'


def _shades(n: int) -> list[str]:
    at = np.linspace(0, len(_RAMP) - 1, n) if n > 1 else np.zeros(1)
    channels = [np.interp(at, np.arange(len(_RAMP)), channel) for channel in zip(*_RAMP, strict=True)]
    return [f"rgb({r:.0f},{g:.0f},{b:.0f})" for r, g, b in zip(*channels, strict=True)]


def _diverging(value: float) -> str:
    """Negative blue, zero white, positive vermilion, as in figures."""
    end = np.array((0, 114, 178) if value < 0 else (213, 94, 0))
    r, g, b = 255 + abs(value) * (end - 255)
    return f"rgb({r:.0f},{g:.0f},{b:.0f})"
