"""Taking parameters apart: five features in two dimensions as a sum of rank-one subcomponents, one for every feature.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.optimize import linear_sum_assignment

from superpos.analysis.geometries import geometry
from superpos.analysis.intervals import share_interval
from superpos.analysis.subcomponents import subcomponent_agreement
from superpos.errors import ConfigError
from superpos.experiments.claims import Claims
from superpos.experiments.decomposing import (
    BATCH_SIZE,
    COEFFICIENTS,
    LEARNING_RATE,
    MMCS,
    STEPS,
    build_decompositions,
)
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Bushnaq, Braun and Sharkey 2025, Stochastic Parameter Decomposition, table 1"
N_FEATURES, N_HIDDEN, N_SUBCOMPONENTS = 5, 2, 20
DENSITY = 0.05  # of the inputs of all decompositions, and of the toy model that is taken apart
PUBLISHED = 3e-3  # the minimality coefficient of 5→2
MIDDLE = COEFFICIENTS[2]  # of training with a price for being needed often
# Densities at which five features in the plane end as a pentagon, and as two antipodal pairs beside a feature left out.
TRAINED_AT = {"pentagon": DENSITY, "antipodal pairs": 0.4}
# Fields of a size that every decomposition has.
OF_DECOMPOSITIONS = (
    "steps", "batch_size", "learning_rate", "stratified", "p_norm", "final_p_norm", "faithfulness_coefficient",
    "delta_component", "frequency_coefficient", "nonnegative_start",
)  # fmt: skip
# Targets in the order of `source`.
TARGETS = ("pentagon", "antipodal pairs", "random weights", "permuted weights")
SHARE = 0.9  # of seeds, from where on a claim holds
SHOWN = 8  # subcomponents in a picture of importances
# MMCS where one subcomponent lies along the axis between two columns of the pentagon that are 144° apart, 18° off either.
SHARED = (3 + 2 * np.cos(np.pi / 10)) / 5


@dataclass(frozen=True)
class Size:
    """Toy models and their training (`toy_…`), coefficients and seeds of each sweep, and training.

    `coefficient` is that of the identity layer and of the control of antipodal pairs.

    The paper trains 40,000 steps of batch 4,096 at a learning rate of .001 with p = 1 and a faithfulness coefficient of 1,
    which is the full size. The smaller ones have stratified batches, a p that falls, a delta component and a price for being
    needed often, as in later versions of the authors' code, and V ≥ 0 at the start.
    """

    toy_seeds: int = 4
    toy_steps: int = 2_500
    coefficients: tuple[float, ...] = COEFFICIENTS
    coefficient: float = MIDDLE
    control_coefficients: tuple[float, ...] = (COEFFICIENTS[0], MIDDLE, COEFFICIENTS[-1])
    seeds: int = 16
    control_seeds: int = 2
    identity_seeds: int = 16
    steps: int = STEPS
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    faithfulness_coefficient: float = 0.0
    delta_component: bool = True
    frequency_coefficient: float | None = 0.3
    nonnegative_start: bool = True
    stratified: bool = True
    p_norm: float = 2.0
    final_p_norm: float | None = 0.4
    n_inputs: int = 4_096  # of scores


SIZES = Sizes(
    quick=Size(
        toy_seeds=1,
        toy_steps=20,
        coefficients=(MIDDLE,),
        control_coefficients=(MIDDLE,),
        seeds=2,
        control_seeds=1,
        identity_seeds=1,
        steps=20,
        batch_size=32,
        n_inputs=256,
    ),
    laptop=Size(),
    full=Size(
        toy_steps=10_000,
        coefficients=(1e-3, 1.8e-3, PUBLISHED, 5.6e-3, 1e-2),
        coefficient=PUBLISHED,
        control_coefficients=(1e-3, PUBLISHED, 1e-2),
        control_seeds=16,
        steps=40_000,
        batch_size=4_096,
        learning_rate=1e-3,
        faithfulness_coefficient=1.0,
        delta_component=False,
        frequency_coefficient=None,
        nonnegative_start=False,
        stratified=False,
        p_norm=1.0,
        final_p_norm=None,
    ),
)


def build_toys(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the toy models, of which the best of each density is taken apart."""
    grid = Grid(feature_probability=list(TRAINED_AT.values()), seed=range(size.toy_seeds))
    config = TrainConfig(steps=size.toy_steps, batch_size=512, learning_rate=1e-2)
    return Toy(n_features=N_FEATURES, n_hidden=N_HIDDEN), config, grid


