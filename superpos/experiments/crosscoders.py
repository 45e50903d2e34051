"""Crosscoders over two toy models: which features have both, which has one, and what an L1 penalty makes of that.

Lindsey et al. 2024, "Sparse Crosscoders for Cross-Layer Features and Model Diffing"; Minder et al. 2025, arXiv:2504.02922;
Mishra-Sharma et al. 2025, "Insights on Crosscoder Model Diffing".
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.crosscoders import EXCLUSIVE_ABOVE, score_crosscoder
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, architecture_color, architecture_label, caption, current_axes
from superpos.sweeping import Grid, SweepResult, sparsity_grid
from superpos.tasks import Crosscoder, Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Lindsey et al. 2024; Minder et al. 2025 (arXiv:2504.02922); Mishra-Sharma et al. 2025"
N_SHARED, N_EXCLUSIVE, N_HIDDEN, DENSITY = 30, 10, 10, 0.03
N_FEATURES = N_SHARED + 2 * N_EXCLUSIVE
COMMON = range(N_SHARED)
GIVEN = (
    range(N_SHARED + N_EXCLUSIVE),
    (*COMMON, *range(N_SHARED + N_EXCLUSIVE, N_FEATURES)),
)
# How long shared features are in the second model, as multiples of what they were, where that differs.
STRENGTHS = np.geomspace(0.15, 1, N_SHARED)
PLANTED, UNEQUAL, IDENTICAL = range(3)  # values of `source`
L1, K = 0.3, N_FEATURES * DENSITY
N_LATENTS = 60  # more than features: with as many, some seeds leave a feature without a latent
FEW, DESIGNATED = 30, 15  # latents where there are too few, and how many of them are designated to be shared
LIVE_ABOVE = 1e-4  # share of the inputs
ARCHITECTURES = ("batch_topk", "relu")
COLORS = {"first": PALETTE["blue"], "both": "#999999", "second": PALETTE["orange"]}


@dataclass(frozen=True)
class Size:
    """Steps of toy models; architectures, seeds, steps and batch of crosscoders; seeds of those with too few latents."""

    toy_steps: int = 3_000
    architectures: tuple[str, ...] = ARCHITECTURES
    seeds: int = 16
    steps: int = 3_000
    batch_size: int = 512
    evaluation_samples: int = 16_384
    few_seeds: int = 8


SIZES = Sizes(
    quick=Size(toy_steps=10, seeds=1, steps=10, batch_size=32, evaluation_samples=64, few_seeds=1),
    laptop=Size(),
    full=Size(seeds=64, steps=10_000, batch_size=2_048, few_seeds=64),
)


def build_toys(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of two toy models, of so many features as each is given."""
    task = Toy(n_features=N_SHARED + N_EXCLUSIVE, n_hidden=N_HIDDEN, feature_probability=DENSITY)
    return task, TrainConfig(steps=size.toy_steps, evaluation_samples=size.evaluation_samples), Grid(seed=range(2))


def pairs_of(toys: SweepResult) -> tuple[np.ndarray, np.ndarray]:
    """The W of both models in all pairs that are read, (3, n_hidden, n_features of the model): planted, unequal, identical.

    The pair with unequal strengths is the planted one with the shared features of the second model made shorter.
    """
    first, second = (toys["W"].isel(seed=k).transpose("hidden", "feature").values for k in range(2))
    weaker = second * np.concatenate([STRENGTHS, np.ones(N_EXCLUSIVE)])
    return np.stack([first, first, first]), np.stack([second, weaker, first])


def task_of(size: Size, toys: SweepResult, **settings: Any) -> Crosscoder:
    """Crosscoders on all pairs; the model twice of the identical pair is given the same features twice."""
    world = Toy(n_features=N_FEATURES, n_hidden=N_HIDDEN, feature_probability=DENSITY)
    whole = [np.zeros((3, N_HIDDEN, N_FEATURES)) for _ in range(2)]
    for W, models, given in zip(whole, pairs_of(toys), GIVEN, strict=True):
        W[:IDENTICAL, :, list(given)] = models[:IDENTICAL]
        W[IDENTICAL, :, list(GIVEN[0])] = models[IDENTICAL].T
    return Crosscoder.of_toys(world, whole, **settings)


def build(size: Size, toys: SweepResult) -> tuple[Crosscoder, TrainConfig, Grid]:
    """Task, training and grid of crosscoders with more latents than features, on three pairs of models."""
    settings = {"batch_topk": [K], "relu": [L1]}
    grid = sparsity_grid({name: settings[name] for name in size.architectures}, source=range(3), seed=range(size.seeds))
    return task_of(size, toys, n_latents=N_LATENTS), _config(size), grid


