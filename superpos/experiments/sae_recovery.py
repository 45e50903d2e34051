"""Sparse autoencoders take the true directions back out of a toy model: a pentagon, and a square antiprism.

Bricken et al. 2023, "Towards Monosemanticity", and the papers of each architecture, on features that are known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.analysis.matching import cosines, match, random_directions
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import architecture_label, caption
from superpos.plot.recovery import recovered_directions, recovered_directions_3d
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SparseAutoencoder, Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Bricken et al. 2023 and the papers of each architecture, on known features"
# What sets the sparsity of each architecture.
SPARSITY: dict[str, dict[str, float]] = {
    "relu": {"sparsity_coefficient": 0.4},
    "gated": {"sparsity_coefficient": 0.6},
    "jumprelu": {"sparsity_coefficient": 0.2},
    "topk": {"k": 1},
    "batch_topk": {"k": 0.15},
    "matryoshka": {"k": 0.1},
    "matching_pursuit": {"k": 1},
}
# By hidden dimensions: how many features, and the shape that toy models are chosen for.
N_FEATURES = {2: 5, 3: 8}
SHAPES = {2: "pentagon", 3: "square antiprism"}
# A direction is recovered by a latent of its own with a larger cosine, an architecture works in so large a share of seeds.
COSINE, SHARE = 0.95, 12 / 16
# MMCS of five random unit vectors in the plane, whatever the features: the mean cosine of the least of five angles that are
# uniform on [0, π], 5 ∫ (1 − u)⁴ cos πu du over [0, 1].
RANDOM_MMCS = 20 / np.pi**2 * (1 - 6 / np.pi**2)
DRAWS = 2_000
# Two looks at one solid: from the side, and along its axis.
VIEWS = ((12, 20), (90, 0))


@dataclass(frozen=True)
class Size:
    """Seeds and architectures in the plane and in space, training of toy models (`toy_…`) and of autoencoders.

    Without `space_architectures` there is nothing in space.
    """

    plane_seeds: int = 16
    space_seeds: int = 8
    plane_architectures: tuple[str, ...] = tuple(SPARSITY)
    space_architectures: tuple[str, ...] = ("relu", "topk")
    magnitude: str = "uniform"
    toy_steps: int = 2_500
    toy_batch_size: int = 1_024
    steps: int | None = None
    batch_size: int = 512
    evaluation_samples: int = 131_072


SIZES = Sizes(
    # Every architecture is a program of its own, and so is every size. The population loss of features that are more than
    # 0 or 1 takes long to compile.
    quick=Size(
        plane_seeds=2,
        plane_architectures=("topk",),
        space_architectures=(),
        magnitude="constant",
        toy_steps=50,
        toy_batch_size=64,
        steps=20,
        batch_size=64,
        evaluation_samples=1,
    ),
    laptop=Size(),
    full=Size(plane_seeds=64, space_seeds=32, batch_size=1_024),
)


class Scored(NamedTuple):
    """Autoencoders of one architecture: a sweep result and the table of its dictionary scores."""

    result: SweepResult
    scores: xr.Dataset


class Case(NamedTuple):
    """One number of hidden dimensions: how many toy models, and the architectures that read them."""

    n_hidden: int
    seeds: int
    architectures: tuple[str, ...]


def cases(size: Size) -> list[Case]:
    """The plane, and space where something is trained there."""
    both = [Case(2, size.plane_seeds, size.plane_architectures), Case(3, size.space_seeds, size.space_architectures)]
    return [case for case in both if case.architectures]


def build_toys(size: Size, case: Case) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the toy models."""
    task = Toy(
        n_features=N_FEATURES[case.n_hidden],
        n_hidden=case.n_hidden,
        feature_probability=0.05,
        magnitude=size.magnitude,
    )
    config = TrainConfig(
        steps=size.toy_steps, batch_size=size.toy_batch_size, evaluation_samples=size.evaluation_samples
    )
    return task, config, Grid(seed=range(case.seeds))


