"""What changes if hidden neurons are smooth, GELU or SoLU: Nanda 2023, open problems 4.3, 4.10 and 4.11.

Features that are passed on (Elhage et al. 2022, "Superposition in a Privileged Basis"), and squares, which no ReLU computes.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.served import neuron_contributions, served_features
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Computation
from superpos.theory.naive import line_error, magnitudes
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.3, 4.10 and 4.11: squares, GELU and SoLU"
ACTIVATIONS = {"relu": "ReLU", "gelu": "GELU", "solu": "SoLU"}
COLORS = dict(zip(ACTIVATIONS, (PALETTE["blue"], PALETTE["orange"], PALETTE["green"]), strict=True))
N_SQUARES = 4
DENSE, SPARSE = 0.5, 0.1


@dataclass(frozen=True)
class Size:
    """Densities of features that are passed on and of squares, activations of both, seeds and training."""

    densities: tuple[float, ...] = (0.5, 0.3, 0.2, 0.1, 0.05)
    of_squares: tuple[float, ...] = (1.0, 0.3, 0.1)
    passing: tuple[str, ...] = tuple(ACTIVATIONS)
    squaring: tuple[str, ...] = tuple(ACTIVATIONS)
    seeds: int = 8
    steps: int = 5_000
    batch_size: int = 512
    evaluation_samples: int = 131_072


SIZES = Sizes(
    quick=Size(
        densities=(0.5, 0.1), of_squares=(0.3,), passing=("relu", "gelu"), squaring=("relu", "gelu"), seeds=1, steps=20,
        batch_size=32, evaluation_samples=2_048,
    ),
    laptop=Size(),
    full=Size(
        densities=tuple(np.geomspace(0.7, 0.03, 13)), of_squares=(1.0, 0.55, 0.3, 0.1, 0.03), seeds=64, steps=20_000,
        batch_size=1_024,
    ),
)  # fmt: skip


def build(size: Size) -> tuple[Computation, TrainConfig, Grid]:
    """Task, training and grid of features that are passed on through half as many neurons."""
    task = Computation(n_features=10, n_hidden=5, importance=0.75 ** np.arange(10))
    grid = Grid(hidden_activation=list(size.passing), feature_probability=list(size.densities), seed=range(size.seeds))
    return task, _training(size), grid


def build_squares(size: Size) -> tuple[Computation, TrainConfig, Grid]:
    """The same of squares, with two neurons for every feature; from random weights, and from weights that read each."""
    task = Computation(
        n_features=N_SQUARES, n_hidden=2 * N_SQUARES, target="square", tied=False, magnitude="signed_uniform",
        paired_init=True,
    )  # fmt: skip
    grid = Grid(
        hidden_activation=list(size.squaring), feature_probability=list(size.of_squares),
        dedicated_features=[0, N_SQUARES], seed=range(size.seeds),
    )  # fmt: skip
    return task, replace(_training(size), learning_rate=0.01), grid


def _training(size: Size) -> TrainConfig:
    return TrainConfig(
        steps=size.steps, batch_size=size.batch_size, history=1, evaluation_samples=size.evaluation_samples
    )


def measure(result: SweepResult) -> xr.Dataset:
    r"""Of every model that passes features on, over the axes of `result`:

    * `served`: how many features a neuron serves (`served_features`).
    * `features_per_neuron`: the mean number of features that a neuron serves.
    * `neurons_per_feature`: the mean over served features of $(\sum_k C_{ki})^2 / \sum_k C_{ki}^2$, with C what neurons add
      to the feature's own output, where positive: 1 if one neuron does it alone.
    """
    table: Any = result.map(_of_model)
    return table


def _of_model(model: Any, task: Any) -> dict[str, Any]:
    served = served_features(model)
    added = neuron_contributions(model).clip(0)
    effective = added.sum(0) ** 2 / (added**2).sum(0).clip(1e-12)
    count = served.any(0).sum()
    return {
        "served": count,
        "features_per_neuron": served.sum(1).mean(),
        "neurons_per_feature": (effective * served.any(0)).sum() / count,
    }


def over_line(result: SweepResult) -> xr.DataArray:
    """The loss of squares over what the best line in |x| leaves, by density: no ReLU neuron without a bias does more."""
    x, w = magnitudes("signed_uniform")
    p = result["feature_probability"]
    lines = [line_error(x, x**2, w, float(value)) for value in p.values]
    return result["loss"] / xr.DataArray(lines, {"feature_probability": p.values}, ("feature_probability",))


@cache
def gelu_error(p: float) -> float:
    r"""The least error that two GELU neurons with weights ±a leave of x², of a signed feature of density p.

    $$\mathrm{GELU}(ax) + \mathrm{GELU}(-ax) = ax \tanh\!\big(\sqrt{2/\pi}\,(ax + 0.044715\,(ax)^3)\big)$$

    is proportional to x² for small a. Minimised over a ≥ 0.3, the scale and the output's bias: an upper bound of what two
    neurons can do, as smaller a with larger scales leave less and less.
    """
    from scipy.optimize import minimize  # here: its import takes as long as that of flax

    x, w = magnitudes("signed_uniform")

    def error(numbers: np.ndarray) -> float:
        a, scale, bias = max(abs(numbers[0]), 0.3), numbers[1], numbers[2]
        u = a * x
        outputs = np.maximum(scale * u * np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3)) + bias, 0)
        return float(p * np.sum(w * (outputs - x**2) ** 2) + (1 - p) * max(bias, 0.0) ** 2)

    tight = {"xatol": 1e-8, "fatol": 1e-16, "maxiter": 4_000}
    starts = ((1.0, 1.2, 0.0), (0.5, 5.0, 0.0))
    return min(float(minimize(error, start, method="Nelder-Mead", options=tight).fun) for start in starts)


def evaluate(losses: xr.DataArray, table: xr.Dataset, squares: xr.DataArray, claims: Claims) -> None:
    """`losses` and `table` (`measure`'s) are of features that are passed on, `squares` is `over_line` of the others."""
    trained = [str(name) for name in table["hidden_activation"].values]
    ends = {a: _ends(table["features_per_neuron"].sel(hidden_activation=a)) for a in trained}
    claims.check(
        "every activation: neurons serve more features where features are sparser",
        "mean features per neuron higher at the least density than at the largest",
        ", ".join(f"{ACTIVATIONS[a]} {dense:.2f} → {sparse:.2f}" for a, (dense, sparse) in ends.items()),
        all(sparse > dense for dense, sparse in ends.values()),
    )
    spread = table["neurons_per_feature"]
    more = spread.sel(hidden_activation="gelu") - spread.sel(hidden_activation="relu")
    low = more.mean("seed") - 1.96 * more.std("seed", ddof=1) / np.sqrt(more.sizes["seed"])
    claims.check(
        "GELU: a feature lies on more neurons than with ReLU, at every density",
        "95 % interval of the difference over paired seeds above 0",
        "; ".join(
            f"{float(p):g}: +{float(mean):.2f}, at least +{float(least):.2f}"
            for p, mean, least in zip(more["feature_probability"], more.mean("seed"), low, strict=True)
        ),
        bool((low > 0).all()),
    )
    best = losses.min("seed")
    ratio = {a: best.sel(hidden_activation=a) / best.sel(hidden_activation="relu") for a in trained if a != "relu"}
    rare = ratio["gelu"][ratio["gelu"]["feature_probability"] <= SPARSE]
    claims.check(
        "GELU loses less than ReLU where features are sparse, and more where they are dense",
        f"best seed over ReLU's best below .9 at every density ≤ {SPARSE:g}, above 1 at the largest",
        _by_density(ratio["gelu"]),
        bool((rare < 0.9).all()) and float(ratio["gelu"].sortby("feature_probability")[-1]) > 1,
    )
    if "solu" in ratio:
        claims.check(
            "SoLU loses more than ReLU at every density",
            "best seed over ReLU's best above 1",
            _by_density(ratio["solu"]),
            bool((ratio["solu"] > 1).all()),
        )
    least = squares.min("seed").min("dedicated_features")
    relu, gelu = least.sel(hidden_activation="relu"), least.sel(hidden_activation="gelu")
    claims.check(
        "squares, ReLU: two neurons for each feature end on the best line in |x|, and do no better",
        "best model within 2 % of that line's error at every density",
        _by_density(relu),
        bool((abs(relu - 1) < 0.02).all()),
    )
    bounds = [gelu_error(float(p)) for p in gelu["feature_probability"]]
    x, w = magnitudes("signed_uniform")
    shares = [b / line_error(x, x**2, w, float(p)) for b, p in zip(bounds, gelu["feature_probability"], strict=True)]
    claims.check(
        "squares, GELU: the bend of two neurons is a square, which no line is",
        "best model below a fifth of the best line's error at every density",
        f"{_by_density(gelu)} (two neurons with weights of .3 or more could leave {max(shares):.4f})",
        bool((gelu < 0.2).all()),
    )


def _ends(values: xr.DataArray) -> tuple[float, float]:
    """Means over seeds at the largest and the least density."""
    means = values.mean("seed").sortby("feature_probability")
    return float(means[-1]), float(means[0])


def _by_density(values: xr.DataArray) -> str:
    return ", ".join(
        f"{float(p):g}: {float(v):.3f}" for p, v in zip(values["feature_probability"], values, strict=True)
    )


def draw(results: tuple[SweepResult, SweepResult], table: xr.Dataset, squares: xr.DataArray) -> tuple[Figure, str]:
    """Figure and caption: loss and neurons per feature by density, and errors of squares by activation and start."""
    losses = results[0]["loss"]
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.0), layout="constrained")
    by_density(losses / losses.sel(hidden_activation="relu").min("seed"), axes[0], best=True)
    axes[0].set_ylabel("loss over the best of ReLU")
    axes[0].legend(loc="best")
    by_density(table["neurons_per_feature"], axes[1])
    axes[1].set_ylabel("neurons per feature")
    of_squares(squares, axes[2])
    text = (
        "Left: loss of 10 features that are passed on through 5 neurons, over that of the best ReLU model of the same "
        "density; dots are seeds, lines the best. Middle: effective number of neurons that a served feature lies on, and "
        "the mean of seeds. Right: x² of 4 features with 8 neurons, error over that of the best line in |x| (dashed), from "
        "random weights (open) and from weights that read each feature with two neurons (filled); above 10 a feature is "
        "not solved."
    )
    return figure, caption(results[0].attrs, text)


