"""ANDs and ORs of all pairs of bits in fewer neurons than gates, beside the naive baseline and a linear control.

Hänni, Mendel, Vaintrob and Chan 2024, "Mathematical Models of Computation in Superposition"; Newgas 2025, arXiv 2507.09816.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.features import polysemanticity
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import BooleanPairs
from superpos.theory.boolean import affine_errors
from superpos.training.train_config import TrainConfig

SOURCE = "Hänni et al. 2024, Mathematical Models of Computation in Superposition"
# A gate counts as computed if it leaves less than this share of what the best affine readout of its features leaves.
COMPUTED_BELOW = 0.5
BEATS = "best seed below 1 at every density"
OPERATION_COLORS = {"and": PALETTE["blue"], "or": PALETTE["orange"]}


@dataclass(frozen=True)
class Size:
    """Bits, neurons, the axes of the grid, and training."""

    n_features: int = 8
    n_hidden: int = 12
    operations: tuple[str, ...] = ("and", "or")
    densities: tuple[float, ...] = (0.5, 0.3, 0.2, 0.1, 0.05)
    seeds: int = 3
    steps: int = 6_000
    batch_size: int = 256


SIZES = Sizes(
    quick=Size(n_features=4, n_hidden=4, operations=("and",), densities=(0.5, 0.3), seeds=1, steps=30, batch_size=32),
    laptop=Size(),
    full=Size(seeds=16, steps=20_000, batch_size=1_024),
)


def build(size: Size) -> tuple[BooleanPairs, TrainConfig, Grid]:
    """Task, training and grid."""
    grid = Grid(
        operation=list(size.operations),
        loss_exponent=[2, 4],
        feature_probability=size.densities,
        seed=range(size.seeds),
    )
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, learning_rate=0.01)
    return BooleanPairs(n_features=size.n_features, n_hidden=size.n_hidden), config, grid


def measure(result: SweepResult) -> xr.Dataset:
    """Of every model, over the axes of `result`:

    * `relative`, `linear` and `bound`: its loss, that of the linear control, and the least that its rank allows (0 where
      none is known), over the naive baseline's.
    * `computed`: gates that leave less than half of what the best affine readout of all features leaves, a share of the
      number of neurons. Above 1 there are more of them than neurons.
    * `gates_per_neuron`, with an axis `hidden`: the effective number of outputs that a neuron writes to, the participation
      ratio of its column of W2; NaN for a neuron that never fires.
    """
    dims, shape = result["loss"].dims, result["loss"].shape
    rows = []
    for index in np.ndindex(shape):
        cell = result.isel(**dict(zip(map(str, dims), index, strict=True)))
        task: Any = cell.task()
        model = cell.model()
        naive = task.baseline().loss
        p = np.broadcast_to(np.asarray(task.feature_probability, float), (task.n_features,))
        affine = affine_errors(task.pairs(), p, task.operation, task.loss_exponent, np.ones(len(p), bool))
        computed = np.sum(np.asarray(task.error_per_gate(model)) < COMPUTED_BELOW * affine) / task.n_hidden
        fires = np.asarray(model.b1) + np.maximum(np.asarray(model.W1), 0).sum(axis=1) > 0
        served = np.where(fires, np.asarray(polysemanticity(np.asarray(model.W2).T)), np.nan)
        losses = (float(cell["loss"]), task.linear_control().loss, task.rank_bound())
        rows.append((*(loss / naive for loss in losses), computed, served))
    relative, linear, bound, computed, served = (np.array(column) for column in zip(*rows, strict=True))
    scalars = {"relative": relative, "linear": linear, "bound": bound, "computed": computed}
    data = {name: (dims, column.reshape(shape)) for name, column in scalars.items()}
    return xr.Dataset(
        {**data, "gates_per_neuron": ((*dims, "hidden"), served.reshape(*shape, -1))},
        {dim: result["loss"][dim].values for dim in dims},
    )


def evaluate(table: xr.Dataset, claims: Claims) -> None:
    """`measure`'s table over (operation, loss_exponent, feature_probability, seed)."""
    best = table["relative"].min("seed")
    linear = table["linear"].isel(seed=0)
    for operation in best["operation"].values:
        for q in best["loss_exponent"].values:
            setting: Any = {"operation": operation, "loss_exponent": q}
            name = f"{str(operation).upper()}, L{q}"
            losses, control = best.sel(setting), linear.sel(setting)
            measured = ", ".join(f"{v:.2f}" for v in losses.values)
            holds = bool((losses < 1).all())
            claims.check(f"{name}: beats the naive baseline", BEATS, f"{measured} of it", holds)
            share = losses / control
            measured = ", ".join(f"{v:.2f}" for v in share.values)
            claims.check(
                f"{name}: beats the linear control",
                BEATS,
                f"{measured} of it",
                bool((share < 1).all()),
            )
    square = table.sel(loss_exponent=2)
    least = float((square["relative"] / square["bound"]).min())
    expected, measured = "1 × the bound or more", f"{least:.2f} at least"
    claims.identity("L2: no model loses less than its rank allows", expected, measured, least > 1 - 1e-4)
    computed = table["computed"].max("seed")
    most = float(computed.sel(loss_exponent=2).max())
    claims.check(
        "L2: gates below half of their affine error", "at most as many as neurons", f"{most:.2f} per neuron", most <= 1
    )
    sparsest = computed.sel(loss_exponent=4).isel(
        feature_probability=int(np.argmin(computed["feature_probability"].values))
    )
    measured = ", ".join(f"{v:.2f}" for v in sparsest.values)
    holds = bool((sparsest > 1).all())
    claims.check(
        "L4, sparsest: gates below half of their affine error", "more than neurons", f"{measured} per neuron", holds
    )
    middle = float(table["gates_per_neuron"].median())
    claims.check("a neuron serves several gates", "median above 1.5", f"{middle:.1f}", middle > 1.5)


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: losses beside baselines for both exponents, and gates per neuron; `table` is `measure`'s."""
    figure, axes = plt.subplots(1, 3, figsize=(9.8, 3.1), layout="constrained")
    for q, ax in zip((2, 4), axes, strict=False):
        losses = table.sel(loss_exponent=q)
        bound = losses["bound"].isel(seed=0) if q == 2 else None
        gate_losses(losses["relative"], losses["linear"].isel(seed=0), bound, ax)
        ax.set_title(f"L{q}")
    gates_per_neuron(table["gates_per_neuron"], axes[2])
    n = result.attrs["task"]["n_features"]
    text = (
        f"All {n * (n - 1) // 2} pairs. Naive baseline: a neuron each for as many gates as there are neurons, the best "
        "constant for the others. Linear control: neurons may also pass features on, and gates are read off these. "
        "Dotted: the least squared error of so many hidden values. "
        "Losses are exact; a dot per seed. Right: quartiles over neurons and seeds."
    )
    return figure, caption(result.attrs, text)


