"""Compressed computation beside the naive baseline: squared and fourth-power loss, with and without label noise.

Braun et al. 2025, "Interpretability in Parameter Space"; Bhagat et al. 2026, "Compressed Computation is (probably) not
Computation in Superposition"; FranciscoHS, "Compressed Computation under L⁴ Loss is likely Computation in Superposition".
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.compressed import loss_over_naive, responses
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ResidualMLP
from superpos.training.loop import TrainConfig, TrainState
from superpos.training.loop import evaluate as loss_of

SOURCE = "Bhagat et al. 2026, Compressed Computation is (probably) not Computation in Superposition"
NOISE = 0.03
INPUTS = 41
SIZE_COLORS = [PALETTE[name] for name in ("sky", "blue", "black")]


@dataclass(frozen=True)
class Size:
    """Features of the main sweep and of the smaller models across densities and neurons (`few_…`), grids and training.

    Embedded models have a stream ten times as wide as there are features, as published. `exponents` are theirs.
    """

    n_features: int = 100
    seeds: int = 3
    embedded_seeds: int = 2
    exponents: tuple[int, ...] = (2, 4)
    steps: int = 3_000
    batch_size: int = 512
    few_features: int = 20
    few_hidden: tuple[int, ...] = (5, 10, 15)
    densities: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    few_block_size: int = 4
    few_steps: int = 2_000
    few_batch_size: int = 256
    evaluation_samples: int = 131_072


SIZES = Sizes(
    quick=Size(  # few shapes: every one is compiled
        n_features=8,
        seeds=1,
        embedded_seeds=1,
        exponents=(2,),
        steps=30,
        batch_size=64,
        few_features=8,
        few_hidden=(4,),
        densities=(0.3, 0.03),
        few_block_size=1,
        few_steps=30,
        few_batch_size=64,
        evaluation_samples=1_024,
    ),
    laptop=Size(),
    full=Size(
        seeds=10,
        steps=100_000,
        batch_size=8_192,
        few_features=40,
        few_hidden=(10, 20, 30),
        few_steps=100_000,
        few_batch_size=8_192,
    ),
)


class Sweep(NamedTuple):
    """What one of the four sweeps trains: task, training, grid, and models per block."""

    task: ResidualMLP
    config: TrainConfig
    grid: Grid
    block_size: int


def build(size: Size) -> dict[str, Sweep]:
    """The four sweeps, by what the names of their stores end with."""
    n, few = size.n_features, size.few_features
    task = ResidualMLP(n_features=n, n_hidden=n // 2, feature_probability=0.02, init_scale=0.5)
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples)
    few_config = replace(config, steps=size.few_steps, batch_size=size.few_batch_size)
    embedded, few_clean, few_embedded = (
        replace(task, n_residual=10 * n),
        replace(task, n_features=few, n_hidden=few // 2, n_residual=0),
        replace(task, n_features=few, n_hidden=few // 2, n_residual=10 * few),
    )
    exponents, p = list(size.exponents), size.densities
    return {
        "": Sweep(task, config, Grid(loss_exponent=[2, 4], label_noise=[0.0, NOISE], seed=range(size.seeds)), 1),
        "_embedded": Sweep(embedded, config, Grid(loss_exponent=exponents, seed=range(size.embedded_seeds)), 1),
        "_sizes": Sweep(
            few_clean,
            few_config,
            Grid(loss_exponent=[2, 4], n_hidden=list(size.few_hidden), feature_probability=p),
            size.few_block_size,
        ),
        "_sizes_embedded": Sweep(
            few_embedded, few_config, Grid(loss_exponent=exponents, feature_probability=p), size.few_block_size
        ),
    }


def measure(result: SweepResult) -> xr.Dataset:
    r"""Of every model: `relative`, its loss over the naive one with the same labels, `linear`, and `response`.

    The naive model is tested on the inputs that the model was tested on. `response` is what the hidden layer adds to output
    i when x_i alone is active, over (…, feature, input); ReLU(input) is wanted.

    `linear` is the loss of the best linear readout of all features over the naive one. Since $\mathrm{ReLU}(x) = x/2 +
    |x|/2$, it gives every output half of its input, undoes the noise, and leaves $p\,E|x/2|^q = p / (2^q (q + 1))$. Few
    neurons cannot pass so many features on, so it is no baseline that a model must reach. But a fourth power forgives it
    far more than it forgives ignored features, and a model above it need not have computed anything.
    """
    loss = result["loss"]
    inputs = np.linspace(-1, 1, INPUTS)
    relative, linear, added = np.full(loss.shape, np.nan), np.full(loss.shape, np.nan), []
    naive_losses = jax.jit(_naive_loss, static_argnames="samples")
    for index in np.ndindex(loss.shape):
        cell = result.isel(**dict(zip(map(str, loss.dims), index, strict=True)))
        task: Any = cell.task()
        model = cell.model()
        samples = cell.config().evaluation_samples
        naive = float(naive_losses(task.broadcast(), task.naive(), samples=samples))
        relative[index], linear[index] = float(loss.values[index]) / naive, linear_loss(task) / naive
        read, write = model.between_features(model.embedding())
        hidden = np.maximum(np.asarray(read).T[:, :, None] * inputs, 0)  # (feature, hidden, input)
        added.append(np.einsum("fh,fhi->fi", np.asarray(write), hidden))
    response = np.reshape(added, (*loss.shape, -1, INPUTS))
    return xr.Dataset(
        {
            "relative": (loss.dims, relative),
            "linear": (loss.dims, linear),
            "response": ((*loss.dims, "feature", "input"), response),
        },
        {**{d: loss[d].values for d in loss.dims}, "input": inputs},
    )


def linear_loss(task: Any) -> float:
    """The mean over features of I p / (2^q (q + 1)): half of every input, for magnitudes uniform on [−1, 1]."""
    q = task.loss_exponent
    p, importance = np.asarray(task.feature_probability, float), np.asarray(task.importance, float)
    return float(np.mean(importance * p)) / (2**q * (q + 1))


def _naive_loss(task: Any, model: Any, *, samples: int) -> Any:
    state = TrainState(model, (), jnp.int32(-1), None, None)
    return loss_of(task, TrainConfig(evaluation_samples=samples), state)


def across_sizes(clean: xr.Dataset, embedded: xr.Dataset, size: Size) -> xr.Dataset:
    """`relative` and `linear` of `measure`'s tables of the smaller models, clean and embedded, as one table.

    Over (loss_exponent, n_hidden, n_residual, feature_probability), NaN where nothing was trained.
    """
    tables = {0: clean, 10 * size.few_features: embedded.expand_dims(n_hidden=[size.few_features // 2])}
    parts = [table[["relative", "linear"]].expand_dims(n_residual=[d]) for d, table in tables.items()]
    return xr.concat(parts, "n_residual", join="outer", combine_attrs="drop")


def evaluate(table: xr.Dataset, embedded: xr.DataArray, across: xr.Dataset, claims: Claims) -> None:
    """All claims: `table` is `measure`'s of the main sweep, `embedded` relative losses, `across` of `across_sizes`."""
    evaluate_noise(table["relative"], table["linear"], claims)
    evaluate_across(across, embedded, claims)


