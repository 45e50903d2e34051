"""Absorption: where a child feature implies its parent, sparse dictionaries let the child's latent speak for both.

Chanin et al. 2024, "A is for Absorption"; Bussmann et al. 2025, "Learning Multi-Level Features with Matryoshka SAEs"; Costa
et al. 2025, "From Flat to Hierarchical" (matching pursuit).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.intervals import mean_interval
from superpos.analysis.matching import cosines, match
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes, training
from superpos.plot.appearance import DIVERGING, architecture_color, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SparseAutoencoder
from superpos.training.loop import materialize
from superpos.training.train_config import TrainConfig

SOURCE = "Chanin et al. 2024, A is for Absorption; Bussmann et al. 2025; Costa et al. 2025"
STANDARD = {"relu": "ReLU", "topk": "TopK", "batch_topk": "BatchTopK"}
NAMES = {**STANDARD, "matryoshka": "Matryoshka", "matching_pursuit": "Matching pursuit"}
COMPARED = ("topk", "matryoshka", "matching_pursuit")  # on the same sets of directions, more than of the others
TWO_STEPS = 2.0  # the smallest k at which pursuit can say a parent and its child
ERRORS = 3  # a difference counts from so many standard errors over the dictionaries on
NOTHING = 0.05  # absorption up to this is none
DRAWN, DRAWN_K = ("batch_topk", "matryoshka"), 1.0  # dictionaries that are drawn
# Values of what sets the sparsity of each architecture.
SPARSITIES: dict[str, list[float]] = {
    "relu": [0.005, 0.02, 0.05, 0.2, 0.6],
    "topk": [1, 2, 4, 8],
    "batch_topk": [0.5, 0.75, 1, 1.5, 2.5],
    "matryoshka": [0.5, 0.75, 1, 1.5, 2.5],
    "matching_pursuit": [1, 2, 4],
}
FEWER_SPARSITIES: dict[str, list[float]] = {
    "relu": [0.005, 0.05, 0.6],
    "topk": [1, 4],
    "batch_topk": [0.5, 1, 2.5],
    "matryoshka": [0.5, 1, 2.5],
}


@dataclass(frozen=True)
class Size:
    """Families of a parent and three children, sparsities by architecture, sets of random directions, and training.

    `tree_…` is of families, `flat_…` of features as frequent, but independent; without sparsities nothing is trained. The
    architectures `COMPARED` read `compared_sources` sets of families, the others the first of these, `tree_sources`.
    """

    families: int = 4
    tree_sparsities: Mapping[str, list[float]] = field(default_factory=lambda: SPARSITIES)
    flat_sparsities: Mapping[str, list[float]] = field(default_factory=lambda: FEWER_SPARSITIES)
    tree_sources: int = 6
    compared_sources: int = 12
    flat_sources: int = 3
    resample_every: int = 200
    steps: int = 2_000
    batch_size: int = 128
    evaluation_samples: int = TrainConfig.evaluation_samples
    n_inputs: int = 4_096


SIZES = Sizes(
    quick=Size(
        families=2,
        tree_sparsities={"batch_topk": [1]},
        flat_sparsities={},
        tree_sources=1,
        compared_sources=1,
        steps=30,
        evaluation_samples=1_024,
        n_inputs=512,
    ),
    laptop=Size(),
    full=Size(families=16, flat_sparsities=SPARSITIES, resample_every=500, steps=10_000, batch_size=1_024),
)


def parents_of(size: Size) -> tuple[int, ...]:
    """The parent of every feature, −1 for parents: four features a family, the first of which is the parent."""
    return tuple(-1 if i % 4 == 0 else i - i % 4 for i in range(4 * size.families))


def build(size: Size, architecture: str, *, tree: bool) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Task, training and grid: families, at most one child of each active; or features as frequent, but independent."""
    families = size.families
    task = SparseAutoencoder(
        n_features=4 * families,
        n_hidden=12 * families,
        n_latents=8 * families,
        feature_probability=np.tile([0.6, 0.16, 0.16, 0.16], families) / families,
        magnitude="constant",
        architecture=architecture,
        parents=parents_of(size) if tree else (),
        exclusive_children=tree,
        resample_every=size.resample_every,
    )
    sparsities = size.tree_sparsities if tree else size.flat_sparsities
    tree_sources = size.compared_sources if architecture in COMPARED else size.tree_sources
    axes: dict[str, Any] = {
        "sparsity_coefficient" if architecture == "relu" else "k": sparsities[architecture],
        "source": range(tree_sources if tree else size.flat_sources),
    }
    return task, training(size), Grid(**axes)


