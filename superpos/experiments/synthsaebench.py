"""SynthSAEBench: which architecture finds the features of a realistic world, at its published size or as a miniature.

Chanin and Garriga-Alonso 2026, "SynthSAEBench: Evaluating Sparse Autoencoders on Scalable Realistic Synthetic Data",
arXiv:2602.14687.
"""

from dataclasses import asdict, dataclass
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.benchmark import benchmark_scores
from superpos.analysis.intervals import Interval, mean_interval
from superpos.analysis.probes import linear_probe_f1
from superpos.data import BenchmarkWorld, FeatureDistribution, synthsaebench
from superpos.data.key_tags import EVALUATION_TAG
from superpos.experiments.claims import Claims
from superpos.experiments.over_seeds import mean_and_half_width
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import architecture_color, architecture_label, caption, current_axes
from superpos.sweeping import Grid, SweepResult, sparsity_grid
from superpos.tasks import SparseAutoencoder
from superpos.training.loop import materialize
from superpos.training.train_config import TrainConfig

SOURCE = "Chanin and Garriga-Alonso 2026, SynthSAEBench"
# At L0 = 25 on SynthSAEBench-16k, as the documentation of SAELens prints them, means over five seeds.
PUBLISHED = {
    "matryoshka": {"f1": 0.8793, "mcc": 0.7927, "explained_variance": 0.7792},
    "batch_topk": {"f1": 0.7316, "mcc": 0.7574, "explained_variance": 0.7923},
    "jumprelu": {"f1": 0.7317, "mcc": 0.7527, "explained_variance": 0.7951},
    "relu": {"f1": 0.5562, "mcc": 0.6039, "explained_variance": 0.7654},
    "matching_pursuit": {"f1": 0.4464, "mcc": 0.6930, "explained_variance": 0.8351},
}
PROBE_F1 = 0.97  # a logistic probe's, published
ALIKE = 0.05  # F1 of two architectures that are about as good; and of ours and a published one
SAME_L0 = 0.1  # share of k by which the number of active latents may differ
# First latents that reconstruct alone: 128, 512 and 2,048 of 4,096.
PREFIXES = (1 / 32, 1 / 8, 1 / 2, 1.0)
# Of JumpReLU, for features of magnitude 4 to 5: the published width and threshold.
BANDWIDTH, THRESHOLD = 2.0, 0.5


@dataclass(frozen=True)
class Size:
    """The world, latents, how many are active, coefficients for that many (ReLU, JumpReLU), seeds, training, and inputs."""

    n_features: int = 256
    n_hidden: int = 64
    n_latents: int = 64
    k: int = 2
    relu: tuple[float, ...] = (3.1,)
    jumprelu: tuple[float, ...] = (2.15,)
    architectures: tuple[str, ...] = (*PUBLISHED, "topk")
    seeds: int = 4
    steps: int = 3_000
    batch_size: int = 128
    learning_rate: float = 3e-3
    resample_every: int = 250
    evaluation_samples: int = 4_096
    n_inputs: int = 16_384
    probe_inputs: int = 8_192


SIZES = Sizes(
    quick=Size(
        n_features=128,
        n_hidden=32,
        n_latents=32,
        architectures=("batch_topk",),
        seeds=2,
        steps=20,
        batch_size=16,
        evaluation_samples=64,
        n_inputs=256,
        probe_inputs=256,  # as many as above: one program
    ),
    laptop=Size(),
    full=Size(  # a training step holds 0.8 GB per model, and Adam's memories 0.05
        n_features=16_384,
        n_hidden=768,
        n_latents=4_096,
        k=25,
        relu=tuple(np.geomspace(0.5, 16, 6)),
        jumprelu=tuple(np.geomspace(0.5, 16, 6)),
        architectures=tuple(PUBLISHED),
        seeds=5,
        steps=195_312,  # 200 million inputs
        batch_size=1_024,
        learning_rate=3e-4,
        resample_every=5_000,
        n_inputs=16_384,
    ),
)


