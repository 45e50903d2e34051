"""Latents that tile common manifolds or find rare ones, by the sign of β − α: what is best, and what training does.

Michaud, Gorton and McGrath 2025, "Understanding sparse autoencoder scaling in the presence of feature manifolds".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.intervals import Interval, mean_interval
from superpos.analysis.manifolds import score_manifolds
from superpos.data.frequencies import zipf_probabilities
from superpos.data.manifolds import COORDINATES, DIMENSIONS, points
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SparseAutoencoder
from superpos.theory.allocation import (
    allocation_exponents,
    optimal_allocation,
    power_law_allocation,
    tiling_losses,
)
from superpos.training.train_config import TrainConfig

SOURCE = (
    "Michaud, Gorton and McGrath 2025, Understanding sparse autoencoder scaling in the presence of feature manifolds"
)
BETA = {kind: 2 / d for kind, d in DIMENSIONS.items()}
WITHIN = 0.15  # of exponents of trained autoencoders
BETWEEN = 0.75  # exponents of manifolds found, well below the boundary and well above it
NUMBERS = {"found": "manifolds found", "common": "latents on the most common", "loss": "loss"}
# One setting on each side of the boundary: kind of manifold, α.
DISCRETE, TILING = ("circle", 0.5), ("hypersphere", 3.0)
COLORS = {DISCRETE: PALETTE["blue"], TILING: PALETTE["red"]}
MARKERS = {"circle": "o", "sphere": "s", "hypersphere": "D"}
EXPONENT_RANGE = (0.3, 1.0)  # of the map's colours
LARGE = (1e3, 1e4)  # latents of the map


@dataclass(frozen=True)
class Size:
    """How many manifolds of each kind, exponents α, dictionary sizes, seeds, training, points of scores, cells of the map."""

    manifolds: Mapping[str, int]
    alphas: tuple[float, ...] = (0.5, 1.5, 3.0)
    latents: tuple[int, ...] = (24, 48, 96, 144)
    seeds: int = 8
    steps: int = 300
    batch_size: int = 128
    evaluation_samples: int = 4_096
    points: int = 256
    cells: int = 16


SIZES = Sizes(
    quick=Size(
        manifolds={"circle": 6, "hypersphere": 4}, alphas=(0.5, 3.0), latents=(4, 8), seeds=2, steps=20, batch_size=32,
        evaluation_samples=256, points=32, cells=4,
    ),
    laptop=Size(manifolds={"circle": 48, "sphere": 32, "hypersphere": 24}),
    full=Size(
        manifolds={"circle": 96, "sphere": 64, "hypersphere": 48}, latents=(24, 48, 96, 144, 192, 288), seeds=16,
        steps=10_000, batch_size=1_024, points=512, cells=32,
    ),
)  # fmt: skip


def frequencies(size: Size, kind: str, alpha: float) -> np.ndarray:
    r"""$p_i \propto i^{-(1 + \alpha)}$ of the manifolds of one kind; they add up to 1."""
    return np.asarray(zipf_probabilities(size.manifolds[kind], 1 + alpha, 1.0))


def build(size: Size, kind: str) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Exactly one of many manifolds in every input, in subspaces of their own, and one latent at a time."""
    d, m = COORDINATES[kind], size.manifolds[kind]
    task = SparseAutoencoder(
        n_features=d * m,
        n_hidden=d * m,
        n_latents=max(size.latents),
        directions=np.eye(d * m),
        manifolds=(kind,) * m,
        anticorrelated_sets=(tuple(range(d * m)),),
        feature_probability=1 / m,
        magnitude="constant",
        architecture="topk",
        k=1.0,
        initial_columns="inputs",
        revival="none",
    )
    config = TrainConfig(
        steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples, learning_rate=0.001
    )
    p = [np.repeat(frequencies(size, kind, alpha), d) for alpha in size.alphas]
    return task, config, Grid(feature_probability=p, dictionary_size=list(size.latents), seed=range(size.seeds))