def evaluate_noise(relative: xr.DataArray, linear: xr.DataArray, claims: Claims) -> None:
    """Losses of models and of the linear control over the naive model's, over (loss_exponent, label_noise, seed)."""
    clean = relative.sel(label_noise=0)
    quartic = clean.sel(loss_exponent=4)
    holds = bool((quartic < 1).all())
    claims.check("L4, clean labels: beats the naive baseline", "below 1 for every seed", _range(quartic), holds)
    share = quartic / linear.sel(label_noise=0, loss_exponent=4)
    measured = f"{float(share.min()):.3f} to {float(share.max()):.3f} of it"
    claims.check(
        "L4, clean labels: beats the linear control", "below 1 for every seed", measured, bool((share < 1).all())
    )
    square = clean.sel(loss_exponent=2)
    holds = bool((square >= 1).all())
    claims.check(
        "L2, clean labels: does not beat the naive baseline", "1 or more for every seed", _range(square), holds
    )
    noisy = relative.isel(label_noise=-1).sel(loss_exponent=2)
    gain = bool(noisy.mean() < square.mean())
    claims.check("L2: label noise is what helps", "lower with noise than without", _range(noisy), gain)


def evaluate_across(across: xr.Dataset, embedded: xr.DataArray, claims: Claims) -> None:
    """`measure`'s table over (loss_exponent, n_hidden, n_residual, feature_probability), and `embedded` ones' losses.

    Both relative to the naive model; `embedded` is over (loss_exponent, seed). The stream's own overlaps are label noise, so
    an embedded model that beats the naive one need not compute anything.
    """
    clean = across.sel(n_residual=0)
    quartic, control = (clean[name].sel(loss_exponent=4) for name in ("relative", "linear"))
    statement = "L4, clean, all densities and sizes: beats the naive baseline"
    claims.check(statement, "below 1 everywhere", _range(quartic), bool((quartic < 1).all()))
    better = quartic < control
    measured = f"{int(better.sum())} of {better.size} settings"
    claims.check("L4, clean: beats the linear control, too", "somewhere", measured, bool(better.any()))
    square = across["relative"].sel(loss_exponent=2)
    noisy = square.isel(n_residual=-1).dropna("n_hidden", how="all")
    pairs = square.sel(n_residual=0, n_hidden=noisy["n_hidden"])
    measured = f"{_range(noisy)}; clean labels {_range(pairs)}"
    claims.check(
        "L2, embedded: lower than with clean labels", "at every density", measured, bool((noisy < pairs).all())
    )
    noisy = embedded.sel(loss_exponent=2)
    holds = bool((noisy < 1).all())
    claims.check("L2, embedded: beats it, as published", "below 1 for every seed", _range(noisy), holds)


