"""The maximum and the product of many pairs of features in fewer neurons than pairs: Nanda 2023, open problem 4.6."""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import PairComputation
from superpos.theory.pairs import pair_baseline
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.6: computing max(x, y)"
TARGETS = ("max", "product")
COLORS = {"max": PALETTE["blue"], "product": PALETTE["orange"]}
# Down to which density features are sparse enough that two of a pair are seldom active together.
SPARSE, RARE = 0.3, 0.1


@dataclass(frozen=True)
class Size:
    """Pairs and neurons, densities, seeds and training."""

    n_pairs: int = 12
    n_hidden: int = 8
    densities: tuple[float, ...] = (1.0, 0.55, 0.3, 0.17, 0.1, 0.055, 0.03)
    seeds: int = 8
    steps: int = 5_000
    batch_size: int = 512
    evaluation_samples: int = 131_072


SIZES = Sizes(
    quick=Size(densities=(1.0, 0.1), seeds=1, steps=20, batch_size=32, evaluation_samples=2_048),
    laptop=Size(),
    full=Size(densities=tuple(np.geomspace(1, 0.01, 21)), seeds=32, steps=20_000, batch_size=1_024),
)


def build(size: Size, target: str) -> tuple[PairComputation, TrainConfig, Grid]:
    """Task, training and grid of one target."""
    task = PairComputation(n_pairs=size.n_pairs, n_hidden=size.n_hidden, target=target)
    config = TrainConfig(
        steps=size.steps, batch_size=size.batch_size, history=1, evaluation_samples=size.evaluation_samples
    )
    return task, config, Grid(feature_probability=list(size.densities), seed=range(size.seeds))


def measure(result: SweepResult) -> xr.Dataset:
    r"""Over `feature_probability` and `seed`:

    * `relative`: the loss over that of ⌊m/2⌋ pairs with two neurons each, all others being ignored.
    * `dealt`: over `feature_probability`, the same of the naive network that may also give one neuron to a pair.
    * `alike`: the median over pairs of the cosine between the weights of the two features in the hidden layer: 1 if all
      neurons read their sum, and at most 0 where two neurons compute the maximum exactly from x − y and y.
    """
    task: Any = result.task(**{dim: result[dim].values[0] for dim in ("feature_probability", "seed")})
    densities = [float(p) for p in result["feature_probability"].values]

    def losses(one_each: bool) -> xr.DataArray:
        sizes = task.n_pairs, task.n_hidden
        values = [pair_baseline(task.target, p, *sizes, one_each=one_each).loss for p in densities]
        return xr.DataArray(values, {"feature_probability": densities}, ("feature_probability",))

    naive = losses(False)
    W1 = result["W1"].transpose(..., "hidden", "feature")
    x, y = W1.values[..., 0::2], W1.values[..., 1::2]
    lengths = np.sqrt((x**2).sum(-2) * (y**2).sum(-2))
    cosines = (x * y).sum(-2) / np.maximum(lengths, 1e-12)
    alike = xr.DataArray(np.median(cosines, axis=-1), dims=W1.dims[:-2])
    return xr.Dataset(
        {"relative": result["loss"] / naive, "dealt": losses(True) / naive, "alike": alike}
    ).assign_coords(feature_probability=densities)