def world_of(size: Size) -> BenchmarkWorld:
    """The benchmark's world with the features and dimensions of a size; its law of frequencies is the same at every size."""
    return synthsaebench(size.n_features, size.n_hidden)


def build(size: Size, world: BenchmarkWorld) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """Autoencoders with a quarter as many latents as features, as many active as of the most frequent quarter of features."""
    task = SparseAutoencoder(
        **world.settings(),
        n_latents=size.n_latents,
        decoder_bias=True,
        prefixes=PREFIXES,
        bandwidth=BANDWIDTH,
        initial_threshold=THRESHOLD,
        resample_every=size.resample_every,
    )
    config = TrainConfig(
        steps=size.steps,
        batch_size=size.batch_size,
        learning_rate=size.learning_rate,
        evaluation_samples=size.evaluation_samples,
    )
    settings = {"relu": size.relu, "jumprelu": size.jumprelu}
    chosen = {name: settings.get(name, (size.k,)) for name in size.architectures}
    return task, config, sparsity_grid(chosen, seed=range(size.seeds))


def measure(result: SweepResult, n_inputs: int, k: float) -> xr.Dataset:
    """Scores of `benchmark_scores` at the same L0, over (`architecture`, `seed`).

    Where a coefficient sets how many latents are active, every seed's scores are read off at L0 = k between its models
    (`at_l0`).
    """
    task = materialize(result.isel(cell=0).task())
    key = jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG))
    x = _drawn(task.features, key, n_inputs)
    h = jnp.dot(task.directions, x, precision="highest")
    rows: dict[tuple[str, int], list[dict[str, float]]] = {}
    for cell in range(result.sizes["cell"]):
        one = result.isel(cell=cell)
        model = one.model()
        z = model.encode(h)
        scores = benchmark_scores(task.directions, model.decoder, x, h, z, model.decode(z))
        rows.setdefault((str(one["architecture"].values), int(one["seed"])), []).append(asdict(scores))
    names, seeds = (list(dict.fromkeys(keys)) for keys in zip(*rows, strict=True))
    same = {key: at_l0(several, k) for key, several in rows.items()}
    table = {
        score: (("architecture", "seed"), [[same[name, seed][score] for seed in seeds] for name in names])
        for score in next(iter(same.values()))
    }
    return xr.Dataset(table, {"architecture": names, "seed": seeds}, {"l0_true": float(np.mean(np.sum(x > 0, axis=0)))})


def at_l0(scores: list[dict[str, float]], l0: float) -> dict[str, float]:
    """Scores between those of several models, straight lines over log L0; beyond the last of them those of the last."""
    ordered = sorted(scores, key=lambda row: row["l0"])
    places = np.log([max(row["l0"], 1e-9) for row in ordered])
    at = {name: float(np.interp(np.log(l0), places, [row[name] for row in ordered])) for name in ordered[0]}
    return at | {"l0": float(np.clip(l0, ordered[0]["l0"], ordered[-1]["l0"]))}


def probe(world: BenchmarkWorld, n_features: int, n_inputs: int) -> xr.Dataset:
    """`f1` of linear detectors of the `n_features` most frequent features that were taught the truth."""
    x = np.asarray(_drawn(world.features, jax.random.key(1), n_inputs))
    f1 = linear_probe_f1(world.directions @ x, x[:n_features])
    return xr.Dataset({"f1": ("feature", f1)})


@partial(jax.jit, static_argnums=2)
def _drawn(features: FeatureDistribution, key: jax.Array, n_inputs: int) -> jax.Array:
    """Inputs of the world, as columns: one program for as many of them, which takes longer to compile than to run."""
    return features.sample(key, n_inputs)


