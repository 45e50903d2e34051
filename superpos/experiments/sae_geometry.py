"""Whether a sparse autoencoder recovers features depends on the shape that the toy model has put them in.

Shapes: Elhage et al. 2022, "Toy Models of Superposition"; autoencoders: Bricken et al. 2023, "Towards Monosemanticity".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.analysis.geometries import geometry
from superpos.experiments.claims import Claims
from superpos.experiments.sae_recovery import COSINE, SHARE, Scored, examples, random_scores, recovered
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import caption, current_axes
from superpos.plot.recovery import recovered_directions
from superpos.plot.shape_colors import shape_color
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SparseAutoencoder, Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Shapes: Elhage et al. 2022; autoencoders: Bricken et al. 2023"
PENTAGON, PAIRS = "pentagon", "2 × antipodal pair"
# Shapes of five features in the plane, and a density at which a toy model may end as it. At .2 seeds end as either of two.
TRAINED_AT = {PENTAGON: 0.2, PAIRS: 0.2, "triangle": 0.75}
DENSITY = 0.05  # of the features that autoencoders see, the same for all shapes
SPARSITY: dict[str, dict[str, list[float]]] = {
    "relu": {"sparsity_coefficient": [0.03, 0.1, 0.2, 0.4, 0.8]},
    "jumprelu": {"sparsity_coefficient": [0.01, 0.03, 0.1, 0.2, 0.4]},
    "topk": {"k": [1, 2]},
}


@dataclass(frozen=True)
class Size:
    """Toy models and their training (`toy_…`), so many of each shape, architectures, seeds of autoencoders, training,
    and draws of random dictionaries."""

    toy_seeds: int = 16
    toy_steps: int | None = None
    toy_batch_size: int = 1_024
    magnitude: str = "uniform"
    per_shape: int = 2
    architectures: tuple[str, ...] = tuple(SPARSITY)
    seeds: int = 6
    steps: int = 5_000
    batch_size: int = 512
    evaluation_samples: int = 131_072
    draws: int = 2_000


SIZES = Sizes(
    quick=Size(  # the population loss of features that are more than 0 or 1 takes long to compile
        toy_seeds=2,
        toy_steps=50,
        toy_batch_size=64,
        magnitude="constant",
        per_shape=1,
        architectures=("relu",),
        seeds=1,
        steps=20,
        batch_size=64,
        evaluation_samples=1,
        draws=10,
    ),
    laptop=Size(),
    full=Size(per_shape=4, seeds=16, steps=10_000),
)


@dataclass(frozen=True)
class Examples:
    """Toy models of every shape: `W` (n_sources, n_hidden, n_features), and by source the `shapes` they are chosen for.

    `chance`, by shape: MMCS and MCC of random dictionaries for what the first of them represents.
    """

    W: np.ndarray
    shapes: list[str]
    chance: dict[str, tuple[float, float]]


def build_toys(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the toy models."""
    task = Toy(n_features=5, n_hidden=2, feature_probability=DENSITY, magnitude=size.magnitude)
    config = TrainConfig(
        steps=size.toy_steps, batch_size=size.toy_batch_size, evaluation_samples=size.evaluation_samples
    )
    densities = list(dict.fromkeys(TRAINED_AT.values()))
    return task, config, Grid(feature_probability=densities, seed=range(size.toy_seeds))


def choose_examples(toys: SweepResult, size: Size) -> Examples:
    """The toy models that autoencoders read, those of least loss of each shape."""
    models, shapes, chance = [], [], {}
    for shape, density in TRAINED_AT.items():
        of_shape = list(examples(toys, shape, size.per_shape, feature_probability=density))
        models += of_shape
        shapes += [shape] * len(of_shape)
        directions = _represented(of_shape[0])
        chance[shape] = random_scores(directions, 5, size.draws) if directions.size else (np.nan, np.nan)
    return Examples(np.stack(models), shapes, chance)


