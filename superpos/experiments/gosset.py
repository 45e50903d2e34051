"""Gosset's polytopes: which structures win as features get sparser, and that training finds them.

Not in Elhage et al. 2022, whose "The Geometry of Superposition" ends with the square antiprism; the setting is theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.intervals import share_interval
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import caption, current_axes
from superpos.plot.shape_colors import shape_look
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.one_output import exact_errors
from superpos.theory.uniform import benefits, structures, unlearned_loss, winning_ranges
from superpos.training.train_config import TrainConfig

SOURCE = "Beyond Elhage et al. 2022, The Geometry of Superposition"
X_RANGE = (1.05, 100.0)  # of 1/(1 − S) that is drawn


@dataclass(frozen=True)
class Setting:
    """Models in which one structure would use all features and fill all dimensions."""

    n_features: int
    n_hidden: int
    x: tuple[float, ...]  # 1/(1 − S)
    seeds: int
    order: int | None = 24
    steps: int = 600
    objective: str = "expected"
    beside: str = ""  # a structure that training begins beside; random weights if there is none


# Structures that win somewhere, one of Gosset's that does not, and those that training finds all the same.
SETTINGS = {
    "antipodal pair": Setting(2, 1, (2.0, 3.0), 16),
    "pentagon": Setting(5, 2, (4.7, 10.0), 16),
    "square antiprism": Setting(8, 3, (5.1, 10.0), 16),
    "rectified 5-cell": Setting(10, 4, (6.0, 10.0), 16),
    "5-demicube": Setting(16, 5, (6.0, 8.0, 10.0), 16),
    "2_21": Setting(27, 6, (15.0, 20.0, 30.0), 8, 32),
    "3_21": Setting(56, 7, (40.0, 100.0), 4, 64, 400),
    "icosahedron": Setting(12, 3, (20.0, 40.0), 16),
    "24-cell": Setting(24, 4, (100.0,), 8, 48),
}
# What random starts do not find: training from beside it stays there, or leaves it.
PLANTED = {
    "3_21 planted": Setting(56, 7, (40.0, 100.0), 2, 64, 400, beside="3_21"),
    "triangular prism planted": Setting(6, 3, (3.0, 8.0), 4, beside="triangular prism"),
    "4_21 planted": Setting(240, 8, (100.0,), 2, None, 4_000, "sampled", beside="4_21"),
}
PLANTED_NOISE = 0.1  # length of the noise on every planted feature of length 1
# More features than places: what is left over stays out, or joins.
SOLIDS = Setting(12, 3, (8.0, 12.0, 20.0), 16)
# (The 10-point code and the gyroelongated square bipyramid are close: their benefits differ by .03 % at 1/(1 − S) = 10.)
SOLID_NAMES = {8.0: "tricapped triangular prism", 12.0: "10-point code", 20.0: "10-point code"}
# Far more features than places, trained by sampling, which is faster than the population loss for more than 100.
LARGE = Setting(200, 20, (5.1, 10.64, 20.0), 3, None, 5_000, "sampled")
CURVES = ("antipodal pair", "pentagon", "square antiprism", "triangular prism", "rectified 5-cell", "5-demicube")
CURVES += ("2_21", "3_21", "4_21", "icosahedron", "24-cell")
WINNERS = ("triangle", "square pyramid", "antipodal pair", "pentagon", "square antiprism", "5-demicube", "2_21", "3_21")
CROSSOVERS = (1.2496, 1.4930, 1.5625, 4.4469, 4.8973, 5.2771, 10.619, 31.479)  # 1/(1 − S) from which each of them wins
RARE = "3_21"  # what random starts seldom find
CLOSE = 1e-3  # of the loss: a model that has the shape has its loss


@dataclass(frozen=True)
class Size:
    """What is trained, by name (of a structure, "solids", "large"), and how exactly curves and losses are computed."""

    settings: Mapping[str, Setting]
    n_curve_points: int = 61
    order: int = 64  # terms of the series of curves and losses
    large_order: int = 16  # of the losses of "large"


SIZES = Sizes(
    quick=Size(
        {  # of one shape: one program trains all
            "icosahedron": Setting(12, 3, (20.0,), 1, 8, 20),
            "solids": Setting(12, 3, (8.0,), 1, 8, 20),
            "large": Setting(12, 3, (5.1,), 1, 8, 20),
        },
        n_curve_points=5,
        order=8,
        large_order=8,
    ),
    laptop=Size(SETTINGS | PLANTED | {"solids": SOLIDS, "large": LARGE}),
    full=Size(
        {name: replace(setting, seeds=64) for name, setting in (SETTINGS | {"solids": SOLIDS}).items()}
        | PLANTED
        | {"large": LARGE}
    ),
)


def build(size: Size) -> dict[str, tuple[Toy, TrainConfig, Grid]]:
    """Task, training and grid of every setting."""
    return {name: planned(setting) for name, setting in size.settings.items()}


def planned(setting: Setting) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of one setting."""
    task = Toy(
        n_features=setting.n_features, n_hidden=setting.n_hidden, objective=setting.objective, order=setting.order
    )
    grid = Grid(feature_probability=1 / np.array(setting.x), seed=range(setting.seeds))
    return task, TrainConfig(steps=setting.steps), grid


