"""The local learning coefficient: against known values, and along training as Chen et al. 2023 measured it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi2

from superpos.experiments import loss_levels
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.landscapes import Sampling, llc
from superpos.landscapes.blocks import AT_ONCE
from superpos.landscapes.learning_coefficients import of_models
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.learning_coefficients import LearningCoefficient, reduced_rank_regression, sum_of_powers
from superpos.theory.single_active import at_level, polygon_levels
from superpos.training.train_config import TrainConfig

SOURCE = (
    "Lau et al. 2023, The Local Learning Coefficient; Chen et al. 2023, Dynamical versus Bayesian Phase Transitions"
)
N = loss_levels.N
POWERS = ((2,), (2, 2), (2, 2, 2), (4,), (4, 2))
# Inputs, outputs, hidden units and rank: the four cases of the formula, the first in its even and in its odd form.
RANKS = ((3, 3, 2, 0), (2, 6, 2, 1), (6, 2, 2, 1), (2, 2, 5, 1), (3, 2, 2, 0))
# Polygons with a biased or a dead feature and their λ: (3 c − 1)/2 for c features that are alive (Chen et al. 2023, table 1).
POLYGONS = {"6": 8.5, "5⁺": 8.5, "5⁻": 7.0}
NBETA = 1e5  # of the sum over features, at minima
# Along training models rest on slopes that are nearly flat. Seen so coarsely, a direction counts by h/(h + γ/nβ), its
# curvature h against 1/3, and a slow slope is as good as a floor. So λ̂ is about half of λ, but it is defined on the way.
COARSE = {"nbeta": 300.0, "gamma": 100.0}
# A rest: so many snapshots whose loss differs from that of the first by less than half of what neighbouring levels do.
REST, NEAR = 4, 0.035
WITHIN = 0.03
LAMBDA_SHOWN = (1.5, 5.0)  # what the panel of λ̂ along training shows


@dataclass(frozen=True)
class Size:
    """Chains and draws of the calibration; seeds, snapshots, steps, chains and draws of the way of training; terms."""

    chains: int = 64
    draws: int = 1_000
    polygon_draws: int = 1_200
    seeds: int = 16
    snapshots: int = 50
    steps: int = 2_000
    path_chains: int = 8
    path_draws: int = 60
    order: int = 16
    every: int = 1  # known case, of those that are sampled


SIZES = Sizes(
    quick=Size(
        chains=8,
        draws=16,
        polygon_draws=10,
        seeds=2,
        snapshots=3,
        steps=20,
        path_chains=4,
        path_draws=10,
        order=8,
        every=6,
    ),
    laptop=Size(),
    full=Size(draws=4_000, polygon_draws=4_000, seeds=64, path_draws=200),
)


class Known(NamedTuple):
    """A loss and a minimum of it whose λ is known."""

    name: str
    kind: str
    coefficient: LearningCoefficient
    loss: Callable[[Any], Any]
    point: Any


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the models whose way is sampled: six features of which one is active, in two dimensions."""
    task, config, _ = loss_levels.build(loss_levels.Size(steps=size.steps, order=size.order))
    stages = np.unique(np.append(0, np.geomspace(1, size.steps, 4 * size.snapshots).astype(int)))
    chosen = stages[np.unique(np.linspace(0, len(stages) - 1, size.snapshots).astype(int))]
    settings: dict[str, Any] = {
        "steps": size.steps, "learning_rate": config.learning_rate, "optimizer": "sgd", "schedule": "constant",
        "snapshots": tuple(chosen.tolist()), "history": 1,
    }  # fmt: skip
    return task, TrainConfig(**settings), Grid(seed=range(size.seeds))


def power_sum(exponents: tuple[int, ...]) -> Callable[[Any], Any]:
    """The loss that is the sum over i of w_i to the power of the i-th exponent."""
    return lambda w: sum(w[i] ** k for i, k in enumerate(exponents))


def product_loss(n_inputs: int, n_outputs: int, n_hidden: int, rank: int) -> tuple[Callable[[Any], Any], Any]:
    """The loss ‖BA − B₀A₀‖² of reduced-rank regression, and its most singular zero: blocks of the identity, else zeros."""
    A, B = np.zeros((n_hidden, n_inputs), np.float32), np.zeros((n_outputs, n_hidden), np.float32)
    A[range(rank), range(rank)] = B[range(rank), range(rank)] = 1
    product = B @ A
    return lambda w: jnp.sum((jnp.matmul(w["B"], w["A"], precision="highest") - product) ** 2), {"A": A, "B": B}


