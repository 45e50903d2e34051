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
BINS = np.linspace(0, 1, 41).tolist()
LIVE_ABOVE = 1e-4  # share of the inputs
ARCHITECTURES = ("batch_topk", "relu")
COLORS = {"first": PALETTE["blue"], "both": "#999999", "second": PALETTE["orange"]}


@dataclass(frozen=True)
class Size:
    """Steps of toy models and their magnitudes; architectures, seeds, steps and batch of crosscoders.

    Of those with too few latents, how many are designated to be shared, and seeds.
    """

    toy_steps: int = 3_000
    magnitude: str = "uniform"
    architectures: tuple[str, ...] = ARCHITECTURES
    seeds: int = 16
    steps: int = 3_000
    batch_size: int = 512
    evaluation_samples: int = 16_384
    designated: tuple[int, ...] = (0, DESIGNATED)
    few_seeds: int = 8


SIZES = Sizes(
    quick=Size(  # one program for toy models and two for crosscoders: compiling them is what takes time
        toy_steps=10,
        magnitude="constant",
        architectures=("relu",),
        seeds=1,
        steps=10,
        batch_size=32,
        evaluation_samples=64,
        designated=(DESIGNATED,),
        few_seeds=1,
    ),
    laptop=Size(),
    full=Size(seeds=64, steps=10_000, batch_size=2_048, few_seeds=64),
)