def measure(result: SweepResult, size: Size, kind: str) -> xr.Dataset:
    """Of every model, over (alpha, dictionary_size, seed): `latents` of each manifold, `found`, `common`, `loss`.

    Scores are of the same points on every manifold, so that rare ones are judged, too: `latents`, over `manifold`, are those
    of `score_manifolds`; `found` is how many manifolds have one; `common` is how many the most common has; `loss` is the
    error on each manifold times its frequency. `best_latents`, `best_found`, `best_common` and `best_loss` are of the optimal
    allocation, without an axis of seeds.
    """
    d, m = COORDINATES[kind], size.manifolds[kind]
    x = np.kron(np.eye(m), even_points(kind, size.points))  # manifold after manifold
    h, truth = jnp.asarray(x, float), np.eye(d * m)
    shape = (len(size.alphas), len(size.latents), size.seeds)
    table: dict[str, Any] = {"latents": np.zeros((*shape, m), int), "loss": np.zeros(shape)}
    best: dict[str, Any] = {"latents": np.zeros((*shape[:2], m), int), "loss": np.zeros(shape[:2])}
    for a, alpha in enumerate(size.alphas):
        p = frequencies(size, kind, alpha)
        for k, n in enumerate(size.latents):
            best["latents"][a, k], best["loss"][a, k] = optimal_allocation(p, tiling_losses(kind, max(size.latents)), n)
            for s in range(size.seeds):
                model = result.isel(feature_probability=a, dictionary_size=k, seed=s).model()
                z, D = np.asarray(_encode(model, h)), np.asarray(model.decoder)
                made = D @ z
                scores = score_manifolds(truth, (kind,) * m, D, x, x, z, made, used=np.asarray(model.exists))
                errors = np.sum((x - made) ** 2, axis=0).reshape(m, -1).mean(axis=1)
                table["latents"][a, k, s], table["loss"][a, k, s] = scores.latents, p @ errors
    for of in (table, best):
        of |= {"found": np.sum(of["latents"] > 0, axis=-1), "common": of["latents"][..., 0]}
    dims = ("alpha", "dictionary_size", "seed", "manifold")
    rows = {name: (dims[: np.ndim(values)], values) for name, values in table.items()}
    for name, values in best.items():
        rows[f"best_{name}"] = ((*dims[:2], *dims[3:])[: np.ndim(values)], values)
    return xr.Dataset(rows, {"alpha": list(size.alphas), "dictionary_size": list(size.latents)})


@jax.jit
def _encode(model: Any, h: Any) -> Any:
    return model.encode(h)


def even_points(kind: str, n: int) -> np.ndarray:
    r"""Points of a manifold that are more even than random ones, (coordinates, n).

    The uniform numbers that make them are $(i\, a_j + \frac12) \bmod 1$ with $a_j = \varphi^{-j}$ and
    $\varphi^{d+1} = \varphi + 1$ in d dimensions: for a curve the golden ratio.
    """
    d, phi = DIMENSIONS[kind], 1.5
    for _ in range(50):
        phi = (1 + phi) ** (1 / (d + 1))
    u = np.full((COORDINATES[kind], n), 0.5)  # the first number of a manifold is not used
    u[1 : 1 + d] = (0.5 + np.arange(n) * phi ** -np.arange(1.0, d + 1)[:, None]) % 1
    return np.asarray(points((kind,), jnp.asarray(u, float)), np.float64)


def exponent(values: xr.DataArray) -> xr.DataArray:
    """The slope of the logarithm over that of the number of latents, by least squares; other axes stay."""
    log_n = np.log(values["dictionary_size"].astype(float))
    centred = log_n - log_n.mean()
    slope: xr.DataArray = (np.log(values.clip(min=1e-12)) * centred).sum("dictionary_size") / (centred**2).sum()
    return slope