def family_cosines(task: Any, model: Any) -> xr.DataArray:
    """Cosines of true features (rows) and decoder columns, the latent matched to each feature first, in their order.

    Dims (feature, latent), as many latents as features at most; coordinates are their numbers.
    """
    materialized = materialize(task.broadcast())
    used = np.flatnonzero(np.asarray(model.exists))
    C = cosines(np.asarray(materialized.directions), np.asarray(model.decoder)[:, used])
    matched = match(C).latent
    order = matched[matched >= 0]
    return xr.DataArray(
        C[:, order], dims=("feature", "latent"), coords={"feature": np.arange(len(C)), "latent": used[order]}
    )


def family_map_of(result: SweepResult) -> xr.DataArray:
    """`family_cosines` of the dictionary that is drawn, of the first set of directions."""
    cell = result.sel(k=DRAWN_K, source=0)
    return family_cosines(cell.task(), cell.model())


def over_sources(table: xr.Dataset) -> xr.Dataset:
    """Mean over the dictionaries (`source`) of every score of a table over (λ or k, source), and as `…_error` its standard
    error (0 of one dictionary)."""
    scores = table[["absorption", "splitting", "l0", "l0_true"]].reset_coords(drop=True)
    n = scores.sizes["source"]
    error = scores.std("source", ddof=1 if n > 1 else 0) / np.sqrt(n)
    return scores.mean("source").assign({f"{name}_error": values for name, values in error.items()})


def evaluate(trees: Mapping[str, xr.Dataset], flat: Mapping[str, xr.Dataset], claims: Claims) -> None:
    """Absorption by architecture. Tables of `SweepResult.sae_scores` over (λ or k, source), with a hierarchy and without."""
    means = {kind: over_sources(table) for kind, table in trees.items()}
    standard = {kind: means[kind] for kind in STANDARD if kind in means}
    true = float(np.mean([table["l0_true"].mean() for table in means.values()]))
    by_kind, holds = [], []
    for kind, table in standard.items():
        mean, error, l0 = (table[name].values for name in ("absorption", "absorption_error", "l0"))
        k_true = np.abs(np.log(l0 / true)).argmin()
        by_kind.append(f"{NAMES[kind]} {mean[k_true]:.2f} ± {error[k_true]:.2f}")
        holds.append(mean[k_true] > ERRORS * error[k_true] and mean[k_true] > NOTHING)
    expected = f"above {NOTHING:g} and {ERRORS} standard errors where L0 is closest to the true {true:.2f}"
    claims.check("standard SAEs absorb", expected, ", ".join(by_kind), holds and all(holds))

    by_kind, holds = [], []
    for kind, table in standard.items():
        mean, error, l0 = (table[name].values for name in ("absorption", "absorption_error", "l0"))
        densest, sparsest = l0.argmax(), l0.argmin()
        by_kind.append(
            f"{NAMES[kind]} {mean[densest]:.2f} → {mean[sparsest]:.2f} (L0 {l0[densest]:.1f} → {l0[sparsest]:.1f})"
        )
        holds.append(mean[sparsest] - mean[densest] > ERRORS * np.hypot(error[densest], error[sparsest]))
    expected = f"sparsest above least sparse by {ERRORS} standard errors"
    claims.check("the sparser, the more", expected, ", ".join(by_kind), holds and all(holds))

    if {"batch_topk", "matryoshka"} <= set(means):
        (plain, plain_error), (nested, nested_error) = (
            (means[kind]["absorption"].values, means[kind]["absorption_error"].values)
            for kind in ("batch_topk", "matryoshka")
        )
        pairs = zip(means["matryoshka"]["k"].values, nested, plain, strict=True)
        measured = ", ".join(f"k = {k:g}: {a:.2f} against {b:.2f}" for k, a, b in pairs)
        k_true = np.abs(np.log(means["matryoshka"]["l0"].values / true)).argmin()
        margin = ERRORS * np.hypot(plain_error, nested_error)
        expected = f"less by {ERRORS} standard errors at L0 closest to the true one, nowhere more by as much"
        holds = (plain - nested > margin)[k_true] and np.all(nested - plain <= margin)
        claims.check("Matryoshka absorbs less than BatchTopK", expected, measured, holds)

    if "matching_pursuit" in trees:
        evaluate_pursuit(trees, true, claims)

    largest = {kind: float(over_sources(table)["absorption"].max()) for kind, table in flat.items()}
    single = max((float(table["absorption"].max()) for table in flat.values()), default=np.nan)
    measured = ", ".join(f"{NAMES[kind]} {value:.3f}" for kind, value in largest.items())
    statement, expected = "none of independent features, as frequent", f"mean at most {NOTHING:g} at every sparsity"
    claims.check(
        statement, expected, f"{measured} (one model: {single:.3f})", largest and max(largest.values()) <= NOTHING
    )


