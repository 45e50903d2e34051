"""Which shape equally important features choose at which density: Elhage et al. 2022, "The Geometry of Superposition"."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from superpos.claims.uniform import LINE, SMALL_BEST_UP_TO, line
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.theory.uniform import Structure, benefits, structures, unlearned_loss, winners
from superpos.theory.uniform import crossover as equal_benefit

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
    (found,) = benefits(p, named("square pyramid"), order=order)
    start = 1 / crossover("triangle", "square pyramid", (1 / 1.54, 1 / 1.45), order=order)
    stop = 1 / crossover("square pyramid", "antipodal pair", (1 / 1.6, 1 / 1.54), order=order)
    data = {"benefit": ("feature_probability", found.benefit), "range": ("end", [start, stop])}
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


def winner_ranges(found: xr.Dataset | None, pyramid: xr.Dataset | None = None) -> list[tuple[float, float, str]]:
    """Ranges of 1/(1 − S) in which each shape is the best, (from, to, shape), between the crossovers of neighbours.

    `found` is the `theory_table`; without one there are none. `pyramid`, the `pyramid_table`, adds the range between
    triangle and pair. The last ends where structures of more than eight directions take over.
    """
    if found is None:
        return []
    names, at = list(LEVELS), dict(zip(CROSSOVERS, found["crossover"].values.tolist(), strict=True))
    edges = [1.0, *(1 / at[pair] for pair in pairwise(names)), SMALL_BEST_UP_TO]
    ranges = list(zip(edges, edges[1:], names, strict=False))
    if pyramid is not None:
        start, stop = pyramid["range"].values.tolist()
        k = names.index("triangle")
        ranges[k : k + 2] = [
            (ranges[k][0], start, names[k]),
            (start, stop, "square pyramid"),
            (stop, ranges[k + 1][1], names[k + 1]),
        ]
    return ranges


def judge_theory(found: xr.Dataset | None, claims: Claims) -> None:
    """Crossovers and winners of the `theory_table`; nothing is judged without one.

    Benefits are nearly parallel, so a crossover moves far for a small change of either: how far apart they are where they
    should be equal is shown, too.
    """
    if found is None:
        return
    for ((a, b), p), at, apart in zip(
        CROSSOVERS.items(), found["crossover"].values, found["apart"].values, strict=True
    ):
        measured = f"{at:.4f}; benefits {100 * apart:.3f} % apart at {p:g}"
        claims.add(f"theory: {a} and {b} are equally good", f"at 1 − S = {p:g} ± .001", measured, abs(at - p) <= 0.001)
    best = found["winner"].values.tolist()
    wanted = ", ".join(f"{name} at {x:g}" for x, name in WINNERS.items())
    claims.add("theory: winners at 1/(1 − S)", wanted, ", ".join(best), best == list(WINNERS.values()))


def judge_shapes(table: xr.Dataset, known: list[Structure], claims: Claims) -> None:
    """Every shape is found and named where it may win, and features gather at its level.

    `table` is a result's geometry, and `known` holds the shapes of `LEVELS` at its densities.
    """
    p = table.feature_probability.values
    shapes = table["component_shape"].transpose("feature_probability", ...).values.reshape(len(p), -1)
    share = {s.shape.name: s.benefit for s in known}
    best = np.max(list(share.values()), axis=0)
    for name in LEVELS:
        may = share[name] >= (1 - COEXIST) * best
        members = (shapes == name).sum(axis=1)
        where = np.flatnonzero(may & (members > 0))
        size = len(next(s for s in known if s.shape.name == name).shape.vertices)
        measured = "none"
        if len(where):
            x = 1 / p[where]
            measured = (
                f"{members[where].sum() // size} at {len(where)} densities, 1/(1 − S) {x.min():.2f}…{x.max():.2f}"
            )
        claims.add(f"{name}: found where it wins or is within 1 %", "1 or more", measured, len(where) > 0)
    _judge_lines(table, claims)


def _judge_lines(table: xr.Dataset, claims: Claims) -> None:
    d_star, D = table["d_star"].values, table["dimensionality"].transpose(*table["d_star"].dims, "feature").values
    pool = D[d_star < 0.95].ravel()
    for name, level in LEVELS.items():
        measured, there = line(pool, level)
        claims.add(f"features gather on the line {level:.3g} ({name})", LINE, measured, there)


def judge_three_fifths(
    result: SweepResult, tables: Sequence[xr.Dataset], known: list[Structure], claims: Claims
) -> None:
    """No line at 3/5 where m is even; in three dimensions there is one, of a structure that only odd m has room for.

    A triangular bipyramid would have 3/5, but splits into a triangle and a pair, of 2/3 and 1/2. Where 1/(1 − S) is about
    1.45 triangles are best, and an even number of dimensions is filled by them. Three are not: a triangle leaves one over.
    There five features form a square pyramid, the apex at cosine −.41 to a base of cosines .17 and −.67, nearly a tight frame
    and so nearly 3/5 each. At 1.45 it gains 3.122 v, where triangle and pair gain 3.112 and a tetrahedron 3.109. (From 1.5
    to 1.56 it is best of all, in any number of dimensions, but then apex and base have D of .65 and .59.)

    `tables` are geometries over n_hidden, the first that of `result`, and `known` holds shapes at its densities.
    """
    over = ("n_hidden", "feature_probability", "seed")
    shares = {
        int(m): table["dimensionality"].where(table["d_star"] < 0.95).sel(n_hidden=m).transpose(*over[1:], "feature")
        for table in tables
        for m in table["n_hidden"].values
    }
    even = [m for m in shares if m % 2 == 0]
    measured, there = line(np.concatenate([shares[m].values.ravel() for m in even]), NEVER)
    at = ", ".join(map(str, even))
    claims.add(f"they do not at 3/5 where m is even ({at})", "no such line", measured, not there)
    if 3 not in shares:
        return
    of_three = shares[3]
    measured, there = line(of_three.values.ravel(), NEVER)
    here = (abs(of_three - NEVER) <= 0.005).any("feature")
    p, n = result["feature_probability"].values, result.attrs["task"]["n_features"]
    gain = n - n * result["loss"].sel(n_hidden=3).transpose(*over[1:]) / unlearned_loss(p)[:, None]
    triangle, pair = (next(s.benefit for s in known if s.shape.name == name) for name in ("triangle", "antipodal pair"))
    more = gain.where(here).max("seed").values - (2 * triangle + pair)
    chosen = here.any("seed").values
    x, more = 1 / p[chosen], more[chosen]
    if len(x):
        measured += f", at 1/(1 − S) {x.min():.2f}…{x.max():.2f}; {more.min():.4f} to {more.max():.4f} v more"
    wanted = "a line, of models that gain more than a triangle and a pair"
    statement = "… but in three dimensions, which triangles cannot fill: a square pyramid"
    claims.add(statement, wanted, measured, there and bool(np.all(more > 0)))


def judge_losses(
    result: SweepResult, table: xr.Dataset, known: list[Structure], claims: Claims, pyramid: xr.Dataset | None = None
) -> None:
    """The best model costs what the best shape predicts: v(n − m B̂), B̂ the benefit per dimension in units of v.

    `pyramid` is a `pyramid_table` at the densities of `result`: a shape that is best only in a narrow range.

    `result` is over `n_hidden`, `feature_probability` and `seed`: a shape fills the space only where its dimensions
    divide m, so the best over m counts.
    """
    n, p, m = result.attrs["task"]["n_features"], result["feature_probability"], result["n_hidden"]
    benefit = xr.DataArray(np.max([s.benefit for s in known], axis=0), {"feature_probability": p.values}, p.dims)
    if pyramid is not None:
        benefit = np.maximum(benefit, pyramid["benefit"].values)
        start, stop = pyramid["range"].values.tolist()
        most = 100 * float((pyramid["benefit"].values / np.max([s.benefit for s in known], axis=0)).max() - 1)
        measured = f"at 1/(1 − S) {start:.3f} to {stop:.3f}, by up to {most:.2f} % at the densities here"
        statement = "theory: between triangle and pair a square pyramid is better than both"
        claims.add(statement, "a range that holds their crossover, 1/.6442", measured, start < 1 / 0.6442 < stop)
    predicted = unlearned_loss(p) * (n - m * benefit)
    above = 100 * (n * result["loss"] / predicted - 1).min(["n_hidden", "seed"])
    inner = above.where(p >= 1 / 5)  # at smaller densities larger shapes than the known ones may win
    lowest = 1 / float(inner.idxmin("feature_probability"))
    measured = f"{float(above.min()):+.2f} to {float(above.max()):+.2f} %"
    measured += f"; at 1/(1 − S) ≤ 5 least {float(inner.min()):+.3f} %, at {lowest:.2f}"
    holds = float(above.max()) <= 5 and float(inner.min()) >= -0.05  # rounding and the cut of the series
    wanted = "0 to 5 % above; below only at 1/(1 − S) > 5"
    claims.add("loss of the best shape, at every density", wanted, measured, holds)
    most = int(table["n_represented"].max())
    claims.add("features abound: some are left out everywhere", f"below n = {n}", f"at most {most}", most < n)