def start(setting: Setting) -> dict[str, np.ndarray] | None:
    """Weights and biases beside a structure, W of shape (density, seed, hidden, feature); None for random ones."""
    if not setting.beside:
        return None
    directions = next(shape for shape in structures() if shape.name == setting.beside).vertices.T
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((setting.seeds, *directions.shape)) / np.sqrt(setting.n_hidden)
    W = np.broadcast_to(directions + PLANTED_NOISE * noise, (len(setting.x), *noise.shape))
    return {"W": W, "b": np.full(setting.n_features, -0.1)}


def curves(x: Any, names: tuple[str, ...] = CURVES, *, order: int = 64) -> xr.Dataset:
    """Benefit per dimension, in units of v, of structures at their best: `benefit` over (structure, x)."""
    chosen = {shape.name: shape for shape in structures()}
    rows = benefits(1 / np.asarray(x), [chosen[name] for name in names], order=order)
    coordinates = {"structure": list(names), "x": np.asarray(x, float)}
    return xr.Dataset({"benefit": (("structure", "x"), np.array([s.benefit for s in rows]))}, coordinates)


def ranges(x_from: float, x_to: float) -> xr.Dataset:
    """The winner among all known shapes in every range of x: `start`, `stop` and `winner` over `range`."""
    rows = winning_ranges(x_from, x_to, steps=12, order=32)
    columns = {"start": [r.start for r in rows], "stop": [r.stop for r in rows], "winner": [r.name for r in rows]}
    return xr.Dataset({name: ("range", np.array(values)) for name, values in columns.items()})


def measured(result: SweepResult, *, order: int = 64) -> xr.Dataset:
    """`shape` and `benefit` per dimension, in units of v, of every model of a sweep over feature_probability and seed.

    The loss behind the benefit is exact, and in double precision.
    """
    n, d = result.attrs["task"]["n_features"], result.attrs["task"]["n_hidden"]
    W, b = (result[v].transpose("feature_probability", "seed", ...).values for v in ("W", "b"))
    p = result["feature_probability"].values
    loss = [
        [exact_errors(w, c, float(q), order=order).sum() for w, c in zip(*wc, strict=True)]
        for *wc, q in zip(W, b, p, strict=True)
    ]
    benefit = (n - np.array(loss) / unlearned_loss(p)[:, None]) / d
    shapes = result.geometry()["shape"].transpose("feature_probability", "seed")
    coordinates = {"x": 1 / p, "seed": result["seed"].values}
    return xr.Dataset({"benefit": (("x", "seed"), benefit), "shape": (("x", "seed"), shapes.values)}, coordinates)


