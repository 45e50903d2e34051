"""Which shape equally important features choose at which density: Elhage et al. 2022, "The Geometry of Superposition"."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.experiments.uniform import LINE, SMALL_BEST_UP_TO, line
from superpos.plot.appearance import caption, current_axes
from superpos.plot.shape_colors import shape_color
from superpos.plot.sweeps import named_lines
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.uniform import Structure, benefits, structures, unlearned_loss, winners
from superpos.theory.uniform import crossover as equal_benefit
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, The Geometry of Superposition"
WINDOWS = ((1.1, 1.6), (4.0, 6.0))  # of 1/(1 − S)
PYRAMID = "square pyramid"
# Dimensionality of each shape's features, from dense to sparse.
LEVELS = {
    "tetrahedron": 3 / 4,
    "triangle": 2 / 3,
    "antipodal pair": 1 / 2,
    "pentagon": 2 / 5,
    "square antiprism": 3 / 8,
}
# Densities at which two shapes have the same benefit per dimension.
CROSSOVERS = {
    ("tetrahedron", "triangle"): 0.8003,
    ("triangle", "antipodal pair"): 0.6442,
    ("antipodal pair", "pentagon"): 0.2249,
    ("antipodal pair", "square antiprism"): 0.2195,
    ("pentagon", "square antiprism"): 0.2042,
}
# 1/(1 − S) well inside each range of the table of winners.
WINNERS = {1.2: "tetrahedron", 1.4: "triangle", 1.6: "antipodal pair", 3.0: "antipodal pair", 4.8: "pentagon"}
WINNERS |= {5.1: "square antiprism", 6.0: "5-demicube", 20.0: "2_21"}
NEVER = 3 / 5  # of a triangular bipyramid, were it uniform
COEXIST = 0.01  # shapes whose benefits differ by less than this are expected side by side


@dataclass(frozen=True)
class Size:
    """Features, hidden dimensions, densities in each of the `WINDOWS`, seeds, and how models are trained.

    At full size the paper's 400 features, sampled; else few exact models in the dimensions that the shapes fill.
    """

    n_features: int = 12
    hidden: tuple[int, ...] = (2, 3)
    more_hidden: tuple[int, ...] = (4,)  # trained in the denser window alone, where they leave features out, too
    densities: tuple[int, int] = (11, 9)
    seeds: int = 4
    objective: str = "expected"
    order: int | None = 24  # of the trained loss
    steps: int = 800
    benefit_order: int = 64  # terms of the series of the benefits
    n_curve_points: int = 21  # of each curve in each window
    curve_order: int = 32


SIZES = Sizes(
    quick=Size(
        hidden=(2,),
        more_hidden=(),
        densities=(2, 2),
        seeds=1,
        order=8,
        steps=30,
        benefit_order=8,
        n_curve_points=3,
        curve_order=8,
    ),
    laptop=Size(),
    full=Size(n_features=400, hidden=(30,), more_hidden=(), objective="sampled", order=None, steps=10_000),
)


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid over n_hidden, density and seed."""
    x = np.concatenate([np.linspace(*ends, k) for ends, k in zip(WINDOWS, size.densities, strict=True)])
    return _planned(size, size.hidden, x)


def build_more(size: Size) -> tuple[Toy, TrainConfig, Grid] | None:
    """The same with `more_hidden` dimensions at the densities of the denser window; None if there are none."""
    if not size.more_hidden:
        return None
    return _planned(size, size.more_hidden, np.linspace(*WINDOWS[0], size.densities[0]))


def _planned(size: Size, hidden: tuple[int, ...], x: np.ndarray) -> tuple[Toy, TrainConfig, Grid]:
    task = Toy(n_features=size.n_features, n_hidden=size.hidden[0], objective=size.objective, order=size.order)
    grid = Grid(n_hidden=list(hidden), feature_probability=1 / x, seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps), grid


def named(*names: str) -> list[Any]:
    """The known shapes of these names, one each: the first of two square antiprisms is the tight one."""
    return [next(s for s in structures() if s.name == name) for name in names]


