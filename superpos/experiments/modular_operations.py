r"""Is subtraction modulo p learned as addition is, and multiplication?

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", 3.4. Both are addition in another order
(`data.modular.as_addition`): of −b, or of discrete logarithms. One hidden layer reads a and b by tables of their own, so
no order is special to it, and what it takes to learn one is what it takes to learn the other, but for the chance of the
start. A transformer embeds both numbers by one table and is free to do it otherwise.
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import ttest_ind

from superpos.analysis.fourier import SINGLE, key_frequencies, neuron_frequencies, trig_fit
from superpos.analysis.intervals import share_interval
from superpos.data.modular import as_addition, modular_table
from superpos.experiments.claims import Claims
from superpos.experiments.modular_mlp import RIGHT, learning_curves, waves_of
from superpos.experiments.over_seeds import mean_and_half_width
from superpos.experiments.sizes import Sizes
from superpos.models.pair_mlp import PairMLP
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ModularAddition, ModularMLP
from superpos.theory.fourier_solutions import fourier_mlp
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 3.4: is subtraction modulo p learned as addition is?"
SIGNS = {"addition": "+", "subtraction": "−", "multiplication": "×"}
COLORS = {"addition": PALETTE["blue"], "subtraction": PALETTE["orange"], "multiplication": PALETTE["green"]}
FACTOR = 1.5  # by which times to learn may differ and count as alike


@dataclass(frozen=True)
class Size:
    """Modulus, operations, neurons, seeds and steps of the perceptrons; those of the transformers."""

    p: int = 23
    operations: tuple[str, ...] = ("addition", "subtraction", "multiplication")
    n_hidden: int = 128
    seeds: int = 16
    steps: int = 600
    transformer_operations: tuple[str, ...] = ("addition", "subtraction")
    transformer_seeds: int = 8
    transformer_steps: int = 3_000


SIZES = Sizes(
    quick=Size(
        p=7,
        operations=("subtraction",),
        n_hidden=16,
        seeds=1,
        steps=50,
        transformer_operations=("subtraction",),
        transformer_seeds=1,
        transformer_steps=20,
    ),
    laptop=Size(),
    full=Size(p=59, n_hidden=512, seeds=128, steps=4_000, transformer_seeds=32, transformer_steps=10_000),
)


def build(size: Size) -> tuple[ModularMLP, TrainConfig, Grid]:
    """Task, training and grid of the perceptrons, whose neurons square."""
    task = ModularMLP(
        p=size.p, n_hidden=size.n_hidden, train_fraction=0.8, gradient_pairs=round(0.8 * size.p**2), init_scale=0.5
    )
    config = TrainConfig(
        steps=size.steps, learning_rate=5e-3, weight_decay=1.0, schedule="constant", history=size.steps // 5
    )
    return task, config, Grid(operation=list(size.operations), seed=range(size.seeds))


def build_transformer(size: Size) -> tuple[ModularAddition, TrainConfig, Grid]:
    """The same of the transformers, whose neurons are ReLUs."""
    p = size.p
    task = ModularAddition(p=p, d_model=48, d_mlp=128, train_fraction=0.8, gradient_pairs=round(0.8 * p**2))
    config = TrainConfig(
        steps=size.transformer_steps, learning_rate=3e-3, weight_decay=1.0, schedule="constant", warmup_steps=10,
        decay_bias=True, history=size.transformer_steps // 20,
    )  # fmt: skip
    return task, config, Grid(operation=list(size.transformer_operations), seed=range(size.transformer_seeds))


def in_order(model: PairMLP, p: int, operation: str) -> PairMLP:
    """The model with its numbers and answers in the order in which the operation is addition."""
    a, b, c = as_addition(p, operation)
    return PairMLP(
        model.A[...][:, a], model.B[...][:, b], model.W_out[...][c], hidden_activation=model.hidden_activation
    )


def measure(result: SweepResult) -> xr.Dataset:
    """Of every perceptron, over `operation` and `seed`, its numbers and answers in the order of `in_order`:

    * `right`: share of the pairs that do not train which are answered right, at the end.
    * `learned`: the step from which that is `RIGHT` for good; NaN where it is not.
    * `single`: share of neurons of one frequency, which holds more than 85 % of what varies in A and B.
    * `phase`: mean cosine of φ_out − φ_a − φ_b over neurons; 1 in the written solution, 0 by chance.

    Both count a neuron by |a b c| of `waves_of` at its strongest frequency.
    """

    def of(cell: SweepResult, operation: str) -> dict[str, float]:
        a, b, c = waves_of(in_order(cell.model(), result.attrs["task"]["p"], operation))
        strength = np.abs(a * b * c)  # of every frequency in every neuron
        at = np.arange(len(strength)), strength.argmax(axis=1)
        read = np.abs(a) ** 2 + np.abs(b) ** 2
        single = read[at] > SINGLE * read.sum(axis=1)
        phase = np.cos(np.angle(c[at]) - np.angle(a[at]) - np.angle(b[at]))
        return {"single": np.average(single, weights=strength[at]), "phase": np.average(phase, weights=strength[at])}

    return _measured(result, of)


def measure_transformer(result: SweepResult) -> xr.Dataset:
    r"""`right` and `learned` of every transformer, as in `measure`, and with its pairs in the same order:

    * `trig`: the share of the logits' variance that is $\sum_k \alpha_k \cos w_k(i + j - c)$ over its key frequencies.
    * `single`: the share of the energy of its neurons, in the logits, that is of neurons of one frequency.
    """

    def of(cell: SweepResult, operation: str) -> dict[str, float]:
        task: Any = cell.task()
        model, p = cell.model(), task.p
        a, b, _ = as_addition(p, operation)
        pairs = (a[:, None] * p + b).ravel()
        neurons, written = np.asarray(task.neurons(model), float), np.asarray(model.W_out[0] @ model.W_U[...][:, :p])
        keys = key_frequencies(written)
        energy = neurons.var(axis=0) * np.sum(written**2, axis=1)
        return {
            "trig": trig_fit(np.asarray(task.logits(model))[pairs], keys)[1] if len(keys) else 0.0,
            "single": np.average(neuron_frequencies(neurons[pairs]).explained > SINGLE, weights=energy),
        }

    return _measured(result, of)


def _measured(result: SweepResult, of: Any) -> xr.Dataset:
    operations, seeds = [str(name) for name in result["operation"].values], result["seed"].values
    steps, rows = result["record_step"].values, []
    for operation in operations:
        for seed in seeds:
            cell = result.sel(operation=operation, seed=seed)
            curve = cell["test_accuracy_history"].values
            rows.append({"right": curve[-1], "learned": learned_at(steps, curve)} | of(cell, operation))
    shape = len(operations), len(seeds)
    return xr.Dataset(
        {name: (("operation", "seed"), np.reshape([row[name] for row in rows], shape)) for name in rows[0]},
        {"operation": operations, "seed": seeds},
    )


def learned_at(steps: np.ndarray, right: np.ndarray) -> float:
    """The first of `steps` from which `right` stays at `RIGHT` or above; NaN if the last one is below."""
    below = np.flatnonzero(np.asarray(right) < RIGHT)
    after = below[-1] + 1 if len(below) else 0
    return float(steps[after]) if after < len(steps) else np.nan


def written_accuracy(p: int, operation: str) -> float:
    """Share of the pairs (without 0 in multiplication) that six written neurons of frequency 1 answer right."""
    a, b, c = as_addition(p, operation)
    A, B, W_out = np.zeros((6, p)), np.zeros((6, p)), np.zeros((p, 6))
    A[:, a], B[:, b], W_out[c] = fourier_mlp(len(a), [1])
    asked = (a[:, None] * p + b).ravel()
    first, second = np.divmod(asked, p)
    logits = (A.T[first] + B.T[second]) ** 2 @ W_out.T
    return float(np.mean(logits.argmax(axis=1) == modular_table(p, operation)[2][asked]))


def ratio(learned: xr.DataArray, operation: str, base: str = "addition") -> tuple[float, float, float]:
    """How many times as long as `base` an operation takes, of geometric means, with its 95 % interval (Welch)."""
    logs = [np.log(learned.sel(operation=name).dropna("seed").values) for name in (operation, base)]
    interval = ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    return tuple(float(np.exp(x)) for x in (logs[0].mean() - logs[1].mean(), interval.low, interval.high))  # type: ignore[return-value]


def evaluate(table: xr.Dataset, transformers: xr.Dataset, size: Size, claims: Claims) -> None:
    """`table` is the `measure` of the perceptrons, `transformers` the `measure_transformer` of the others."""
    shares = {name: written_accuracy(size.p, name) for name in SIGNS}
    claims.identity(
        "six written neurons with x² add, subtract and multiply modulo p",
        "all pairs right; without 0 where they multiply, whose order is the discrete logarithm",
        ", ".join(f"{SIGNS[name]} {share:.0%}" for name, share in shares.items()),
        min(shares.values()) == 1,
    )
    for name in table["operation"].values:
        cell = table.sel(operation=name)
        claims.check(f"{name}: perceptrons answer pairs that they have not seen", *_learned(cell["right"]))
        single, phase = float(cell["single"].median()), float(cell["phase"].median())
        claims.check(
            f"{name}: neurons turn with one frequency, in the order in which it is addition",
            "in the median seed .9 of them, by strength, are of one frequency, and cos(φ_out − φ_a − φ_b) is .9",
            f"{single:.2f} and {phase:.2f}",
            single > 0.9 and phase > 0.9,
        )
    for name in table["operation"].values if "addition" in table["operation"].values else ():
        if name == "addition":
            continue
        times, low, high = ratio(table["learned"], name)
        claims.check(
            f"{name}: perceptrons take as long as for addition",
            f"ratio of the steps to {RIGHT:.0%} within a factor of {FACTOR:g} (all of its 95 % interval)",
            f"{times:.2f} ({low:.2f} to {high:.2f})",
            low > 1 / FACTOR and high < FACTOR,
        )
    if set(transformers["operation"].values) == {"addition", "subtraction"}:
        evaluate_transformers(transformers, claims)


def evaluate_transformers(table: xr.Dataset, claims: Claims) -> None:
    """What one embedding for both numbers makes of subtraction, of the `measure_transformer` of both operations."""
    add, subtract = (table.sel(operation=name) for name in ("addition", "subtraction"))
    for statement, key, words in (
        (
            "transformers, which embed both numbers alike, subtract less well than they add",
            "right",
            "unseen pairs right",
        ),
        ("… and their logits are less of a sum of Σ α_k cos w_k(i + j − c)", "trig", "share of their variance"),
    ):
        middle, width = mean_and_half_width((add[key] - subtract[key]).values)
        claims.check(
            statement,
            f"{words}, addition less subtraction, above 0 (95 % interval over seeds)",
            f"{float(add[key].mean()):.2f} and {float(subtract[key].mean()):.2f}, differ by {middle:.2f} ± {width:.2f}",
            middle > width,
        )


def _learned(right: xr.DataArray) -> tuple[str, str, bool]:
    k, n = int((right >= RIGHT).sum()), right.sizes["seed"]
    _, low, high = share_interval(k, n)
    expected = f"{RIGHT:.0%} right in more than half of the seeds (95 % interval)"
    return expected, f"{k} of {n} ({low:.0%} to {high:.0%})", bool(low > 0.5)


def draw(result: SweepResult, transformers: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: both learning curves, what a neuron reads in both orders, and its phases."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.7), layout="constrained")
    labels = {name: f"a {sign} b" for name, sign in SIGNS.items()}
    learning_curves(result, "operation", labels, COLORS, axes[0]).set_title("one hidden layer")
    learning_curves(transformers, "operation", labels, COLORS, axes[1]).set_title("transformer")
    name = str(result["operation"].values[-1])
    cell = result.sel(operation=name).isel(seed=0)
    strongest_neuron(cell.model(), result.attrs["task"]["p"], name, axes[2])
    circuits(table, axes[3])
    text = (
        "From left: share of unseen pairs that are answered right, by one hidden layer with x² and by a transformer "
        f"(median of seeds, and all of them); what the strongest neuron of a perceptron that does {name} (seed 0) "
        "reads of a, by k times its place in the order of the numbers and in the order in which it is addition, k "
        "being its frequency; of every perceptron, the share of neurons of one frequency and the mean cosine of φ_out "
        "− φ_a − φ_b."
    )
    return figure, caption(result.attrs, text)


def strongest_neuron(model: PairMLP, p: int, operation: str, ax: Axes | None = None) -> Axes:
    """What the neuron of largest |a b c| reads of a, against k times its place in an order, its frequency being k.

    In the order of `as_addition`, in which it is a cosine, and in that of the numbers. (The highest frequency of an even
    number of places, which has two values, is left out.)
    """
    ax = current_axes(ax)
    order = as_addition(p, operation).a
    n = len(order)
    strength = np.prod(np.abs(waves_of(in_order(model, p, operation))), axis=0)[:, : (n - 1) // 2]
    neuron, k = np.unravel_index(strength.argmax(), strength.shape)
    read, turned = np.asarray(model.A[...])[neuron], (int(k) + 1) * np.arange(n) % n
    ax.plot(turned, read[np.sort(order)], "o", color="#BBBBBB", ms=3, label="as numbers")
    ax.plot(turned, read[order], "o", color=COLORS[operation], ms=4, label="in order")
    ax.set(xlabel=f"{int(k) + 1} × place of a, modulo {n}", ylabel="read of a by one neuron")
    ax.set_title(f"a {SIGNS[operation]} b")
    ax.set_ylim(None, ax.get_ylim()[1] + 0.35 * np.ptp(read))
    ax.legend(loc="upper left", ncols=2, handletextpad=0.1, columnspacing=0.8)
    return ax


def circuits(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """`single` and `phase` of every perceptron, by operation."""
    ax = current_axes(ax)
    names = [str(name) for name in table["operation"].values]
    n = table.sizes["seed"]
    spread = np.linspace(-0.1, 0.1, n)
    for j, (key, marker, label) in enumerate((("single", "o", "one frequency"), ("phase", "s", "phases add"))):
        for k, name in enumerate(names):
            face = "none" if key == "single" else COLORS[name]
            values = table[key].sel(operation=name).values
            ax.plot(k + 0.3 * (j - 0.5) + spread, values, marker, ms=3, mfc=face, color=COLORS[name], ls="none")
        ax.plot([], [], marker, ms=4, color="black", mfc="none" if key == "single" else "black", label=label)
    ax.set_xticks(range(len(names)), [f"a {SIGNS[name]} b" for name in names])
    ax.set(ylabel="share, and mean cosine", ylim=(0, 1.08), xlim=(-0.6, len(names) - 0.4))
    ax.legend(loc="lower left")
    return ax
