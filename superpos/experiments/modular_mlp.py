r"""How does one hidden layer add modulo p, and does its random start say which frequencies it will use?

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 3.3 (a multilayer perceptron), 3.23 (GELU) and 3.28
(lottery tickets); Gromov 2023, "Grokking modular arithmetic". With squares a solution can be written down
(`theory.fourier_mlp`). Trained neurons are compared with it: each should turn with one frequency k of both numbers, and
write it to the answers with the phase $\varphi_{out} = \varphi_a + \varphi_b$.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from superpos.analysis.fourier import SINGLE, neuron_frequencies
from superpos.analysis.grokking import neurons_of
from superpos.analysis.intervals import share_interval
from superpos.experiments.claims import Claims
from superpos.experiments.over_seeds import mean_and_half_width
from superpos.experiments.sizes import Sizes
from superpos.models.pair_mlp import PairMLP
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ModularAddition, ModularMLP
from superpos.theory.fourier_solutions import fourier_mlp
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 3.3, 3.23 and 3.28; Gromov 2023, Grokking modular arithmetic"
NAMES = {"square": "x²", "relu": "ReLU", "gelu": "GELU"}
COLORS = {"square": PALETTE["blue"], "relu": PALETTE["orange"], "gelu": PALETTE["green"]}
RIGHT = 0.99  # of the pairs that do not train
READINGS = {"amplitude": "lengths", "aligned": "lengths and phases"}


@dataclass(frozen=True)
class Size:
    """Modulus, neurons, activations, seeds and steps of the perceptrons; those of the transformers; moduli of the written
    solution."""

    p: int = 23
    activations: tuple[str, ...] = ("square", "relu", "gelu")
    n_hidden: int = 128
    seeds: int = 16
    steps: int = 4_000
    transformer_p: int = 31
    transformer_activations: tuple[str, ...] = ("relu", "gelu")
    transformer_seeds: int = 4
    transformer_steps: int = 4_000
    written: tuple[int, ...] = (5, 11, 23, 59, 113)


SIZES = Sizes(
    quick=Size(
        p=7,
        activations=("square",),
        n_hidden=16,
        seeds=2,
        steps=50,
        transformer_p=7,
        transformer_activations=("gelu",),
        transformer_seeds=1,
        transformer_steps=20,
        written=(5, 7),
    ),
    laptop=Size(),
    full=Size(
        p=59, n_hidden=512, seeds=256, steps=10_000, transformer_p=113, transformer_seeds=16, transformer_steps=25_000
    ),
)


def build(size: Size) -> tuple[ModularMLP, TrainConfig, Grid]:
    """Task, training and grid of the perceptrons."""
    task = ModularMLP(
        p=size.p, n_hidden=size.n_hidden, train_fraction=0.8, gradient_pairs=round(0.8 * size.p**2), init_scale=0.5
    )
    config = TrainConfig(
        steps=size.steps,
        learning_rate=5e-3,
        weight_decay=1.0,
        schedule="constant",
        snapshots=(0,),
        history=size.steps // 10,
    )
    return task, config, Grid(hidden_activation=list(size.activations), seed=range(size.seeds))


def build_transformer(size: Size) -> tuple[ModularAddition, TrainConfig, Grid]:
    """The same for transformers with two kinds of neurons."""
    p = size.transformer_p
    task = ModularAddition(p=p, d_model=48, d_mlp=128, train_fraction=0.7, gradient_pairs=round(0.7 * p**2))
    config = TrainConfig(
        steps=size.transformer_steps, learning_rate=2e-3, weight_decay=1.0, schedule="constant", warmup_steps=10,
        decay_bias=True, history=size.transformer_steps // 10,
    )  # fmt: skip
    return task, config, Grid(hidden_activation=list(size.transformer_activations), seed=range(size.transformer_seeds))


def waves_of(model: PairMLP) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Complex amplitudes of every neuron at frequencies 1 … (p − 1)/2, each (n_hidden, (p − 1)/2), of A, B and W_out.

    A row is $\sum_k 2 |c_k| / p \cdot \cos(w_k a + \arg c_k)$ plus its mean.
    """
    tables = model.A[...], model.B[...], model.W_out[...].T
    transforms = [np.fft.rfft(np.asarray(table, float), axis=1)[:, 1:] for table in tables]
    return transforms[0], transforms[1], transforms[2]


