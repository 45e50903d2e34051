"""Features that are manifolds: one latent at a time tiles a circle as a closed form says, several capture it or dilute it.

Bhalla et al. 2026, "Do Sparse Autoencoders Capture Concept Manifolds?"; Michaud, Gorton and McGrath 2025, "Understanding
sparse autoencoder scaling in the presence of feature manifolds".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.manifolds import REGIMES
from superpos.analysis.recovery import manifolds_of
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes, training
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.recovery import recovered_directions
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SparseAutoencoder
from superpos.theory.dictionaries import tiled, tiled_in_pairs
from superpos.training.train_config import TrainConfig

SOURCE = "Bhalla et al. 2026, Do Sparse Autoencoders Capture Concept Manifolds?"
WITHIN = 0.005  # of explained variance
EXACT_FROM = 4  # latents, two at a time
LIMIT = 0.5 + 4 / np.pi**2  # of two latents with a free bias
MANIFOLDS = ("circle",) * 4 + ("sphere",) * 2
P = 0.1  # probability of each of them
DRAWN = (4, 8)  # latents on the circles that are drawn
COLORS = {
    "capture": PALETTE["green"],
    "shattering": PALETTE["orange"],
    "dilution": PALETTE["purple"],
    "missing": "#BBBBBB",
}


@dataclass(frozen=True)
class Size:
    """Latents on one circle (one and two at a time), seeds; of many manifolds latents active per active one, and latents."""

    latents: tuple[int, ...] = (2, 3, 4, 8, 16, 32, 64)
    in_pairs: tuple[int, ...] = (2, 3, 4, 5, 6)
    seeds: int = 16
    active: tuple[float, ...] = (1, 1.5, 2, 3, 4)
    sizes: tuple[int, ...] = (28, 56)
    sources: int = 3
    steps: int = 3_000
    batch_size: int = 256
    evaluation_samples: int = TrainConfig.evaluation_samples
    n_inputs: int = 4_096


SIZES = Sizes(
    quick=Size(
        latents=(4, 8),
        in_pairs=(4, 8),  # as many and as large as above: one program
        seeds=1,
        active=(2,),
        sizes=(28,),
        sources=1,
        steps=20,
        batch_size=32,
        evaluation_samples=1_024,
        n_inputs=512,
    ),
    laptop=Size(),
    full=Size(
        latents=(2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
        in_pairs=(2, 3, 4, 5, 6, 8, 12, 16),
        seeds=64,
        sizes=(28, 56, 112),
        sources=16,
        steps=10_000,
        batch_size=1_024,
        n_inputs=16_384,
    ),
)


def two_from(bias: Any) -> np.ndarray:
    r"""Explained variance of the unit circle by two latents, one at a time, from a decoder bias of length B = `bias`.

    Two rays leave the bias at angles ±φ from the line to the centre, each for one half of the circle. What they leave over,
    $\frac12 + B^2 \sin^2\varphi - \frac{2B}{\pi} \sin 2\varphi$, is least at $\tan 2\varphi = 4 / \pi B$, so the share is

    $$\tfrac12 + \tfrac{B^2}{2} \Big(\sqrt{1 + 16 / \pi^2 B^2} - 1\Big).$$

    It grows with B towards ½ + 4/π² = .905, two parallel lines, and reaches it at no finite bias.
    """
    B = np.asarray(bias, float)
    return 0.5 + (np.sqrt(B**4 + 16 * B**2 / np.pi**2) - B**2) / 2


def _on_circle(size: Size, n_latents: int, k: float, *, decoder_bias: bool = False) -> SparseAutoencoder:
    return SparseAutoencoder(
        n_features=2,
        n_hidden=2,
        n_latents=n_latents,
        manifolds=("circle",),
        feature_probability=1.0,
        magnitude="constant",
        architecture="topk",
        k=k,
        decoder_bias=decoder_bias,
    )


def build_one(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """The unit circle, one latent at a time."""
    grid = Grid(dictionary_size=list(size.latents), seed=range(size.seeds))
    return _on_circle(size, max(size.latents), 1.0), training(size), grid


def build_two(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """The unit circle, two latents at a time.

    More than four are exact only if the others are dead (`tiled_in_pairs`), so no latent is revived.
    """
    grid = Grid(dictionary_size=list(size.in_pairs), seed=range(size.seeds))
    task = replace(_on_circle(size, max(size.in_pairs), 2.0), revival="none")
    return task, training(size), grid


def build_bias(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """The unit circle, two latents, one at a time, with a free decoder bias; the bias grows as long as one trains."""
    config = replace(training(size), steps=3 * size.steps, learning_rate=0.01)
    return _on_circle(size, 2, 1.0, decoder_bias=True), config, Grid(seed=range(size.seeds))


def build_many(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Circles and spheres in random subspaces, by how many latents are active for each active one, and how many there are."""
    task = SparseAutoencoder(
        n_features=14,
        n_hidden=32,
        n_latents=max(size.sizes),
        manifolds=MANIFOLDS,
        feature_probability=P,
        magnitude="constant",
        architecture="batch_topk",
        resample_every=200,
    )
    k = [round(P * len(MANIFOLDS) * active, 6) for active in size.active]
    grid = Grid(k=k, dictionary_size=list(size.sizes), source=range(size.sources))
    return task, training(size), grid