def gate_losses(
    relative: xr.DataArray, linear: xr.DataArray, bound: xr.DataArray | None = None, ax: Axes | None = None
) -> Axes:
    """Loss over the naive baseline against 1/(1 − S): a dot per model and a line through the best.

    The linear control is dashed, a lower bound dotted. `relative` is over (operation, feature_probability, seed), `linear`
    and `bound` over (operation, feature_probability); all are losses over the naive baseline's.
    """
    ax = current_axes(ax)
    x = 1 / relative["feature_probability"].values
    ax.axhline(1, color=PALETTE["grey"], lw=1, label="naive baseline")
    for operation in relative["operation"].values:
        color = OPERATION_COLORS[str(operation)]
        values = relative.sel(operation=operation).transpose("feature_probability", "seed").values
        ax.plot(x, values.min(axis=1), "-", color=color, label=f"{str(operation).upper()}, trained")
        ax.plot(x, values, "o", color=color, ms=3, alpha=0.6)
        ax.plot(x, linear.sel(operation=operation).values, "--", color=color, lw=1)
        if bound is not None:
            ax.plot(x, bound.sel(operation=operation).values, ":", color=color, lw=1)
    ax.plot([], [], "--", color="black", lw=1, label="linear control")
    if bound is not None:
        ax.plot([], [], ":", color="black", lw=1, label="least for the rank")
    ax.set(xscale="log", yscale="log", xlabel="1 / (1 − S)", ylabel="loss / naive baseline")
    plain_ticks(ax)
    ax.set_ylim(ax.get_ylim()[0] / 2, None)  # room for the legend
    ax.legend(loc="lower left")
    return ax


def gates_per_neuron(served: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Effective number of gates per neuron against 1/(1 − S): median and quartiles over (operation, feature_probability, …).

    Solid for a squared error, dotted for any other `loss_exponent`; neurons that never fire are NaN and left out.
    """
    ax = current_axes(ax)
    x = 1 / served["feature_probability"].values
    for operation in served["operation"].values:
        for q in served["loss_exponent"].values:
            values = served.sel(operation=operation, loss_exponent=q).transpose("feature_probability", ...).values
            low, middle, high = np.nanquantile(values.reshape(len(x), -1), (0.25, 0.5, 0.75), axis=1)
            color = OPERATION_COLORS[str(operation)]
            ax.fill_between(x, low, high, color=color, alpha=0.12, lw=0)
            style = "o-" if q == 2 else "s:"
            ax.plot(x, middle, style, color=color, ms=3, label=f"{str(operation).upper()}, L{q}")
    ax.axhline(1, color=PALETTE["grey"], lw=1)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="gates per neuron\n(participation ratio)")
    ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
    plain_ticks(ax)
    ax.legend(loc="upper left", ncols=2)
    return ax