def crossover(first: str, second: str, between: tuple[float, float], *, order: int = 64) -> float:
    """Density between two others at which two shapes have the same benefit per dimension."""
    a, b = named(first, second)
    return equal_benefit(a, b, between, order=order)


def pyramid_table(feature_probability: Any, *, order: int = 64) -> xr.Dataset:
    """The benefit of the square pyramid over densities, and `range`: 1/(1 − S) from which it is the best, and up to which."""
    p = np.asarray(feature_probability, float)
    (pyramid,) = benefits(p, named(PYRAMID), order=order)
    start = 1 / crossover("triangle", PYRAMID, (1 / 1.54, 1 / 1.45), order=order)
    stop = 1 / crossover(PYRAMID, "antipodal pair", (1 / 1.6, 1 / 1.54), order=order)
    data = {"benefit": ("feature_probability", pyramid.benefit), "range": ("end", [start, stop])}
    return xr.Dataset(data, {"feature_probability": p})


def theory_table() -> xr.Dataset:
    """All densities of `CROSSOVERS`, computed, and the shapes that win where `WINNERS` says.

    `crossover` over `pair`, in the order of `CROSSOVERS`; `apart`, by which share the benefits of two differ at the density
    where they should be equal; and `winner` over `x`, 1/(1 − S), among all known shapes.
    """
    at = [crossover(*pair, (0.8 * p, 1.2 * p)) for pair, p in CROSSOVERS.items()]
    two = [[s.benefit[0] for s in benefits([p], named(*pair))] for pair, p in CROSSOVERS.items()]
    apart, x = [abs(first / second - 1) for first, second in two], np.array(list(WINNERS))
    return xr.Dataset({"crossover": ("pair", at), "apart": ("pair", apart), "winner": ("x", winners(1 / x))}, {"x": x})


def winner_ranges(theory: xr.Dataset | None, pyramid: xr.Dataset | None = None) -> list[tuple[float, float, str]]:
    """Ranges of 1/(1 − S) in which each shape is the best, (from, to, shape), between the crossovers of neighbours.

    `theory` is the `theory_table`; without one there are none. `pyramid`, the `pyramid_table`, adds the range between
    triangle and pair. The last ends where structures of more than eight directions take over.
    """
    if theory is None:
        return []
    names, at = list(LEVELS), dict(zip(CROSSOVERS, theory["crossover"].values.tolist(), strict=True))
    edges = [1.0, *(1 / at[pair] for pair in pairwise(names)), SMALL_BEST_UP_TO]
    ranges = list(zip(edges, edges[1:], names, strict=False))
    if pyramid is not None:
        start, stop = pyramid["range"].values.tolist()
        k = names.index("triangle")
        ranges[k : k + 2] = [
            (ranges[k][0], start, names[k]),
            (start, stop, PYRAMID),
            (stop, ranges[k + 1][1], names[k + 1]),
        ]
    return ranges


def evaluate(
    result: SweepResult,
    tables: Sequence[xr.Dataset],
    candidates: list[Structure],
    pyramid: xr.Dataset | None,
    theory: xr.Dataset | None,
    claims: Claims,
) -> None:
    """All claims; `tables` are geometries, the first that of `result`, `candidates` those of `LEVELS` at its densities.

    `pyramid` is the `pyramid_table` at the densities of `result` and `theory` the `theory_table`; None in a quick look.
    """
    evaluate_shapes(tables[0], candidates, claims)
    evaluate_three_fifths(result, tables, candidates, claims)
    evaluate_losses(result, tables[0], candidates, claims, pyramid)
    evaluate_theory(theory, claims)