def quadratic(w: Any) -> Any:
    """A regular minimum of five parameters with curvatures from 1 to 16."""
    return jnp.sum(2.0 ** jnp.arange(5) * w**2) / 2


def known_cases() -> list[Known]:
    """Sums of powers, a regular quadratic, and reduced-rank regression."""
    cases = [
        Known(" + ".join(f"w{'₁₂₃'[i]}{'²⁴'[k > 2]}" for i, k in enumerate(powers)), "powers", sum_of_powers(powers),
              power_sum(powers), np.zeros(len(powers)))
        for powers in POWERS
    ]  # fmt: skip
    cases.append(Known("quadratic, d = 5", "powers", LearningCoefficient(2.5, 1), quadratic, np.zeros(5)))
    for sizes in RANKS:
        M, outputs, H, r = sizes
        name = f"rank {r} by {M}→{H}→{outputs}"
        cases.append(Known(name, "reduced rank", reduced_rank_regression(*sizes), *product_loss(*sizes)))
    return cases


def calibrate(size: Size, cases: list[Known]) -> xr.Dataset:
    """Estimates of the known cases, over `case`; `known` is λ, `expected` λ − (m − 1)/log nβ, m the multiplicity."""
    rows = []
    cases = cases[:: size.every]
    for case in cases:
        settings = {"chains": size.chains, "draws": size.draws, "gamma": 0.1 if case.kind == "reduced rank" else 1.0}
        rows.append(llc(case.loss, case.point, nbeta=NBETA, steps=16, refuse=False, **settings))
    columns = _columns(rows)
    known = np.array([case.coefficient.value for case in cases])
    multiplicity = np.array([case.coefficient.multiplicity for case in cases])
    return _calibration([case.name for case in cases], [case.kind for case in cases], known, multiplicity, columns)


def calibrate_polygons(size: Size, task: Toy) -> xr.Dataset:
    """Estimates at the polygons of theory, as those of `calibrate`."""
    levels = [level for level in polygon_levels(N) if level.name in POLYGONS]
    each = [at_level(level) for level in levels]
    one = jax.eval_shape(task.init, jax.random.key(0))
    leaves = [jnp.asarray(np.stack(parameters), jnp.float32) for parameters in zip(*each, strict=True)]
    models = jax.tree.unflatten(jax.tree.structure(one), leaves)
    sampling = Sampling(nbeta=NBETA, draws=size.polygon_draws, warmup=min(200, 2 * size.polygon_draws))
    table = of_models([task] * len(levels), models, sampling, "sum", AT_ONCE)
    names, known = [level.name for level in levels], np.array([POLYGONS[level.name] for level in levels])
    rows = [table.isel(point=k) for k in range(len(levels))]
    return _calibration(
        [f"6→2, {name}" for name in names], ["toy model"] * len(names), known, np.ones(len(names), int), _columns(rows)
    )


def _columns(rows: list[xr.Dataset]) -> dict[str, np.ndarray]:
    names = ("estimate", "standard_error", "r_hat", "ess")
    return {name: np.array([float(row[name]) for row in rows]) for name in names} | {
        "verdict": np.array([str(row["verdict"].item()) for row in rows])
    }


def _calibration(names: Any, kinds: Any, known: Any, multiplicity: Any, columns: Any) -> xr.Dataset:
    expected = known - (multiplicity - 1) / np.log(NBETA)
    variables = {"kind": kinds, "known": known, "multiplicity": multiplicity, "expected": expected, **columns}
    return xr.Dataset({name: ("case", values) for name, values in variables.items()}, {"case": names})


def way(result: SweepResult, size: Size) -> xr.Dataset:
    """λ̂, seen coarsely, and the loss (sum over features) of every seed at every snapshot: the table of `SweepResult.llc`."""
    warmup = min(60, 2 * size.path_draws)
    return result.llc(snapshots=True, chains=size.path_chains, draws=size.path_draws, warmup=warmup, **COARSE)


def ends(result: SweepResult, size: Size) -> xr.Dataset:
    """λ̂ of every seed at the end of its training, at the nβ of the known minima."""
    warmup = min(60, 2 * size.path_draws)
    return result.llc(nbeta=NBETA, chains=size.path_chains, draws=size.path_draws, warmup=warmup)


