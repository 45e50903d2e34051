"""The right number of active latents: below it dictionaries mix correlated features, above it any, and decoders show it.

Chanin and Garriga-Alonso 2025, "Sparse but Wrong: Incorrect L0 Leads to Incorrect Features in Sparse Autoencoders".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.baselines import explained_variance
from superpos.analysis.lasso import fista
from superpos.analysis.right_l0 import agreement, decoder_overlap, decoder_projection
from superpos.analysis.sae_scores import score_sae
from superpos.data.key_tags import EVALUATION_TAG
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes, training
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import SparseAutoencoder
from superpos.training.loop import materialize
from superpos.training.train_config import TrainConfig

SOURCE = "Chanin and Garriga-Alonso 2025, Sparse but Wrong"
WORLDS = {"orthogonal": 40, "in superposition": 20}  # hidden dimensions of 32 features
N_FEATURES = 32
PROBABILITIES = np.linspace(0.3, 0.05, N_FEATURES)
TRUE_L0 = float(PROBABILITIES.sum())
ORACLE_STEPS = 100


class Curve(NamedTuple):
    """How a number is drawn, and which of its values is the best, where one is."""

    label: str
    color: str
    best: Callable[[np.ndarray], Any] | None = None
    style: str = "o-"


QUESTIONS = {
    "like the truth": {
        "mcc": Curve("dictionary, MCC", "blue", np.argmax),
        "f1": Curve("codes, F1", "orange", np.argmax),
        "true_f1": Curve("F1, true directions", "green", None, "o--"),
    },
    "without the truth": {
        "overlap": Curve("overlap $c_{dec}$", "blue", np.argmin),
        "projection": Curve("projection $s_n$", "orange", np.argmin),
    },
    "agreement of seeds": {
        "dictionaries": Curve("dictionaries of two", "blue", np.argmax),
        "codes": Curve("codes of two", "orange", np.argmax),
    },
    "explained variance": {
        "explained_variance": Curve("trained, variance", "blue"),
        "true_variance": Curve("true, variance", "green", None, "o--"),
    },
}


@dataclass(frozen=True)
class Size:
    """Worlds by name, k as multiples of the true L0, seeds, training, inputs of scores, and how long L0 is matched."""

    worlds: tuple[str, ...] = tuple(WORLDS)
    multiples: tuple[float, ...] = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2)
    seeds: int = 3
    steps: int = 3_000
    batch_size: int = 256
    evaluation_samples: int = TrainConfig.evaluation_samples
    n_inputs: int = 2_048
    bisections: int = 10


SIZES = Sizes(
    quick=Size(
        worlds=("orthogonal",),
        multiples=(0.5, 1),
        seeds=1,
        steps=20,
        batch_size=32,
        evaluation_samples=256,
        n_inputs=128,
        bisections=1,
    ),
    laptop=Size(),
    full=Size(
        multiples=(0.25, 0.4, 0.55, 0.7, 0.85, 1, 1.15, 1.3, 1.5, 1.75, 2),
        seeds=8,
        steps=15_000,
        batch_size=1_024,
        n_inputs=16_384,
    ),
)


def build(size: Size, world: str) -> tuple[SparseAutoencoder, TrainConfig, Grid]:
    """As many latents as features, which are correlated at random; directions are orthonormal, or random unit vectors."""
    m, rng = WORLDS[world], np.random.default_rng(0)
    loadings = rng.uniform(-0.5, 0.5, (N_FEATURES, 3))
    directions = rng.standard_normal((m, N_FEATURES))
    if m >= N_FEATURES:
        directions = np.linalg.qr(directions)[0]
    task = SparseAutoencoder(
        n_features=N_FEATURES,
        n_hidden=m,
        n_latents=N_FEATURES,
        directions=directions / np.linalg.norm(directions, axis=0),
        feature_probability=PROBABILITIES,
        correlation_factor=loadings,
        magnitude="folded_normal",
        magnitude_mean=1.0,
        magnitude_std=0.15,
        architecture="batch_topk",
        resample_every=200,
    )
    k = [round(TRUE_L0 * multiple, 6) for multiple in size.multiples]
    return task, training(size), Grid(k=k, seed=range(size.seeds))


def measure(result: SweepResult, n_inputs: int, bisections: int) -> xr.Dataset:
    """Of every model, over (k, seed): `mcc`, `f1`, `l0`, `explained_variance`; and of the decoder alone `overlap` (c_dec) and
    `projection` (the n-th largest, n = half the latents).

    `oracle_f1` is of the codes of FISTA with the same dictionary, held fixed, and as many active on average; `true_f1` and
    `true_variance` of FISTA with the true directions and k active, the latter with codes refitted without a penalty.
    `dictionaries` and `codes` are the agreement with the next seed, NaN of one.
    """
    task: Any = result.isel(k=0, seed=0).task()
    full = materialize(task)
    x, h = full.sample(jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG)), n_inputs)
    truth, seeds = np.asarray(full.directions), result.sizes["seed"]
    rows: dict[str, list[float]] = {}
    for k in result["k"].values:
        models = [result.sel(k=k).isel(seed=s).model() for s in range(seeds)]
        codes = [np.asarray(model.encode(h)) for model in models]
        true_codes = matched_codes(truth, h, float(k), bisections)
        true_f1 = score_sae(truth, truth, x, h, true_codes, truth @ true_codes).f1
        true_variance = explained_variance(np.asarray(h), truth @ refitted(truth, np.asarray(h), true_codes))
        for s, (model, z) in enumerate(zip(models, codes, strict=True)):
            D, at = np.asarray(model.decoder), (s + 1) % seeds
            scores = score_sae(truth, D, x, h, z, D @ z)
            ideal = matched_codes(D, h, float(np.mean(np.sum(z > 0, axis=0))), bisections)
            both = agreement(D, np.asarray(models[at].decoder), z, codes[at]) if seeds > 1 else (np.nan, np.nan)
            row = {name: getattr(scores, name) for name in ("mcc", "f1", "l0", "explained_variance")}
            row |= {"overlap": decoder_overlap(D), "projection": decoder_projection(D, h, D.shape[1] // 2)}
            row |= {"oracle_f1": score_sae(truth, D, x, h, ideal, D @ ideal).f1}
            row |= {"true_f1": true_f1, "true_variance": true_variance}
            row |= {"dictionaries": both[0], "codes": both[1], "l0_true": scores.l0_true}
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
    shape, coords = (-1, seeds), {"k": result["k"].values, "seed": result["seed"].values}
    return xr.Dataset({name: (("k", "seed"), np.reshape(values, shape)) for name, values in rows.items()}, coords)


def matched_codes(dictionary: np.ndarray, h: Any, l0: float, bisections: int) -> np.ndarray:
    """FISTA's codes with the coefficient at which `l0` latents are active on average, found by bisection."""
    low, high = 1e-4, 4.0
    z = np.zeros((dictionary.shape[1], np.shape(h)[1]))
    for _ in range(bisections):
        middle = float(np.sqrt(low * high))
        z = np.asarray(fista(dictionary, h, middle, steps=ORACLE_STEPS))
        low, high = (middle, high) if np.mean(np.sum(z > 0, axis=0)) > l0 else (low, middle)
    return z