def evaluate(tables: dict[str, xr.Dataset], claims: Claims) -> None:
    """`tables` are `measure`'s by target."""
    best = {target: table["relative"].min("seed") for target, table in tables.items()}
    worst = tables["max"]["relative"].max("seed")
    claims.check(
        "max: training reaches the baseline of ⌊m/2⌋ pairs with two neurons each",
        "loss over the baseline's at most 1 in every seed, at every density",
        f"{float(worst.max()):.3f} at most; best seeds {_by_density(best['max'])}",
        bool((worst <= 1).all()),
    )
    dealt = {target: table["dealt"] for target, table in tables.items()}
    dense = float((best["max"] / dealt["max"]).sel(feature_probability=1.0))
    claims.check(
        "max, dense: it does no better than one neuron for each of m pairs",
        "best seed within 2 % of that baseline at 1 − S = 1",
        f"{100 * (dense - 1):+.1f} %",
        abs(dense - 1) < 0.02,
    )
    sparse = best["max"]["feature_probability"] <= SPARSE
    over = (worst / dealt["max"])[sparse]
    claims.check(
        "max, sparse: it beats every way of dealing out whole neurons",
        f"loss of the worst seed over the best such network's below 1 at every density ≤ {SPARSE:g}",
        _by_density(over),
        bool((over < 1).all()),
    )
    alike = tables["max"]["alike"].median("seed")
    claims.check(
        "max: with fewer neurons than pairs, neurons read x + y and never the difference that an exact maximum needs",
        "cosine of the weights of x and y above .99 in the median pair, at every density",
        _by_density(alike),
        bool((alike > 0.99).all()),
    )
    over = best["product"] / dealt["product"]
    middle = float(over.sel(feature_probability=SPARSE, method="nearest"))
    rare = over[over["feature_probability"] <= RARE]
    claims.check(
        "product: sharing neurons pays at middle density, and where both are seldom active training does not get there",
        f"best seed over the best such network's loss below 1 at {SPARSE:g}, above 1 from {RARE:g} down",
        _by_density(over),
        middle < 1 and bool((rare > 1).all()),
    )


def _by_density(values: xr.DataArray) -> str:
    return ", ".join(
        f"{float(p):g}: {float(v):.3f}" for p, v in zip(values["feature_probability"], values, strict=True)
    )


def draw(results: dict[str, SweepResult], tables: dict[str, xr.Dataset]) -> tuple[Figure, str]:
    """Figure and caption: loss over the baseline by density, and which features neurons read, dense and sparse."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), layout="constrained")
    for target, ax in zip(TARGETS, axes, strict=False):
        by_density(tables[target], COLORS[target], ax)
        ax.set_title("max(x, y)" if target == "max" else "x · y")
    axes[0].set_ylabel("loss over that of ⌊m/2⌋ pairs")
    axes[0].legend(loc="lower left")
    result = results["max"]
    densities = result["feature_probability"].values
    for p, ax in zip((densities.max(), densities.min()), axes[2:], strict=True):
        reading(np.asarray(result.sel(feature_probability=p).best("seed")["W1"]), ax)
        ax.set_title(f"max, 1 − S = {p:g}")
    text = (
        f"{result.attrs['task']['n_pairs']} pairs of features in {result.attrs['task']['n_hidden']} neurons. Left: loss over "
        "that of the network that solves as many pairs as have two neurons and ignores the others (1, dotted); dashed, the "
        "network that may also give one neuron to a pair. Dots are seeds, lines the best. Right: what each neuron of the "
        "best model reads, divided by its largest weight; the two features of a pair are neighbours."
    )
    return figure, caption(result.attrs, text)


def by_density(table: xr.Dataset, color: str, ax: Axes | None = None) -> Axes:
    """Relative loss of every seed and of the best, sparse to the right, and that of whole neurons dealt out."""
    ax = current_axes(ax)
    x = 1 / table["feature_probability"].values
    relative = table["relative"].transpose("feature_probability", "seed")
    ax.plot(x, relative, ".", color=color, ms=3, alpha=0.4)
    ax.plot(x, relative.min("seed"), "-", color=color, lw=1.4, label="best seed")
    ax.plot(x, table["dealt"], "k--", lw=1, label="one neuron or two")
    ax.axhline(1, color="black", ls=":", lw=1)
    ax.set(xscale="log", yscale="log", xlabel="1 / (1 − S)")
    plain_ticks(ax, subs=(1,))
    plain_ticks(ax, subs=(1, 2, 5), y=True)
    return ax


def reading(W1: np.ndarray, ax: Axes | None = None) -> Axes:
    """Weights of every neuron over its largest, in the order of what they read most; W1 is (n_hidden, n_features)."""
    ax = current_axes(ax)
    W1 = W1 / np.abs(W1).max(axis=1, keepdims=True)
    order = np.argsort(np.abs(W1).argmax(axis=1), kind="stable")
    ax.imshow(W1[order], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    for edge in np.arange(1.5, W1.shape[1] - 1, 2):
        ax.axvline(edge, color="#CCCCCC", lw=0.5)
    ax.set(xlabel="feature", ylabel="neuron")
    return ax