def build_toys(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of two toy models, of so many features as each is given."""
    n = N_SHARED + N_EXCLUSIVE
    task = Toy(n_features=n, n_hidden=N_HIDDEN, feature_probability=DENSITY, magnitude=size.magnitude)
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
    return task, _config(size), Grid(n_shared=list(size.designated), seed=range(size.few_seeds))


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
    names = [name for name in ARCHITECTURES if name in table["architecture"].values]
    areas = {name: chosen(table, name, PLANTED)["auc"] for name in names}
    area = areas.get("batch_topk", areas[names[0]])
    claims.check(
        "BatchTopK: norm shares tell the features of one model, area under the ROC curve",
        "at least .99 for both models in every seed",
        f"{float(area.min()):.4f} or more"
        + "".join(f" (L1 {float(areas[name].min()):.3f}, mean {float(areas[name].mean()):.3f})" for name in names[1:]),
        bool((area >= 0.99).all()),
    )
    _count(
        table, PLANTED, "false_exclusive", names[:1], "features equally long in both: false exclusive latents", claims
    )
    _count(table, IDENTICAL, "n_exclusive", names, "two identical models: exclusive latents", claims)
    _count(
        table, UNEQUAL, "decoupled", names, "shared features decoupled into an exclusive latent of each model", claims
    )
    evaluate_shrinkage(toys, table, names, claims)
    n, pure = few["n_exclusive"].mean("seed"), purity_of_exclusive(few).mean("seed")
    first, last = {"n_shared": int(few["n_shared"][0])}, {"n_shared": DESIGNATED}
    claims.check(
        f"{FEW} latents for {N_FEATURES} features, L1: designated shared latents free others for the features of one model",
        "more exclusive latents on average, and purer ones",
        f"{n.sel(first):.1f} → {n.sel(last):.1f} latents; cosine with their feature "
        f"{pure.sel(first):.2f} → {pure.sel(last):.2f}",
        bool(n.sel(last) > n.sel(first)) and bool(pure.sel(last) > pure.sel(first)),
    )


def _count(table: xr.Dataset, source: int, count: str, names: list[str], statement: str, claims: Claims) -> None:
    """The claim that something that is counted is never there."""
    most = {name: int(chosen(table, name, source)[count].max()) for name in names}
    seeds = len(chosen(table, names[0], source)["cell"])
    measured = ", ".join(f"{architecture_label(name)} {value}" for name, value in most.items())
    claims.check(statement, f"none in any of {seeds} seeds", f"at most {measured}", max(most.values()) == 0)


def evaluate_shrinkage(toys: SweepResult, table: xr.Dataset, names: list[str], claims: Claims) -> None:
    """What becomes of shared features that are shorter in the second model."""
    first, second = lengths_of(toys, UNEQUAL)
    truth, shrunk = second / (first + second), shrunk_share(first, second)
    of_seeds = {name: shares_of_shared(table, name) for name in names}
    shares = {name: cells.median("cell").values for name, cells in of_seeds.items()}
    kept, l1 = (shares.get(name, np.full(N_SHARED, np.nan)) for name in ARCHITECTURES)
    off = [float(np.median(np.abs(a - b))) for a, b in ((kept, truth), (l1, truth), (l1, shrunk))]
    claims.check(
        "BatchTopK: features shorter in the second model keep their true share of the norms",
        "within .02, median of 30 features",
        f"{off[0]:.3f} (L1 {off[1]:.3f})",
        off[0] < 0.02,
    )
    claims.check(
        "L1: every part is shortened by the same, as the closed form says",
        "share within .02 of it, median of 30 features",
        f"{off[2]:.3f}",
        off[2] < 0.02,
    )
    gone, edge = shrunk == 0, 1 - EXCLUSIVE_ABOVE
    claims.check(
        f"L1: complete shrinkage, the {gone.sum()} features that the closed form shortens to nothing look exclusive",
        f"share below {edge:.1f} for every one, above it for every one with BatchTopK",
        f"{l1[gone].max(initial=0):.3f} at most; BatchTopK {kept[gone].min(initial=1):.3f} or more",
        bool(gone.any() and l1[gone].max() < edge < kept[gone].min()),
    )
    false = {
        name: float(((cells < edge) | (cells > 1 - edge)).sum("feature").mean()) for name, cells in of_seeds.items()
    }
    n, by_l1, by_k = int(np.sum(shrunk < edge)), false.get("relu", np.nan), false.get("batch_topk", np.nan)
    claims.check(
        "shared features of unequal length that look exclusive",
        f"with L1 {n} on average, within 1, as the closed form says; with BatchTopK less than one",
        f"L1 {by_l1:.1f}, BatchTopK {by_k:.1f}",
        abs(by_l1 - n) <= 1 and by_k < 1,
    )


def shares_of_shared(table: xr.Dataset, architecture: str) -> xr.DataArray:
    """The second model's share of every shared feature of the pair with unequal lengths, (cell, feature)."""
    return chosen(table, architecture, UNEQUAL)["feature_shares"].isel(part=1, feature=slice(0, N_SHARED))


def purity_of_exclusive(table: xr.Dataset) -> xr.DataArray:
    """Mean cosine of the exclusive latents with their nearest feature; NaN where there is none."""
    return table["purity"].where(table["exclusive_to"] >= 0).mean("latent")


def draw(result: SweepResult, toys: SweepResult, table: xr.Dataset, few: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: norm shares of the three pairs, and what designated shared latents change."""
    figure = plt.figure(figsize=(9.4, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 3)
    names = [name for name in ARCHITECTURES if name in table["architecture"].values]
    for k, name in enumerate(names):
        ax = figure.add_subplot(grid[0, k])
        norm_share_counts(chosen(table, name, PLANTED), ax)
        ax.set_title(f"{architecture_label(name)}, two models")
        if not k:
            ax.legend(title="features of", loc="upper left", bbox_to_anchor=(0.54, 1.0), handlelength=1)
    ax = figure.add_subplot(grid[0, 2])
    for k, name in enumerate(names):
        shares = chosen(table, name, IDENTICAL)["shares"].isel(part=1).values.ravel()
        style = {"histtype": "step", "color": architecture_color(name), "lw": 1.3, "ls": ("-", "--")[k]}
        ax.hist(shares[np.isfinite(shares)], bins=BINS, label=architecture_label(name), **style)
    ax.set(xlim=(0, 1), xlabel="share of the second model", title="one model twice", ylabel="latents")
    ax.legend(loc="upper left")
    ax = figure.add_subplot(grid[1, :2])
    shrinkage(toys, table, ax)
    ax.set_title("shared features, shorter in the second model")
    exclusive_latents(few, figure.add_subplot(grid[1, 2]))
    n_seeds = len(chosen(table, names[0], PLANTED)["cell"])
    text = (
        "Crosscoders read two toy models at once, which share 30 features and have 10 more each. Top: the second model's "
        f"share of the norms of every latent's decoder column (live latents, {n_seeds} seeds), colours by the feature it is "
        "nearest to; and the same for one model given twice. Bottom left: the share of features that both models have, made "
        f"shorter in the second (dots: seeds), beside the true one and what an L1 penalty of {L1:g} leaves of a feature "
        f"alone. Bottom right: exclusive latents and their cosine with the nearest feature, {FEW} latents, L1; each dot is a "
        "seed. The crosscoders of the top row:"
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
    ax.hist(groups, bins=BINS, stacked=True, color=list(COLORS.values()), label=names)
    for x in (1 - EXCLUSIVE_ABOVE, EXCLUSIVE_ABOVE):
        ax.axvline(x, color="black", lw=0.6, ls=":")
    ax.set(xlim=(0, 1), xlabel="share of the second model", ylabel="latents")
    return ax


def shrinkage(toys: SweepResult, table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Shares of shared features by how much shorter they are in the second model: measured, true, and shrunk by L1."""
    ax = current_axes(ax)
    first, second = lengths_of(toys, UNEQUAL)
    for name in (name for name in ARCHITECTURES if name in table["architecture"].values):
        shares = shares_of_shared(table, name).transpose("cell", "feature").values
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
