"""How strongly to ask for sparsity: in a band of L1 coefficients, dictionaries that are large enough find all features.

Sharkey, Braun and Millidge 2022, "Taking features out of superposition with sparse autoencoders". They average the error over
the hidden layer and divide the L1 penalty by the size of the dictionary: their α is λ · n_latents / n_hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from superpos.analysis.matching import cosines, random_directions
from superpos.data import geometric_probabilities
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes, training
from superpos.plot.appearance import caption, current_axes
from superpos.plot.sweeps import log_edges, plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SparseAutoencoder
from superpos.training.train_config import TrainConfig

SOURCE = "Sharkey et al. 2022, Taking features out of superposition"
BAND = 0.95  # MMCS above this counts as having found the features
# Latents active on a smaller share of inputs are as good as dead. An L1 penalty stops pushing a latent once it is silent on
# a batch, so few are silent on all inputs ever.
SILENT_BELOW = 1e-3
DENSE = 2  # × the true L0
AXES = ("n_latents", "sparsity_coefficient")
GAP = 1.35  # between the map and the column of the random dictionaries, as a factor


@dataclass(frozen=True)
class Size:
    """Features, grid, training, and inputs of scores.

    Each feature is `decay` times as frequent as the one before, and `mean_active` of them are active at once. Dictionaries
    have `ratios` times as many latents as there are features. Coefficients are those of the paper's α = 10^(e/4) with e of
    `exponents`, for a dictionary as large as the features, of which the hidden layer has half.
    """

    n_features: int = 64
    decay: float = 0.97
    mean_active: float = 3
    ratios: tuple[float, ...] = (0.5, 1, 2, 4)
    exponents: range = range(-6, 4)
    steps: int = 2_500
    batch_size: int = 256
    evaluation_samples: int = TrainConfig.evaluation_samples
    n_inputs: int = 16_384


SIZES = Sizes(
    quick=Size(
        n_features=16,
        mean_active=1,
        ratios=(1, 2),
        exponents=range(-6, 4, 3),
        steps=30,
        evaluation_samples=1_024,
        n_inputs=1_024,
    ),
    laptop=Size(),
    full=Size(
        n_features=512,
        decay=0.99,
        mean_active=5,
        ratios=(0.25, 0.5, 1, 2, 4, 8, 16, 32),
        exponents=range(-8, 9),
        steps=10_000,
        batch_size=1_024,
    ),
)


def build(size: Size) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Task, training and grid: random directions, some features rarer than others.

    Every size of dictionary starts from a seed of its own, see `scan`.
    """
    n = size.n_features
    coefficients = 0.5 * 10.0 ** (np.array(size.exponents) / 4)
    points = [
        {"n_latents": int(n * ratio), "sparsity_coefficient": coefficient, "seed": seed}
        for seed, ratio in enumerate(size.ratios)
        for coefficient in coefficients.tolist()
    ]
    task = SparseAutoencoder(
        n_features=n,
        n_hidden=n // 2,
        n_latents=n,
        feature_probability=geometric_probabilities(n, size.decay, size.mean_active),
        revival="none",  # reviving dead latents would hide that a penalty kills them
    )
    return task, training(size), Grid.points(points)


def scan(result: SweepResult, **options: Any) -> xr.Dataset:
    """`by_size` of a result that lists cells over `n_latents` and `sparsity_coefficient`, a full product.

    Every size must start from a seed of its own, or columns that never learned would agree. `options` are those of
    `SweepResult.sae_scores`.
    """
    cells = range(result["loss"].size)
    decoders = [np.asarray(result.isel(cell=k).model().decoder) for k in cells]
    return by_size(result.sae_scores(**options), decoders, result.attrs["task"]["n_features"])


def by_size(table: xr.Dataset, decoders: Sequence[np.ndarray], n_features: int) -> xr.Dataset:
    r"""Scores of dictionaries by size and L1 coefficient; dims (dictionary_ratio, sparsity_coefficient).

    `table` is that of `SweepResult.sae_scores` over `cell`, and `decoders` are in its order. `mmcs`, `mcc`, `l0`, `l0_true`
    and `random_mmcs` are the table's; `silent_share` is the share of latents active on fewer than 1 in 1,000 inputs. `proxy`
    needs no true features: the mean over the latents of one dictionary of the largest cosine with a latent of the next
    larger one at the same coefficient, $\frac1k \sum_j \max_l \cos(D_j, D'_l)$ (NaN for the largest); `random_proxy` the
    same of random dictionaries.
    """
    active = table["frequency"]
    table = table.assign(silent_share=(active < SILENT_BELOW).sum("latent") / active.notnull().sum("latent"))
    names = ["mmcs", "mcc", "l0", "l0_true", "random_mmcs", "silent_share"]
    scores = table[names].reset_coords(drop=True).assign_coords({a: table[a] for a in AXES})
    scores = scores.set_index(cell=AXES).unstack("cell").transpose(*AXES)
    sizes, coefficients = (scores[a].values.tolist() for a in AXES)
    decoder = dict(zip(zip(*(table[a].values.tolist() for a in AXES), strict=True), decoders, strict=True))
    proxy, random_proxy = np.full((len(sizes), len(coefficients)), np.nan), np.full(len(sizes), np.nan)
    m = len(decoders[0])
    for i, (small, large) in enumerate(pairwise(sizes)):
        proxy[i] = [agreement(decoder[small, c], decoder[large, c]) for c in coefficients]
        random_proxy[i] = agreement(random_directions(m, small, (0,)), random_directions(m, large, (1,)))
    scores = scores.assign(proxy=(AXES, proxy), random_proxy=("n_latents", random_proxy))
    return scores.assign_coords(n_latents=np.array(sizes) / n_features).rename(n_latents="dictionary_ratio")