def evaluate(table: xr.Dataset, probe_f1: float, size: Size, claims: Claims) -> None:
    """The published order at the same L0; at the published size the published numbers, too."""
    names = table["architecture"].values.tolist()
    l0 = table["l0"].mean("seed")
    off = {name: float(l0.sel(architecture=name)) / size.k - 1 for name in names}
    worst = max(off, key=lambda name: abs(off[name]))
    claims.check(
        "architectures are compared at the same number of active latents",
        f"mean L0 within {SAME_L0:.0%} of {size.k}",
        f"furthest: {worst} {size.k * (1 + off[worst]):.2f}",
        abs(off[worst]) <= SAME_L0,
    )

    def above(better: str, worse: str, score: str = "f1", words: str = "F1") -> None:
        if not {better, worse} <= set(names):
            return
        mean, low, high = difference(table, score, better, worse)
        expected = f"95 % interval of the difference of {words} over seeds above 0"
        claims.check(f"{words}: {better} above {worse}", expected, f"{mean:+.3f} ({low:+.3f} to {high:+.3f})", low > 0)

    above("matryoshka", "batch_topk")
    if {"batch_topk", "jumprelu"} <= set(names):
        mean, low, high = difference(table, "f1", "batch_topk", "jumprelu")
        claims.check(
            "F1: batch_topk and jumprelu about alike",
            f"95 % interval of the difference within ±{ALIKE}",
            f"{mean:+.3f} ({low:+.3f} to {high:+.3f})",
            max(-low, high) <= ALIKE,
        )
    for thresholded in ("batch_topk", "jumprelu"):
        above(thresholded, "relu")
    variance = ("explained_variance", "explained variance")
    if "matching_pursuit" in names:
        others = [name for name in names if name in PUBLISHED and name != "matching_pursuit"]
        gains = {name: difference(table, variance[0], "matching_pursuit", name) for name in others}
        claims.check(
            "explained variance: matching_pursuit above all that are published",
            "95 % intervals of the differences over seeds above 0",
            ", ".join(f"{name} {mean:+.3f} ({low:+.3f} to {high:+.3f})" for name, (mean, low, high) in gains.items()),
            all(low > 0 for _, low, _ in gains.values()),
        )
        above("batch_topk", "matching_pursuit")
    # Where inputs differ much in how many features are active: these two spend k latents on each.
    above("matching_pursuit", "topk", *variance)
    above("topk", "matching_pursuit")
    above("batch_topk", "matryoshka", *variance)
    above("matryoshka", "batch_topk", "mcc", "MCC")
    best = float(table["f1"].mean("seed").max())
    claims.check(
        "what a linear detector could say that was taught the features is above every architecture",
        f"mean F1 of probes above the best autoencoders' by {ALIKE}",
        f"{probe_f1:.3f} and {best:.3f}",
        probe_f1 > best + ALIKE,
    )
    _against_published(table, probe_f1, size, claims)


def _against_published(table: xr.Dataset, probe_f1: float, size: Size, claims: Claims) -> None:
    """The published table, which only the published size can be held to."""
    names, is_full = table["architecture"].values.tolist(), size.n_features == SIZES.full.n_features
    why = f"{size.n_features} features here"
    for score in ("f1", "mcc", "explained_variance"):
        statement = f"SynthSAEBench-16k at L0 = 25: {score}"
        expected = ", ".join(f"{name} {row[score]:.3f}" for name, row in PUBLISHED.items()) + f", each within {ALIKE}"
        if not is_full:
            claims.needs_full(statement, expected, why)
            continue
        means = {name: float(table[score].sel(architecture=name).mean()) for name in PUBLISHED if name in names}
        claims.check(
            statement,
            expected,
            ", ".join(f"{name} {mean:.3f}" for name, mean in means.items()),
            all(abs(mean - PUBLISHED[name][score]) <= ALIKE for name, mean in means.items()),
        )
    statement, expected = "SynthSAEBench-16k: a logistic probe's F1", f"{PROBE_F1} ± {ALIKE}"
    if is_full:
        claims.check(statement, expected, f"{probe_f1:.3f}", abs(probe_f1 - PROBE_F1) <= ALIKE)
    else:
        claims.needs_full(statement, expected, why)


def difference(table: xr.Dataset, score: str, one: str, other: str) -> Interval:
    """By how much one architecture's score is above another's, seed by seed: mean and 95 % interval."""
    both = (table[score].sel(architecture=name).values for name in (one, other))
    return mean_interval(np.subtract(*both))