def _range(values: xr.DataArray) -> str:
    return f"{float(values.min()):.3f} to {float(values.max()):.3f} × naive"


def draw(
    result: SweepResult, table: xr.Dataset, embedded: xr.DataArray, across: xr.Dataset, size: Size
) -> tuple[Figure, str]:
    """Figure and caption; `result` is the main sweep, the tables are those of `evaluate`."""
    text = (
        "Top left: loss over that of a neuron each for as many features as there are neurons, with the same labels, a "
        "dot per seed; linear control: half of every input passed on; embedded: features are random directions of a "
        f"stream of {10 * size.n_features} dimensions. Top right: what the hidden layer adds to each output for its own "
        f"input alone, in seed {int(table['seed'][0])} of {table.sizes['seed']}; dashed: ReLU. Bottom: "
        f"{size.few_features} features, one seed, by density and number of neurons, "
        f"with clean labels and embedded in {10 * size.few_features} dimensions ({size.few_steps:,} steps, "
        f"batch {size.few_batch_size:,})."
    )
    return panels(table, embedded, across), caption(result.attrs, text)


def panels(table: xr.Dataset, embedded: xr.DataArray, across: xr.Dataset) -> Figure:
    """Losses and responses at one size above; losses across density, neurons and the kind of labels below.

    `table` is `measure`'s over (loss_exponent, label_noise, seed); `embedded` is relative losses over
    (loss_exponent, seed), `across` that table over (loss_exponent, n_hidden, n_residual, feature_probability), NaN where
    nothing was trained. The linear control is drawn where it tells most: for L4.
    """
    figure = plt.figure(figsize=(9.8, 5.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1, 1.1))
    first, *right = halves[0].subplots(1, 3, width_ratios=(2, 1, 1))
    loss_over_naive(table["relative"], first, linear=table["linear"], embedded=embedded)
    for q, ax in zip((2, 4), right, strict=True):
        responses(table["response"].sel(loss_exponent=q, label_noise=0).isel(seed=0), ax)
        ax.set_title(f"L{q}, clean labels")
    lower = halves[1].subplots(1, 2)
    for q, ax in zip((2, 4), lower, strict=True):
        losses = across.sel(loss_exponent=q)
        loss_by_density(losses["relative"], ax, linear=losses["linear"].sel(n_residual=0) if q == 4 else None)
        ax.set_title(f"L{q}")
    halves[1].legend(handles=density_keys(across["relative"]), loc="outside lower center", ncols=7)
    return figure


def loss_by_density(relative: xr.DataArray, ax: Axes | None = None, *, linear: xr.DataArray | None = None) -> Axes:
    """Loss over the naive baseline's against 1/(1 − S), over (n_hidden, n_residual, feature_probability).

    A colour per number of neurons; solid lines where n_residual is 0 and labels are clean, dashed where features are random
    directions of a stream. `linear`, over (n_hidden, feature_probability), are thin lines: the loss of a linear control.
    """
    ax = current_axes(ax)
    x = 1 / relative["feature_probability"].values
    for color, m in zip(SIZE_COLORS, relative["n_hidden"].values, strict=False):
        for d in relative["n_residual"].values:
            values = relative.sel(n_hidden=m, n_residual=d).values
            ax.plot(x, values, "s--" if d else "o-", color=color, ms=4, mfc="white" if d else color)
        if linear is not None:
            ax.plot(x, linear.sel(n_hidden=m).values, "-.", color=color, lw=1)
    ax.axhline(1, color="black", lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel="1 / (1 − S)", ylabel="loss / naive loss")
    plain_ticks(ax, y=True)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    return ax


def density_keys(relative: xr.DataArray) -> list[Line2D]:
    """What colours and lines of `loss_by_density` mean, for a legend."""
    sizes = zip(SIZE_COLORS, relative["n_hidden"].values, strict=False)
    lines = [Line2D([], [], color=color, lw=2, label=f"{m} neurons") for color, m in sizes]
    kinds = (("o-", "black", "clean labels"), ("s--", "white", "embedded"))
    marks = [Line2D([], [], ls=s[1:], marker=s[0], color="black", mfc=c, ms=4, label=name) for s, c, name in kinds]
    others = ((":", "naive baseline"), ("-.", "linear control"))
    return [*lines, *marks, *(Line2D([], [], color="black", lw=1, ls=s, label=name) for s, name in others)]