def start_readings(model: PairMLP) -> dict[str, np.ndarray]:
    r"""What a model says of every frequency, ((p − 1)/2,): sums over neurons of how much they would write of it.

    `amplitude` is $\sum_n |a_n b_n c_n|$ and `aligned` is $\sum_n |\mathrm{Re}(a_n b_n \bar c_n)|_+$, with the amplitudes a,
    b, c of `waves_of`: only neurons whose phases fit count.
    """
    a, b, c = waves_of(model)
    return {
        "amplitude": np.sum(np.abs(a * b * c), axis=0),
        "aligned": np.sum(np.maximum(np.real(a * b * np.conj(c)), 0), axis=0),
    }


def measure(result: SweepResult) -> xr.Dataset:
    """Of every perceptron, over the axes of `result`:

    * `right`: share of the pairs that do not train which are answered right.
    * `single`: share of neurons of one frequency, which holds more than 85 % of what varies in A and B.
    * `phase`: mean cosine of φ_out − φ_a − φ_b over neurons; 1 in the written solution, 0 by chance.

    Both count a neuron by |a b c| of `waves_of` at its strongest frequency. Then
    * `n_frequencies`: the inverse participation ratio of the energies that frequencies have in the answers.
    * `amplitude`, `aligned`: rank correlation (Spearman) of that reading of the start with these energies.
    """
    dims, shape = [str(dim) for dim in result["loss"].dims], result["loss"].shape
    rows = []
    for index in np.ndindex(shape):
        cell = result.isel(**dict(zip(dims, index, strict=True)))
        model, start = cell.model(), cell.snapshots()
        first = PairMLP(
            *(getattr(start, name)[0] for name in ("A", "B", "W_out")), hidden_activation=model.hidden_activation
        )
        waves = waves_of(model)
        strength = np.prod(np.abs(waves), axis=0)  # of every frequency in every neuron
        at = np.arange(len(strength)), strength.argmax(axis=1)
        read = np.abs(waves[0]) ** 2 + np.abs(waves[1]) ** 2
        single = read[at] > SINGLE * read.sum(axis=1)
        weight = strength[at]
        a, b, c = (wave[at] for wave in waves)
        phase = np.cos(np.angle(c) - np.angle(a) - np.angle(b)) @ weight / weight.sum()
        written = np.sum(np.abs(waves[2]) ** 2, axis=0)  # energy of every frequency in the answers
        readings = start_readings(first)
        rows.append((
            float(cell["test_accuracy_history"].isel(record=-1)),
            single @ weight / weight.sum(),
            phase,
            written.sum() ** 2 / np.sum(written**2),
            *(_rank_correlation(readings[name], written) for name in READINGS),
        ))  # fmt: skip
    names = ("right", "single", "phase", "n_frequencies", *READINGS)
    columns = np.reshape(rows, (*shape, len(names)))
    return xr.Dataset(
        {name: (dims, columns[..., k]) for k, name in enumerate(names)}, {dim: result[dim] for dim in dims}
    )


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    correlation: Any = spearmanr(one, other)
    return float(correlation.statistic)


def measure_transformer(result: SweepResult) -> xr.Dataset:
    """`right` and `single` of every transformer, as `measure` has them."""
    dims, shape = [str(dim) for dim in result["loss"].dims], result["loss"].shape
    right, single = np.empty(shape), np.empty(shape)
    for index in np.ndindex(shape):
        cell = result.isel(**dict(zip(dims, index, strict=True)))
        model = cell.model()
        neurons = np.asarray(neurons_of(cell.task(), model), float)
        energy = neurons.var(axis=0) * np.sum((np.asarray(model.W_out)[0] @ np.asarray(model.W_U)) ** 2, axis=1)
        right[index] = cell["test_accuracy_history"].isel(record=-1)
        single[index] = energy @ (neuron_frequencies(neurons).explained > SINGLE) / energy.sum()
    return xr.Dataset({"right": (dims, right), "single": (dims, single)}, {dim: result[dim] for dim in dims})