def on_curve(name: str, table: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Of the seeds that found a structure: their share, (x,), and the best one's benefit, (x,), NaN where none did."""
    hits = table["shape"] == name
    return hits.mean("seed").values, table["benefit"].where(hits).max("seed").values


def _shares(hits: np.ndarray, x: np.ndarray) -> str:
    """ "3 of 16 (7–43 %) at 6" for every x; `hits` (x, seed) says which seeds found what is looked for."""
    parts = []
    for value, row in zip(x, hits, strict=True):
        _, low, high = share_interval(int(row.sum()), row.size)
        parts.append(f"{int(row.sum())} of {row.size} ({100 * low:.0f}–{100 * high:.0f} %) at {value:g}")
    return ", ".join(parts)


def evaluate(
    tables: Mapping[str, xr.Dataset],
    exact: xr.Dataset | None,
    solids: xr.Dataset,
    large: xr.Dataset,
    planted: Mapping[str, xr.Dataset],
    winning: xr.Dataset | None,
    claims: Claims,
) -> None:
    """Winners of theory, what training finds, how near its loss is, and what beats all structures.

    `tables` holds what was `measured` for every one of `SETTINGS`, `planted` for those of `PLANTED`, `solids` and `large`
    likewise; `exact` are the `curves`
    at the x of all of them, and `winning` the `ranges`; nothing is judged of theory without these two.
    """
    if winning is not None:
        names, starts = winning["winner"].values.tolist(), winning["start"].values
        at = [float(starts[names.index(w)]) if w in names else np.nan for w in WINNERS]
        apart = np.abs(np.array(at) / CROSSOVERS - 1).max()
        measured = ", ".join(f"{name} from {x:.4g}" for name, x in zip(WINNERS, at, strict=True))
        claims.check("theory: who wins from which 1/(1 − S) to 100", "crossovers ± .01 %", measured, apart <= 1e-4)
    for name, table in tables.items():
        x, hits = table["x"].values, (table["shape"] == name).transpose("x", "seed").values
        measured = _shares(hits, x)
        if name != RARE:
            claims.check(f"{name}: found by training", "some seeds at every density", measured, hits.any(axis=1).all())
        if exact is None:
            continue
        gap = _gap(SETTINGS[name], name, table, exact)
        if name == RARE:
            measured += f"; loss {100 * gap.min():+.2f} to {100 * gap.max():+.2f} %"
            expected = "no loss more than .1 % below the theory's"
            claims.check(
                f"{name}: random starts find it seldom, and nothing better", expected, measured, gap.min() >= -CLOSE
            )
        if hits.any():
            expected = "within .1 % of the theory's"
            measured = f"{gap[hits].min():+.1e} to {gap[hits].max():+.1e} in {hits.sum()} models"
            claims.check(f"{name}: loss of those that found it", expected, measured, np.abs(gap[hits]).max() <= CLOSE)
    if exact is not None and planted:
        evaluate_planted(planted, exact, claims)
    x = solids["x"].values
    hits = np.array([(solids["shape"].sel(x=v).values == SOLID_NAMES[round(float(v), 6)]) for v in x])
    for name in dict.fromkeys(SOLID_NAMES.values()):
        rows = [k for k, v in enumerate(x) if SOLID_NAMES[round(float(v), 6)] == name]
        measured = _shares(hits[rows], x[rows]) if rows else "not trained"
        holds = bool(rows) and hits[rows].any(axis=1).all()
        claims.check(f"12 features in space: {name}", "some seeds at every density", measured, holds)
    if exact is not None:
        best = exact["benefit"].max("structure").sel(x=large["x"].values, method="nearest").values
        measured = ", ".join(
            f"{row.min():.3f}…{row.max():.3f} against {value:.3f} at {v:.4g}"
            for row, value, v in zip(large["benefit"].values, best, large["x"].values, strict=True)
        )
        sparse = large["x"].values > 10
        holds = (large["benefit"].values[sparse].min(axis=1) > best[sparse]).all()
        claims.check(
            "200 features in 20 dimensions beat every known structure", "all seeds, at 1/(1 − S) > 10", measured, holds
        )


def _gap(setting: Setting, name: str, table: xr.Dataset, exact: xr.Dataset) -> np.ndarray:
    """Loss above that of a structure at its best, as a share of it: (x, seed)."""
    n, d = setting.n_features, setting.n_hidden
    benefit = exact["benefit"].sel(structure=name).sel(x=table["x"].values, method="nearest").values[:, None]
    return (n - d * table["benefit"].transpose("x", "seed").values) / (n - d * benefit) - 1


def evaluate_planted(planted: Mapping[str, xr.Dataset], exact: xr.Dataset, claims: Claims) -> None:
    """What random starts miss: 3_21 is a minimum with the theory's loss, the triangular prism and (to 100) 4_21 are none."""
    table = planted["3_21 planted"]
    gap, stays = _gap(PLANTED["3_21 planted"], "3_21", table, exact), table["shape"].values == "3_21"
    claims.check(
        "3_21: training from beside it stays, with the theory's loss",
        "all, within .1 %",
        f"{stays.sum()} of {stays.size}, {gap.min():+.1e} to {gap.max():+.1e}",
        stays.all() and np.abs(gap).max() <= CLOSE,
    )
    shapes = planted["triangular prism planted"]["shape"].values
    claims.check(
        "triangular prism: no minimum, training from beside it ends in three antipodal pairs",
        "all",
        f"{(shapes == '3 × antipodal pair').sum()} of {shapes.size}",
        (shapes == "3 × antipodal pair").all(),
    )
    table = planted["4_21 planted"]
    gap, stays = _gap(PLANTED["4_21 planted"], "4_21", table, exact), table["shape"].values == "4_21"
    claims.check(
        "4_21: no minimum at 1/(1 − S) = 100, training from beside it leaves it for a lower loss",
        "none stays, all lower",
        f"{stays.sum()} of {stays.size} stay, {100 * gap.min():+.1f} to {100 * gap.max():+.1f} %",
        not stays.any() and gap.max() < 0,
    )


def draw(
    large_result: SweepResult,
    settings: Mapping[str, Setting],
    tables: Mapping[str, xr.Dataset],
    large: xr.Dataset,
    lines: xr.Dataset,
    winning: xr.Dataset | None,
) -> tuple[Figure, str]:
    """Figure and caption: the winner of every range above what structures gain, with trained models on the curves.

    `settings` and `tables` are by structure, `large` was `measured` of `large_result`, `lines` are `curves`, `winning` is of
    `ranges`.
    """
    figure, axes = plt.subplots(2, 1, figsize=(7.6, 5.4), height_ratios=(0.09, 1), sharex=True, layout="constrained")
    band, ax = axes
    columns = [] if winning is None else [winning[c].values.tolist() for c in ("start", "stop", "winner")]
    winners_band(list(zip(*columns, strict=True)), band)
    benefits_by_sparsity(lines["x"].values, {name: lines["benefit"].sel(structure=name).values for name in CURVES}, ax)
    for name, table in tables.items():
        share, benefit = on_curve(name, table)
        trained_on_curves(name, table["x"].values, benefit, share, ax)
    x_of_large = np.repeat(large["x"].values, large.sizes["seed"])
    task = large_result.attrs["task"]
    name = f"trained, {task['n_features']} → {task['n_hidden']}"
    ax.plot(x_of_large, large["benefit"].values.ravel(), "k^", ms=4, mfc="none", label=name)
    ax.set(xlim=X_RANGE, ylim=(0.9, 5.4))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, handlelength=4.5)
    sizes = [f"{settings[n].n_features}→{settings[n].n_hidden} ({t.sizes['seed']})" for n, t in tables.items()]
    narrow = [name for start, stop, name in zip(*columns, strict=True) if stop < 1.4 * start]
    text = (
        "Lines: what each structure gains per hidden dimension at its best, exactly; v is what a feature left out costs. "
        "Discs: models trained on the population loss; their area is the share of the seeds that found the structure. "
        f"Sizes (seeds): {', '.join(sizes)}. Triangles: {large.sizes['seed']} trained models of the size below. Above: "
        f"the winner among all known structures; without a name, from the left: {', '.join(narrow)}."
    )
    return figure, caption(large_result.attrs, text)