def targets(toys: SweepResult) -> tuple[np.ndarray, np.ndarray]:
    """W (target, n_hidden, n_features) and b (target, n_features) of `TARGETS`.

    Random weights are normal with the root mean square of the pentagon's; permuted ones are the pentagon's entries in
    another order. Both have its biases.
    """
    best = [toys.sel(feature_probability=p).best("seed").model() for p in TRAINED_AT.values()]
    W, b = ([np.asarray(getattr(model, name)[...]) for model in best] for name in ("W", "b"))
    draw = np.random.default_rng(0)
    random = draw.standard_normal(W[0].shape) * np.sqrt(np.mean(W[0] ** 2))
    permuted = draw.permutation(W[0].ravel()).reshape(W[0].shape)
    return np.stack([*W, random, permuted]), np.stack([*b, b[0], b[0]])


def check_targets(W: np.ndarray) -> None:
    """Raise `ConfigError` unless the trained targets have the shapes that they are named for."""
    for name, weights in zip(TRAINED_AT, W, strict=False):
        found = str(geometry(weights)).splitlines()[0]
        if name.removesuffix("s") not in found:
            raise ConfigError(f"The toy model for {name} ended as {found}; more toy_seeds or toy_steps are needed.")


def _decomposition(size: Size, W: np.ndarray, b: np.ndarray, **settings: Any) -> tuple[Any, TrainConfig, Grid]:
    toy = Toy(n_features=N_FEATURES, n_hidden=N_HIDDEN, feature_probability=DENSITY)
    for name in OF_DECOMPOSITIONS:
        settings[name] = getattr(size, name)
    return build_decompositions(toy, W, b, n_subcomponents=N_SUBCOMPONENTS, **settings)


def build(size: Size, W: np.ndarray, b: np.ndarray) -> tuple[Any, TrainConfig, Grid]:
    """Task, training and grid of the main sweep: the pentagon, by coefficient and seed."""
    return _decomposition(size, W, b, coefficients=size.coefficients, seeds=range(size.seeds))


def build_controls(size: Size, W: np.ndarray, b: np.ndarray) -> tuple[Any, TrainConfig, Grid]:
    """The same for the other targets at coefficients around the published one, and for the pentagon without minimality."""
    points = [
        {"source": source, "minimality_coefficient": coefficient, "seed": seed}
        for seed in range(size.control_seeds)
        for source, coefficient in [
            (0, 0.0),
            *((k, c) for k in range(1, len(TARGETS)) for c in size.control_coefficients),
        ]
    ]
    return *_decomposition(size, W, b)[:2], Grid.points(points)


def build_identity(size: Size, W: np.ndarray, b: np.ndarray) -> tuple[Any, TrainConfig, Grid]:
    """The same for the pentagon with an identity matrix in the hidden layer, at one coefficient."""
    return _decomposition(
        size, W, b, coefficients=[size.coefficient], seeds=range(size.identity_seeds), identity_layers=1
    )


def agreement(result: SweepResult) -> float:
    """The mean of `subcomponent_agreement` over pairs of seeds of one coefficient, for the subcomponents of W."""
    models = [result.isel(seed=k).model() for k in range(result.dataset.sizes["seed"])]
    pairs = [(np.asarray(model.U[...]), np.asarray(model.V[...])) for model in models]
    return float(np.mean([subcomponent_agreement(*one, *other) for one, other in combinations(pairs, 2)]))