def written_accuracy(p: int) -> tuple[float, float]:
    """(share right, largest deviation of the logits from 3 cos w(a + b − c)) of the written solution with frequency 1."""
    model = PairMLP(*fourier_mlp(p, [1]))
    a, b = np.divmod(np.arange(p * p), p)
    logits = np.asarray(model(a, b), float)
    exact = 3 * np.cos(2 * np.pi * ((a + b)[:, None] - np.arange(p)) / p)
    return float(np.mean(logits.argmax(axis=1) == (a + b) % p)), float(np.abs(logits - exact).max())


def evaluate(table: xr.Dataset, transformers: xr.Dataset, size: Size, claims: Claims) -> None:
    """`table` is the `measure` of the perceptrons, `transformers` that of the transformers."""
    written = {p: written_accuracy(p) for p in size.written}
    claims.identity(
        "x²: six written neurons add modulo p without an error",
        "all pairs right, logits 3 cos w(a + b − c) to 1e-4",
        f"p = {', '.join(map(str, written))}: off by {max(off for _, off in written.values()):.0e}",
        all(share == 1 and off < 1e-4 for share, off in written.values()),
    )
    for name in size.activations:
        cell = table.sel(hidden_activation=name)
        n = cell.sizes["seed"]
        k = int((cell["right"] >= RIGHT).sum())
        _, low, high = share_interval(k, n)
        claims.check(
            f"{NAMES[name]}: trained perceptrons add pairs that they have not seen",
            "99 % right in more than half of the seeds (95 % interval)",
            f"{k} of {n} ({low:.0%} to {high:.0%})",
            low > 0.5,
        )
        single, phase = cell["single"], cell["phase"]
        claims.check(
            f"{NAMES[name]}: neurons turn with one frequency, with phases as in the written solution",
            "in the median seed .9 of them, by strength, are of one frequency, and cos(φ_out − φ_a − φ_b) is .9",
            f"{float(single.median()):.2f} and {float(phase.median()):.2f}",
            bool(single.median() > 0.9 and phase.median() > 0.9),
        )
    for name in size.activations:
        cell = table.sel(hidden_activation=name)
        measured = {reading: mean_and_half_width(cell[reading].values) for reading in READINGS}
        claims.check(
            f"{NAMES[name]}: the random start says a little of which frequencies the end uses",
            "mean rank correlation of aligned phases with the energies at the end above 0 (95 % interval)",
            "; ".join(f"{READINGS[r]} {m:.2f} ± {w:.2f}" for r, (m, w) in measured.items()),
            measured["aligned"][0] > measured["aligned"][1],
        )
    n = transformers.sizes["seed"]
    right = transformers["right"] >= RIGHT
    count, share = right.sum("seed"), transformers["single"].where(right).median("seed")
    names = [str(name) for name in transformers["hidden_activation"].values]
    claims.check(
        "a transformer with GELU finds the same circuit as with ReLU",
        "in most seeds 99 % right, and .8 of the neurons' energy is of one frequency",
        "; ".join(
            f"{NAMES[a]} {int(count.sel(hidden_activation=a))} of {n}, {float(share.sel(hidden_activation=a)):.2f}"
            for a in names
        ),
        bool(count.sel(hidden_activation="gelu") > n / 2 and share.sel(hidden_activation="gelu") > 0.8),
    )