def build(size: Size, case: Case, architecture: str, W: np.ndarray) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Task, training and grid of autoencoders of one architecture on the toy models `W`, (k, n_hidden, n_features).

    Every autoencoder reads a toy model of its own, where so many ended as the shape.
    """
    toy, _, _ = build_toys(size, case)
    task = SparseAutoencoder.of_toy(
        toy, W, n_latents=toy.n_features, architecture=architecture, **SPARSITY[architecture]
    )
    config = TrainConfig(steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples)
    return task, config, Grid.zipped(source=np.arange(case.seeds) % len(W), seed=range(case.seeds))


def examples(toys: SweepResult, shape: str, most: int, **cells: Any) -> np.ndarray:
    """W of at most so many models of a shape, (k, n_hidden, n_features), those of lowest loss first.

    `cells` chooses some of the models. Where none has the shape (a quick look), those of lowest loss stand in.
    """
    models = toys.sel(**cells) if cells else toys
    lead = models["loss"].dims
    W = models["W"].transpose(*lead, "hidden", "feature").values
    loss, names = models["loss"].values.ravel(), models.geometry()["shape"].transpose(*lead).values.ravel()
    order = np.argsort(np.where(np.isfinite(loss), loss, np.inf), kind="stable")
    fitting = order[names[order] == shape]
    return W.reshape(-1, *W.shape[-2:])[(fitting if len(fitting) else order)[:most]]


def recovered(table: xr.Dataset) -> xr.DataArray:
    """Whether each model has a latent of its own for every represented feature; `table` is a result's dictionary scores."""
    matched = (table["matched_cosine"] > COSINE) | (table["represented"] == 0)
    return matched.all("feature") & (table["n_represented"] > 0)


def random_scores(directions: np.ndarray, n_latents: int, draws: int = DRAWS) -> tuple[float, float]:
    """Mean MMCS and MCC of dictionaries of random unit vectors for these features, columns of `directions`."""
    matches = [match(cosines(directions, random_directions(len(directions), n_latents, (1, k)))) for k in range(draws)]
    return float(np.mean([m.mmcs for m in matches])), float(np.mean([m.mcc for m in matches]))


def evaluate(
    scored: Mapping[int, Mapping[str, Scored]],
    toy_shapes: Mapping[int, Sequence[str]],
    chance: Mapping[int, tuple[float, float]],
    claims: Claims,
) -> None:
    """All claims. By hidden dimensions: autoencoders by architecture, what the geometry of every toy model is called, not
    only of those that were chosen for their shape, and MMCS and MCC of random dictionaries."""
    evaluate_plane({name: scores for name, (_, scores) in scored[2].items()}, chance[2], claims)
    if 3 in scored:
        tables = {name: scores for name, (_, scores) in scored[3].items()}
        evaluate_space(tables, toy_shapes[3], SHAPES[3], chance[3], claims)


def evaluate_plane(tables: Mapping[str, xr.Dataset], chance: tuple[float, float], claims: Claims) -> None:
    """Every architecture finds the pentagon. `tables` has the scores of each, `chance` those of random dictionaries."""
    for name, table in tables.items():
        recovers = recovered(table).values
        scores = table[["mmcs", "mcc", "f1"]].mean()
        measured = (
            f"{recovers.sum()} of {recovers.size}; MMCS {float(scores.mmcs):.3f}, MCC {float(scores.mcc):.3f}, "
            f"F1 {float(scores.f1):.2f} (random MMCS {chance[0]:.3f}, MCC {chance[1]:.2f})"
        )
        statement = f"{name}: all five directions, cosine > {COSINE:g}"
        claims.check(
            statement,
            f"in at least {SHARE * recovers.size:.0f} of {recovers.size} seeds",
            measured,
            recovers.mean() >= SHARE,
        )
    expected, measured = f"MMCS {RANDOM_MMCS:.3f} ± .01 (derived)", f"MMCS {chance[0]:.3f}, MCC {chance[1]:.3f}"
    holds = abs(chance[0] - RANDOM_MMCS) <= 0.01
    claims.identity("baseline: five random latents for five features in the plane", expected, measured, holds)


def evaluate_space(
    tables: Mapping[str, xr.Dataset], toy_shapes: Sequence[str], shape: str, chance: Any, claims: Claims
) -> None:
    """The same in three dimensions, by the best seed of each.

    `toy_shapes` is what the geometry of every toy model is called, not only of those that were chosen for their `shape`.
    """
    count = sum(name == shape for name in toy_shapes)
    statement = f"three dimensions: toy models end as a {shape}"
    claims.check(statement, "most of them", f"{count} of {len(toy_shapes)}", count > len(toy_shapes) / 2)
    for name, table in tables.items():
        recovers = recovered(table).values
        n = int(table["n_represented"].values.flat[0])
        measured = (
            f"least cosine {float(table['matched_cosine'].min('feature').max()):.3f} in the best seed; all in "
            f"{recovers.sum()} of {recovers.size}; MCC {float(table['mcc'].mean()):.3f} (random {chance[1]:.2f})"
        )
        statement = f"three dimensions, {name}: all {n} directions"
        claims.check(statement, f"cosine > {COSINE:g} in the best seed", measured, recovers.any())