def evaluate_pursuit(trees: Mapping[str, xr.Dataset], true: float, claims: Claims) -> None:
    """Matching pursuit beside TopK of the same k, and beside Matryoshka of as many active latents, on the same directions.

    `true` is the number of active features.
    """
    absorbed = trees["matching_pursuit"]["absorption"]
    ks = [k for k in absorbed["k"].values if k in trees["topk"]["k"].values]
    gaps = [differences(absorbed.sel(k=k), trees["topk"]["absorption"].sel(k=k)) for k in ks]
    measured = ", ".join(f"k = {k:g}: {said(gap)}" for k, gap in zip(ks, gaps, strict=True))
    claims.check(
        "matching pursuit absorbs less than TopK of the same k",
        f"95 % interval of the difference below 0 at k = {TWO_STEPS:g}, where both of a family can be said",
        measured,
        mean_interval(gaps[ks.index(TWO_STEPS)]).high < 0,
    )
    nearest = {kind: nearest_k(trees[kind], true) for kind in ("matryoshka", "matching_pursuit")}
    gap = differences(
        trees["matryoshka"]["absorption"].sel(k=nearest["matryoshka"]), absorbed.sel(k=nearest["matching_pursuit"])
    )
    claims.check(
        "Matryoshka absorbs less than matching pursuit",
        f"95 % interval of the difference below 0 where L0 of each is closest to the true {true:.2f}",
        f"{said(gap)} (k = {nearest['matryoshka']:g} and {nearest['matching_pursuit']:g})",
        mean_interval(gap).high < 0,
    )


def nearest_k(table: xr.Dataset, true: float) -> float:
    """The k at which the mean L0 of a table over (k, source) is closest to the true one, by its logarithm."""
    l0 = table["l0"].mean("source").values
    return float(table["k"].values[np.abs(np.log(l0 / true)).argmin()])


def differences(first: xr.DataArray, second: xr.DataArray) -> np.ndarray:
    """One score less another, over the sets of directions that both have."""
    a, b = xr.align(first.reset_coords(drop=True), second.reset_coords(drop=True), join="inner")
    return np.asarray((a - b).values)


def said(values: np.ndarray) -> str:
    """A mean with its 95 % interval."""
    mean, low, high = mean_interval(values)
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def draw(
    result: SweepResult,
    trees: Mapping[str, xr.Dataset],
    flat: Mapping[str, xr.Dataset],
    maps: Mapping[str, xr.DataArray],
    size: Size,
) -> tuple[Figure, str]:
    """Figure and caption; `result` is any of the sweeps with families, whose settings are told.

    Tables of `SweepResult.sae_scores` by architecture, with families and without; `maps` are `family_cosines`.
    """
    true = float(trees["batch_topk"]["l0_true"].mean())
    tree_means, flat_means = ({kind: over_sources(table) for kind, table in tables.items()} for tables in (trees, flat))
    figure = panels(tree_means, flat_means, maps, parents_of(size), NAMES, true)
    text = (
        "Top: absorption of parents, and splitting, against active latents (of λ for ReLU, else of k); means over "
        f"{size.tree_sources} sets of random directions (of {', '.join(NAMES[kind] for kind in COMPARED)} "
        f"{size.compared_sources}), with standard errors. Dashed: active features, {true:.2f}; dotted: independent features, "
        "as frequent. Bottom: cosines of features (P: parents, c: children) and matched latents, "
        f"k = {DRAWN_K:g}, of the first set of directions."
    )
    task = {name: value for name, value in result.attrs["task"].items() if name != "architecture"}
    return figure, caption({**result.attrs, "task": task}, text)