def refitted(dictionary: np.ndarray, h: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Non-negative least squares on the latents that are active in `codes`, by projected gradient steps from there."""
    z, on, largest = codes, codes > 0, np.linalg.norm(dictionary, 2) ** 2
    for _ in range(2 * ORACLE_STEPS):
        z = np.maximum(z - dictionary.T @ (dictionary @ z - h) / largest, 0) * on
    return z


def evaluate(tables: Mapping[str, xr.Dataset], size: Size, claims: Claims) -> None:
    """`tables` are `measure` of each world."""
    multiples = np.array(size.multiples)
    at = int(np.abs(multiples - 1).argmin())
    means = {world: table.mean("seed") for world, table in tables.items()}

    def judge(words: str, name: str, lowest: bool) -> None:
        """A claim for each world."""
        for world, mean in means.items():
            values = mean[name].values
            place = int(values.argmin() if lowest else values.argmax())
            expected = f"{'least' if lowest else 'largest'} at the true L0, or one step beside"
            claims.check(f"{world}: {words}", expected, f"at {multiples[place]:g} × it", abs(place - at) <= 1)

    judge("dictionaries are best at the true L0 (MCC)", "mcc", lowest=False)
    judge("columns of the decoder overlap least there (c_dec)", "overlap", lowest=True)
    judge("inputs project least on further columns (s_n)", "projection", lowest=True)
    judge("seeds agree best on dictionaries", "dictionaries", lowest=False)
    judge("seeds agree best on codes", "codes", lowest=False)
    low = [i for i, multiple in enumerate(multiples) if multiple <= 0.5]
    gains = {w: (m["explained_variance"] - m["true_variance"]).values[low] for w, m in means.items()}
    claims.check(
        "too sparse: wrong dictionaries reconstruct better than the true one",
        "explained variance above that of the true directions at half the true L0 and below",
        "; ".join(f"{w} {', '.join(f'{v:+.3f}' for v in values)}" for w, values in gains.items()),
        all(np.all(values > 0) for values in gains.values()),
    )
    ideal = {w: float(m["true_f1"].values[at] - m["f1"].values[at]) for w, m in means.items()}
    learned = {w: float(m["oracle_f1"].values[at] - m["f1"].values[at]) for w, m in means.items()}
    claims.check(
        "in superposition the true directions allow more than what was trained says",
        "F1 of FISTA's codes above that of autoencoders by .05 at the true L0",
        f"{_said(ideal)}; with the learned dictionaries {_said(learned)}",
        ideal.get("in superposition", np.nan) > 0.05,
    )


def _said(values: Mapping[str, float]) -> str:
    return ", ".join(f"{world} {value:+.3f}" for world, value in values.items())


def draw(result: SweepResult, tables: Mapping[str, xr.Dataset], size: Size) -> tuple[Figure, str]:
    """Figure and caption: a row per world; the truth, what shows without it, agreement of seeds, and what is explained."""
    figure, axes = plt.subplots(
        len(tables), len(QUESTIONS), figsize=(10.4, 0.6 + 2.35 * len(tables)), layout="constrained", sharex=True,
        sharey="col", squeeze=False,
    )  # fmt: skip
    for row, (world, table) in zip(axes, tables.items(), strict=True):
        for ax, (question, curves) in zip(row, QUESTIONS.items(), strict=True):
            by_multiple(table, curves, size.multiples, ax)
            ax.set_title(f"{world}:\n{question}")
    for ax in axes[-1]:
        ax.set_xlabel("k / true L0")
    for ax in axes[0]:
        ax.legend(loc="best", handlelength=1.4)
    text = (
        f"{N_FEATURES} correlated features, {TRUE_L0:.1f} of them active on average, read by as many latents of "
        "BatchTopK that allows k of them: too few left of the vertical line, too many right of it. Features have orthogonal "
        "directions in 40 dimensions, or random ones in 20 (in superposition). Like the truth: MCC of dictionaries with the "
        "true directions; F1 of the codes, and of codes with the true directions (FISTA: the least L1, k active; refitted "
        "where variance is explained). Without the truth: how far columns of the decoder overlap, and how far inputs reach "
        f"along the 16th of them. Rings: the best of each curve. Means over {size.seeds} seeds, their range shaded."
    )
    return figure, caption(result.attrs, text)


def by_multiple(
    table: xr.Dataset, curves: Mapping[str, Curve], multiples: tuple[float, ...], ax: Axes | None = None
) -> Axes:
    """Numbers over k as multiples of the true L0: means and, shaded, the range of seeds. `table` has dims (k, seed)."""
    ax = current_axes(ax)
    ax.axvline(1, color="#999999", lw=0.8, zorder=0)
    for name, curve in curves.items():
        mean, color = table[name].mean("seed").values, PALETTE[curve.color]
        ax.fill_between(multiples, table[name].min("seed"), table[name].max("seed"), color=color, alpha=0.2, lw=0)
        ax.plot(multiples, mean, curve.style, ms=3, lw=1.2, color=color, label=curve.label)
        if curve.best is not None and np.all(np.isfinite(mean)):
            k = int(curve.best(mean))
            ax.plot(multiples[k], mean[k], "o", ms=9, mfc="none", mec=color, mew=1.3)
    return ax
