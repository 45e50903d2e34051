"""Computation over two hidden layers, of what one cannot compute: which neurons are shared? Nanda 2023, open problem 4.14."""

from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.intervals import Interval, mean_interval
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import DeepPairs
from superpos.theory import missing_error, one_layer_floor
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.14: several hidden layers"
FIRST_SEED = 100  # thresholds were set on seeds 0 to 3
SPARSE, MIDDLE, RARE = 0.2, 0.3, 0.1  # densities of which the claims speak
SERVED_ABOVE = 0.1  # of a pair's variance, by which its error grows without the neuron
SOLVED_BELOW = 0.05  # of a pair's variance
LAYERS = {"first": PALETTE["blue"], "second": PALETTE["red"]}


@dataclass(frozen=True)
class Size:
    """Pairs, neurons in each of two layers, densities, seeds and training."""

    n_pairs: int = 12
    n_hidden: int = 8
    densities: tuple[float, ...] = (1.0, 0.55, 0.3, 0.17, 0.1, 0.06)
    seeds: int = 8
    steps: int = 12_000
    batch_size: int = 512
    evaluation_samples: int = 131_072


SIZES = Sizes(
    quick=Size(densities=(1.0, 0.1), seeds=2, steps=10, batch_size=32, evaluation_samples=2_048),
    laptop=Size(),
    full=Size(densities=tuple(np.geomspace(1, 0.03, 12).round(3)), seeds=32, steps=50_000, batch_size=2_048),
)


def build(size: Size) -> tuple[DeepPairs, TrainConfig, Grid]:
    """Task, training and grid of two hidden layers."""
    task = DeepPairs(n_pairs=size.n_pairs, n_hidden=size.n_hidden)
    config = TrainConfig(
        steps=size.steps, batch_size=size.batch_size, learning_rate=0.01, history=1,
        evaluation_samples=size.evaluation_samples,
    )  # fmt: skip
    seeds = range(FIRST_SEED, FIRST_SEED + size.seeds)
    return task, config, Grid(feature_probability=list(size.densities), seed=seeds)


def build_one(size: Size) -> tuple[DeepPairs, TrainConfig, Grid]:
    """The same of one hidden layer with as many neurons as both have together."""
    task, config, grid = build(size)
    return replace(task, n_layers=1, n_hidden=2 * size.n_hidden), config, grid


def measure(two: SweepResult, one: SweepResult, samples: int) -> xr.Dataset:
    r"""Over `feature_probability` and `seed`:

    * `relative`, over `layers` 1 and 2: the loss over that of answering the mean; `floor`, over `feature_probability`: the
      least that one layer of any width could have.
    * `pairs_per_neuron`, over `layer`: how many pairs a neuron of two-layer models serves, the mean over neurons that serve
      any. A neuron serves a pair if the error of its output grows by a tenth of its variance where the neuron is removed.
    * `growth`, over `layer`, `neuron` and `pair`: by how much of it it grows.
    * `solved`: pairs that lose less than 5 % of their variance.
    """
    densities, seeds = two["feature_probability"].values, two["seed"].values
    missing = xr.DataArray([missing_error(float(p)) for p in densities], dims="feature_probability")
    relative = xr.concat([one["loss"] / missing, two["loss"] / missing], dim="layers").assign_coords(layers=[1, 2])
    growth, solved = [], []
    for p in densities:
        x = inputs(float(p), two["W1"].sizes["feature"], samples)
        models = [two.sel(feature_probability=p, seed=s) for s in seeds]
        rows = []
        for model in models:
            W1, W2, W_out, b = (np.asarray(model[name]) for name in ("W1", "W2", "W_out", "b"))
            rows.append(removed(W1, W2, W_out, b, x, missing_error(float(p))))
        growth.append([row for row, _ in rows])
        solved.append([np.sum(left < SOLVED_BELOW) for _, left in rows])
    dims = ("feature_probability", "seed", "layer", "neuron", "pair")
    grown = xr.DataArray(np.array(growth), {"layer": list(LAYERS)}, dims)
    serves = (grown > SERVED_ABOVE).sum("pair")
    table = {
        "relative": relative,
        "floor": ("feature_probability", [one_layer_floor(float(p)) for p in densities] / missing.values),
        "growth": grown,
        "pairs_per_neuron": serves.where(serves > 0).mean("neuron"),
        "solved": (dims[:2], np.array(solved)),
    }
    return xr.Dataset(table).assign_coords(feature_probability=densities, seed=seeds)