def evaluate_theory(theory: xr.Dataset | None, claims: Claims) -> None:
    """Crossovers and winners of the `theory_table`; nothing is judged without one.

    Benefits are nearly parallel, so a crossover moves far for a small change of either: how far apart they are where they
    should be equal is shown, too.
    """
    if theory is None:
        return
    for ((a, b), p), at, apart in zip(
        CROSSOVERS.items(), theory["crossover"].values, theory["apart"].values, strict=True
    ):
        measured = f"{at:.4f}; benefits {100 * apart:.3f} % apart at {p:g}"
        claims.check(
            f"theory: {a} and {b} are equally good", f"at 1 − S = {p:g} ± .001", measured, abs(at - p) <= 0.001
        )
    best = theory["winner"].values.tolist()
    expected = ", ".join(f"{name} at {x:g}" for x, name in WINNERS.items())
    claims.check("theory: winners at 1/(1 − S)", expected, ", ".join(best), best == list(WINNERS.values()))


def evaluate_shapes(table: xr.Dataset, candidates: list[Structure], claims: Claims) -> None:
    """Every shape is found and named where it may win, and features gather at its level.

    `table` is a result's geometry, and `candidates` holds the shapes of `LEVELS` at its densities.
    """
    p = table.feature_probability.values
    shapes = table["component_shape"].transpose("feature_probability", ...).values.reshape(len(p), -1)
    share = {s.shape.name: s.benefit for s in candidates}
    best = np.max(list(share.values()), axis=0)
    for name in LEVELS:
        may = share[name] >= (1 - COEXIST) * best
        members = (shapes == name).sum(axis=1)
        rows = np.flatnonzero(may & (members > 0))
        size = len(next(s for s in candidates if s.shape.name == name).shape.vertices)
        measured = "none"
        if len(rows):
            x = 1 / p[rows]
            measured = f"{members[rows].sum() // size} at {len(rows)} densities, 1/(1 − S) {x.min():.2f}…{x.max():.2f}"
        claims.check(f"{name}: found where it wins or is within 1 %", "1 or more", measured, len(rows) > 0)
    _evaluate_lines(table, claims)


def _evaluate_lines(table: xr.Dataset, claims: Claims) -> None:
    d_star, D = table["d_star"].values, table["dimensionality"].transpose(*table["d_star"].dims, "feature").values
    pool = D[d_star < 0.95].ravel()
    for name, level in LEVELS.items():
        measured, gathers = line(pool, level)
        claims.check(f"features gather on the line {level:.3g} ({name})", LINE, measured, gathers)


def evaluate_three_fifths(
    result: SweepResult, tables: Sequence[xr.Dataset], candidates: list[Structure], claims: Claims
) -> None:
    """No line at 3/5 where m is even; in three dimensions there is one, of a structure that only odd m has room for.

    A triangular bipyramid would have 3/5, but splits into a triangle and a pair, of 2/3 and 1/2. Where 1/(1 − S) is about
    1.45 triangles are best, and an even number of dimensions is filled by them. Three are not: a triangle leaves one over.
    There five features form a square pyramid, the apex at cosine −.41 to a base of cosines .17 and −.67, nearly a tight frame
    and so nearly 3/5 each. At 1.45 it gains 3.122 v, where triangle and pair gain 3.112 and a tetrahedron 3.109. (From 1.5
    to 1.56 it is best of all, in any number of dimensions, but then apex and base have D of .65 and .59.)

    `tables` are geometries over n_hidden, the first that of `result`, and `candidates` holds shapes at its densities.
    """
    dims = ("feature_probability", "seed")
    shares = {
        int(m): table["dimensionality"].where(table["d_star"] < 0.95).sel(n_hidden=m).transpose(*dims, "feature")
        for table in tables
        for m in table["n_hidden"].values
    }
    even = [m for m in shares if m % 2 == 0]
    measured, gathers = line(np.concatenate([shares[m].values.ravel() for m in even]), NEVER)
    at = ", ".join(map(str, even))
    claims.check(f"they do not at 3/5 where m is even ({at})", "no such line", measured, not gathers)
    if 3 not in shares:
        return
    of_three = shares[3]
    measured, gathers = line(of_three.values.ravel(), NEVER)
    on_level = (abs(of_three - NEVER) <= 0.005).any("feature")
    p, n = result["feature_probability"].values, result.attrs["task"]["n_features"]
    gain = n - n * result["loss"].sel(n_hidden=3).transpose(*dims) / unlearned_loss(p)[:, None]
    by_name = {s.shape.name: s.benefit for s in candidates}
    triangle, pair = by_name["triangle"], by_name["antipodal pair"]
    more = gain.where(on_level).max("seed").values - (2 * triangle + pair)
    chosen = on_level.any("seed").values
    x, more = 1 / p[chosen], more[chosen]
    if len(x):
        measured += f", at 1/(1 − S) {x.min():.2f}…{x.max():.2f}; {more.min():.4f} to {more.max():.4f} v more"
    expected = "a line, of models that gain more than a triangle and a pair"
    statement = "… but in three dimensions, which triangles cannot fill: a square pyramid"
    claims.check(statement, expected, measured, gathers and bool(np.all(more > 0)))