def evaluate(tables: Mapping[str, xr.Dataset], size: Size, claims: Claims) -> None:
    """`tables` are `measure` of each kind of manifold."""
    _theory(size, claims)
    cells = [(kind, alpha) for kind in tables for alpha in size.alphas]
    slopes = {
        name: {(kind, alpha): exponent(tables[kind][name].sel(alpha=alpha)) for kind, alpha in cells}
        for name in ("found", "common", "loss", "best_found", "best_common", "best_loss")
    }
    if DISCRETE in cells:
        below = mean_interval(slopes["found"][DISCRETE].values)
        claims.check(
            f"{_named(DISCRETE)}, below the boundary: manifolds found rise in proportion to the latents",
            f"exponent 1 within {WITHIN:g}, and its interval above {BETWEEN:g} (95 %, {size.seeds} seeds)",
            _text(below),
            abs(below.estimate - 1) <= WITHIN and below.low > BETWEEN,
        )
    for cell in [(kind, TILING[1]) for kind in ("sphere", "hypersphere") if (kind, TILING[1]) in cells]:
        above, law = mean_interval(slopes["found"][cell].values), allocation_exponents(cell[1], BETA[cell[0]]).found
        claims.check(
            f"{_named(cell)}, above it: more slowly",
            f"exponent (1 + β)/(1 + α) = {law:.2f} within {WITHIN:g}, and its interval below {BETWEEN:g}",
            _text(above),
            abs(above.estimate - law) <= WITHIN and above.high < BETWEEN,
        )
    _by_kind(slopes, tables, size, claims)
    worst, words = {}, []
    for name in ("found", "common", "loss"):
        off = {cell: float(slopes[name][cell].mean() - slopes[f"best_{name}"][cell]) for cell in cells}
        at = max(off, key=lambda cell: abs(off[cell]))
        worst[name] = abs(off[at])
        words.append(
            f"{NUMBERS[name]} {off[at]:+.2f} ({_named(at)}; {np.mean(np.abs(list(off.values()))):.2f} on average)"
        )
    claims.check(
        "training shares latents as the optimal allocation of as many would",
        f"exponents within {WITHIN:g} of its own in each of {len(cells)} settings",
        "off by at most: " + "; ".join(words),
        all(value <= WITHIN for value in worst.values()),
    )
    sparse = [cell for cell in cells if cell[1] == min(size.alphas)]
    spread = {c: mean_interval(_over_best(tables[c[0]], "found", c[1]).mean("dictionary_size").values) for c in sparse}
    claims.check(
        f"training spreads latents over more manifolds than is best: α = {min(size.alphas):g}",
        "number found over that of the optimal allocation: above 1 by its interval, for each kind",
        f"{_range(spread)}",
        all(ratio.low > 1 for ratio in spread.values()),
    )
    largest = {c: mean_interval(_over_best(tables[c[0]], "loss", c[1]).isel(dictionary_size=-1).values) for c in cells}
    claims.check(
        f"… and does not reach the least loss: {max(size.latents)} latents",
        "loss over that of the optimal allocation: above 1 by its interval in every setting",
        f"{_range(largest)}",
        all(ratio.low > 1 for ratio in largest.values()),
    )


def _by_kind(slopes: Mapping[str, Any], tables: Mapping[str, xr.Dataset], size: Size, claims: Claims) -> None:
    """Claims that compare kinds of manifold at one α, by paired seeds."""
    if not {"circle", "hypersphere"} <= set(tables):
        return
    if (middle := 1.5) in size.alphas:
        more = mean_interval((slopes["found"]["circle", middle] - slopes["found"]["hypersphere", middle]).values)
        claims.check(
            f"at α = {middle:g} circles (β = 2, below the boundary) are found faster than hyperspheres (β = ⅔, above it)",
            "difference of exponents above 0 by its interval (paired seeds)",
            _text(more),
            more.low > 0,
        )
    least = min(size.alphas)
    more = mean_interval((slopes["common"]["hypersphere", least] - slopes["common"]["circle", least]).values)
    claims.check(
        f"at α = {least:g} latents on the most common hypersphere (β = ⅔) grow faster than on the most common circle (β = 2)",
        "difference of exponents above 0 by its interval (paired seeds)",
        _text(more),
        more.low > 0,
    )


