"""Whether the parameters of a toy model come apart depends on the shape that it has put its features in, or not.

At one density eight features in three dimensions end in several shapes at nearly the same loss. Their targets are the axis
`source` of one sweep of decompositions. Shapes: Elhage et al. 2022, "Toy Models of Superposition"; decomposition:
Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.intervals import share_interval
from superpos.experiments.claims import Claims
from superpos.experiments.decomposing import build_decompositions
from superpos.experiments.parameter_decomposition import DENSITY, counts_of, importance_matrix
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import caption, current_axes
from superpos.plot.shape_colors import shape_color
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ParameterDecomposition, Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Bushnaq, Braun and Sharkey 2025, Stochastic Parameter Decomposition; shapes: Elhage et al. 2022"
N_FEATURES, N_HIDDEN, N_SUBCOMPONENTS = 8, 3, 20
TRAINED_AT = 0.2  # density of the toy models, at which seeds end as each of these shapes
SHAPES = ("square antiprism", "pentagon + antipodal pair", "3 × antipodal pair")
LOSS_WITHIN = 0.05  # of the least loss of the three
SHARE = 0.9


@dataclass(frozen=True)
class Size:
    """Toy models (`toy_…`), coefficients, seeds and training of the decompositions."""

    toy_seeds: int = 64
    toy_steps: int = 400
    coefficients: tuple[float, ...] = (7e-4, 1.4e-3, 2.8e-3)
    seeds: int = 16
    steps: int = 3_000
    batch_size: int = 128
    learning_rate: float = 2e-2
    n_inputs: int = 4_096  # of scores


SIZES = Sizes(
    quick=Size(toy_seeds=3, toy_steps=10, coefficients=(1.4e-3,), seeds=2, steps=20, batch_size=32, n_inputs=256),
    laptop=Size(),
    full=Size(seeds=64, steps=40_000, batch_size=1_024, learning_rate=1e-2),
)


class Targets(NamedTuple):
    """The toy model of least loss of each shape, in the order of `source`."""

    W: np.ndarray  # (target, n_hidden, n_features)
    b: np.ndarray  # (target, n_features)
    loss: np.ndarray  # (target,)
    shapes: list[str]  # what the geometry of each is called


def build_toys(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the toy models."""
    toy = Toy(n_features=N_FEATURES, n_hidden=N_HIDDEN, feature_probability=TRAINED_AT, objective="expected")
    return toy, TrainConfig(steps=size.toy_steps), Grid(seed=range(size.toy_seeds))


def targets(toys: SweepResult) -> Targets:
    """The toy models that are taken apart. Where none has a shape (a quick look), that of least loss stands in."""
    order = np.argsort(toys["loss"].values, kind="stable")
    names = toys.geometry()["shape"].values
    chosen = [next((k for k in order if names[k] == shape), order[0]) for shape in SHAPES]
    models = [toys.isel(seed=int(k)).model() for k in chosen]
    W, b = (np.stack([np.asarray(getattr(model, name)[...]) for model in models]) for name in ("W", "b"))
    return Targets(W, b, toys["loss"].values[chosen], [str(names[k]) for k in chosen])


def build(size: Size, of: Targets) -> tuple[ParameterDecomposition, TrainConfig, Grid]:
    """Task, training and grid of the decompositions: by target, coefficient and seed in one sweep."""
    toy = Toy(n_features=N_FEATURES, n_hidden=N_HIDDEN, feature_probability=DENSITY)
    training: dict[str, Any] = {name: getattr(size, name) for name in ("steps", "batch_size", "learning_rate")}
    task, config, _ = build_decompositions(toy, of.W, of.b, n_subcomponents=N_SUBCOMPONENTS, **training)
    grid = Grid(source=range(len(SHAPES)), minimality_coefficient=list(size.coefficients), seed=range(size.seeds))
    return task, config, grid


def best_coefficient(good: xr.DataArray, source: int) -> float:
    """The coefficient at which most seeds of a target are taken apart, the least of several."""
    share = good.isel(source=source).mean("seed")
    return float(share["minimality_coefficient"][int(np.argmax(share.values))])