def best_coefficient(table: xr.Dataset) -> float:
    """The coefficient at which most seeds are recovered, of several the one of the smallest importance error."""
    means = table[["recovered", "importance_error"]].mean("seed")
    columns = -means["recovered"], means["importance_error"], table["minimality_coefficient"]
    return float(min(zip(*(column.values for column in columns), strict=True))[2])


def middle_coefficient(controls: xr.Dataset) -> float:
    """That of the identity layer and of the control of antipodal pairs, of those at which the controls were trained."""
    return float(np.median(controls["minimality_coefficient"].values[controls["source"].values > 0]))


def evaluate(
    result: SweepResult, table: xr.Dataset, controls: xr.Dataset, identity: xr.Dataset, claims: Claims
) -> None:
    """Tables are `measure`'s of the three sweeps, `result` is the main one."""
    best = best_coefficient(table)
    at_best = table.sel(minimality_coefficient=best)
    n = at_best.sizes["seed"]
    recovered = int(at_best["recovered"].sum())
    _, low, high = share_interval(recovered, n)
    claims.check(
        "5→2: every column of W is one subcomponent, in direction and length",
        "MMCS ≥ .999 and ML2R within .03 of 1 in at least 90 % of seeds, at the best of "
        f"{table.sizes['minimality_coefficient']} coefficients",
        f"{recovered} of {n} seeds at {best:g} (95 %: {low:.2f} to {high:.2f}); MMCS {float(at_best['mmcs'].mean()):.4f}, "
        f"ML2R {float(at_best['ml2r'].mean()):.3f} ± {float(at_best['ml2r'].std()):.3f}",
        recovered >= SHARE * n,
    )
    clean = int((at_best["importance_error"] == 0).sum())
    claims.check(
        "5→2: an input with one feature needs that feature's subcomponent alone, in W and Wᵀ",
        "every importance within .1 of the identity in at least 90 % of seeds, at that coefficient",
        f"{clean} of {n} seeds",
        clean >= SHARE * n,
    )
    five = int((at_best["live"] == N_FEATURES).sum())
    claims.check(
        "5→2: five subcomponents are live, the other fifteen superfluous",
        "in at least 90 % of seeds, at that coefficient",
        f"{five} of {n} seeds",
        five >= SHARE * n,
    )
    if n > 1:
        alike = agreement(result.sel(minimality_coefficient=best))
        claims.check(
            "5→2: seeds find the same subcomponents", "mean agreement of pairs ≥ .99", f"{alike:.4f}", alike >= 0.99
        )
    n, middle = identity.sizes["seed"], middle_coefficient(controls)
    both = ((identity["recovered"] > 0) & (identity["live"] == N_FEATURES + N_HIDDEN)).values
    claims.check(
        "5→2 with an identity in the hidden layer: seven subcomponents, five for W and two for the identity",
        f"columns recovered and exactly 7 live in at least 90 % of seeds, at {middle:g}",
        f"{int(both.sum())} of {n} seeds; live {counts_of(identity['live'])}",
        both.sum() >= SHARE * n,
    )
    source, coefficient = controls["source"].values, controls["minimality_coefficient"].values
    pairs = (source == 1) & np.isclose(coefficient, middle)
    apart = (controls["mmcs"].values[pairs] >= MMCS) & (controls["live"].values[pairs] == N_FEATURES - 1)
    claims.check(
        "two antipodal pairs: opposite columns have a subcomponent each, although one could carry both",
        f"MMCS ≥ .999 and exactly 4 live in every seed, at {middle:g}",
        f"{int(apart.sum())} of {apart.size} seeds; live {counts_of(controls['live'][pairs])}",
        apart.all(),
    )
    free = controls["recovered"].values[(source == 0) & (coefficient == 0)]
    claims.check(
        "control: without the minimality loss nothing is recovered",
        "no seed",
        f"{int(free.sum())} of {free.size}",
        not free.any(),
    )
    for k in (2, 3):
        sparse = controls["importance_error"].values[source == k] == 0
        claims.check(
            f"control: {TARGETS[k]} give no sparse identity",
            "no seed at any coefficient",
            f"{int(sparse.sum())} of {sparse.size}",
            not sparse.any(),
        )