def evaluate_losses(
    result: SweepResult,
    table: xr.Dataset,
    candidates: list[Structure],
    claims: Claims,
    pyramid: xr.Dataset | None = None,
) -> None:
    """The best model costs what the best shape predicts: v(n − m B̂), B̂ the benefit per dimension in units of v.

    `pyramid` is a `pyramid_table` at the densities of `result`: a shape that is best only in a narrow range.

    `result` is over `n_hidden`, `feature_probability` and `seed`: a shape fills the space only where its dimensions
    divide m, so the best over m counts.
    """
    n, p, m = result.attrs["task"]["n_features"], result["feature_probability"], result["n_hidden"]
    best = np.max([s.benefit for s in candidates], axis=0)
    benefit = xr.DataArray(best, {"feature_probability": p.values}, p.dims)
    if pyramid is not None:
        benefit = np.maximum(benefit, pyramid["benefit"].values)
        start, stop = pyramid["range"].values.tolist()
        most = 100 * float((pyramid["benefit"].values / best).max() - 1)
        measured = f"at 1/(1 − S) {start:.3f} to {stop:.3f}, by up to {most:.2f} % at the densities here"
        statement = "theory: between triangle and pair a square pyramid is better than both"
        claims.check(statement, "a range that holds their crossover, 1/.6442", measured, start < 1 / 0.6442 < stop)
    predicted = unlearned_loss(p) * (n - m * benefit)
    above = 100 * (n * result["loss"] / predicted - 1).min(["n_hidden", "seed"])
    inner = above.where(p >= 1 / 5)  # at smaller densities larger shapes than the known ones may win
    lowest = 1 / float(inner.idxmin("feature_probability"))
    measured = f"{float(above.min()):+.2f} to {float(above.max()):+.2f} %"
    measured += f"; at 1/(1 − S) ≤ 5 least {float(inner.min()):+.3f} %, at {lowest:.2f}"
    holds = float(above.max()) <= 5 and float(inner.min()) >= -0.05  # rounding and the cut of the series
    expected = "0 to 5 % above; below only at 1/(1 − S) > 5"
    claims.check("loss of the best shape, at every density", expected, measured, holds)
    most = int(table["n_represented"].max())
    claims.check("features abound: some are left out everywhere", f"below n = {n}", f"at most {most}", most < n)