def benefits_by_sparsity(x: Any, curves: Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """Benefit per hidden dimension of every structure against x = 1/(1 − S), on a logarithmic axis."""
    ax = current_axes(ax)
    for name, values in curves.items():
        look = shape_look(name)
        ax.plot(x, values, color=look.fill, ls=look.dashes, lw=1.3, label=name)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="benefit per hidden dimension, in units of v")
    plain_ticks(ax)
    return ax


def trained_on_curves(
    name: str, x: Any, benefit: Any, share: Any, ax: Axes | None = None, *, largest: float = 110.0
) -> Axes:
    """Trained models that found a structure: one disc per x, its area the share of seeds that did; none where none did."""
    ax = current_axes(ax)
    size = largest * np.asarray(share, float)
    ax.scatter(x, benefit, s=size, facecolor=shape_look(name).fill, edgecolor="black", lw=0.6, zorder=4, clip_on=False)
    return ax


def winners_band(ranges: Sequence[tuple[float, float, str]], ax: Axes | None = None, *, least: float = 1.4) -> Axes:
    """The winner of every range (from, to, name) of the axis as a band; names stand in ranges wider than a ratio `least`."""
    ax = current_axes(ax)
    for start, stop, name in ranges:
        look = shape_look(name)
        ax.axvspan(start, stop, fc=look.fill, ec=look.ink, hatch=look.hatch, alpha=0.65, lw=0)
        if stop / start >= least:
            paper = {"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1.5} if look.marks else None
            ax.text(np.sqrt(start * stop), 0.5, name, ha="center", va="center", fontsize=7, bbox=paper)
    ax.set(ylim=(0, 1), yticks=[])
    return ax