def counts_of(values: xr.DataArray) -> str:
    """Whole numbers and how often each is there, in words."""
    numbers, times = np.unique(values.values.astype(int), return_counts=True)
    return ", ".join(f"{number} ({count}×)" for number, count in zip(numbers, times, strict=True))


def draw(result: SweepResult, table: xr.Dataset, controls: xr.Dataset, W: np.ndarray) -> tuple[Figure, str]:
    """Figure and caption: subcomponents, importances and rates above, controls below."""
    figure, axes = plt.subplots(2, 4, figsize=(9.6, 5.2), layout="constrained")
    best = best_coefficient(table)
    cell = result.sel(minimality_coefficient=best).isel(seed=0)
    at = table.sel(minimality_coefficient=best).isel(seed=0)
    model = cell.model()
    order = in_order(at["importances"].values)
    subcomponents(W[0], np.asarray(model.U[...])[:, order], np.asarray(model.V[...])[order], axes[0, 0])
    axes[0, 0].set_title("columns of W (grey)\nand subcomponents")
    importance_matrix(at["importances"].values, axes[0, 1])
    axes[0, 1].set_title(f"importances\nβ = {best:g}")
    recovery_rate(table["recovered"], axes[0, 2])
    axes[0, 2].set_title("seeds that recover\nevery column")
    reconstruction(table, axes[0, 3])
    axes[0, 3].set_title("error with random and\nadversarial masks")
    middle = middle_coefficient(controls)
    shown = [("no minimality", 0, 0.0), *((TARGETS[k], k, middle) for k in (1, 2, 3))]
    for ax, (name, source, coefficient) in zip(axes[1], shown, strict=True):
        chosen = (controls["source"].values == source) & np.isclose(
            controls["minimality_coefficient"].values, coefficient
        )
        importance_matrix(controls["importances"].values[np.argmax(chosen)], ax)
        ax.set_title(name)
    n_seeds = [str(int(n)) for n in shares_a_subcomponent(table["mmcs"]).sum("seed").values]
    text = (
        f"Top, seed {cell['seed'].item()}, minimality coefficient {best:g}: the columns of the target's W with what the "
        f"subcomponents write for each feature; importances of the {SHOWN} largest subcomponents for inputs with one "
        "feature of activity .75, in W above and in its transpose below; the share of seeds with MMCS ≥ .999 and ML2R "
        "within .03 of 1 with Wilson's 95 % interval; the squared error of the output "
        "with masks drawn at random and found by gradient ascent (median and range of seeds). Bottom: importances in the "
        f"controls, one seed each, at {middle:g} but for the first. One subcomponent carries two columns that are 144° "
        f"apart, 18° off either, in {', '.join(n_seeds)} of {table.sizes['seed']} seeds, from the least coefficient to the "
        "largest: MMCS is (3 + 2 cos 18°) / 5 = .980 there, or .961 where it happens twice."
    )
    return figure, caption(result.attrs, text)


def shares_a_subcomponent(mmcs: xr.DataArray) -> xr.DataArray:
    """Whether one subcomponent carries two columns of the pentagon that are 144° apart, once or twice, as MMCS says."""
    pairs = (1 - mmcs) / (1 - SHARED)
    return (abs(pairs - 1) < 0.05) | (abs(pairs - 2) < 0.05)