def inputs(p: float, n_features: int, samples: int) -> np.ndarray:
    """Sparse inputs, uniform on [−1, 1] where they are active, as columns."""
    rng = np.random.default_rng(0)
    return np.where(rng.random((n_features, samples)) < p, rng.uniform(-1, 1, (n_features, samples)), 0)


def removed(
    W1: np.ndarray, W2: np.ndarray, W_out: np.ndarray, b: np.ndarray, x: np.ndarray, missing: float
) -> tuple[np.ndarray, np.ndarray]:
    """(by how much errors grow without each neuron, what is left with all), in units of `missing`.

    The first has the axes (layer, neuron, pair), the second one per pair. Of errors without a neuron the mean is taken
    away: the bias could make up for it.
    """
    truth = np.minimum(np.maximum(x[0::2], 0), np.maximum(x[1::2], 0))
    first = np.maximum(W1 @ x, 0)
    second = np.maximum(W2 @ first, 0)
    left = np.mean((W_out @ second + b[:, None] - truth) ** 2, axis=1) / missing

    def error(neurons: np.ndarray) -> np.ndarray:
        return np.var(W_out @ neurons - truth, axis=1) / missing

    without_first = [error(np.maximum(W2 @ first - np.outer(W2[:, k], first[k]), 0)) for k in range(len(W1))]
    without_second = [error(second * (np.arange(len(W2)) != k)[:, None]) for k in range(len(W2))]
    return np.array([without_first, without_second]) - left, left


def evaluate(table: xr.Dataset, size: Size, claims: Claims) -> None:
    """`table` is `measure`'s."""
    one, two = (table["relative"].sel(layers=k) for k in (1, 2))
    least = float((one / table["floor"]).min())
    claims.identity(
        "one layer loses at least what no number of neurons can avoid",
        "1 × the floor or more (2 % for sampling)",
        f"{least:.3f} × at least",
        least > 0.98,
    )
    logs: Any = np.log(two / one)
    ratio = {p: mean_interval(logs.sel(feature_probability=p).values) for p in _densities(table)}
    claims.check(
        "sparse: two layers lose less than one layer of as many neurons",
        f"ratio of losses below 1 by its interval (95 %, paired seeds) at every density ≤ {SPARSE:g}",
        _ratios(ratio, lambda p: p <= SPARSE),
        all(v.high < 0 for p, v in ratio.items() if p <= SPARSE),
    )
    claims.check(
        "dense: one layer loses less",
        "ratio above 1 by its interval at 1 − S = 1",
        _ratios(ratio, lambda p: p == 1),
        ratio[1.0].low > 0,
    )
    shared = {
        layer: {
            p: mean_interval(table["pairs_per_neuron"].sel(layer=layer, feature_probability=p).fillna(0).values)
            for p in _densities(table)
        }
        for layer in LAYERS
    }
    whole = size.n_hidden // 2
    middle = table["solved"].sel(feature_probability=MIDDLE, method="nearest")
    claims.check(
        "in between: pairs are solved by whole neurons, two in the first layer and one in the second, and others ignored",
        f"{whole} of {size.n_pairs} pairs lose less than 5 % of their variance in the median seed at {MIDDLE:g}, and neurons "
        "of the first layer serve one each (at most 1.1 on average)",
        f"{float(middle.median()):g} pairs, {whole} in {int((middle == whole).sum())} of {middle.size} seeds; "
        f"{_nearest(shared['first'], MIDDLE).estimate:.2f} pairs per neuron",
        float(middle.median()) == whole and _nearest(shared["first"], MIDDLE).estimate <= 1.1,
    )
    rare = _nearest(shared["first"], RARE)
    claims.check(
        "sparse: neurons of the first layer are shared",
        f"1.5 pairs per neuron or more on average at {RARE:g}, with an interval above 1 (95 %)",
        _shares(shared["first"]),
        rare.estimate >= 1.5 and rare.low > 1,
    )
    claims.check(
        "neurons of the second layer are not",
        "at most 1.2 pairs per neuron on average, at every density",
        _shares(shared["second"]),
        all(v.estimate <= 1.2 for v in shared["second"].values()),
    )
    naive = 1 - whole / size.n_pairs
    below = {p: mean_interval(two.sel(feature_probability=p).values) for p in _densities(table) if p <= RARE}
    claims.check(
        "sparse: sharing pays a little",
        f"loss over that of the mean below {naive:.3f}, what {whole} whole pairs leave, by intervals from {RARE:g} down",
        ", ".join(f"{p:g}: {v.estimate:.3f} (at most {v.high:.3f})" for p, v in below.items()),
        all(v.high < naive for v in below.values()),
    )