def agreement(decoder: np.ndarray, larger: np.ndarray) -> float:
    """MMCS of one dictionary's columns against another's: the mean over the first's of the largest cosine."""
    return float(cosines(decoder, larger).max(axis=1).mean())


def evaluate(scores: xr.Dataset, claims: Claims) -> None:
    """A band of coefficients in which dictionaries that are large enough find all features; `scores` is of `scan`."""
    ratios, coefficients = scores["dictionary_ratio"].values, scores["sparsity_coefficient"].values
    enough, (mmcs, l0) = ratios >= 1, (scores[name].values for name in ("mmcs", "l0"))
    inside = mmcs > BAND
    chance = scores["random_mmcs"].mean("sparsity_coefficient").values
    bands = [
        f"ratio {r:g}: {_range(coefficients[row])} (at best {best:.3f}; random {c:.2f})"
        for r, row, best, c in zip(ratios, inside, mmcs.max(axis=1), chance, strict=True)
        if r >= 1
    ]
    holds = all(row.any() and np.all(np.diff(np.flatnonzero(row)) == 1) for row in inside[enough])
    expected = f"MMCS > {BAND} in one range of λ, for every dictionary ratio ≥ 1"
    claims.check("enough latents: there is a band of λ", expected, "; ".join(bands), holds)
    if not enough.all():
        too_few, mcc = ~enough, scores["mcc"].values
        measured = "; ".join(
            f"ratio {r:g}: MMCS ≤ {a:.3f} (random {c:.2f})"
            for r, a, c in zip(ratios[too_few], mmcs[too_few].max(axis=1), chance[too_few], strict=True)
        )
        claims.check("too few latents: there is none", f"MMCS never > {BAND}", measured, not inside[too_few].any())
        most = mcc[too_few].max(axis=1)  # a mean over features of which only so many have a latent
        measured = "; ".join(f"ratio {r:g}: MCC ≤ {b:.3f}" for r, b in zip(ratios[too_few], most, strict=True))
        holds = np.all(most <= ratios[too_few] + 1e-6)
        claims.identity("too few latents: MCC is at most their share of the features", "MCC ≤ ratio", measured, holds)
    true = float(scores["l0_true"].mean())
    smallest, largest, l0_smallest = mmcs[enough, 0], mmcs[enough, -1], l0[enough, 0]
    measured = f"MMCS {_span(smallest)}, L0 {_span(l0_smallest)} at λ = {coefficients[0]:.3g}"
    expected = f"MMCS ≤ {BAND}, L0 above {DENSE} × the true {true:.2f}"
    holds = smallest.max() <= BAND and l0_smallest.min() > DENSE * true
    claims.check("λ too small, enough latents: they are dense", expected, measured, holds)
    silent = scores["silent_share"].values[enough, -1]
    measured = f"MMCS {_span(largest)}, silent {_span(silent)} at λ = {coefficients[-1]:.3g}"
    expected = f"MMCS ≤ {BAND}, most latents active on less than {SILENT_BELOW:g} of inputs"
    holds = largest.max() <= BAND and silent.min() > 0.5
    claims.check("λ too large, enough latents: they are dead", expected, measured, holds)
    compared = [k for k in np.flatnonzero(enough) if k + 1 < len(ratios)]
    peaks = scores["proxy"].values[compared].argmax(axis=1)
    in_band = [inside[k, max(0, at - 1) : at + 2].any() for k, at in zip(compared, peaks, strict=True)]
    measured = "; ".join(
        f"ratio {ratios[k]:g}: {scores['proxy'].values[k, at]:.3f} at λ = {coefficients[at]:.3g}, where MMCS is "
        f"{mmcs[k, at]:.3f}"
        for k, at in zip(compared, peaks, strict=True)
    )
    expected = "the cosine with a larger dictionary is largest in the band or one λ beside it"
    claims.check("no true features needed to find the band", expected, measured, compared and all(in_band))


def _range(values: np.ndarray) -> str:
    return f"λ {values[0]:.3g} … {values[-1]:.3g}" if len(values) else "no λ"


def _span(values: np.ndarray) -> str:
    return f"{values.min():.2f} … {values.max():.2f}"