def explained(result: SweepResult) -> xr.DataArray:
    """Explained variance on the unit circle, whose variance is 1."""
    share: xr.DataArray = 1 - result["loss"]
    return share


def manifold_table(result: SweepResult, n_inputs: int) -> xr.Dataset:
    """`manifolds_of` every model, over its axes and `manifold`: regime (its place in `REGIMES`), latents, active, ….

    `explained_variance` and `subspace_recovery` beside them.
    """
    dims = tuple(map(str, result["loss"].dims))
    names = ("latents", "active", "explained_variance", "subspace_recovery")
    table = {name: np.zeros((*result["loss"].shape, len(MANIFOLDS))) for name in (*names, "regime")}
    for index in np.ndindex(result["loss"].shape):
        cell = result.isel(**dict(zip(dims, index, strict=True)))
        scores = manifolds_of(cell.task(), cell.model(), n_inputs=n_inputs)
        for name in names:
            table[name][index] = getattr(scores, name)
        table["regime"][index] = [REGIMES.index(word) for word in scores.regime]
    coords = {dim: result[dim].values for dim in dims}
    return xr.Dataset({name: ((*dims, "manifold"), values) for name, values in table.items()}, coords)


def shares(table: xr.Dataset) -> xr.Dataset:
    """Of all manifolds the share in every regime, over (k, dictionary_size)."""
    of = {word: (table["regime"] == i).mean(("source", "manifold")) for i, word in enumerate(REGIMES)}
    return xr.Dataset(of)


def evaluate(circle: Sequence[SweepResult], table: xr.Dataset, size: Size, claims: Claims) -> None:
    """`circle` are the results of `build_one`, `build_two` and `build_bias`, `table` is `manifold_table` of many."""
    one, two, bias = circle
    best, law = explained(one).max("seed").values, tiled(size.latents)
    claims.check(
        "circle, one latent at a time, no bias: ½ (1 + sin(2π/K) / (2π/K))",
        f"{_listed(law)} for K = {', '.join(map(str, size.latents))}, best of {size.seeds} within {WITHIN:g}",
        _listed(best),
        np.all(np.abs(best - law) <= WITHIN),
    )
    share = explained(bias).values
    length = np.linalg.norm(bias["b_dec"].transpose("seed", "hidden").values, axis=1)
    off = np.abs(share - two_from(length)).max()
    claims.check(
        "two latents with a free bias of length B: ½ + B²/2 (√(1 + 16/π²B²) − 1)",
        "within .002 in every seed",
        f"{off:.4f} at most, B = {length.min():.1f} to {length.max():.1f}",
        off <= 0.002,
    )
    claims.check(
        f"… which approaches ½ + 4/π² = {_listed([LIMIT])} as the bias grows, and never is",
        f"best within {WITHIN:g} below",
        f"{share.max():.4f}",
        0 <= LIMIT - share.max() <= WITHIN,
    )
    pairs = explained(two)
    exact = [K for K in size.in_pairs if K >= EXACT_FROM]
    best, below = pairs.max("seed"), [K for K in size.in_pairs if K < EXACT_FROM]
    four = pairs.sel(dictionary_size=EXACT_FROM).values
    claims.check(
        "two latents at a time: four hold the circle exactly, in every seed",
        "explained variance above .9999",
        f"{four.min():.6f} or more",
        four.min() > 0.9999,
    )
    if below:
        values = best.sel(dictionary_size=below).values
        claims.check("… fewer do not", "best below .95", f"{_listed(values)} for K = {below}", np.all(values < 0.95))
    if exact[1:]:
        values = best.sel(dictionary_size=exact[1:]).values
        often = (pairs.sel(dictionary_size=exact[1:]) >= 1 - WITHIN).sum("seed").values
        claims.check(
            "… and more do, too, if they leave all others out",
            f"best within {WITHIN:g} of 1",
            f"{_listed(values)} for K = {exact[1:]}, in {' and '.join(map(str, often))} of {pairs.sizes['seed']} seeds; "
            f"evenly spread ones that are all active explain {_listed(tiled_in_pairs(exact[1:]))}",
            np.all(values >= 1 - WITHIN),
        )
    parts = shares(table)
    first = float(parts.isel(k=0).mean("dictionary_size")["shattering"])
    claims.check("one latent at a time shatters manifolds", "9 of 10 of them or more", f"{first:.2f}", first >= 0.9)
    pair = parts.isel(k=int(np.abs(np.array(size.active) - 2).argmin()))
    few, many = size.sizes[0], size.sizes[-1]
    captured, diluted = (float(pair[word].sel(dictionary_size=q)) for word, q in (("capture", few), ("dilution", many)))
    claims.check(
        f"two at a time: {few} latents, as many as signed axes, capture manifolds; {many} dilute them",
        "more than half of them in either case",
        f"{captured:.2f} captured; {diluted:.2f} diluted",
        min(captured, diluted) > 0.5,
    )