def by_density(values: xr.DataArray, ax: Axes | None = None, *, best: bool = False) -> Axes:
    """Every seed and the mean, or the `best`, by activation; dims (hidden_activation, feature_probability, seed)."""
    ax = current_axes(ax)
    x = 1 / values["feature_probability"].values
    for name in map(str, values["hidden_activation"].values):
        rows = values.sel(hidden_activation=name).transpose("feature_probability", "seed")
        ax.plot(x, rows, ".", color=COLORS[name], ms=3, alpha=0.4)
        ax.plot(
            x, rows.min("seed") if best else rows.mean("seed"), "-", color=COLORS[name], lw=1.4, label=ACTIVATIONS[name]
        )
    ax.set(xscale="log", xlabel="1 / (1 − S)")
    plain_ticks(ax)
    return ax


def of_squares(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Errors of squares by activation, density and start.

    The dims are (hidden_activation, feature_probability, dedicated_features, seed).
    """
    ax = current_axes(ax)
    densities = values["feature_probability"].values
    names = [str(name) for name in values["hidden_activation"].values]
    for j, name in enumerate(names):
        for k, p in enumerate(densities):
            for start, face in ((0, "white"), (N_SQUARES, COLORS[name])):
                row = values.sel(hidden_activation=name, feature_probability=p, dedicated_features=start)
                x = j + (k - (len(densities) - 1) / 2) * 0.25 + (0.05 if start else -0.05)
                ax.plot(np.full(row.size, x), row, "o", color=COLORS[name], mfc=face, ms=3, mew=0.7)
    ax.axhline(1, color="black", ls="--", lw=1)
    ax.set(yscale="log", ylabel="error over the best line")
    ax.set_xticks(range(len(names)), [f"{ACTIVATIONS[name]}\n{_listed(densities)}" for name in names])
    return ax


def _listed(densities: np.ndarray) -> str:
    return "  ".join(f"{p:g}" for p in densities) if len(densities) < 4 else f"{densities[0]:g} … {densities[-1]:g}"