def draw(
    result: SweepResult,
    table: xr.Dataset,
    curves: Sequence[tuple[Any, dict[str, Any]]],
    bands: Sequence[tuple[float, float, str]],
) -> tuple[Figure, str]:
    """Figure and caption: dimensionalities above benefits, a column per window of 1/(1 − S), over the winners' ranges.

    `table` is the geometry of `result`; `curves` holds x and the `benefit_curves` there of every window, and `bands` are
    those of `winner_bands`.
    """
    layout: Any = {"height_ratios": (2.2, 1), "sharex": "col", "layout": "constrained"}
    figure, axes = plt.subplots(2, len(curves), figsize=(8.2, 5.6), squeeze=False, **layout)
    labels, inverse = {}, 1 / table["feature_probability"].values
    for (above, below), (x, curve_values) in zip(axes.T, curves, strict=True):
        ends = x[0], x[-1]
        inside = table.isel(feature_probability=(inverse > ends[0] - 1e-9) & (inverse < ends[1] + 1e-9))
        dimensionality_by_shape(inside["dimensionality"], inside["component_shape"], above)
        benefit_curves(x, curve_values, below)
        for ax in (above, below):
            winner_bands(bands, ax)
        above.set(xlabel="", xlim=(ends[0] - 0.02 * np.ptp(ends), ends[1] + 0.02 * np.ptp(ends)))
        below.set_ylim(-5, 0.4)
        labels |= {label: handle for handle, label in zip(*above.get_legend_handles_labels(), strict=True)}
        curve_labels = zip(*below.get_legend_handles_labels(), strict=True)
        labels |= {label: handle for handle, label in curve_labels if label not in LEVELS}
    plt.setp(axes[:, 1:], ylabel="")
    figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=4, markerscale=2)
    text = (
        "Top: dimensionality of every feature, in the colour of the shape it is part of. Bottom: what every shape gains "
        "per hidden dimension, exactly. Shaded: where a shape is the best one (orange-red: a square pyramid; unshaded: "
        f"shapes of 16 and more directions). Hidden dimensions: {', '.join(map(str, result['n_hidden'].values))}."
    )
    return figure, caption(result.attrs, text)


def winner_bands(winners: Sequence[tuple[float, float, str]], ax: Axes | None = None) -> Axes:
    """Shade the ranges (left, right, shape) of an axis in the colours of the shapes, behind everything else."""
    ax = current_axes(ax)
    for left, right, name in winners:
        ax.axvspan(left, right, color=shape_color(name), alpha=0.16, lw=0, zorder=-2)
    return ax


def dimensionality_by_shape(
    D: xr.DataArray, shapes: xr.DataArray, ax: Axes | None = None, *, jitter: float = 0.003, seed: int = 0
) -> Axes:
    """D_i against 1/(1 − S), one dot per feature in the colour of the shape it is part of, over the named lines.

    `D` and `shapes` (a geometry table's `dimensionality` and `component_shape`) have dims (feature_probability, …,
    feature). Features in no shape, and shapes without a colour of their own, are small and grey, below the others. Dots
    are spread sideways by a relative `jitter`.
    """
    ax = current_axes(ax)
    D = D.transpose("feature_probability", ...)
    names = shapes.transpose(*D.dims).values.ravel()
    spread = np.exp(jitter * np.random.default_rng(seed).standard_normal(D.shape))
    x = (spread / D.feature_probability.values.reshape(-1, *[1] * (D.ndim - 1))).ravel()
    y = D.values.ravel()
    for value, name in named_lines().items():
        ax.axhline(value, color=shape_color(name), lw=0.7, zorder=0)
    rest = ~np.isin(names, list(named_lines().values()))
    ax.plot(x[rest], y[rest], ".", color=shape_color("irregular"), ms=1.6, mec="none", alpha=0.5, label="other or none")
    for value, name in named_lines().items():
        members = names == name
        if np.any(members):
            label = f"{name}, {Fraction(value).limit_denominator(10)}"
            ax.plot(
                x[members], y[members], ".", color=shape_color(name), ms=4, mec="none", alpha=0.8, label=label, zorder=3
            )
    ax.set(ylim=(-0.02, 1.05), xlabel="1 / (1 − S)", ylabel="feature dimensionality $D_i$")
    return ax


def benefit_curves(x: Any, benefits: dict[str, Any], ax: Axes | None = None) -> Axes:
    """Benefit per dimension of every shape against 1/(1 − S), in per cent of the best one's, in the shapes' colours."""
    ax = current_axes(ax)
    best = np.max(list(benefits.values()), axis=0)
    for name, values in benefits.items():
        ax.plot(x, 100 * (np.asarray(values) / best - 1), color=shape_color(name), label=name)
    ax.set(xlabel="1 / (1 − S)", ylabel="benefit per dimension\n(% below the best)")
    return ax
