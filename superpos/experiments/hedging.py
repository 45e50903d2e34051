"""Hedging and absorption: too few latents mix a child into its parent's, too sparse ones let the child's speak for both.

Chanin, Dulka and Garriga-Alonso 2025, "Feature Hedging: Correlated Features Break Narrow Sparse Autoencoders".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.matching import cosines, match
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes, training
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.sweeping.axes import vectors
from superpos.tasks import SparseAutoencoder
from superpos.theory.dictionaries import hedged
from superpos.training.loop import materialize
from superpos.training.train_config import TrainConfig

SOURCE = "Chanin, Dulka and Garriga-Alonso 2025, Feature Hedging"
PARENT = 0.3  # probability of the parent
CHILDREN = (0.1, 0.2, 0.3, 0.5)  # of the child given its parent
BALANCED = 0.3  # of these, the one that Matryoshka autoencoders are trained on
WITHIN = 0.01  # of a closed form
ERRORS = 3  # a difference counts from so many standard errors over the dictionaries on
COLORS = {"hedging": PALETTE["blue"], "absorption": PALETTE["red"]}


@dataclass(frozen=True)
class Size:
    """Weights of all prefixes but the last, seeds, sets of directions of families, and training."""

    weights: tuple[float, ...] = (0.3, 1, 3, 10)
    family_weights: tuple[float, ...] = (0, 0.03, 0.1, 0.3, 1, 3, 10, 30)
    seeds: int = 8
    sources: int = 6
    steps: int = 3_000
    batch_size: int = 256
    evaluation_samples: int = TrainConfig.evaluation_samples
    n_inputs: int = 4_096


SIZES = Sizes(
    quick=Size(
        weights=(1,),
        family_weights=(0.1, 1),
        seeds=1,
        sources=1,
        steps=30,
        batch_size=32,
        evaluation_samples=1_024,
        n_inputs=512,
    ),
    laptop=Size(),
    full=Size(weights=(0.1, 0.3, 1, 3, 10, 30), seeds=32, sources=16, steps=10_000, batch_size=1_024, n_inputs=16_384),
)


def build_alone(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """One latent for a parent and its child, no decoder bias."""
    task = SparseAutoencoder(
        n_features=2,
        n_hidden=2,
        n_latents=1,
        directions=np.eye(2),
        parents=(-1, 0),
        magnitude="constant",
        architecture="topk",
        k=1.0,
    )
    children = [[PARENT, PARENT * q] for q in CHILDREN]
    grid = Grid(child=vectors("feature_probability", children), seed=range(size.seeds))
    return task, training(size), grid


def build_balanced(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Two latents, the first of which is a prefix of its own, as many active as features."""
    q = BALANCED
    task = SparseAutoencoder(
        n_features=2,
        n_hidden=2,
        n_latents=2,
        directions=np.eye(2),
        parents=(-1, 0),
        feature_probability=np.array([PARENT, PARENT * q]),
        magnitude="constant",
        architecture="matryoshka",
        prefixes=(0.5, 1.0),
        k=PARENT * (1 + q),
        resample_every=200,
    )
    grid = Grid(weight=vectors("prefix_weights", [[w, 1.0] for w in size.weights]), seed=range(size.seeds))
    return task, training(size), grid


def parents_of(families: int = 4) -> tuple[int, ...]:
    """The parent of every feature, −1 for parents: four features a family, the first of which is the parent."""
    return tuple(-1 if i % 4 == 0 else i - i % 4 for i in range(4 * families))


