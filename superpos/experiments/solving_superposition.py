"""A penalty that removes superposition: Elhage et al. 2022, "Approaches to Solving Superposition"."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from superpos.analysis.phases import PHASES
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import DIVERGING, PALETTE, caption, current_axes
from superpos.plot.phases import PHASE_COLORS, phase_keys
from superpos.plot.sweeps import log_edges, plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory import vanishing_penalty
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Approaches to Solving Superposition"
DRAWN_DENSITY = 0.1  # the nearest one is drawn by itself
_SAMPLES = 16_384


@dataclass(frozen=True)
class Size:
    """Densities between 1 and .05, weights of the penalty beside 0, seeds, and steps."""

    densities: int = 6
    weights: int = 12
    seeds: int = 16
    steps: int = 2_500


SIZES = Sizes(
    quick=Size(densities=3, weights=3, seeds=1, steps=50),
    laptop=Size(),
    full=Size(densities=16, weights=24, seeds=32, steps=5_000),
)


def build(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid: densities and weights of the penalty, none among them.

    At lower densities a pair costs so little more than two dedicated features (order p²) that noise chooses between them.
    """
    task = Toy(n_features=8, n_hidden=3, importance=0.6 ** np.arange(8))
    weights = [0, *np.geomspace(0.02, 0.8, size.weights).round(4)]
    densities = np.geomspace(1, 0.05, size.densities)
    grid = Grid(feature_probability=densities, hidden_l1=weights, seed=range(size.seeds))
    return task, TrainConfig(steps=size.steps, batch_size=512), grid


def penalised_loss(result: SweepResult) -> xr.DataArray:
    r"""What was minimised, $L + \lambda E\|h\|_1 / n$, of every model over (feature_probability, hidden_l1, seed).

    The penalty is estimated on the same inputs for all models of one density. Restarts are chosen by this number: the
    one of least reconstruction loss would be the one that obeys the penalty least.
    """
    order = ("feature_probability", "hidden_l1", "seed")
    W, loss = result["W"].transpose(*order, "hidden", "feature"), result["loss"].transpose(*order)
    total = loss.copy(deep=True)
    for k in range(loss.sizes["feature_probability"]):
        features = cast(Toy, result.isel(feature_probability=k, hidden_l1=0, seed=0).task()).features
        x = np.asarray(features.sample(jax.random.key(0), _SAMPLES))
        for j, weight in enumerate(loss.hidden_l1.values):
            hidden = np.abs(W.values[k, j] @ x).sum(axis=1).mean(axis=-1)  # of every seed
            total[k, j] += weight * hidden / len(x)
    return total


def alignment(W: xr.DataArray, represented: xr.DataArray) -> xr.DataArray:
    """Mean over represented features of the largest |cosine| with a hidden axis: 1 if all lie along axes."""
    along = abs(W).max("hidden") / np.sqrt((W**2).sum("hidden"))
    return along.where(represented).mean("feature")


def evaluate(
    loss: xr.DataArray, table: xr.Dataset, regime: xr.DataArray, along: xr.DataArray, n_hidden: int, claims: Claims
) -> None:
    """Counts, interference, price, phase and basis; all of the best restart, over (feature_probability, hidden_l1).

    `loss` is the reconstruction loss, `table` the geometry, `regime` that of `superpos.analysis.regimes`, `along` the
    `alignment`.
    """
    dims = ("feature_probability", "hidden_l1")
    count, shared = (a.transpose(*dims) for a in (table["n_represented"], mean_interference(table)))
    crowded = count.values[:, 0] > n_hidden  # densities where there is superposition to remove
    numbers, crowd = count.values[crowded], shared.values[crowded]
    statement, expected = "represented features fall to m as λ grows", f"from more than {n_hidden} through {n_hidden}"
    measured = f"at {len(numbers)} densities: " + ", ".join("→".join(map(str, _runs(row))) for row in numbers)
    falls = bool(len(numbers)) and all(n_hidden in row and np.all(np.diff(row) <= 0) for row in numbers)
    claims.check(statement, expected, measured, falls)
    last = float(crowd[numbers <= n_hidden].max(initial=0))
    measured = f"from {crowd[:, 0].min(initial=np.inf):.2f} or more to {last:.3f} or less"
    claims.check("mean interference goes to 0", "below .05 where m or fewer are left", measured, last < 0.05)
    price = loss.transpose(*dims).values
    fall = 100 * float((1 - price[:, 1:] / price[:, :-1]).max(initial=0))
    claims.check("the loss rises with λ at every density", "no fall (above ½ %)", f"largest {fall:.2f} %", fall <= 0.5)
    free = [_longest(row) for row in (regime.transpose(*dims).values == PHASES[1])[crowded]]
    measured = f"{min(free, default=0)} to {max(free, default=0)} at {len(free)} densities"
    expected = "2 or more neighbouring λ at each of them"
    claims.check("a regime without superposition exists as a phase", expected, measured, min(free, default=0) >= 2)
    along = along.transpose(*dims)[crowded]
    bare, penalised = float(along[:, 0].mean()), float(along[:, 1].mean())
    measured = f"{penalised:.3f} at the least λ, {bare:.2f} without"
    claims.check("any penalty turns features onto the hidden axes", "mean |cos| ≥ .95", measured, penalised >= 0.95)