def _densities(table: xr.Dataset) -> list[float]:
    return [float(p) for p in table["feature_probability"].values]


def _nearest(values: dict[float, Interval], p: float) -> Interval:
    return values[min(values, key=lambda q: abs(q - p))]


def _ratios(ratio: dict[float, Interval], chosen: Any) -> str:
    parts = ((p, np.exp(v)) for p, v in ratio.items() if chosen(p))
    return ", ".join(f"{p:g}: {mean:.2f} ({low:.2f} to {high:.2f})" for p, (mean, low, high) in parts)


def _shares(values: dict[float, Interval]) -> str:
    return ", ".join(f"{p:g}: {v.estimate:.2f} ± {v.high - v.estimate:.2f}" for p, v in values.items())


def draw(table: xr.Dataset, attrs: dict[str, Any], size: Size) -> tuple[Figure, str]:
    """Figure and caption: loss by density, pairs per neuron in both layers, and what one sparse model's neurons serve."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), layout="constrained", width_ratios=(1.2, 1.2, 1, 1))
    by_density(table, 1 - (size.n_hidden // 2) / size.n_pairs, axes[0])
    shared_by_density(table["pairs_per_neuron"], axes[1])
    rare = table.sel(feature_probability=RARE, method="nearest")
    best = rare.isel(seed=int(rare["relative"].sel(layers=2).argmin("seed")))
    for layer, ax in zip(LAYERS, axes[2:], strict=True):
        image = serving(best["growth"].sel(layer=layer).values, ax)
        ax.set_title(f"{layer} layer, 1 − S = {float(best['feature_probability']):g}")
    figure.colorbar(image, ax=axes[3], label="error without it", ticks=[0, 0.5, 1])
    text = (
        f"The smaller of two features where both are positive, of {size.n_pairs} pairs, by two hidden layers of "
        f"{size.n_hidden} neurons and by one of {2 * size.n_hidden}. Left: loss over that of answering the mean; dashed, the "
        "least of one layer of any width; dotted, as many pairs as whole neurons solve. Dots are seeds, lines means. Beside "
        "it: pairs that a neuron of the two layers serves, with 95 % intervals. Right: by how much of a pair's variance its "
        "error grows without a neuron, in the best model; neurons in the order of what they do."
    )
    return figure, caption(attrs, text)


def by_density(table: xr.Dataset, naive: float, ax: Axes | None = None) -> Axes:
    """Relative loss of both kinds of models, the floor of one layer and the loss of whole neurons, sparse to the right."""
    ax = current_axes(ax)
    x = 1 / table["feature_probability"].values
    for layers, name, color in ((2, "two layers", PALETTE["red"]), (1, "one layer", PALETTE["green"])):
        values = table["relative"].sel(layers=layers).transpose("feature_probability", "seed")
        ax.plot(x, values, ".", color=color, ms=3, alpha=0.4)
        ax.plot(x, values.mean("seed"), "-", color=color, lw=1.4, label=name)
    ax.plot(x, table["floor"], "k--", lw=1)
    ax.axhline(naive, color="black", ls=":", lw=1)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="loss over that of the mean", ylim=(0, 1.05))
    plain_ticks(ax, subs=(1, 2, 5))
    ax.legend(loc="lower right")
    return ax


def shared_by_density(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Pairs per neuron with intervals over seeds; dims (feature_probability, seed, layer)."""
    ax = current_axes(ax)
    x = 1 / values["feature_probability"].values
    for layer, color in LAYERS.items():
        rows = values.sel(layer=layer).transpose("feature_probability", "seed").fillna(0).values
        mean, low, high = np.array([mean_interval(row) for row in rows]).T
        ax.errorbar(
            x, mean, [mean - low, high - mean], fmt="o-", ms=3, lw=1.2, capsize=2, color=color, label=f"{layer} layer"
        )
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="pairs per neuron", ylim=(0, None))
    plain_ticks(ax, subs=(1, 2, 5))
    ax.legend(loc="upper left")
    return ax


def serving(growth: np.ndarray, ax: Axes | None = None) -> Any:
    """The image of how much of each pair's variance its error grows by without each neuron, (neuron, pair)."""
    ax = current_axes(ax)
    order = np.argsort(-growth.sum(axis=1), kind="stable")
    image = ax.imshow(growth[order], cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set(xlabel="pair", ylabel="neuron")
    return image