def build_families(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Four families of a parent and three children, as in `sae_absorption`; the first prefix has a latent per parent."""
    task = SparseAutoencoder(
        n_features=16,
        n_hidden=48,
        n_latents=32,
        feature_probability=np.tile([0.15, 0.04, 0.04, 0.04], 4),
        magnitude="constant",
        architecture="matryoshka",
        parents=parents_of(),
        exclusive_children=True,
        k=1.0,
        prefixes=(0.125, 1.0),
        resample_every=200,
    )
    weights = vectors("prefix_weights", [[w, 1.0] for w in size.family_weights])
    return (
        task,
        training(size),
        Grid(weight=weights, source=range(size.sources)),
    )


def child_cosine(result: SweepResult) -> xr.DataArray:
    """Cosine of the first latent with the child, over the axes of `result`."""
    column = result["W_dec"].isel(latent=0)
    cosine: xr.DataArray = column.isel(hidden=1) / np.sqrt((column**2).sum("hidden"))
    return cosine


def family_table(result: SweepResult, n_inputs: int) -> xr.Dataset:
    """Over (weight, source): `absorption`, `mcc`, `l0`, and `hedging`, which is `children_in_parents`."""
    scores = result.sae_scores(n_inputs=n_inputs, parents=parents_of())
    hedging = np.zeros(scores["absorption"].shape)
    for index in np.ndindex(hedging.shape):
        cell = result.isel(**dict(zip(map(str, scores["absorption"].dims), index, strict=True)))
        directions = np.asarray(materialize(cell.task().broadcast()).directions)
        hedging[index] = children_in_parents(directions, np.asarray(cell.model().decoder))
    names = ["absorption", "l0", "l0_true", "mcc"]
    return scores[names].reset_coords(drop=True).assign(hedging=(scores["absorption"].dims, hedging))


def children_in_parents(directions: np.ndarray, decoder: np.ndarray) -> float:
    """Mean cosine of parents' matched latents with their children, beyond that of the parents' directions themselves."""
    parents, C, own = np.array(parents_of()), cosines(directions, decoder), cosines(directions, directions)
    latent = match(C).latent
    roots = [i for i in np.flatnonzero(parents < 0) if latent[i] >= 0]
    return float(np.mean([np.mean(C[parents == i, latent[i]] - own[parents == i, i]) for i in roots]))


def best_seed(values: xr.DataArray, result: SweepResult) -> xr.DataArray:
    """Of every weight the value of the seed with the least training loss, all prefixes counted."""
    loss = result["loss_history"].isel(record=slice(-3, None)).mean("record")
    return values.isel(seed=loss.argmin("seed"))


def evaluate(alone: SweepResult, balanced: SweepResult, table: xr.Dataset, size: Size, claims: Claims) -> None:
    """`alone` and `balanced` are the results for two features, `table` is `family_table`."""
    cosine = child_cosine(alone).mean("seed").transpose("child").values
    expected = hedged(np.array(CHILDREN))
    claims.check(
        "one latent: its cosine with the child is sin θ, tan 2θ = 2q / (1 − q)",
        f"{_listed(expected)} for q = {_listed(CHILDREN, 1)}, within {WITHIN:g}",
        _listed(cosine),
        np.all(np.abs(cosine - expected) <= WITHIN),
    )
    cosine = best_seed(child_cosine(balanced), balanced).transpose("weight").values
    expected = hedged(BALANCED, np.array(size.weights))
    claims.check(
        "Matryoshka of two latents: tan 2θ = 2q / (1 − q) × w / (1 + w)",
        f"{_listed(expected)} for w = {_listed(size.weights, 1)}, within {WITHIN:g}",
        _listed(cosine),
        np.all(np.abs(cosine - expected) <= WITHIN),
    )
    mean, error = over_sources(table)
    absorbed, mixed = mean["absorption"].values, mean["hedging"].values
    gap = ERRORS * np.hypot(error["absorption"].values[0], error["absorption"].values[-1])
    claims.check(
        "families: a smaller weight of the first latents absorbs more",
        f"w = {size.family_weights[0]:g} above w = {size.family_weights[-1]:g} by {ERRORS} standard errors",
        f"{absorbed[0]:.3f} against {absorbed[-1]:.3f} ± {gap / ERRORS:.3f}",
        absorbed[0] - absorbed[-1] > gap,
    )
    gap = ERRORS * np.hypot(error["hedging"].values[0], error["hedging"].values[-1])
    claims.check(
        "… and hedges less",
        f"w = {size.family_weights[-1]:g} above w = {size.family_weights[0]:g} by {ERRORS} standard errors",
        f"{mixed[-1]:.3f} against {mixed[0]:.3f} ± {gap / ERRORS:.3f}",
        mixed[-1] - mixed[0] > gap,
    )
    quality = mean["mcc"].values
    at = int(quality.argmax())
    claims.check(
        "… so that dictionaries are best at a weight between",
        "largest MCC at neither the first weight nor the last",
        f"{quality[at]:.3f} ± {error['mcc'].values[at]:.3f} at w = {size.family_weights[at]:g}; {quality[0]:.3f} ± "
        f"{error['mcc'].values[0]:.3f} and {quality[-1]:.3f} ± {error['mcc'].values[-1]:.3f} at the ends",
        0 < at < len(quality) - 1,
    )


def over_sources(table: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Mean over the sets of directions, and its standard error (0 of one)."""
    n = table.sizes["source"]
    return table.mean("source"), table.std("source", ddof=1 if n > 1 else 0) / np.sqrt(n)


def draw(
    alone: SweepResult, balanced: SweepResult, table: xr.Dataset, families: SweepResult, size: Size
) -> tuple[Figure, str]:
    """Figure and caption: one latent by q, two latents by the weight of the first, and families by the same.

    The settings that are told are those of `families`.
    """
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.0), layout="constrained")
    q = np.linspace(0, 0.6, 200)
    law_and_models(q, hedged(q), CHILDREN, child_cosine(alone).transpose("child", "seed").values, axes[0])
    axes[0].set(xlabel="P(child | parent), q", ylabel="cosine with the child", title="one latent")
    w = np.geomspace(min(size.weights) / 2, max(size.weights) * 2, 200)
    every = child_cosine(balanced).transpose("weight", "seed").values
    axes[1].plot(size.weights, every, ".", ms=4, color="#BBBBBB", zorder=1)
    values = best_seed(child_cosine(balanced), balanced).transpose("weight").values
    law_and_models(w, hedged(BALANCED, w), size.weights, values[:, None], axes[1])
    axes[1].axhline(float(hedged(BALANCED)), color="#999999", ls="--", lw=0.8, zorder=0)
    axes[1].set(xscale="log", xlabel="weight of the first latent's error", title="two latents, Matryoshka")
    axes[1].set_ylim(0, None)
    plain_ticks(axes[1], subs=(1,))
    hedging_and_absorption(table, size.family_weights, axes[2])
    axes[2].set_title("families, Matryoshka")
    n = table.sizes["source"]
    text = (
        f"A child comes with probability q only when its parent does (P = {PARENT:g}). Left: one latent; the curve is "
        f"tan 2θ = 2q/(1 − q). Middle: q = {BALANCED:g}, a second latent outside the first prefix; the best of "
        f"{size.seeds} seeds, grey: all of them; dashed: one latent. Right: four families of a parent and three "
        f"children, 32 latents, of which the first 4 are a prefix; mean of {n} sets of random directions with standard "
        "errors."
    )
    return figure, caption(families.attrs, text)