def build_few(size: Size, toys: SweepResult) -> tuple[Crosscoder, TrainConfig, Grid]:
    """The same with an L1 penalty and too few latents, none or some of them designated to be shared."""
    task = task_of(size, toys, n_latents=FEW, sparsity_coefficient=L1)
    return task, _config(size), Grid(n_shared=[0, DESIGNATED], seed=range(size.few_seeds))


def _config(size: Size) -> TrainConfig:
    return TrainConfig(
        steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.evaluation_samples, history=2
    )


def measure(result: SweepResult) -> xr.Dataset:
    """`score_crosscoder` of every crosscoder, over the axes of `result`; which model has which feature is planted."""
    loss, scores, kinds = result["loss"], [], []
    for index in np.ndindex(loss.shape):
        cell = result.isel(**dict(zip(map(str, loss.dims), index, strict=True)))
        task: Any = cell.task()
        model = cell.model()
        D = np.asarray(task.broadcast().precompute().directions)
        has = np.stack([np.any(block != 0, axis=0) for block in np.split(D, 2)])
        used = np.asarray(model.frequency[...]) > LIVE_ABOVE
        scores.append(score_crosscoder(D, model.W_dec[...], task.parts, given=has, used=used))
        kinds.append(has[1].astype(int) - has[0])
    variables = {name: _labelled(loss, [getattr(s, name) for s in scores], dims) for name, dims in VARIABLES.items()}
    variables["kind"] = _labelled(loss, [k[s.nearest_feature] for k, s in zip(kinds, scores, strict=True)], ("latent",))
    return xr.Dataset(variables)


VARIABLES = {
    "auc": ("part",), "n_exclusive": (), "false_exclusive": (), "decoupled": (), "missed": (), "shares": ("part", "latent"),
    "purity": ("latent",), "exclusive_to": ("latent",), "feature_shares": ("part", "feature"),
}  # fmt: skip


def _labelled(loss: xr.DataArray, values: list[Any], dims: tuple[str, ...]) -> xr.DataArray:
    array = np.stack([np.asarray(v) for v in values])
    return xr.DataArray(array.reshape((*loss.shape, *array.shape[1:])), loss.coords, (*loss.dims, *dims))


def chosen(table: xr.Dataset, architecture: str, source: int) -> xr.Dataset:
    """The cells of one architecture and one pair of models."""
    is_chosen = (table["architecture"] == architecture) & (table["source"] == source)
    return table.isel(cell=np.flatnonzero(is_chosen.values))


def shrunk_share(first: Any, second: Any, coefficient: float = L1) -> Any:
    r"""The second model's share of the norms that an L1 penalty leaves to a feature, from its lengths $a_1$, $a_2$ in both.

    A latent $z = c\,x$ alone with its feature adds $g_m x$ to the hidden layer of model m and costs $\lambda x \sum_m g_m$.
    $E\,[(a_m - g_m)^2 x^2] + \lambda g_m E\,x$ over active x is least at

    $$g_m = \max\Big(0,\; a_m - \frac{\lambda}{2}\,\frac{E\,x}{E\,x^2}\Big),$$

    with $E x / E x^2 = 3/2$ for uniform magnitudes: every model's part is shortened by the same, the shorter one to nothing.
    """
    g1, g2 = (np.maximum(np.asarray(a) - 0.75 * coefficient, 0) for a in (first, second))
    return np.divide(g2, g1 + g2, out=np.zeros(np.shape(g1 + g2)), where=g1 + g2 > 0)


def lengths_of(toys: SweepResult, source: int) -> np.ndarray:
    """How long the shared features are in both models of a pair, (2, 30)."""
    return np.stack([np.linalg.norm(models[source][:, COMMON], axis=0) for models in pairs_of(toys)])