def evaluate(table: xr.Dataset, of: Targets, claims: Claims) -> None:
    """`table` is `decomposing.measure`'s of the sweep that `build` says."""
    as_named = tuple(of.shapes) == SHAPES
    ratio = float(of.loss.max() / of.loss.min())
    claims.check(
        "toy models of one size and density end in three shapes at comparable loss",
        f"each shape among the seeds, losses within {LOSS_WITHIN:.0%} of the least",
        f"{', '.join(dict.fromkeys(of.shapes))}; the largest {ratio - 1:.1%} above the least",
        as_named and ratio <= 1 + LOSS_WITHIN,
    )
    good, counts = table["taken_apart"] > 0, {}
    n = good.sizes["seed"]
    for source, shape in enumerate(SHAPES):
        best = best_coefficient(good, source)
        at = good.isel(source=source).sel(minimality_coefficient=best)
        counts[shape] = int(at.sum())
        _, low, high = share_interval(counts[shape], n)
        each = ", ".join(f"{int(k)}" for k in good.isel(source=source).sum("seed").values)
        claims.check(
            f"{shape}: every represented feature is one live subcomponent",
            f"in at least {SHARE:.0%} of seeds, at the best coefficient",
            f"{counts[shape]} of {n} seeds at {best:g} (95 %: {low:.2f} to {high:.2f}); by coefficient {each}; live there "
            f"{counts_of(table['live'].isel(source=source).sel(minimality_coefficient=best))}",
            as_named and counts[shape] >= SHARE * n,
        )
    intervals = {shape: share_interval(count, n)[1:] for shape, count in counts.items()}
    apart = [
        f"{one} and {other}"
        for (one, (low, high)), (other, (other_low, other_high)) in combinations(intervals.items(), 2)
        if low > other_high or other_low > high
    ]
    claims.check(
        "how often a toy model comes apart does not depend on its shape",
        "95 % intervals of all pairs of shapes overlap, each at its best coefficient",
        "all overlap" if not apart else f"none between {'; '.join(apart)}",
        as_named and not apart,
    )


def draw(result: SweepResult, table: xr.Dataset, of: Targets) -> tuple[Figure, str]:
    """Figure and caption: importances for each shape, one seed each, and rates by coefficient."""
    figure, axes = plt.subplots(1, len(SHAPES) + 1, figsize=(9.6, 2.9), layout="constrained")
    good = table["taken_apart"] > 0
    for source, (shape, ax) in enumerate(zip(SHAPES, axes, strict=False)):
        at = table.isel(source=source, seed=0).sel(minimality_coefficient=best_coefficient(good, source))
        importance_matrix(at["importances"].values, ax, shown=N_FEATURES + 2)
        ax.set_title(shape.replace(" + ", "\n+ "))
    pairs = table.isel(source=len(SHAPES) - 1).sel(minimality_coefficient=best_coefficient(good, len(SHAPES) - 1))
    shared, n_pairs = float((pairs["n_represented"] - pairs["live"]).sum()), 3 * pairs.sizes["seed"]
    rates_by_shape(good, axes[-1])
    axes[-1].set_title("seeds taken apart")
    text = (
        "Decompositions of three toy models that ended in different shapes at one density "
        f"({TRAINED_AT:g}), with losses within {of.loss.max() / of.loss.min() - 1:.1%} of the least. Left: importances of "
        "subcomponents for inputs with one feature of activity .75, in W above and in its transpose below, at the best "
        "coefficient of each, seed 0. Right: the share of seeds that are taken apart, with Wilson's 95 % interval: the input "
        "of every represented feature needs one subcomponent of its own in W, whose column is the feature's (mean cosine "
        "≥ .999, mean ratio of lengths within .03 of 1), and no other is live. One subcomponent carries both columns of "
        f"{shared:.0f} of {n_pairs} antipodal pairs of the third model, at its best β: that is as exact, and costs more "
        "where being needed often has a price."
    )
    return figure, caption(result.attrs, text)


def rates_by_shape(good: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Share of seeds over (source, minimality_coefficient, seed) by coefficient, with Wilson's 95 % interval."""
    ax = current_axes(ax)
    n, x = good.sizes["seed"], good["minimality_coefficient"].values
    for source, shape in enumerate(SHAPES):
        counts = good.isel(source=source).sum("seed").values.astype(int)
        bounds = np.array([share_interval(int(k), n)[1:] for k in counts]).T
        style: dict[str, Any] = {"color": shape_color(shape), "fmt": "o-", "ms": 4, "capsize": 2, "lw": 1}
        at = x * 1.08 ** (source - 1)  # side by side, so that bars do not hide each other
        ax.errorbar(at, counts / n, yerr=np.abs(bounds - counts / n), label=shape, **style)
    ax.set_xscale("log")
    ax.set_xticks(x, [f"{v:g}" for v in x])
    ax.set_xticks([], minor=True)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set(ylim=(-0.04, 1.5), xlabel="minimality coefficient β", ylabel="share of seeds")
    ax.legend(fontsize="small", loc="upper right")  # above all bars
    return ax