def _theory(size: Size, claims: Claims) -> None:
    """Claims that no training enters."""
    off = []
    for alpha in (0.25, 0.5, 1.0, 1.5, 3.0):
        for beta in (0.5, 2 / 3, 1.0, 2.0, 3.0):
            if not 3 / 4 < (1 + alpha) / (1 + beta) < 4 / 3:
                slope = map_exponent(alpha, beta, (1e4, 1e5))
                off.append(abs(slope - allocation_exponents(alpha, beta).found))
    claims.check(
        "optimal allocation of 10,000 to 100,000 latents: features found grow as N^min(1, (1 + β)/(1 + α))",
        f"within .05 in {len(off)} pairs (α, β) with (1 + α)/(1 + β) outside of 3/4 … 4/3",
        f"off by {max(off):.3f} at most",
        max(off) <= 0.05,
    )
    slopes = {}
    for kind in size.manifolds:
        n = max(size.latents)
        losses = tiling_losses(kind, n)
        slopes[kind] = -np.log(losses[n] / losses[n // 4]) / np.log(4)
    claims.check(
        "what n latents leave of a manifold of d dimensions falls as n^−2/d",
        f"exponent within .1 between {n // 4} and {n} latents",
        ", ".join(f"{kind} {slope:.2f} (β = {BETA[kind]:.2f})" for kind, slope in slopes.items()),
        all(abs(slope - BETA[kind]) <= 0.1 for kind, slope in slopes.items()),
    )


@cache
def map_exponent(alpha: float, beta: float, latents: tuple[float, float] = LARGE) -> float:
    """The exponent of features found by the optimal allocation between two numbers of latents."""
    few, many = (power_law_allocation(alpha, beta, n) for n in latents)
    return float(np.log(many.found / few.found) / np.log(many.latents / few.latents))


def _over_best(table: xr.Dataset, name: str, alpha: float) -> xr.DataArray:
    ratio: xr.DataArray = (table[name] / table[f"best_{name}"]).sel(alpha=alpha)
    return ratio


def _named(cell: tuple[str, float]) -> str:
    return f"{cell[0]}s, α = {cell[1]:g}"


def _text(value: Interval) -> str:
    return f"{value.estimate:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _range(values: Mapping[tuple[str, float], Interval]) -> str:
    """The settings with the least and the largest of some ratios."""
    ends = [pick(values, key=lambda cell: values[cell].estimate) for pick in (min, max)]
    return " to ".join(f"{_text(values[cell])} ({_named(cell)})" for cell in ends)


def draw(result: SweepResult, tables: Mapping[str, xr.Dataset], size: Size) -> tuple[Figure, str]:
    """Figure and caption: the map, manifolds found by number of latents, and latents by rank of the manifold."""
    figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.1), layout="constrained", width_ratios=(1.25, 1, 1))
    slopes = {kind: exponent(table["found"]).mean("seed") for kind, table in tables.items()}
    best = {kind: exponent(table["best_found"]) for kind, table in tables.items()}
    exponent_map(slopes, best, size.cells, axes[0])
    chosen = [cell for cell in (DISCRETE, TILING) if cell[0] in tables and cell[1] in size.alphas]
    manifolds_by_latents({cell: tables[cell[0]].sel(alpha=cell[1]) for cell in chosen}, axes[1])
    latents_by_rank({cell: tables[cell[0]].sel(alpha=cell[1]) for cell in chosen}, axes[2])
    axes[1].legend(loc="upper left")
    axes[2].legend(loc="upper right")
    text = (
        "Autoencoders with one latent at a time, on inputs that are a point of one of many manifolds, the i-th with a "
        "frequency ∝ i^−(1+α); n latents leave ∝ n^−β of one. Columns begin as inputs, each drawn in proportion to what "
        "those before it leave. Left: exponent of the number of manifolds found, in the number of latents: by optimal "
        f"allocation of {LARGE[0]:,.0f} to {LARGE[1]:,.0f} latents (map), of "
        f"{min(size.latents)} to {max(size.latents)} on circles (β = 2), spheres (1) and hyperspheres (⅔) (rims), trained "
        f"(fillings, means over {size.seeds} seeds); line: α = β. Middle: manifolds found; line: optimal allocation; dotted: "
        "closed form of its slope for many latents. Right: latents of each manifold, of the most that there are; line: "
        "optimal allocation. Bars: 95 % intervals over seeds."
    )
    return figure, caption(result.attrs, text)