def in_order(importances: np.ndarray) -> np.ndarray:
    """Subcomponents in the order of the features that need them, then by importance; from (matrix, C, n_features)."""
    ends = importances[0] + importances[-1]
    rows, columns = linear_sum_assignment(ends, maximize=True)
    assigned = rows[np.argsort(columns)]
    others = np.setdiff1d(np.arange(len(ends)), assigned)
    return np.r_[assigned, others[np.argsort(-ends[others].sum(axis=1), kind="stable")]]


def subcomponents(W: np.ndarray, U: np.ndarray, V: np.ndarray, ax: Axes | None = None) -> Axes:
    """The columns of W in the plane, grey and wide, and on them what each of the first subcomponents adds to each column."""
    ax = current_axes(ax)
    for column in W.T:
        ax.plot([0, column[0]], [0, column[1]], color="#CCCCCC", lw=6, solid_capstyle="round", zorder=1)
    colors = [PALETTE[name] for name in ("blue", "orange", "green", "sky", "purple")]
    for c in range(min(len(V), SHOWN)):
        for added in (U[:, c : c + 1] * V[c]).T:
            color = colors[c] if c < len(colors) else "black"
            ax.plot([0, added[0]], [0, added[1]], color=color, lw=1.6, zorder=2)
    limit = 1.15 * float(np.linalg.norm(W, axis=0).max())
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xticks=[], yticks=[])
    ax.axis("off")
    return ax


def importance_matrix(importances: np.ndarray, ax: Axes | None = None, *, shown: int = SHOWN) -> Axes:
    """Importances (matrix, C, n_features) of the first and the last matrix as two grey images, one above the other.

    `shown` is the number of subcomponents, in the order of `in_order`.
    """
    ax = current_axes(ax)
    order = in_order(importances)[:shown]
    n = importances.shape[-1]
    gap = np.full((1, len(order)), np.nan)
    image = np.concatenate([importances[0][order].T, gap, importances[-1][order].T])
    ax.imshow(image, cmap="Greys", vmin=0, vmax=1, aspect="equal")
    for top in (-0.5, n + 0.5):
        ax.add_patch(Rectangle((-0.5, top), len(order), n, fill=False, color="#888888", lw=0.8))
    ax.set(xticks=[], yticks=[(n - 1) / 2, n + 1 + (n - 1) / 2], xlabel="subcomponent", ylabel="feature of the input")
    ax.set_yticklabels(["W", "Wᵀ"])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def recovery_rate(recovered: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Share of seeds over (minimality_coefficient, seed) with Wilson's 95 % interval."""
    ax = current_axes(ax)
    n = recovered.sizes["seed"]
    counts = recovered.sum("seed").values.astype(int)
    share = counts / n
    bounds = np.array([share_interval(int(k), n)[1:] for k in counts]).T
    reach = np.abs(bounds - share)
    x = recovered["minimality_coefficient"].values
    ax.errorbar(x, share, yerr=reach, fmt="o", ms=4, capsize=2, color=PALETTE["blue"])
    ax.set(xscale="log", xlim=(x.min() / 2, 2 * x.max()), ylim=(-0.04, 1.04))
    ax.set(xlabel="minimality coefficient β", ylabel="share of seeds")
    return ax


def reconstruction(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Errors with random and adversarial masks by coefficient, median and range of seeds."""
    ax = current_axes(ax)
    x = table["minimality_coefficient"].values
    for name, color, label in (("stochastic", "blue", "random"), ("adversarial", "orange", "adversarial")):
        values = table[name].transpose("minimality_coefficient", "seed").values
        ax.fill_between(x, values.min(axis=1), values.max(axis=1), color=PALETTE[color], alpha=0.2, lw=0)
        ax.plot(x, np.median(values, axis=1), "o-", ms=3, color=PALETTE[color], label=label)
    ax.set(xscale="log", yscale="log", xlim=(x.min() / 2, 2 * x.max()))
    ax.set(xlabel="minimality coefficient β", ylabel="squared error")
    ax.legend(loc="lower right")
    return ax
