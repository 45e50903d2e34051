"""Does dropout create a privileged basis? Nanda 2023, open problem 4.1, on the toy model of Elhage et al. 2022."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import kstest

from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.models.toy import ToyModel
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.features import feature_directions
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import NoisyToy
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.1: does dropout create a privileged basis?"
N_FEATURES, N_HIDDEN = 5, 2
TURNS = np.deg2rad(np.arange(5, 90, 5))
LEVEL = 1e-3
DRAWN_DENSITY = 0.1
COLORS = (PALETTE["blue"], PALETTE["orange"], PALETTE["green"], PALETTE["red"])


@dataclass(frozen=True)
class Size:
    """Rates of dropout beside 0, densities of the ReLU models, seeds, steps, and samples that the loss is compared with."""

    rates: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    densities: tuple[float, ...] = (0.3, 0.1, 0.03)
    seeds: int = 32
    steps: int = 600
    samples: int = 400_000


SIZES = Sizes(
    quick=Size(rates=(0.5,), densities=(0.3,), seeds=2, steps=60, samples=20_000),
    laptop=Size(),
    full=Size(
        rates=tuple(np.linspace(0.02, 0.8, 40).round(2)), densities=(0.3, 0.1, 0.03, 0.01), seeds=256, steps=2_000
    ),
)


def build(size: Size) -> tuple[NoisyToy, TrainConfig, Grid]:
    """Task, training and grid of the ReLU models."""
    task = NoisyToy(
        n_features=N_FEATURES, n_hidden=N_HIDDEN, importance=0.9 ** np.arange(N_FEATURES), dropout_rate=0.0,
        objective="expected",
    )  # fmt: skip
    grid = Grid(feature_probability=list(size.densities), dropout_rate=[0.0, *size.rates], seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps), grid


def build_linear(size: Size) -> tuple[NoisyToy, TrainConfig, Grid]:
    """The same for linear models of dense features whose mean is 0 and whose importances are far apart.

    There the answer is known: see `aligned_price`.
    """
    task = NoisyToy(
        n_features=N_FEATURES, n_hidden=N_HIDDEN, importance=0.5 ** np.arange(N_FEATURES), activation="identity",
        magnitude="signed_uniform", dropout_rate=0.0, objective="expected",
    )  # fmt: skip
    grid = Grid(dropout_rate=[0.0, *size.rates], seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps), grid


def aligned_price(lengths: Any, importances: Any, variance: float, rate: Any) -> Any:
    r"""What it costs a linear model of two features in two hidden dimensions to put each on an axis of its own.

    Beside the features at 45° between the axes, with $a_i$ = `lengths`, v = `variance`, r = 1 − `rate`, summed over features:

    $$\frac{1-r}{r}\,\frac v2\,(a_1^2 - a_2^2)(I_1 a_1^2 - I_2 a_2^2).$$

    It is above 0 where the more important feature is longer: linear dropout spreads features over the hidden units. (A
    case of the equal loads of Mianjy, Arora and Vidal 2018, "On the Implicit Bias of Dropout".)
    """
    (a1, a2), (i1, i2) = np.square(lengths), importances
    return rate / (1 - rate) * variance / 2 * (a1 - a2) * (i1 * a1 - i2 * a2)


def measure(result: SweepResult) -> xr.Dataset:
    r"""Of every model, over the axes of `result`:

    * `minimised`: the expected loss under dropout, exact.
    * `rise`: by how much of itself that grows at most if the hidden layer is rotated, over turns of 5° to 85°. It is 0 where
      no basis is privileged, and at least 0 at a minimum.
    * `alignment`: the mean over represented features of the largest |cosine| with a hidden axis: 1 along the axes.
    * `orientation`: $|\arg \sum_i (W_{1i} + i W_{2i})^4 / \|W_i\|^2| / \pi$. Sign changes and exchanges of hidden units do
      not change it; rotations do. It is 0 along the axes and 1 half-way between them.
    """
    table: Any = result.map(_of_model)
    return table


def _of_model(model: ToyModel, task: NoisyToy) -> dict[str, Float[Array, ""]]:
    key, W = jax.random.key(0), model.W[...]
    minimised = task.loss(model, key, 0)[0]

    def turned(turn: Float[Array, ""]) -> Float[Array, ""]:
        rotation = jnp.stack([jnp.cos(turn), -jnp.sin(turn), jnp.sin(turn), jnp.cos(turn)]).reshape(2, 2)
        return task.loss(ToyModel(rotation @ W, model.b, activation=task.activation), key, 0)[0]

    norms = jnp.linalg.norm(W, axis=0)
    represented = norms > REPRESENTED_ABOVE
    along = jnp.max(jnp.abs(W), axis=0) / jnp.maximum(norms, 1e-9)
    fourth = jnp.sum((W[0] + 1j * W[1]) ** 4 / jnp.maximum(norms, 1e-9) ** 2)
    return {
        "minimised": minimised,
        "rise": jnp.max(jax.lax.map(turned, jnp.asarray(TURNS, W.dtype))) / minimised - 1,
        "alignment": jnp.sum(jnp.where(represented, along, 0)) / jnp.sum(represented),
        "orientation": jnp.abs(jnp.angle(fourth)) / jnp.pi,
    }


def random_orientation(orientations: xr.DataArray) -> xr.DataArray:
    """p-value of the orientations of all seeds coming from hidden layers that are rotated at random (Kolmogorov–Smirnov)."""
    return xr.apply_ufunc(
        lambda values: kstest(values, "uniform").pvalue, orientations, input_core_dims=[["seed"]], vectorize=True
    )


def represented(result: SweepResult) -> xr.DataArray:
    """How many features of every model have a norm above 1/2."""
    norms: xr.DataArray = (result["W"] ** 2).sum("hidden") ** 0.5
    return (norms > REPRESENTED_ABOVE).sum("feature")


def sampled_error(result: SweepResult, table: xr.Dataset, samples: int) -> tuple[float, float]:
    """(measured, standard error): the loss under dropout on samples minus the exact one, of the last cell of `result`."""
    cell = result.isel(**{str(dim): -1 for dim in result["loss"].dims})
    task: Any = cell.task()
    task, model = replace(task, objective="sampled").broadcast(), cell.model()
    keys = jax.random.split(jax.random.key(1), 20)
    losses = np.array([float(task.loss(model, key, samples // 20)[0]) for key in keys])
    exact = float(table["minimised"].isel(dict.fromkeys(table["minimised"].dims, -1)))
    return float(losses.mean()) - exact, float(losses.std(ddof=1) / np.sqrt(len(losses)))


def evaluate(
    relu: Any, linear: Any, tables: tuple[xr.Dataset, xr.Dataset], claims: Claims, *, samples: int = Size.samples
) -> None:
    """`relu` and `linear` are the results of both sweeps, `tables` the `measure` of each."""
    table, flat = tables
    off, error = sampled_error(relu, table, samples)
    claims.check(
        "the loss under dropout, mean over all masks, is that of samples",
        "within 4 standard errors",
        f"{off / error:+.1f} of them ({samples:,} samples)",
        abs(off) < 4 * error,
    )
    without = [*table["rise"].sel(dropout_rate=0).values.ravel(), *flat["rise"].sel(dropout_rate=0).values.ravel()]
    claims.check(
        "no dropout: any rotation of the hidden layer is as good",
        "the loss grows by less than 1e-3 of itself",
        f"{np.nanmax(without):.1e} at most",
        np.nanmax(without) < 1e-3,
    )
    chances = random_orientation(table["orientation"].sel(dropout_rate=0)).values
    claims.check(
        "no dropout: orientations of seeds are random",
        f"p above {LEVEL:g} at every density",
        ", ".join(f"{p:.2g}" for p in chances),
        bool(np.all(chances > LEVEL)),
    )
    last = float(table["dropout_rate"].max())
    spread = flat["orientation"].sel(dropout_rate=last)
    claims.check(
        f"linear, dropout {last:g}: features lie half-way between hidden axes",
        "orientation above .99 in all seeds",
        f"{float(spread.min()):.4f} or more",
        bool((spread > 0.99).all()),
    )
    ratio = _price_ratio(linear, flat, last)
    claims.check(
        "… and a feature on each axis costs as much more as the closed form says",
        "within 1 %",
        f"{100 * (ratio - 1):+.2f} %",
        abs(ratio - 1) < 0.01,
    )
    aligned = table["alignment"].sel(dropout_rate=last).median("seed")
    chances = random_orientation(table["orientation"].sel(dropout_rate=last)).values
    claims.check(
        f"ReLU, dropout {last:g}: features lie along the hidden axes",
        "mean largest |cos| above .95 in the median seed, at every density",
        ", ".join(f"{float(v):.3f}" for v in aligned),
        bool((aligned > 0.95).all()),
    )
    claims.check(
        "… and no such orientations are random",
        f"p below {LEVEL:g} at every density",
        ", ".join(f"{p:.1e}" for p in chances),
        bool(np.all(chances < LEVEL)),
    )
    counts = represented(relu).mean("seed").sel(dropout_rate=[0, last]).isel(feature_probability=-1)
    first, final = (float(v) for v in counts.values)
    claims.check(
        "sparsest ReLU models: dropout makes room for fewer features",
        "represented features fall by ½ or more on average",
        f"{first:.2f} → {final:.2f}",
        final <= first - 0.5,
    )


def _price_ratio(linear: SweepResult, flat: xr.Dataset, rate: float) -> float:
    """What a turn by 45° costs the best linear model at this rate, over the closed form."""
    cells = flat.sel(dropout_rate=rate)
    seed = int(cells["minimised"].argmin("seed"))
    cell = linear.sel(dropout_rate=rate).isel(seed=seed)
    lengths = np.linalg.norm(np.asarray(cell.model().W), axis=0)[:N_HIDDEN]
    task: Any = cell.task()
    variance = float(np.broadcast_to(task.features.moment(2), N_FEATURES)[0])
    price = aligned_price(lengths, 0.5 ** np.arange(N_HIDDEN), variance, rate) / N_FEATURES
    return float((cells["rise"] * cells["minimised"]).isel(seed=seed) / price)


def draw(relu: SweepResult, linear: SweepResult, tables: tuple[xr.Dataset, xr.Dataset]) -> tuple[Figure, str]:
    """Figure and caption: arrows without and with dropout, orientations, what a rotation costs, features represented."""
    table, flat = tables
    density = float(table["feature_probability"].sel(feature_probability=DRAWN_DENSITY, method="nearest"))
    rates = [0.0, float(table["dropout_rate"].max())]
    figure, axes = plt.subplots(2, 4, figsize=(9.4, 5.0), layout="constrained")
    for k, (name, result, measured) in enumerate(
        [
            ("linear", linear, flat),
            ("ReLU", relu.sel(feature_probability=density), table.sel(feature_probability=density)),
        ]
    ):
        for j, rate in enumerate(rates):
            best = int(measured["minimised"].sel(dropout_rate=rate).argmin("seed"))
            ax = axes[0, 2 * k + j]
            feature_directions(result.sel(dropout_rate=rate).isel(seed=best), ax, limit=1.35)
            for line in (ax.axhline, ax.axvline):
                line(0, color="#BBBBBB", lw=0.7, zorder=0)
            ax.set_title(f"{name}, dropout {rate:g}")
    orientations(flat["orientation"].expand_dims(feature_probability=[1.0]), axes[1, 0])
    axes[1, 0].set_title("linear")
    orientations(table["orientation"], axes[1, 1])
    axes[1, 1].set_title("ReLU")
    by_rate(100 * table["rise"], axes[1, 2], "cost of the worst rotation, %")
    axes[1, 2].plot(flat["dropout_rate"], 100 * flat["rise"].median("seed"), "k--", lw=1, label="linear")
    axes[1, 2].legend(handles=axes[1, 2].lines[-1:], loc="upper left")
    by_rate(represented(relu), axes[1, 3], "features represented", middle="mean")
    axes[1, 3].set_ylim(0, N_FEATURES + 0.3)
    axes[1, 3].legend(title="ReLU, 1 − S", loc="lower left")
    text = (
        f"Top: models of least loss under dropout of {table.sizes['seed']} seeds; ReLU at 1 − S = {density:g}, linear "
        "models of dense features with mean 0 and importance 0.5^i. Grey lines are the hidden axes. Bottom: "
        "orientation of every seed and the median; by how much the loss under dropout grows if the hidden layer is "
        "rotated by the worst angle (median of seeds); represented features (mean of seeds); shaded: from the least "
        "to the most of ReLU seeds."
    )
    return figure, caption(relu.attrs, text)


def orientations(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Orientation of every seed against the rate of dropout, and the median.

    The dims are (feature_probability, dropout_rate, seed).
    """
    ax = current_axes(ax)
    for k, p in enumerate(values["feature_probability"].values):
        row = values.sel(feature_probability=p).transpose("seed", "dropout_rate")
        x, color = row["dropout_rate"].values, COLORS[k % len(COLORS)]
        if values.sizes["feature_probability"] == 1:
            color = "black"
        ax.plot(np.tile(x, (row.sizes["seed"], 1)).T, row.values.T, ".", color=color, ms=2.5, alpha=0.35)
        ax.plot(x, row.median("seed"), "-", color=color, lw=1.3, label=f"{p:g}")
    ax.set(xlabel="dropout rate", ylim=(-0.05, 1.05))
    ax.set_yticks([0, 1], ["along\nthe axes", "half-way\nbetween"])
    return ax


def by_rate(values: xr.DataArray, ax: Axes | None, name: str, *, middle: Literal["median", "mean"] = "median") -> Axes:
    """A number against the rate of dropout, a line per density: median or mean of seeds, their range shaded.

    The dims are (feature_probability, dropout_rate, seed).
    """
    ax = current_axes(ax)
    for k, p in enumerate(values["feature_probability"].values):
        every, color = values.sel(feature_probability=p), COLORS[k % len(COLORS)]
        row = every.median("seed") if middle == "median" else every.mean("seed")
        ax.fill_between(row["dropout_rate"], every.min("seed"), every.max("seed"), color=color, alpha=0.15, lw=0)
        ax.plot(row["dropout_rate"], row, "o-", ms=2.5, lw=1.2, color=color, label=f"{p:g}")
    ax.set(xlabel="dropout rate", ylabel=name)
    return ax