def draw(circle: Sequence[SweepResult], many: SweepResult, table: xr.Dataset, size: Size) -> tuple[Figure, str]:
    """Figure and caption: the laws on the circle, dictionaries on it, and how latents share many manifolds."""
    one, two, bias = circle
    figure, axes = plt.subplots(2, 3, figsize=(9.2, 5.4), layout="constrained")
    law_of_tiling(explained(one), axes[0, 0])
    pairs, free = explained(two).transpose("dictionary_size", "seed"), explained(bias).values
    axes[0, 0].plot(size.in_pairs, pairs, ".", color=PALETTE["green"], ms=2.5)
    axes[0, 0].plot(size.in_pairs, pairs.max("seed"), "s", color=PALETTE["green"], ms=4, label="two at a time")
    axes[0, 0].plot([2] * len(free), free, ".", color=PALETTE["red"], ms=2.5)
    axes[0, 0].plot([2], [free.max()], "D", color=PALETTE["red"], ms=4, label="one, free bias")
    axes[0, 0].axhline(LIMIT, color=PALETTE["red"], ls="--", lw=0.7, zorder=0)
    axes[0, 0].legend(loc="lower right")
    for ax, K in zip(axes[0, 1:], [K for K in DRAWN if K in size.latents], strict=False):
        cells = one.sel(dictionary_size=K)
        cell = cells.isel(seed=int(explained(cells).argmax("seed")))
        recovered_directions(np.zeros((2, 1)), np.asarray(cell.model().decoder)[:, :K], ax)
        ax.set_title(f"{K} latents, one at a time")
    for ax, q in zip(axes[1, :2], size.sizes, strict=False):
        regimes_by_k(shares(table).sel(dictionary_size=q), size.active, ax)
        ax.set_title(f"{q} latents for {len(MANIFOLDS)} manifolds")
    figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower left", ncols=len(REGIMES))
    for ax in axes[1, len(size.sizes) : 2]:
        ax.set_axis_off()
    for q, marker in zip(size.sizes, "os^", strict=False):
        of_source = table.sel(dictionary_size=q).mean("manifold")
        for name, line, color, label in (
            ("explained_variance", "-", "black", f"R², {q} latents"),
            ("subspace_recovery", "--", PALETTE["sky"], f"subspaces, {q}"),
        ):
            every = of_source[name].transpose("k", "source")
            axes[1, 2].plot(size.active, every, ".", color=color, ms=2.5, alpha=0.5)
            axes[1, 2].plot(size.active, every.mean("source"), f"{marker}{line}", color=color, ms=3.5, label=label)
    axes[1, 2].set(xlabel="active latents per active manifold", ylim=(0, 1.03))
    axes[1, 2].legend(loc="lower left")
    text = (
        "Top: explained variance of the unit circle, one dot per seed, curve: ½ (1 + sin(2π/K)/(2π/K)); larger: best "
        f"of {size.seeds} for two at a time and with a bias; dashed: ½ + 4/π². Decoder columns of the best seeds. "
        "Bottom: four circles and two spheres in random subspaces of 32 dimensions, each active with probability "
        f"{P:g}, BatchTopK: shares of manifolds in each regime, explained variance and subspace recovery, dots for "
        f"{size.sources} sets of subspaces and their mean."
    )
    return figure, caption(many.attrs, text)


def law_of_tiling(values: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Explained variance by number of latents, a dot per seed, and the closed form; dims (dictionary_size, seed)."""
    ax, values = current_axes(ax), values.transpose("dictionary_size", "seed")
    K = values["dictionary_size"].values
    x = np.geomspace(2, max(K.max(), 4), 200)
    ax.plot(x, tiled(x), color="black", lw=1)
    ax.plot(
        np.repeat(K, values.sizes["seed"]),
        values.values.ravel(),
        "o",
        color=PALETTE["blue"],
        ms=3,
        label="one at a time",
    )
    ax.set(xscale="log", xlabel="latents K", ylabel="explained variance", ylim=(0.45, 1.02))
    ax.set_xticks([2, 4, 8, 16, 32, 64], ["2", "4", "8", "16", "32", "64"])
    ax.minorticks_off()
    return ax


def regimes_by_k(parts: xr.Dataset, active: Sequence[float], ax: Axes | None = None) -> Axes:
    """Shares of manifolds in each regime as stacked bars, one for every number of active latents per active manifold."""
    ax, bottom = current_axes(ax), np.zeros(len(active))
    for word in REGIMES:
        height = parts[word].values
        ax.bar(np.arange(len(active)), height, 0.8, bottom=bottom, color=COLORS[word], label=word)
        bottom = bottom + height
    ax.set_xticks(np.arange(len(active)), [f"{value:g}" for value in active])
    ax.set(xlabel="active latents per active manifold", ylabel="share of manifolds", ylim=(0, 1))
    return ax


def _listed(values: Any, digits: int = 3) -> str:
    return ", ".join(f"{value:.{digits}f}".removeprefix("0") for value in values)