def build(size: Size, architecture: str, W: np.ndarray) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Task, training and grid of autoencoders of one architecture on the toy models `W`."""
    toy, _, _ = build_toys(size)
    task = SparseAutoencoder.of_toy(toy, W, n_latents=5, architecture=architecture)
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples)
    return task, config, Grid(**SPARSITY[architecture], source=range(len(W)), seed=range(size.seeds))


def _represented(W: np.ndarray) -> np.ndarray:
    """The columns of W that are represented."""
    return W[:, np.linalg.norm(W, axis=0) > REPRESENTED_ABOVE]


def swept(table: xr.Dataset) -> str:
    """The dimension that sets sparsity: what is neither source nor seed."""
    return next(str(d) for d in table["mcc"].dims if d not in ("source", "seed"))


def by_shape(values: xr.DataArray, shapes: Sequence[str], name: str) -> xr.DataArray:
    """The models of toy models of one shape: (sparsity, model), from an array over (sparsity, source, seed)."""
    chosen = values.isel(source=np.flatnonzero(np.asarray(shapes) == name))
    return chosen.stack(model=("source", "seed"))


def share_recovered(table: xr.Dataset, shapes: Sequence[str], name: str) -> xr.DataArray:
    """Share of autoencoders with a latent of its own for every represented feature, over what sets sparsity."""
    return by_shape(recovered(table), shapes, name).mean("model")


def spread(values: xr.DataArray) -> str:
    """Mean, and the range over models, in words."""
    return f"{float(values.mean()):.2f} ({float(values.min()):.2f} … {float(values.max()):.2f})"


def evaluate(scored: Mapping[str, Scored], toys: Examples, claims: Claims) -> None:
    """All claims; `scored` has the autoencoders of each architecture."""
    tables = {name: scores for name, (_, scores) in scored.items()}
    evaluate_shapes(tables, [geometry(W).name for W in toys.W], toys.shapes, toys.chance, claims)


def evaluate_shapes(
    tables: Mapping[str, xr.Dataset],
    toy_shapes: Sequence[str],
    shapes: Sequence[str],
    chance: Mapping[str, tuple[float, float]],
    claims: Claims,
) -> None:
    """Pairs against pentagons.

    `tables` has the scores of each architecture, `toy_shapes` what the geometry of every source is called and `shapes` what
    it should be, `chance` MMCS and MCC of random dictionaries for each shape. Toy models were chosen for their shapes, so
    that they have them is no claim; but without them nothing that is claimed here holds.
    """
    kinds = list(dict.fromkeys(shapes))
    as_asked = list(toy_shapes) == list(shapes)
    for name, table in tables.items():
        axis = swept(table)
        word = {"sparsity_coefficient": "λ"}.get(axis, axis)
        good = {k: share_recovered(table, shapes, k) >= SHARE for k in kinds}
        good_values = {k: ", ".join(f"{v:g}" for v in g[axis].values[g.values]) or "none" for k, g in good.items()}
        n = by_shape(table["mcc"], shapes, PAIRS).sizes["model"]
        measured = "; ".join(f"{k}: {v}" for k, v in good_values.items()) + f" (of {n} autoencoders each)"
        statement = f"{name}: {word} at which {SHARE:.0%} recover every represented direction"
        if name == "topk":
            holds = all(bool(g.sel(k=1)) for g in good.values()) and not any(bool(g.sel(k=2)) for g in good.values())
            claims.check(statement, "k = 1 for every shape, k = 2 for none", measured, holds and as_asked)
            continue
        more = int(good[PAIRS].sum()) > int(good[PENTAGON].sum()) > 0
        claims.check(
            statement, "more of them for pairs than for the pentagon, which has some", measured, more and as_asked
        )
        statement, expected, measured, holds = _by_toy_model(name, word, recovered(table), shapes)
        claims.check(statement, expected, measured, holds and as_asked)
    best = {}
    for k in kinds:
        f1 = by_shape(tables["relu"]["f1"], shapes, k)
        best[k] = f1.isel({f1.dims[0]: int(f1.mean("model").values.argmax())})
    measured = ", ".join(f"{k} {spread(v)}" for k, v in best.items())
    holds = float(best[PAIRS].mean()) > float(best[PENTAGON].mean()) + 0.1
    claims.check("relu: F1 at the best λ of each shape", "pairs above the pentagon by .1", measured, holds and as_asked)
    mean_mcc = {k: by_shape(tables["relu"]["mcc"], shapes, k).mean("model").max() for k in kinds}
    measured = ", ".join(f"{k} {float(v):.3f} (random {chance[k][1]:.2f})" for k, v in mean_mcc.items())
    holds = min(float(v) for v in mean_mcc.values()) >= 0.98
    claims.check("relu: mean MCC at the best λ of each shape", "at least .98", measured, holds and as_asked)


def _by_toy_model(name: str, word: str, recovers: xr.DataArray, shapes: Sequence[str]) -> tuple[str, str, str, bool]:
    """A claim on the share over all sparsities and seeds, every toy model by itself."""
    share = recovers.mean([d for d in recovers.dims if d != "source"]).values
    shares = {k: share[np.asarray(shapes) == k] for k in dict.fromkeys(shapes)}
    measured = "; ".join(f"{k}: {', '.join(f'{v:.2f}' for v in values)}" for k, values in shares.items())
    statement = f"{name}: share over all {word} that recover every direction, by toy model"
    return (
        statement,
        "every pair's above every pentagon's by .2",
        measured,
        bool(shares[PAIRS].min() > shares[PENTAGON].max() + 0.2),
    )


def draw(
    scored: Mapping[str, Scored],
    toys: Examples,
) -> tuple[Figure, str]:
    """Directions that a ReLU autoencoder finds at three λ, one row per shape; beside them scores by sparsity.

    `scored` has the autoencoders of each architecture over (what sets its sparsity, source, seed).
    """
    shapes, chance = toys.shapes, toys.chance
    names = list(dict.fromkeys(shapes))
    figure = plt.figure(figsize=(9.4, 5.2))
    left = figure.add_gridspec(len(names), 3, left=0.03, right=0.35, top=0.94, bottom=0.12, wspace=0.05, hspace=0.15)
    right = figure.add_gridspec(len(scored), 3, left=0.42, right=0.995, top=0.94, bottom=0.16, wspace=0.28, hspace=0.5)
    relu, _ = scored["relu"]
    lambdas = relu["sparsity_coefficient"].values
    for row, name in enumerate(names):
        source = shapes.index(name)
        W = _represented(toys.W[source])
        for column, k in enumerate((0, len(lambdas) // 2, len(lambdas) - 1)):
            ax = figure.add_subplot(left[row, column])
            cell = relu["W_dec"].isel(sparsity_coefficient=k, source=source, seed=0)
            recovered_directions(W, cell.transpose("hidden", "latent").values, ax)
            if not row:
                ax.set_title(f"λ = {lambdas[k]:g}")
            if not column:
                ax.set_ylabel(name.replace("antipodal pair", "pairs"))
    keys: Any = ()
    least, most = min(c[1] for c in chance.values()), max(c[1] for c in chance.values())
    for row, (name, (_, scores)) in enumerate(scored.items()):
        panels = {
            "recover all": (recovered(scores).mean("seed"), (-0.05, 1.05)),
            "MCC": (scores["mcc"], (0.78, 1.02)),
            "F1": (scores["f1"], (0.4, 1.02)),
        }
        for column, (label, (score, limits)) in enumerate(panels.items()):
            ax = score_by_shape(score, shapes, figure.add_subplot(right[row, column]))
            ax.set(xlabel="k" if name == "topk" else "λ", ylim=limits)
            if label == "MCC":
                ax.axhspan(least, most, color="#DDDDDD", lw=0, zorder=0, label="random latents")
                keys = ax.get_legend_handles_labels()
            if not row:
                ax.set_title(label)
            if not column:
                ax.set_ylabel(name)
    figure.legend(*keys, loc="lower center", ncols=4)
    densities = ", ".join(f"{name} {p:g}" for name, p in TRAINED_AT.items())
    text = (
        f"Left: true directions (grey) of toy models that ended as different shapes (density in training: {densities}), and "
        "decoder columns (colour) of a ReLU autoencoder, seed 0. Right, by what sets sparsity: share of autoencoders "
        f"with a latent of its own for every represented direction (cosine above {COSINE:g}), one-to-one cosines (MCC), and "
        f"F1. Lines: means over {len(shapes) // len(names)} toy models of a shape × {relu.sizes['seed']} seeds; bars: least "
        "to most (of shares, among toy models). The ReLU autoencoders:"
    )
    return figure, caption(relu.attrs, text)


def score_by_shape(score: xr.DataArray, shapes: Sequence[str], ax: Axes | None = None) -> Axes:
    """A score against sparsity, one line per shape of the toy model: mean over models, bars from least to most.

    `score` is over (`source`, what is swept, …); `shapes` names the shape of every source. A sparsity swept over more than
    three values is drawn on a logarithmic axis.
    """
    ax = current_axes(ax)
    across = str(next(d for d in score.dims if d not in ("source", "seed")))
    x, of_source = score[across].values, np.asarray(shapes)
    other_dims = [d for d in score.dims if d != across]
    names = list(dict.fromkeys(shapes))
    for k, name in enumerate(names):
        of_shape = score.isel(source=np.flatnonzero(of_source == name))
        mean, least, most = (getattr(of_shape, statistic)(other_dims).values for statistic in ("mean", "min", "max"))
        shift = (k - (len(names) - 1) / 2) * 0.05  # so that bars do not hide each other
        at = x * (1 + shift) if len(x) > 3 else x + shift
        style = {"color": shape_color(name), "marker": "o", "ms": 3.5, "lw": 1.2, "elinewidth": 0.8}
        ax.errorbar(at, mean, [mean - least, most - mean], label=name, **style)
    if len(x) > 3:
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{v:g}" for v in x])
        ax.set_xticks([], minor=True)
    else:
        ax.set(xticks=x, xlim=(x.min() - 0.3, x.max() + 0.3))
    ax.set(ylim=(0, 1.05))
    return ax