def staircase(table: xr.Dataset) -> tuple[int, int, int, int]:
    """Seeds that rest more than once, the moves between their rests, and how many take λ̂ up and down by its error or more.

    A rest is a run of at least `REST` snapshots whose verdict is "minimum" and whose loss stays within `NEAR`.
    """
    with_moves = moves = up = down = 0
    for _, of_seed in table.groupby("seed"):
        loss = of_seed["loss_at_point"].values.ravel()
        estimate, error = of_seed["estimate"].values.ravel(), of_seed["standard_error"].values.ravel()
        rests = _rests(loss, of_seed["verdict"].values.ravel() == "minimum")
        means = [(estimate[rest].mean(), error[rest].mean()) for rest in rests]
        pairs = list(pairwise(means))
        with_moves, moves = with_moves + bool(pairs), moves + len(pairs)
        rises = [(after[0] - before[0]) / np.hypot(before[1], after[1]) for before, after in pairs]
        up, down = up + sum(rise > 1 for rise in rises), down + sum(rise < -1 for rise in rises)
    return with_moves, moves, up, down


def _rests(loss: np.ndarray, at_minimum: np.ndarray) -> list[list[int]]:
    runs: list[list[int]] = [[]]
    for k, rests in enumerate(at_minimum):
        if runs[-1] and not (rests and abs(loss[k] / loss[runs[-1][0]] - 1) <= NEAR):
            runs.append([])
        if rests:
            runs[-1].append(k)
    return [run for run in runs if len(run) >= REST]


def evaluate(
    calibration: xr.Dataset, polygons: xr.Dataset, table: xr.Dataset, final: xr.Dataset, claims: Claims
) -> None:
    """Known coefficients are met, and along training the loss falls where λ rises. `table` is of `way`, `final` of `ends`."""
    simple = calibration.isel(case=calibration["multiplicity"].values == 1)
    for kind, words in (("powers", "sums of powers and a quadratic"), ("reduced rank", "reduced-rank regression")):
        expected, measured, holds = _compared(simple.isel(case=simple["kind"].values == kind))
        claims.check(f"{words}: λ", expected, measured, holds)
    expected, measured, holds = _compared(calibration.isel(case=calibration["multiplicity"].values > 1))
    claims.check("… of multiplicity 2: λ − 1/log nβ", expected, measured, holds)
    expected, measured, holds = _compared(polygons)
    claims.check("polygons of 6→2: λ = (3c − 1)/2 for c features that are alive", expected, measured, holds)
    at_rest = final.isel(seed=final["verdict"].values == "minimum")
    near = np.min(
        np.abs(at_rest["estimate"].values[:, None] - np.array(list(POLYGONS.values()))), axis=1, initial=np.inf
    )
    off = near / at_rest["standard_error"].values
    median, n_seeds = float(np.median(off)) if len(off) else np.inf, final.sizes["seed"]
    measured = f"{len(off)} of {n_seeds} at a minimum; off by {median:.1f} standard errors in the median"
    expected = "three in four at a minimum, the median within 2 standard errors of 7 or 8.5"
    holds = len(off) >= 0.75 * n_seeds and median < 2
    claims.check("training ends at a minimum of known λ", expected, measured, holds)
    seeds, moves, up, down = staircase(table)
    statement = "from one minimum to the next, loss falls and λ rises"
    expected = f"seen coarsely (nβ = {COARSE['nbeta']:g}): every move that changes λ̂ by its standard error"
    if up + down:
        claims.check(statement, expected, f"{up} up, {down} down, of {moves} moves in {seeds} seeds", down == 0)
    else:
        why = f"{moves} moves from rest to rest in {table.sizes['seed']} seeds, none beyond its error"
        claims.needs_full(statement, expected, why)


def _compared(table: xr.Dataset) -> tuple[str, str, bool]:
    """What is expected, what was measured, and whether it holds.

    Every case must be at a minimum and within 3 %. That each of many is within two standard errors is not to be expected, so
    the errors are judged together: the sum of their squares, in units of the standard errors, by its 99 % quantile.
    """
    off = table["estimate"].values / table["expected"].values - 1
    errors = np.abs(table["estimate"].values - table["expected"].values) / table["standard_error"].values
    chance = float(chi2.sf(np.sum(errors**2), len(errors))) if len(errors) else 1.0
    holds = np.all(np.abs(off) <= WITHIN) and np.all(table["verdict"].values == "minimum") and chance > 0.01
    if not len(off):
        return "", "no case", False
    measured = (
        f"off by {100 * np.abs(off).max():.1f} % and {errors.max():.1f} standard errors at most; chance {chance:.2g}"
    )
    return "every case within 3 %; errors as large by chance in 1 % of tries or more", measured, bool(holds)