def evaluate(toys: SweepResult, table: xr.Dataset, few: xr.Dataset, claims: Claims) -> None:
    """All claims; `table` and `few` are the `measure` of both sweeps."""
    for name in ARCHITECTURES:
        areas = chosen(table, name, PLANTED)["auc"].values
        claims.check(
            f"{architecture_label(name)}: norm shares tell the features of one model, area under the ROC curve",
            "at least .99 for both models in every seed",
            f"{areas.min():.4f} or more ({len(areas)} seeds)",
            bool((areas >= 0.99).all()),
        )
    false = {name: chosen(table, name, PLANTED)["false_exclusive"].values for name in ARCHITECTURES}
    claims.check(
        "features equally long in both models: no shared one looks exclusive",
        "no false exclusive latent in any seed, BatchTopK and L1",
        ", ".join(f"{architecture_label(name)} {values.max()} at most" for name, values in false.items()),
        all(values.max() == 0 for values in false.values()),
    )
    for name in ARCHITECTURES:
        same = chosen(table, name, IDENTICAL)
        count = same["n_exclusive"].values
        claims.check(
            f"{architecture_label(name)}: two identical models have no exclusive latent",
            f"none in any of {len(count)} seeds",
            f"{count.max()} at most",
            bool((count == 0).all()),
        )
    first, second = lengths_of(toys, UNEQUAL)
    truth, shrunk = second / (first + second), shrunk_share(first, second)
    measured = {name: _median_shares(table, name) for name in ARCHITECTURES}
    off = {name: float(np.median(np.abs(shares - truth))) for name, shares in measured.items()}
    claims.check(
        "BatchTopK: features shorter in the second model keep their true share of the norms",
        "within .02, median of 30 features",
        f"{off['batch_topk']:.3f} (L1 {off['relu']:.3f})",
        off["batch_topk"] < 0.02,
    )
    from_form = float(np.median(np.abs(measured["relu"] - shrunk)))
    claims.check(
        "L1: every part is shortened by the same, as the closed form says",
        "share within .02 of it, median of 30 features",
        f"{from_form:.3f}",
        from_form < 0.02,
    )
    gone = shrunk == 0
    dead = measured["relu"][gone]
    claims.check(
        f"L1: complete shrinkage, the {gone.sum()} features that the closed form shortens to nothing look exclusive",
        f"share below {1 - EXCLUSIVE_ABOVE:.1f} for every one, above it for every one with BatchTopK",
        f"{dead.max(initial=0):.3f} at most; BatchTopK {measured['batch_topk'][gone].min(initial=1):.3f} or more",
        bool(gone.any() and dead.max() < 1 - EXCLUSIVE_ABOVE < measured["batch_topk"][gone].min()),
    )
    false = {name: chosen(table, name, UNEQUAL)["false_exclusive"].mean().item() for name in ARCHITECTURES}
    n = int(np.sum(shrunk < 1 - EXCLUSIVE_ABOVE))
    claims.check(
        "shared features of unequal length: false exclusive latents",
        f"with L1 {n} on average, within 1, as the closed form says; with BatchTopK less than one",
        f"L1 {false['relu']:.1f}, BatchTopK {false['batch_topk']:.1f}",
        abs(false["relu"] - n) <= 1 and false["batch_topk"] < 1,
    )
    apart = {name: int(chosen(table, name, UNEQUAL)["decoupled"].max()) for name in ARCHITECTURES}
    apart |= {f"{name} ": int(chosen(table, name, PLANTED)["decoupled"].max()) for name in ARCHITECTURES}
    claims.check(
        "no shared feature is decoupled into an exclusive latent of each model",
        "none in any seed, BatchTopK and L1 (whose penalty is the same for both)",
        f"{max(apart.values())} at most",
        max(apart.values()) == 0,
    )
    n = few["n_exclusive"].mean("seed")
    pure = purity_of_exclusive(few).mean("seed")
    plain, designated = {"n_shared": 0}, {"n_shared": DESIGNATED}
    claims.check(
        f"{FEW} latents for {N_FEATURES} features, L1: designated shared latents free others for the features of one model",
        "more exclusive latents on average, and purer ones",
        f"{n.sel(plain):.1f} → {n.sel(designated):.1f} latents; cosine with their feature "
        f"{pure.sel(plain):.2f} → {pure.sel(designated):.2f}",
        bool(n.sel(designated) > n.sel(plain)) and bool(pure.sel(designated) > pure.sel(plain)),
    )


def _median_shares(table: xr.Dataset, architecture: str) -> np.ndarray:
    """The second model's share of every shared feature of the pair with unequal lengths, median of seeds."""
    shares = chosen(table, architecture, UNEQUAL)["feature_shares"].isel(part=1, feature=slice(0, N_SHARED))
    return np.asarray(shares.median("cell"))


def purity_of_exclusive(table: xr.Dataset) -> xr.DataArray:
    """Mean cosine of the exclusive latents with their nearest feature; NaN where there is none."""
    return table["purity"].where(table["exclusive_to"] >= 0).mean("latent")