def draw(
    result: SweepResult, table: xr.Dataset, world: BenchmarkWorld, probe_f1: float, size: Size
) -> tuple[Figure, str]:
    """Figure and caption: how often features are active, F1 of every architecture, and F1 against explained variance."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.0), layout="constrained")
    frequencies(world, axes[0])
    by_architecture(table, "f1", axes[1])
    axes[1].axvline(probe_f1, color="#888888", ls="--", lw=0.8)
    axes[1].set(xlabel=f"F1 of latents, L0 = {size.k}", xlim=(0, 1.02))
    apart(table, axes[2])
    l0 = float(np.sum(world.features.feature_probability))
    text = (
        f"{size.n_features} features in {size.n_hidden} dimensions, {l0:.1f} active on average, after SynthSAEBench-16k; "
        f"{size.n_latents} latents. Left: how often features are active by Zipf's law (line) and in trees whose children "
        "exclude one another (dots, by generation). Middle: F1 of latents as detectors of their nearest features at the same "
        f"L0; means over {size.seeds} seeds with 95 % intervals, hollow: published for 16,384 features; dashed: linear "
        "probes that were taught the features. Right: F1 against explained variance, a dot per autoencoder."
    )
    return figure, caption(result.attrs, text)


def frequencies(world: BenchmarkWorld, ax: Axes | None = None) -> Axes:
    """How often every feature is active, over its rank: Zipf's law, and what its tree makes of it, by generation."""
    ax = current_axes(ax)
    p, generation = np.asarray(world.features.feature_probability), generations(world.features.parents)
    rank = np.arange(1, len(p) + 1)
    ax.plot(rank, world.zipf, color="#888888", lw=1, zorder=0)
    alone = np.isin(rank - 1, world.features.parents, invert=True) & (generation == 0)
    names = ("root", "child", "grandchild", "great-grandchild")
    for place, name in enumerate(names):
        chosen = (generation == place) & ~alone
        ax.plot(rank[chosen], p[chosen], ".", ms=3, color=plt.get_cmap("viridis")(place / 3.3), label=name)
    ax.plot(rank[alone], p[alone], ".", ms=3, color="#D55E00", label="alone")
    ax.set(xscale="log", yscale="log", xlabel="rank of the feature", ylabel="probability of being active")
    ax.legend(loc="lower left", markerscale=2)
    return ax


def generations(parents: tuple[int, ...]) -> np.ndarray:
    """How many ancestors every feature has."""
    counts, above = np.zeros(len(parents), int), np.asarray(parents)
    while np.any(above >= 0):
        counts += above >= 0
        above = np.where(above >= 0, np.asarray(parents)[above], -1)
    return counts


def by_architecture(table: xr.Dataset, score: str, ax: Axes | None = None) -> Axes:
    """A score of every architecture: mean and 95 % interval over seeds, and hollow what was published."""
    ax = current_axes(ax)
    names = table["architecture"].values.tolist()
    for place, name in enumerate(names):
        mean, half = mean_and_half_width(table[score].sel(architecture=name).values)
        color = architecture_color(name)
        ax.errorbar(mean, -place, xerr=half, fmt="o", ms=4, color=color, capsize=2)
        if name in PUBLISHED:
            ax.plot(PUBLISHED[name][score], -place, "o", ms=6, mfc="none", mec=color, mew=0.8)
    ax.set_yticks([-place for place in range(len(names))], [architecture_label(name) for name in names])
    ax.set_ylim(0.5 - len(names), 0.5)
    return ax


def apart(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """F1 against explained variance: one dot per autoencoder, architectures in their colours."""
    ax = current_axes(ax)
    for name in table["architecture"].values.tolist():
        one = table.sel(architecture=name)
        ax.plot(
            one["explained_variance"],
            one["f1"],
            "o",
            ms=4,
            color=architecture_color(name),
            label=architecture_label(name),
        )
    ax.set(xlabel="explained variance", ylabel="F1")
    ax.legend(loc="best", fontsize=7)
    return ax