def draw(
    scored: Mapping[int, Mapping[str, Scored]],
    toys: Mapping[int, np.ndarray],
    chance: Mapping[int, tuple[float, float]],
) -> tuple[Figure, str]:
    """True directions and those of the best seed's latents: the plane above, space from two sides below.

    By hidden dimensions: autoencoders by architecture, the toy models that they read, (n_sources, n_hidden, n_features), and
    MMCS and MCC of random dictionaries. What is drawn is the model whose worst feature was recovered best.
    """
    plane, space = scored[2], scored.get(3, {})
    figure = plt.figure(figsize=(8.6, 4.3))
    above = figure.add_gridspec(1, len(plane), left=0.01, right=0.99, bottom=0.5, top=0.85, wspace=0.08)
    below = figure.add_gridspec(1, max(1, 2 * len(space)), left=0.01, right=0.99, bottom=0.0, top=0.385, wspace=0.0)
    for column, (name, (result, scores)) in enumerate(plane.items()):
        ax = figure.add_subplot(above[0, column])
        recovered_directions(*_drawn(result, scores, toys[2]), ax)
        recovers = recovered(scores).values
        words = (_settings(result, name, ",\n"), f"{recovers.sum()} of {recovers.size} seeds", "recover all five")
        ax.set_title("\n".join(words), fontsize=8)
    for k, (name, (result, scores)) in enumerate(space.items()):
        recovers = recovered(scores).values
        all_of = int(scores["n_represented"].values.flat[0])
        seeds = f"{recovers.sum()} of {recovers.size} seeds\nrecover all {all_of}"
        titles = (f"{_settings(result, name)}\n{seeds}", "the same,\nfrom above")
        for side, (view, title) in enumerate(zip(VIEWS, titles, strict=True)):
            ax = figure.add_subplot(below[0, 2 * k + side], projection="3d")
            W, decoder = _drawn(result, scores, toys[3])
            upright = np.linalg.eigh(W @ W.T)[1][:, ::-1].T  # the axis along which directions spread least
            recovered_directions_3d(upright @ W, upright @ decoder, ax, view=view)
            ax.set_title(title, fontsize=8, y=1.0)
    sizes = f"Above: {_sizes(plane)}."
    if space:
        sizes += f" Below, from two sides: {_sizes(space)}."
    baselines = "; ".join(f"MMCS {a:.3f}, MCC {b:.3f} in {m} dimensions" for m, (a, b) in chance.items())
    text = (
        "Grey: true directions, columns of the W of a toy model. Colour: decoder columns of one sparse autoencoder, the one "
        f"of all seeds whose worst feature is matched best. {sizes} Every seed reads a toy model of its own, where so many "
        f"have the shape. Recovered: a latent of its own with a cosine above {COSINE:g}. Random dictionaries: {baselines}. "
        "First architecture of the row above:"
    )
    return figure, caption(next(iter(plane.values()))[0].attrs, text)


def _drawn(result: Any, scores: xr.Dataset, toys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The represented directions of the toy model, and the decoder columns, of the autoencoder whose worst match is best."""
    worst_match = scores["matched_cosine"].min("feature")
    cell = result.dataset.isel(cell=int(worst_match.fillna(-1).values.argmax()))
    W = toys[int(cell["source"])]
    return W[:, np.linalg.norm(W, axis=0) > REPRESENTED_ABOVE], cell["W_dec"].transpose("hidden", "latent").values


def _settings(result: Any, name: str, between: str = ", ") -> str:
    task = result.attrs["task"]
    label = architecture_label(name)
    by_k = "k" in SPARSITY[name]
    return label + between + (f"k = {task['k']:g}" if by_k else f"λ = {task['sparsity_coefficient']:g}")


def _sizes(scored: Mapping[str, Scored]) -> str:
    task = next(iter(scored.values()))[0].attrs["task"]
    return f"{task['n_features']} features in {task['n_hidden']} dimensions, {task['n_latents']} latents"