def draw(result: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: learning curves, one model's neurons, phases, and what the start says."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), layout="constrained", width_ratios=(1.1, 1.2, 1, 1))
    names = [str(name) for name in result["hidden_activation"].values]
    learning_curves(result, "hidden_activation", NAMES, COLORS, axes[0])
    best = result.sel(hidden_activation="square").isel(seed=0)
    read_waves(best.model(), axes[1])
    phase_sums({name: result.sel(hidden_activation=name).isel(seed=0).model() for name in names}, axes[2])
    start_correlations(table, axes[3])
    text = (
        "From left: share of unseen pairs that are answered right (median of seeds, and all of them); how strongly "
        "the neurons of one model with x² (seed 0) read each frequency, ordered by it; phases that neurons write "
        "against the sum of those that they read, one model each (seed 0); rank correlation of what the random start "
        "holds of a frequency with what the trained model writes of it (seeds, mean and 95 % interval)."
    )
    return figure, caption(result.attrs, text)


def learning_curves(
    result: SweepResult, axis: str, labels: Mapping[str, str], colors: Mapping[str, str], ax: Axes | None = None
) -> Axes:
    """Share of unseen pairs answered right against the step, by the values of an axis: every seed, and the median."""
    ax = current_axes(ax)
    steps = result["record_step"].values
    for name in map(str, result[axis].values):
        curves = 100 * result["test_accuracy_history"].sel({axis: name}).transpose("seed", "record").values
        ax.plot(steps, curves.T, color=colors[name], lw=0.4, alpha=0.2)
        ax.plot(steps, np.median(curves, axis=0), color=colors[name], lw=1.6, label=labels[name])
    ax.set(xlabel="step", ylabel="unseen pairs right, %", ylim=(0, 103), xscale="log")
    ax.legend(loc="upper left", handlelength=1.2)
    return ax


def read_waves(model: PairMLP, ax: Axes | None = None) -> Axes:
    """How strongly every neuron reads each frequency of a, as a share of its largest; neurons by their frequency."""
    ax = current_axes(ax)
    a, b, c = waves_of(model)
    size = np.abs(a) * np.abs(b) * np.abs(c)
    used = size.max(axis=1) > 0.02 * size.max()
    size = size[used][np.lexsort((-size[used].max(axis=1), size[used].argmax(axis=1)))]
    ax.imshow(size / size.max(axis=1, keepdims=True), aspect="auto", cmap="Greys", interpolation="nearest")
    ax.set_xticks(np.arange(0, size.shape[1], 2), np.arange(1, size.shape[1] + 1, 2))
    ax.set(xlabel="frequency k", ylabel="neuron", title="x²")
    return ax


def phase_sums(models: Mapping[str, PairMLP], ax: Axes | None = None) -> Axes:
    """φ_out against φ_a + φ_b of the neurons of some models, each at its strongest frequency."""
    ax = current_axes(ax)
    for name, model in models.items():
        a, b, c = waves_of(model)
        size = np.abs(a * b * c)
        at = np.arange(len(size)), size.argmax(axis=1)
        used = size[at] > 0.02 * size.max()
        read, wrote = np.angle(a[at] * b[at])[used], np.angle(c[at])[used]
        ax.plot(read, wrote, ".", ms=3.5, color=COLORS[name], alpha=0.7)
    ax.set_xticks([-np.pi, 0, np.pi], ["−π", "0", "π"])
    ax.set_yticks([-np.pi, 0, np.pi], ["−π", "0", "π"])
    ax.set(xlabel="phase read, $\\varphi_a + \\varphi_b$", ylabel="phase written, $\\varphi_{out}$")
    return ax


def start_correlations(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Rank correlations of both readings of the start with the end, by activation."""
    ax = current_axes(ax)
    ax.axhline(0, color="#BBBBBB", lw=0.7, zorder=0)
    names = [str(name) for name in table["hidden_activation"].values]
    for j, reading in enumerate(READINGS):
        for k, name in enumerate(names):
            values = table[reading].sel(hidden_activation=name).values
            x = k + 0.34 * (j - 0.5)
            mean, width = mean_and_half_width(values)
            ax.plot(np.full(len(values), x), values, ".", ms=2.5, color="#BBBBBB", zorder=1)
            ax.errorbar(
                x, mean, width, fmt="os"[j], ms=4, color=COLORS[name], mfc="white" if j == 0 else None, capsize=2
            )
    for marker, reading, face in (("o", "amplitude", "white"), ("s", "aligned", "black")):
        ax.plot([], [], marker, ms=4, color="black", mfc=face, label=READINGS[reading])
    ax.set_xticks(range(len(names)), [NAMES[name] for name in names])
    ax.set(ylabel="rank correlation,\nstart and end", ylim=(-1, 1.7))
    ax.legend(loc="upper left", title="read of the start:")
    return ax