def draw(result: SweepResult, toys: SweepResult, table: xr.Dataset, few: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: norm shares of the three pairs, and what designated shared latents change."""
    figure = plt.figure(figsize=(9.4, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 3)
    for k, name in enumerate(ARCHITECTURES):
        ax = figure.add_subplot(grid[0, k])
        norm_share_counts(chosen(table, name, PLANTED), ax)
        ax.set_title(f"{architecture_label(name)}: 30 features in both, 10 in each")
        if not k:
            ax.legend(title="features of", loc="upper left", bbox_to_anchor=(0.12, 1.0))
    ax = figure.add_subplot(grid[0, 2])
    for k, name in enumerate(ARCHITECTURES):
        shares = chosen(table, name, IDENTICAL)["shares"].isel(part=1).values.ravel()
        style = {"histtype": "step", "color": architecture_color(name), "lw": 1.3, "ls": ("-", "--")[k]}
        ax.hist(shares[np.isfinite(shares)], bins=np.linspace(0, 1, 41), label=architecture_label(name), **style)
    ax.set(xlim=(0, 1), xlabel="share of the second model", title="one model twice", ylabel="latents")
    ax.legend(loc="upper left")
    ax = figure.add_subplot(grid[1, :2])
    shrinkage(toys, table, ax)
    ax.set_title("shared features, shorter in the second model")
    exclusive_latents(few, figure.add_subplot(grid[1, 2]))
    n_seeds = len(chosen(table, ARCHITECTURES[-1], PLANTED)["cell"])
    text = (
        "Crosscoders read two toy models at once. Top: the second model's share of the norms of every latent's decoder "
        f"column (live latents, {n_seeds} seeds), colours by the feature it is nearest to; and the same for one model given "
        "twice. Bottom left: the share of features that both models have, made shorter in the second (dots: seeds), beside "
        f"the true one and what an L1 penalty of {L1:g} leaves of a feature alone. Bottom right: exclusive latents and their "
        f"cosine with the nearest feature, {FEW} latents, L1; each dot is a seed. The crosscoders of the top row:"
    )
    return figure, caption(result.attrs, text)


def norm_share_counts(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """How many latents have which share of the second model, stacked by which models have their feature.

    `table` has `shares` over (cell, part, latent) and `kind` over (cell, latent): −1 the first alone, 0 both, 1 the second.
    """
    ax = current_axes(ax)
    shares, kind = table["shares"].isel(part=1).values.ravel(), table["kind"].values.ravel()
    live = np.isfinite(shares)
    groups = [shares[live & (kind == k)] for k in (-1, 0, 1)]
    names = ("the first", "both", "the second")
    ax.hist(groups, bins=np.linspace(0, 1, 41), stacked=True, color=list(COLORS.values()), label=names)
    for x in (1 - EXCLUSIVE_ABOVE, EXCLUSIVE_ABOVE):
        ax.axvline(x, color="black", lw=0.6, ls=":")
    ax.set(xlim=(0, 1), xlabel="share of the second model", ylabel="latents")
    return ax


def shrinkage(toys: SweepResult, table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Shares of shared features by how much shorter they are in the second model: measured, true, and shrunk by L1."""
    ax = current_axes(ax)
    first, second = lengths_of(toys, UNEQUAL)
    for name in ARCHITECTURES:
        cells = chosen(table, name, UNEQUAL)["feature_shares"].isel(part=1, feature=slice(0, N_SHARED))
        shares = cells.transpose("cell", "feature").values
        ax.plot(np.tile(STRENGTHS, (len(shares), 1)).T, shares.T, ".", ms=3, alpha=0.35, color=architecture_color(name))
        ax.plot([], [], "o", ms=4, color=architecture_color(name), label=architecture_label(name))
    ax.plot(STRENGTHS, second / (first + second), "k-", lw=1, label="true share")
    ax.plot(STRENGTHS, shrunk_share(first, second), "k--", lw=1, label="what L1 leaves")
    ax.axhline(1 - EXCLUSIVE_ABOVE, color="black", lw=0.6, ls=":")
    ax.set(xscale="log", xlabel="length in the second model ÷ in the first (about)", ylabel="share of the second model")
    ticks = [0.15, 0.2, 0.3, 0.5, 0.7, 1]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_xticks([], minor=True)
    ax.legend(loc="upper left", ncols=2)
    return ax


def exclusive_latents(few: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Exclusive latents of every seed, by how many latents are designated to be shared: how many and how pure."""
    ax = current_axes(ax)
    pure = purity_of_exclusive(few)
    for k, n_shared in enumerate(few["n_shared"].values):
        color = (PALETTE["blue"], PALETTE["red"])[k % 2]
        at = {"n_shared": n_shared}
        ax.plot(few["n_exclusive"].sel(at), pure.sel(at), "o", ms=4, alpha=0.7, color=color, label=f"{n_shared}")
    ax.set(xlabel="exclusive latents", ylabel="cosine with their feature", ylim=(0.4, 1.02), title="too few latents")
    ax.legend(title="designated shared", loc="lower right")
    return ax