def law_and_models(
    x: Sequence[float] | np.ndarray, law: np.ndarray, at: Sequence[float], values: np.ndarray, ax: Axes | None = None
) -> Axes:
    """A closed form as a curve, and what models learned as dots, (points, models)."""
    ax = current_axes(ax)
    ax.plot(x, law, color="black", lw=1.2, label="closed form")
    ax.plot(np.repeat(at, values.shape[1]), values.ravel(), "o", ms=4, color=COLORS["hedging"], label="trained")
    ax.legend(loc="upper left" if law[-1] > law[0] else "best")
    return ax


def hedging_and_absorption(table: xr.Dataset, weights: Sequence[float], ax: Axes | None = None) -> Axes:
    """Both against the weight of the first prefix, with standard errors; a weight of 0 stands left of the others.

    `table` has dims (weight, source).
    """
    ax, (mean, error) = current_axes(ax), over_sources(table)
    place = np.arange(len(weights))
    for name, color in COLORS.items():
        label = "absorption" if name == "absorption" else "hedging: cosine with children"
        ax.errorbar(place, mean[name], error[name], fmt="o-", ms=3.5, capsize=2, lw=1.2, color=color, label=label)
    ax.axhline(0, color="#999999", lw=0.7, zorder=0)
    ax.set_xticks(place, [f"{w:g}" for w in weights])
    ax.set(xlabel="weight of the first latents' error", ylim=(-0.06, 0.98))
    ax.legend(loc="upper right")
    return ax


def _listed(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    return ", ".join(f"{value:.{digits}f}".lstrip("0") or "0" for value in values)