def panels(
    tree: Mapping[str, xr.Dataset],
    flat: Mapping[str, xr.Dataset],
    maps: Mapping[str, xr.DataArray],
    parents: Sequence[int],
    names: Mapping[str, str],
    true_l0: float,
) -> Figure:
    """Absorption and splitting of every architecture, with a hierarchy (lines) and without (dotted), over two `maps`."""
    figure, axes = plt.subplots(2, 2, figsize=(7.4, 6.4), height_ratios=(1, 1.25), layout="constrained")
    for ax, score in zip(axes[0], ("absorption", "splitting"), strict=True):
        ax.axvline(true_l0, color="#999999", ls="--", lw=0.8, zorder=0)
        score_by_l0(tree, score, ax, names=names)
        score_by_l0(flat, score, ax, ls=":")
    axes[0, 0].set(ylim=(-0.03, 1.32), yticks=np.linspace(0, 1, 6))  # with room for the legend
    axes[0, 1].set_ylabel("further latents per feature")
    axes[0, 0].legend(loc="upper right")
    for ax, (kind, cosine) in zip(axes[1], maps.items(), strict=False):
        figure.colorbar(family_map(cosine, parents, ax), ax=ax, label="cosine")
        ax.set_title(names[kind])
    for ax in axes[1, len(maps) :]:
        ax.set_axis_off()
    return figure


def score_by_l0(
    tables: Mapping[str, xr.Dataset],
    score: str,
    ax: Axes | None = None,
    *,
    names: Mapping[str, str] | None = None,
    ls: str = "-",
) -> Axes:
    """One score of dictionaries against their number of active latents, a curve with error bars per architecture.

    `tables` holds, by architecture, `l0`, the score, and the score's standard error under the name `{score}_error`. Only
    curves with an entry in `names` have a label.
    """
    ax = current_axes(ax)
    for kind, table in tables.items():
        l0, mean, error = (table[name].values for name in ("l0", score, f"{score}_error"))
        order = np.argsort(l0)
        style: dict[str, Any] = {"ls": ls, "ms": 3, "capsize": 2, "elinewidth": 0.8, "color": architecture_color(kind)}
        ax.errorbar(l0[order], mean[order], error[order], fmt="o", label=(names or {}).get(kind), **style)
    ax.set(xscale="log", xlabel="active latents $L_0$", ylabel=score)
    plain_ticks(ax)
    return ax


def family_map(cosine: xr.DataArray, parents: Sequence[int], ax: Axes | None = None) -> Any:
    """Cosines of features (down) and latents (across), families framed by lines, parents named P. Returns the image.

    `cosine` has dims (feature, latent), latents in the order of the features they are matched to. A perfect dictionary is
    the identity up to the interference of the features; a latent that absorbed a parent has its row lit up in the children's
    columns.
    """
    ax = current_axes(ax)
    values = cosine.transpose("feature", "latent").values
    image = ax.imshow(values, cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    roots = [i for i, parent in enumerate(parents) if parent < 0]
    for i in roots[1:]:
        ax.axhline(i - 0.5, color="#777777", lw=0.6)
        ax.axvline(i - 0.5, color="#777777", lw=0.6)
    ax.set(xticks=[], yticks=range(len(parents)), yticklabels=["P" if p < 0 else "c" for p in parents])
    ax.set(xlabel="matched latents", ylabel="true features")
    ax.tick_params(axis="y", length=0, labelsize=7)
    ax.spines[:].set_visible(True)
    return image