def draw(calibration: xr.Dataset, table: xr.Dataset, result: SweepResult) -> tuple[Figure, str]:
    """Figure and caption. `calibration` holds all cases, `table` is of `way`, `result` of the sweep of `build`."""
    figure = plt.figure(figsize=(8.6, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))  # type: ignore[misc]
    against_known(calibration, left.subplots())
    above, below = right.subplots(2, 1, sharex=True)
    along_training(table, above, below)
    text = (
        f"Left: estimates of the local learning coefficient over known values, ± 2 standard errors (nβ = {NBETA:,.0f}); "
        "hollow: of multiplicity 2, expected at the tick, λ − 1/log nβ. 6 is a hexagon, 5⁺ and 5⁻ are pentagons with a "
        "feature of best constant or a dead one. Right: "
        f"{table.sizes['seed']} models through training, one colour each, seen coarsely (nβ = {COARSE['nbeta']:g}, "
        f"γ = {COARSE['gamma']:g}): a curvature h counts by h/(h + γ/nβ). Filled: rests; crosses: refused, since the loss "
        "still falls."
    )
    return figure, caption(result.attrs, text)


def against_known(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """λ̂/λ of every case with ± 2 standard errors, and λ beside its name; `table` is of `calibrate`."""
    ax = current_axes(ax)
    kinds = list(dict.fromkeys(table["kind"].values.tolist()))
    for k in range(table.sizes["case"]):
        row = table.isel(case=k)
        known, double = float(row["known"]), int(row["multiplicity"]) > 1
        color = PALETTE[("blue", "orange", "green")[kinds.index(str(row["kind"].item())) % 3]]
        ratio, error = float(row["estimate"]) / known, 2 * float(row["standard_error"]) / known
        ax.errorbar(ratio, k, xerr=error, fmt="o", ms=4, color=color, mfc="white" if double else color, capsize=2)
        if double:
            ax.plot(float(row["expected"]) / known, k, "|", color="black", ms=9, zorder=0)
    ax.axvspan(1 - WITHIN, 1 + WITHIN, color=PALETTE["silver"], alpha=0.3, lw=0)
    ax.axvline(1, color="black", lw=0.8, zorder=0)
    labels = [f"{name}:  {known:g}" for name, known in zip(table["case"].values, table["known"].values, strict=True)]
    ax.set_yticks(range(table.sizes["case"]), labels)
    ax.set(ylim=(table.sizes["case"] - 0.5, -0.5), xlabel="λ̂ / λ", title="against known λ")
    return ax


def along_training(table: xr.Dataset, above: Axes, below: Axes) -> None:
    """Loss (sum over features) and λ̂ by step, one colour per seed; refused estimates are crosses. `table` is of `way`."""
    steps = np.maximum(table["snapshot_step"].values, 0.7)
    colors = [PALETTE[name] for name in loss_levels.LEVEL_COLORS]
    for k in range(table.sizes["seed"]):
        one, color = table.isel(seed=k), colors[k % len(colors)]
        loss, estimate = one["loss_at_point"].values, one["estimate"].values
        fine = one["verdict"].values == "minimum"
        above.plot(steps, loss, color=color, lw=0.9)
        below.plot(steps[fine], estimate[fine], "o", color=color, ms=3, alpha=0.8)
        near = ~fine & (estimate > 0)
        below.plot(steps[near], estimate[near], "x", color=color, ms=3, alpha=0.4)
    above.set(ylabel="loss (sum)", yscale="log", xscale="log", title="along training, 6→2, one active")
    shown = (table["verdict"].values == "minimum") | (table["estimate"].values > 0)
    if not np.any(shown & (table["estimate"].values > LAMBDA_SHOWN[0]) & (table["estimate"].values < LAMBDA_SHOWN[1])):
        between = " and ".join(f"{end:g}" for end in LAMBDA_SHOWN)
        below.text(0.5, 0.5, f"no estimate between {between}", ha="center", va="center", transform=below.transAxes)
    below.set(ylabel="λ̂, coarsely", xlabel="step", ylim=LAMBDA_SHOWN, xlim=(max(1, steps[-1] / 100), 1.2 * steps[-1]))
    plain_ticks(above, y=True)
    plain_ticks(below, subs=(1,))