def draw(result: SweepResult, scores: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: agreement with the true features and with a larger dictionary; active and silent latents.

    `scores` are those of `scan`.
    """
    figure, axes = plt.subplots(2, 2, figsize=(8.2, 5), height_ratios=(1.3, 1), layout="constrained")
    chance = scores["random_mmcs"].mean("sparsity_coefficient")
    coefficient_map(scores["mmcs"], axes[0, 0], random=chance, band=BAND)
    image = coefficient_map(scores["proxy"], axes[0, 1], random=scores["random_proxy"])
    axes[0, 0].set_title("against the true features (MMCS)", loc="left")
    axes[0, 1].set_title("against the next larger dictionary", loc="left")
    figure.colorbar(image, ax=axes[0], label="mean max cosine similarity")
    true = float(scores["l0_true"].mean())
    by_coefficient(scores["l0"], axes[1, 0], label="active latents $L_0$", level=true).set(yscale="log")
    by_coefficient(scores["silent_share"], axes[1, 1], label="share of silent latents")
    axes[1, 1].legend(loc="upper left")
    for ax in axes[1]:
        ax.set_xlim(axes[0, 0].get_xlim())
    text = (
        f"Top: cosine of the closest latent, mean over features (framed: above {BAND}), and mean over latents of the "
        f"closest latent of the next larger dictionary. Bottom: active latents (dashed: active features, {true:.2f}); "
        f"latents active on less than {SILENT_BELOW:g} of inputs. One dictionary per cell and point; all of a size start "
        "from one seed. Features are random directions. The paper's α is λ × latents / hidden dimensions."
    )
    return figure, caption(result.attrs, text)


def coefficient_map(
    values: xr.DataArray, ax: Axes | None = None, *, random: xr.DataArray | None = None, band: float | None = None
) -> Any:
    """Numbers between 0 and 1 over the L1 coefficient λ (across) and the size of the dictionary (up). Returns the image.

    `values` has dims (dictionary_ratio, sparsity_coefficient) and every cell its number; rows of NaN are left out. `random`,
    over dictionary_ratio, is a column of its own on the right. Runs of cells above `band` are framed.
    """
    ax = current_axes(ax)
    values = values.dropna("dictionary_ratio", how="all").transpose("dictionary_ratio", "sparsity_coefficient")
    x, ratios = values["sparsity_coefficient"].values, values["dictionary_ratio"].values
    edges, rows = log_edges(x), np.arange(len(ratios) + 1) - 0.5
    image_style: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": "viridis", "rasterized": True}
    mesh = ax.pcolormesh(edges, rows, values.values, **image_style)
    _write(ax, x, values.values)
    if band is not None:
        for row, inside in enumerate(values.values > band):
            turns = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
            for begin, end in zip(turns[::2], turns[1::2], strict=True):
                corner, width = (float(edges[begin]), row - 0.5), float(edges[end] - edges[begin])
                ax.add_patch(Rectangle(corner, width, 1, fill=False, ec="black", lw=1.6, zorder=3))
    right = edges[-1]
    if random is not None:
        chance = random.sel(dictionary_ratio=ratios).values[:, None]
        left = edges[-1] * GAP
        right = left * edges[-1] / edges[-2]
        ax.pcolormesh([left, right], rows, chance, **image_style)
        _write(ax, np.array([np.sqrt(left * right)]), chance)
        style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "top", "size": 7}
        ax.annotate("random", (np.sqrt(left * right), rows[0]), (0, -4), **style)  # below, since titles stand above
    ax.set(xscale="log", xlabel="L1 coefficient λ", xlim=(edges[0], right), ylim=(rows[0], rows[-1]))
    ax.set(ylabel="latents per feature", yticks=range(len(ratios)), yticklabels=[str(Fraction(r)) for r in ratios])
    ax.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    plain_ticks(ax, subs=(1,))
    inside = [tick for tick in ax.get_xticks(minor=True) if edges[0] <= tick <= edges[-1]]
    ax.set_xticks(inside, labels=[""] * len(inside), minor=True)  # none under the random dictionaries
    return mesh


def by_coefficient(
    values: xr.DataArray, ax: Axes | None = None, *, label: str = "", level: float | None = None
) -> Axes:
    """One curve over the L1 coefficient λ per size of the dictionary; a dashed line at `level`.

    `values` has dims (dictionary_ratio, sparsity_coefficient).
    """
    ax = current_axes(ax)
    ratios = values["dictionary_ratio"].values
    colors = colormaps["plasma"](np.linspace(0, 0.85, len(ratios)))
    if level is not None:
        ax.axhline(level, color="black", ls="--", lw=0.9, zorder=0)
    for r, color in zip(ratios, colors, strict=True):
        row = values.sel(dictionary_ratio=r)
        ax.plot(row["sparsity_coefficient"], row, "o-", color=color, ms=2.5, label=f"{Fraction(r)} × features")
    ax.set(xscale="log", xlabel="L1 coefficient λ", ylabel=label)
    plain_ticks(ax, subs=(1,))
    return ax


def _write(ax: Axes, x: Any, values: Any) -> None:
    """Every number in its cell."""
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        text, color = f"{value:.2f}".lstrip("0"), "black" if value > 0.6 else "white"
        ax.text(float(x[column]), float(row), text, ha="center", va="center", fontsize=6.5, color=color)