def exponent_map(
    slopes: Mapping[str, xr.DataArray], best: Mapping[str, xr.DataArray], cells: int, ax: Axes | None = None
) -> Axes:
    """Exponents over (α, β): of large optimal allocations as a map, of trained ones and their optima as points by kind.

    `slopes` and `best` have one dim, alpha, for each kind of manifold; `cells` is how many the map has on each side.
    """
    ax = current_axes(ax)
    alphas, betas = np.linspace(0.125, 3.5, cells), np.linspace(0.4, 2.4, cells)
    colours: Any = {"cmap": "viridis", "vmin": EXPONENT_RANGE[0], "vmax": EXPONENT_RANGE[1]}
    values = [[map_exponent(a, b) for a in alphas] for b in betas]
    image = ax.pcolormesh(alphas, betas, values, shading="nearest", rasterized=True, **colours)
    ax.plot([betas[0], betas[-1]], [betas[0], betas[-1]], color="white", lw=1.5)
    for kind, values_of_kind in slopes.items():
        at = values_of_kind["alpha"].values
        beta = np.full(len(at), BETA[kind])
        ax.scatter(at, beta, c=best[kind].values, s=110, marker=MARKERS[kind], edgecolors="white", lw=0.8, **colours)
        ax.scatter(at, beta, c=values_of_kind.values, s=35, marker=MARKERS[kind], edgecolors="white", lw=0.8, **colours)
        ax.text(2.86, BETA[kind], f"{kind}s", color="white", ha="right", va="center", fontsize="x-small")
    ax.text(1.95, 1.72, "α = β", color="white", fontsize="small")
    ax.set(xlabel="α, steepness of frequencies", ylabel="β, gain by tiling", xlim=(0.1, 3.5), ylim=(0.4, 2.4))
    ax.figure.colorbar(image, ax=ax, label="exponent of manifolds found")
    return ax


def manifolds_by_latents(tables: Mapping[tuple[str, float], xr.Dataset], ax: Axes | None = None) -> Axes:
    """Manifolds found over latents, by setting: means and intervals over seeds, the optimum, and the closed form's slope."""
    ax = current_axes(ax)
    for (kind, alpha), table in tables.items():
        n, color = table["dictionary_size"].values, COLORS[kind, alpha]
        low, mean, high = _bars(table["found"])
        label = f"{kind}s, α = {alpha:g}"
        ax.errorbar(n, mean, [mean - low, high - mean], fmt=MARKERS[kind], ms=4, lw=1, color=color, label=label)
        ax.plot(n, table["best_found"], color=color, lw=1.2)
        law = allocation_exponents(alpha, BETA[kind]).found
        ax.plot(n, mean[-1] * 1.25 * (n / n[-1]) ** law, ":", color=color, lw=1)
    ax.set(xscale="log", yscale="log", xlabel="latents N", ylabel="manifolds found", ylim=(0.9, None))
    ax.set_xticks(n, [str(value) for value in n])
    ax.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    ax.minorticks_off()
    ax.set_ylim(top=120)  # room for the legend
    return ax


def latents_by_rank(tables: Mapping[tuple[str, float], xr.Dataset], ax: Axes | None = None) -> Axes:
    """Latents of every manifold by its rank, of the largest dictionaries: means and intervals over seeds, and the optimum."""
    ax = current_axes(ax)
    for (kind, alpha), table in tables.items():
        largest = table.isel(dictionary_size=-1)
        low, mean, high = _bars(largest["latents"])
        rank = 1 + np.arange(len(mean))
        ax.errorbar(
            rank, mean, [mean - low, high - mean], fmt=MARKERS[kind], ms=3, lw=0.8, color=COLORS[kind, alpha],
            label=f"{kind}s, α = {alpha:g}",
        )  # fmt: skip
        shown = largest["best_latents"].values > 0
        ax.plot(rank[shown], largest["best_latents"].values[shown], color=COLORS[kind, alpha], lw=1.2)
    ax.set(xscale="log", yscale="log", xlabel="rank i of the manifold", ylabel="its latents", ylim=(0.1, 300))
    ax.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
    ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.minorticks_off()
    return ax


def _bars(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower ends, means and upper ends of 95 % intervals over seeds, which is the axis that goes."""
    others = [dim for dim in values.dims if dim != "seed"]
    rows = [mean_interval(row) for row in values.transpose(*others, "seed").values]
    return np.array([r.low for r in rows]), np.array([r.estimate for r in rows]), np.array([r.high for r in rows])