def mean_interference(table: xr.Dataset) -> xr.DataArray:
    """Mean interference of the represented features of every model; 0 where there are none."""
    return table["interference"].where(table["represented"]).mean("feature").fillna(0)


def draw(
    result: SweepResult, best: xr.Dataset, table: xr.Dataset, regime: xr.DataArray, every: xr.Dataset
) -> tuple[Figure, str]:
    """Figure and caption: what is represented, what it costs, the phases, and weights.

    `best` are the models of `result` of least penalised loss, over (feature_probability, hidden_l1), `table` their geometry,
    `regime` that of `superpos.analysis.regimes`, and `every` the geometry of all restarts, also over `seed`.
    """
    settings = result.attrs["task"]
    m, p = (
        settings["n_hidden"],
        float(table.feature_probability.sel(feature_probability=DRAWN_DENSITY, method="nearest")),
    )
    figure, axes = plt.subplots(2, 2, figsize=(9.2, 6.2), layout="constrained")
    row, rows = (source.sel(feature_probability=p) for source in (table, every))
    restarts = rows["n_represented"], mean_interference(rows)
    represented_by_penalty(row["n_represented"], mean_interference(row), m, axes[0, 0], restarts=restarts)
    axes[0, 0].set_title(f"1 − S = {p:.2g}")
    loss_by_penalty(best["loss"], axes[0, 1], restarts=result["loss"])
    regime_map(regime, axes[1, 0], ends=vanishing_penalty(np.asarray(settings["importance"])[[0, m]]))
    axes[1, 0].legend(handles=phase_keys(), loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    weights = table.hidden_l1.values
    kinds = [0, weights[len(weights) // 4], weights[2 * len(weights) // 3]]  # none, some, and enough of it
    models = [best["W"].sel(feature_probability=p).sel(hidden_l1=k, method="nearest") for k in kinds]
    hidden_weights(models, axes[1, 1], names=[f"λ = {float(W.hidden_l1):.2g}" for W in models])
    text = (
        f"Of {result.sizes['seed']} restarts those of least penalised loss; small dots: all of them. Top left: "
        "represented features and their mean interference. Top right: what it costs. Bottom left: phase of the whole "
        "model; dashed: where the (m + 1)th and the first feature vanish in the sparse limit. Bottom right: weights "
        "W, a row per hidden unit; blue is negative."
    )
    return figure, caption(result.attrs, text)


def represented_by_penalty(
    count: xr.DataArray,
    interference: xr.DataArray,
    n_hidden: int,
    ax: Axes | None = None,
    *,
    restarts: tuple[xr.DataArray, xr.DataArray] | None = None,
) -> Axes:
    """Represented features (black, left) and their mean interference (orange, right) against the penalty's weight.

    Both are over `hidden_l1`. The grey line is the number of hidden dimensions. `restarts`, both of all restarts, also over
    `seed`, are small dots.
    """
    ax = current_axes(ax)
    x = _positions(count.hidden_l1.values)
    ax.axhline(n_hidden, color="#BBBBBB", lw=0.8, zorder=0)
    ax.annotate("m", (0.01, n_hidden + 0.08), xycoords=("axes fraction", "data"), color="#888888", fontsize=8)
    ax.plot(x, count, "o-", color="black", ms=3)
    ax.set(ylabel="features represented", ylim=(0, None))
    other = ax.twinx()
    other.plot(x, interference, "s--", color=PALETTE["red"], ms=3)
    for side, values, color in zip((ax, other), restarts or (), ("black", PALETTE["red"]), strict=False):
        side.plot(x, values.transpose("hidden_l1", "seed"), ".", color=color, ms=2, alpha=0.35)
    other.set(ylim=(0, None))
    other.set_ylabel("mean interference", color=PALETTE["red"])
    other.tick_params(axis="y", colors=PALETTE["red"])
    other.spines["right"].set_visible(True)
    return _penalty_axis(ax, count.hidden_l1.values)


def loss_by_penalty(loss: xr.DataArray, ax: Axes | None = None, *, restarts: xr.DataArray | None = None) -> Axes:
    """Loss without penalty against the penalty's weight, one line per density; dims (feature_probability, hidden_l1).

    `restarts`, the loss of all restarts, also over `seed`, are small dots.
    """
    ax = current_axes(ax)
    x, n = _positions(loss.hidden_l1.values), loss.sizes["feature_probability"]
    for k, p in enumerate(loss.feature_probability.values):
        line = loss.isel(feature_probability=k).transpose("hidden_l1")
        color = mpl.colormaps["viridis"](0.92 * k / max(1, n - 1))
        ax.plot(x, line, "o-", ms=2.5, lw=1, color=color, label=f"{p:.2g}")
        if restarts is not None:
            every = restarts.sel(feature_probability=p).transpose("hidden_l1", "seed")
            ax.plot(x, every, ".", color=color, ms=2, alpha=0.35)
    ax.set(yscale="log", ylabel="loss, without the penalty")
    ax.legend(title="1 − S", loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.2)
    return _penalty_axis(ax, loss.hidden_l1.values)


def regime_map(regime: xr.DataArray, ax: Axes | None = None, *, ends: Any = ()) -> Axes:
    """Colour every cell by the phase of the whole model; dims (feature_probability, hidden_l1), colours of `phase_map`.

    `ends` are weights of the penalty at which dashed lines are drawn.
    """
    ax = current_axes(ax)
    names = regime.transpose("hidden_l1", "feature_probability").values
    colors = np.array([[to_rgb(PHASE_COLORS[name]) for name in row] for row in names])
    p, y = regime.feature_probability.values, _positions(regime.hidden_l1.values)
    ax.pcolormesh(log_edges(p), log_edges(y), colors, rasterized=True, shading="flat")
    for level in np.ravel(ends):
        ax.axhline(level, ls="--", color="black", lw=1)
    edges = log_edges(p)
    ax.set(xscale="log", xlim=(edges.max(), edges.min()), xlabel="density 1 − S")
    _penalty_axis(ax, regime.hidden_l1.values, y=True)
    plain_ticks(ax, subs=(1, 2, 5) if p.max() / p.min() < 50 else (1,))
    return ax


def hidden_weights(models: Sequence[Any], ax: Axes | None = None, *, names: Sequence[str]) -> Axes:
    """Weights of several models, one block of rows (hidden units) above the other; blue negative, orange positive.

    Each model is W of shape (n_hidden, n_features). Features that lie along hidden axes have one entry that is not 0.
    """
    ax = current_axes(ax)
    arrays = [np.asarray(W) for W in models]
    m, n = arrays[0].shape
    gap = np.full((1, n), np.nan)
    rows = np.concatenate([part for W in arrays for part in (W, gap)][:-1])
    ax.imshow(rows, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    ax.set_yticks([(m + 1) * k + (m - 1) / 2 for k in range(len(arrays))], names)
    ax.set(xlabel="feature, most important first", xticks=[])
    ax.tick_params(axis="y", length=0)
    ax.spines[:].set_visible(False)
    return ax


def _positions(weights: np.ndarray) -> np.ndarray:
    """Where weights stand on a logarithmic axis: 0 stands one step of the others below the least of them."""
    positive = np.sort(weights[weights > 0])
    if not len(positive):
        return np.ones(len(weights))
    step = positive[1] / positive[0] if len(positive) > 1 else 2
    return np.where(weights > 0, weights, positive[0] / step)


def _penalty_axis(ax: Axes, weights: np.ndarray, *, y: bool = False) -> Axes:
    at = _positions(weights)
    round_ones = np.ravel(np.outer(10.0 ** np.arange(-6, 4), (1, 2, 5)))
    inside = round_ones[(round_ones >= at[weights > 0].min(initial=np.inf) * 0.99) & (round_ones <= at.max() * 1.01)]
    ticks = {float(at[weights == 0][0]): "0"} if np.any(weights == 0) else {}
    ticks |= {float(v): f"{v:g}" for v in inside}
    axis = ax.yaxis if y else ax.xaxis
    ax.set(**{"yscale" if y else "xscale": "log", "ylabel" if y else "xlabel": "weight λ of the L1 penalty"})
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(list(ticks), list(ticks.values()))
    if y:
        edges = log_edges(at)
        ax.set_ylim(edges.min(), edges.max())
    return ax


def _runs(values: np.ndarray) -> list[int]:
    """The values without repetitions."""
    return [int(v) for k, v in enumerate(values) if k == 0 or v != values[k - 1]]


def _longest(row: np.ndarray) -> int:
    """Length of the longest run of True."""
    longest = length = 0
    for value in row:
        length = length + 1 if value else 0
        longest = max(longest, length)
    return longest
