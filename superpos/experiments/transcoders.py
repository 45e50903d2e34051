"""Transcoders of |x|: latents that read one side of one feature where neurons read several, and what a skip saves.

Dunefsky, Chlenski and Nanda 2024, arXiv:2406.11944; Paulo, Shabalin and Belrose 2025, arXiv:2501.18823; the layer is that of
Elhage et al. 2022, "Computation in Superposition".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.circuits import Circuit, circuit, neuron_counts, single_feature_slopes
from superpos.analysis.transcoders import latent_pairs, response_slopes, slope_agreement, transcoder_circuit
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Computation, Transcoder
from superpos.tasks.base import materialize
from superpos.training.train_config import TrainConfig

SOURCE = "Dunefsky et al. 2024 (arXiv:2406.11944); Paulo et al. 2025 (arXiv:2501.18823)"
N_FEATURES, DENSITY = 12, 0.05
ENOUGH, FEW = 2 * N_FEATURES, 10  # neurons
HALF = N_FEATURES * DENSITY / 2  # active features on one side, on average
LAYERS = (ENOUGH, FEW)
SAMPLES = 16_384
# Two latents that share one side are active less than half as often as the others, on average. If only latents below a
# tenth are dead, as in other tasks, both can stay, and one side of some feature has none.
REVIVAL: dict[str, Any] = {"resample_every": 100, "dead_below": 0.4}


@dataclass(frozen=True)
class Size:
    """Seeds and steps of the layers, of which the best is read; k, seeds, steps and batch of transcoders."""

    layers: tuple[int, ...] = LAYERS
    layer_seeds: int = 4
    layer_steps: int = 4_000
    k: tuple[float, ...] = (HALF / 2, HALF, 2 * HALF, 4 * HALF)
    seeds: int = 8
    steps: int = 3_000
    batch_size: int = 512
    samples: int = SAMPLES


SIZES = Sizes(
    quick=Size(
        layers=(ENOUGH,), layer_seeds=1, layer_steps=10, k=(HALF,), seeds=1, steps=10, batch_size=32, samples=64
    ),
    laptop=Size(),
    full=Size(layer_seeds=16, seeds=64, steps=20_000, batch_size=2_048),
)


def build_layers(size: Size, n_neurons: int) -> tuple[Computation, TrainConfig, Grid]:
    """Task, training and grid of layers that compute |x|."""
    task = Computation(
        n_features=N_FEATURES, n_hidden=n_neurons, feature_probability=DENSITY, target="absolute", tied=False,
        magnitude="signed_uniform", paired_init=True,
    )  # fmt: skip
    config = TrainConfig(steps=size.layer_steps, evaluation_samples=size.samples)
    return task, config, Grid(seed=range(size.layer_seeds))


def build(size: Size, layers: SweepResult) -> tuple[Transcoder, TrainConfig, Grid]:
    """Task, training and grid of transcoders of the best layer, with a latent for every side of every feature."""
    task = _of_layer(layers, n_latents=2 * N_FEATURES)
    return task, _config(size), Grid(k=list(size.k), seed=range(size.seeds))


def build_half(size: Size, layers: SweepResult) -> tuple[Transcoder, TrainConfig, Grid]:
    """The same with a latent for every feature, with and without a skip."""
    task = _of_layer(layers, n_latents=N_FEATURES)
    skips = [False, True] if len(size.layers) > 1 else [True]
    return task, _config(size), Grid(skip=skips, k=[HALF, 2 * HALF], seed=range(size.seeds))


def _of_layer(layers: SweepResult, **settings: Any) -> Transcoder:
    task: Any = layers.isel(seed=0).task()
    return Transcoder.of_layer(task, layers.best("seed"), architecture="batch_topk", **REVIVAL, **settings)


def _config(size: Size) -> TrainConfig:
    return TrainConfig(steps=size.steps, batch_size=size.batch_size, evaluation_samples=size.samples, history=2)


def measure(result: SweepResult) -> xr.Dataset:
    r"""Of every transcoder, over the axes of `result`:

    * `agreement`: of its slopes with those of the neurons (`slope_agreement`); `by_chance`: with the neurons' slopes when
      features are renamed, the next one in place of each.
    * `positive`, `negative`: how many latents read each side of each feature and write to it (`latent_pairs`).
    * `unexplained`: $E\,\|y - \hat y\|^2 / E\,\|y\|^2$ on 16,384 inputs.
    * `skipped`: the diagonal of $W_\mathrm{skip}$, 0 without.
    """
    loss, rows = result["loss"], []
    for index in np.ndindex(loss.shape):
        cell = result.isel(**dict(zip(map(str, loss.dims), index, strict=True)))
        task: Any = materialize(cell.task())
        model: Any = cell.model()
        D = np.asarray(task.directions)
        truth = single_feature_slopes(np.asarray(task.W_in) @ D, D.T @ np.asarray(task.W_out))
        slopes, pairs = response_slopes(model, D), latent_pairs(transcoder_circuit(model, D))
        h = task.sample(jax.random.key(0), SAMPLES)[1]
        y, made = np.asarray(task.target(h)), np.asarray(model(h))
        row = {"agreement": slope_agreement(slopes, truth), "unexplained": np.sum((y - made) ** 2) / np.sum(y**2)}
        row |= {"by_chance": slope_agreement(slopes, np.roll(truth, 1, axis=(1,)))}
        skip = np.zeros(D.shape[1]) if model.W_skip is None else np.diag(D.T @ np.asarray(model.W_skip[...]) @ D)
        rows.append(row | {"positive": pairs.positive, "negative": pairs.negative, "skipped": skip})
    variables = {}
    for name in rows[0]:
        values = np.stack([np.asarray(row[name]) for row in rows])
        dims = (*loss.dims, "feature") if values.ndim > 1 else loss.dims
        variables[name] = xr.DataArray(values.reshape((*loss.shape, *values.shape[1:])), loss.coords, dims)
    return xr.Dataset(variables)


def paired(table: xr.Dataset) -> xr.DataArray:
    """How many features of every transcoder have exactly one latent on each side."""
    return ((table["positive"] == 1) & (table["negative"] == 1)).sum("feature")


def evaluate(
    layers: Mapping[int, SweepResult], tables: Mapping[int, xr.Dataset], half: xr.Dataset, claims: Claims
) -> None:
    """All claims; by the number of neurons, the `layers` and the `measure` of their transcoders; `half` is that with a
    latent for every feature."""
    enough = tables[ENOUGH]
    neurons = _circuit_of(layers[ENOUGH])
    counts = paired(enough).sel(k=HALF, method="nearest")
    claims.check(
        f"{ENOUGH} neurons, k = {HALF:g}: one pair of latents for every feature, one on each side",
        f"all {N_FEATURES} in every seed",
        f"all in {int((counts == N_FEATURES).sum())} of {counts.size} seeds; {float(counts.mean()):.2f} on average; "
        f"neurons have {int(latent_pairs(neurons).paired.sum())} pairs",
        bool((counts == N_FEATURES).all()),
    )
    for n_neurons, table in tables.items():
        values = table["agreement"].where(table["k"] > 0.99 * HALF, drop=True)
        claims.check(
            f"{n_neurons} neurons: slopes of transcoders agree with those of the circuit of neurons",
            f"cosine of at least .95 in every seed, from k = {HALF:g} on",
            f"{float(values.min()):.4f} or more (at a smaller k {float(table['agreement'].min()):.3f}; features renamed "
            f"{float(table['by_chance'].max()):.2f} at most)",
            bool((values >= 0.95).all()),
        )
    few = _circuit_of(layers[min(layers)])
    mono = neuron_counts(few).monosemantic
    pairs = paired(tables[min(tables)]).sel(k=HALF, method="nearest")
    claims.check(
        f"{min(layers)} neurons for {N_FEATURES} features: latents come in pairs where neurons are shared",
        "more than half of the features have a pair on average, and no neuron serves one feature alone",
        f"{float(pairs.mean()):.1f} of {N_FEATURES} features; {mono} neurons alone",
        float(pairs.mean()) > N_FEATURES / 2 and mono == 0,
    )
    with_skip = half.sel(skip=True, k=HALF)
    shares = {
        bool(skip): half["unexplained"].sel(skip=skip).min("k").median("seed").item() for skip in half["skip"].values
    }
    claims.check(
        f"|x| = 2 ReLU(x) − x: with a skip, {N_FEATURES} latents do what {2 * N_FEATURES} do without",
        "median of what is unexplained at most .1 with it, at least .4 without",
        f"{shares[True]:.3f} with, {shares.get(False, np.nan):.3f} without; "
        f"{2 * N_FEATURES} latents without: {enough['unexplained'].min('k').median('seed').item():.3f}",
        shares[True] <= 0.1 and shares.get(False, 0) >= 0.4,
    )
    sign = with_skip["positive"] - with_skip["negative"]
    alone = (with_skip["positive"] + with_skip["negative"]) == 1
    error = abs((with_skip["skipped"] + sign).where(alone)).median()
    claims.check(
        "… and the skip carries each feature with the sign that its latent does not have",
        "W_skip[i, i] within .1 of −1 or +1, median of features with one latent",
        f"{float(error):.3f} off ({int(alone.sum())} of {alone.size} features have one latent)",
        float(error) < 0.1 and float(alone.mean()) > 0.5,
    )


def _circuit_of(layers: SweepResult) -> Circuit:
    """The circuit of the best layer."""
    model: Any = layers.best("seed").model()
    return circuit(model)


def draw(
    layers: Mapping[int, SweepResult],
    results: Mapping[int, SweepResult],
    tables: Mapping[int, xr.Dataset],
    half: xr.Dataset,
) -> tuple[Figure, str]:
    """Figure and caption: what neurons and latents read, slopes of both, and what is left unexplained with a skip."""
    figure, axes = plt.subplots(2, 3, figsize=(9.4, 5.6), layout="constrained", width_ratios=(1, 1, 1.1))
    for row, n_neurons in enumerate(LAYERS):
        if n_neurons not in results:
            continue
        best = tables[n_neurons]["unexplained"].sel(k=HALF, method="nearest").argmin("seed")
        cell = results[n_neurons].sel(k=HALF, method="nearest").isel(seed=int(best))
        task: Any = materialize(cell.task())
        model: Any = cell.model()
        D = np.asarray(task.directions)
        neurons, latents = _circuit_of(layers[n_neurons]), transcoder_circuit(model, D)
        reading_weights(neurons, axes[row, 0])
        axes[row, 0].set(title=f"{n_neurons} neurons", ylabel="neuron")
        reading_weights(latents, axes[row, 1])
        axes[row, 1].set(title=f"their transcoder, k = {HALF:g}", ylabel="latent")
        if row == 0:
            truth = single_feature_slopes(neurons.W1, neurons.W2)
            slopes_compared(truth, response_slopes(model, D), axes[0, 2])
    unexplained(tables[ENOUGH], half, axes[1, 2])
    text = (
        f"A layer of ReLU neurons computes |x| of {N_FEATURES} features. Left: what its neurons read, each row scaled to a "
        "largest weight of 1, blue above 0 and red below; middle: what the latents of a BatchTopK transcoder read (of the "
        "best seed). Top right: how every output responds to every feature alone, by the circuit of neurons and by the "
        f"transcoder. Bottom right: share of the layer's output that is unexplained, {ENOUGH} neurons, best k of each seed. "
        "The transcoders of the top row:"
    )
    return figure, caption(results[ENOUGH].attrs, text)


def reading_weights(circuit: Circuit, ax: Axes | None = None) -> Axes:
    """W1 of a circuit as a heat map, rows in the order of what they read most; rows of 0 come last."""
    ax = current_axes(ax)
    W1 = circuit.W1
    read = np.argmax(np.abs(W1), axis=1)
    order = np.lexsort((-W1[np.arange(len(W1)), read], np.where(np.any(W1 != 0, axis=1), read, W1.shape[1])))
    ax.imshow(W1[order], cmap="RdBu", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    ax.set(xlabel="feature", xticks=[], yticks=[])
    return ax


def slopes_compared(truth: np.ndarray, slopes: np.ndarray, ax: Axes | None = None) -> Axes:
    """Slopes of the transcoder against those of the neurons: of each feature's own output, and of the others."""
    ax = current_axes(ax)
    own = np.broadcast_to(np.eye(truth.shape[1], dtype=bool), truth.shape)
    for mask, label, color in ((~own, "other outputs", PALETTE["orange"]), (own, "its own output", PALETTE["blue"])):
        ax.plot(truth[mask], slopes[mask], "o", ms=3, alpha=0.6, color=color, label=label)
    ax.axline((0, 0), slope=1, color="black", lw=0.7)
    ax.set(xlabel="response, by neurons", ylabel="response, by latents", title="one feature alone")
    ax.legend(loc="upper left")
    return ax


def unexplained(table: xr.Dataset, half: xr.Dataset, ax: Axes | None = None) -> Axes:
    """What transcoders leave unexplained: half as many latents without and with a skip, and all; each dot is a seed."""
    ax = current_axes(ax)
    columns = {f"{N_FEATURES} latents": half.sel(skip=False), "… and a skip": half.sel(skip=True)} if half.sizes[
        "skip"
    ] > 1 else {"… and a skip": half.sel(skip=True)}  # fmt: skip
    columns[f"{2 * N_FEATURES} latents"] = table
    for x, cells in enumerate(columns.values()):
        values = cells["unexplained"].min("k").values
        ax.plot(
            np.full(values.shape, x) + np.linspace(-0.12, 0.12, len(values)), values, "o", ms=4, alpha=0.7, color="C0"
        )
    ax.set_xticks(range(len(columns)), list(columns))
    ax.set(ylabel="unexplained share", yscale="log", xlim=(-0.5, len(columns) - 0.5), title="|x| = 2 ReLU(x) − x")
    return ax
