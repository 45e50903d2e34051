"""Grokking: a transformer memorises sums modulo p, and long afterwards computes them with a few frequencies.

Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
"""

from dataclasses import dataclass
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos import arrays
from superpos.analysis import fourier
from superpos.analysis.grokking import progress, squared_weights
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import DIVERGING, PALETTE, caption, current_axes
from superpos.plot.grokking import embedding_circle, progress_curves
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ModularAddition
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda et al. 2023, Progress measures for grokking"


@dataclass(frozen=True)
class Size:
    """The model, the share of pairs that train, training, seeds, and test pairs of the record (None: all of them).

    The paper trains for 40,000 steps; its clean-up ends at 14,000, and the rate is constant, so nothing else differs.
    """

    p: int = 59
    d_model: int = 64
    n_heads: int = 4
    d_mlp: int = 256
    train_fraction: float = 0.4
    steps: int = 6_000
    learning_rate: float = 2e-3
    snapshots: int = 101
    test_pairs: int | None = 1_000
    seeds: int = 4


SIZES = Sizes(
    quick=Size(
        p=11,
        d_model=8,
        n_heads=2,
        d_mlp=16,
        steps=20,
        snapshots=5,
        test_pairs=None,
        seeds=1,
    ),
    laptop=Size(),
    full=Size(p=113, d_model=128, d_mlp=512, train_fraction=0.3, steps=14_000, learning_rate=1e-3),
)


def build(size: Size) -> tuple[ModularAddition, TrainConfig, Grid]:
    """Task, training and grid: with the paper's weight decay and without."""
    task = ModularAddition(
        p=size.p,
        d_model=size.d_model,
        n_heads=size.n_heads,
        d_mlp=size.d_mlp,
        train_fraction=size.train_fraction,
        gradient_pairs=round(size.train_fraction * size.p**2),
        test_pairs=size.test_pairs,
    )
    # As published, everything decays; with undecayed biases the small model takes longer.
    config = TrainConfig(
        steps=size.steps,
        learning_rate=size.learning_rate,
        schedule="constant",
        warmup_steps=10,
        decay_bias=True,
        snapshots=tuple(int(t) for t in np.linspace(0, size.steps, size.snapshots)),
    )
    return task, config, Grid(weight_decay=[1.0, 0.0], seed=range(size.seeds))


def grokked_of(result: SweepResult) -> SweepResult:
    """The model with weight decay of lowest test loss: a rule that looks at nothing that is claimed of the circuit."""
    return decayed_of(result).best("seed")


def decayed_of(result: SweepResult) -> SweepResult:
    """The models with weight decay, over `seed`."""
    return result.sel(weight_decay=result["weight_decay"].values[0])


def plain_of(result: SweepResult) -> SweepResult:
    """The models without, over `seed`."""
    return result.sel(weight_decay=result["weight_decay"].values[1])


def snapshots_of(result: SweepResult) -> tuple[Any, list[Any], np.ndarray]:
    """Task, model at every snapshot and steps of one cell of a result, as `progress` takes them."""
    stacked, steps = result.snapshots(), result.dataset["snapshot_step"].values
    models = [jax.tree.map(lambda leaf, k=k: leaf[k], stacked) for k in range(len(steps))]
    return result.task(), models, steps


def progress_of(result: SweepResult) -> xr.Dataset:
    """`progress` of one cell of a result with snapshots, as `superpos.cached` takes it."""
    return progress(*snapshots_of(result))


def circuits_of(result: SweepResult) -> xr.Dataset:
    """What trained models are made of in the end, over `seed`, as `superpos.cached` takes it.

    `single`, the share of neurons of which one frequency explains more than 85 % (Nanda et al. 2023, section 4.2);
    `n_keys`; `key_energy`, the share of the embedding's energy, but for the constant, that key frequencies hold;
    `trig_explained`, the share of the logits' variance that is Σ α_k cos w_k(a + b − c) over key frequencies (section 4.1).
    """
    rows = []
    for seed in result["seed"].values:
        cell = result.sel(seed=seed)
        task: Any = cell.task()
        model = cell.model()
        keys = fourier.key_frequencies(np.asarray(model.W_out[0] @ model.W_U[...][:, : task.p]))
        trig = fourier.trig_fit(np.asarray(task.logits(model)), keys)[1] if len(keys) else 0.0
        energy = fourier.spectrum(np.asarray(model.W_E[: task.p]))
        single = np.mean(fourier.neuron_frequencies(task.neurons(model)).explained > fourier.SINGLE)
        share = energy[keys].sum() / energy[1:].sum()
        rows.append({"single": single, "n_keys": len(keys), "key_energy": share, "trig_explained": trig})
    return xr.Dataset(
        {name: ("seed", [row[name] for row in rows]) for name in rows[0]}, {"seed": result["seed"].values}
    )


def histories_of(result: SweepResult) -> xr.Dataset:
    """`test_loss` and `test_accuracy` through the training of models, over (`seed`, `step`)."""
    histories = {
        name: result[f"{name}_history"].transpose("seed", "record").values for name in ("test_loss", "test_accuracy")
    }
    coords = {"step": result["record_step"].values, "seed": result["seed"].values}
    return xr.Dataset({name: (("seed", "step"), values) for name, values in histories.items()}, coords)


def tests_of(result: SweepResult) -> xr.Dataset:
    """`histories_of` models, and of those with snapshots `grown`, too.

    `grown` is ‖θ‖² at the end over its value at the start, over `seed`.
    """
    table = histories_of(result)
    if "snapshot_step" not in result.dataset:
        return table
    ratios = []
    for seed in result["seed"].values:
        stacked = result.snapshots(seed=int(seed))
        first, last = (jax.tree.map(lambda leaf, k=k: leaf[k], stacked) for k in (0, -1))
        ratios.append(squared_weights(last) / squared_weights(first))
    return table.assign(grown=("seed", ratios))


def evaluate(
    table: xr.Dataset, control: xr.Dataset, claims: Claims, seeds: xr.Dataset | None = None, *, full: bool = False
) -> None:
    """Claims about one model, `table` of `progress_of`, and models without weight decay.

    `control` has the `test_accuracy` of those, of one or of many seeds; `seeds`, of `circuits_of`, is what the models of
    all seeds are made of: how many of them a claim holds for is said, the one of `table` decides. Four claims are about
    the paper's size and judged if `full`.
    """
    steps, test, train = (table[n].values for n in ("step", "test_accuracy", "train_accuracy"))
    gap = steps[(train > 0.99) & (test < 0.5)]
    length = int(gap[-1] - gap[0]) if len(gap) else 0
    claims.check(
        "it memorises long before it generalises", "> 1,000 steps: train > 99 %, test < 50 %", length, length > 1_000
    )
    claims.check("in the end it generalises", "test > 99.9 %", f"{100 * test[-1]:.3f} %", test[-1] > 0.999)
    best, n = float(control["test_accuracy"].max()), control.sizes.get("seed", 1)
    measured = f"{100 * best:.1f} %"
    if n > 1:
        measured += f" at most, {n} seeds"
    claims.check("without weight decay it never does", "test < 99 % in the same steps", measured, best < 0.99)
    keys = table["key"].values
    energy = table["embedding_energy"].values
    share = float(energy[keys].sum() / energy[1:].sum()) if len(keys) else 0.0
    measured = f"{100 * share:.1f} % in {', '.join(map(str, keys))}"
    claims.check("key frequencies hold the embedding", "> 90 % of ‖F W_E‖² but the constant", measured, share > 0.9)
    single = float(np.mean(table["neuron_explained"] > fourier.SINGLE))
    measured = f"{100 * single:.0f} %"
    if seeds is not None and len(seeds["seed"]) > 1:
        each = ", ".join(f"{100 * share:.0f}" for share in seeds["single"].values)
        measured += f"; {int((seeds['single'] >= 0.75).sum())} of {len(seeds['seed'])} seeds: {each} %"
    claims.check("neurons are of one frequency", "≥ 75 % have > 85 % of variance in one", measured, single >= 0.75)
    kept_accuracy = table.attrs["kept_test_accuracy"]
    measured = f"{100 * kept_accuracy:.2f} %"
    claims.check("the key frequencies alone answer", "test accuracy ≥ 99 %", measured, kept_accuracy >= 0.99)
    ratios = table["alone_removed"].values / table["test_loss"].values[-1]
    least = float(ratios.min()) if len(ratios) else 0.0
    claims.check("removing any one of them hurts", "test loss × 10 or more", f"× {least:.3g} or more", least >= 10)
    removed, chance = table.attrs["removed_loss"], float(np.log(table.attrs["p"]))
    claims.check("removing all is worse than chance", f"loss > ln p = {chance:.2f}", f"{removed:.2f}", removed > chance)
    trig = table.attrs["trig_explained"]
    measured = f"{100 * trig:.1f} %"
    if seeds is not None and len(seeds["seed"]) > 1:
        measured += f"; seeds: {', '.join(f'{100 * share:.1f}' for share in seeds['trig_explained'].values)} %"
    claims.check(
        "logits are Σ α_k cos w_k(a + b − c) of key frequencies", "≥ 95 % of their variance", measured, trig >= 0.95
    )
    _evaluate_phases(table, claims)
    _evaluate_weights(table, control, claims)
    for statement, expected, measured, holds in _of_full_size(table):
        if full:
            claims.check(statement, expected, measured, holds)
        else:
            claims.needs_full(statement, expected, measured)


def _evaluate_phases(table: xr.Dataset, claims: Claims) -> None:
    """Three moments, each read off a series of its own, and the excluded loss between the first and the last of them.

    Nothing makes them come in this order: the training accuracy knows no frequencies, and the restricted loss, of the
    key frequencies alone, knows nothing of the training pairs.
    """
    steps = table["step"].values
    memorised = _first(steps, table["train_accuracy"].values > 0.99)
    circuit, general = (_first(steps, _below_half(table[f"{of}_loss"].values)) for of in ("restricted", "test"))
    measured = (
        f"training accuracy > 99 % at {memorised:g}, restricted loss halved at {circuit:g}, test loss at {general:g}"
    )
    holds = memorised < circuit < general
    claims.check("phases: memorisation, circuit, clean-up", "three series, in this order", measured, holds)
    rises = [np.nan, np.nan]
    if np.isfinite([memorised, general]).all():
        ends = {"step": [memorised, general]}
        pairs = (table[f"{of}excluded_loss"].sel(ends).values for of in ("", "other_"))
        rises = [float(last / first) for first, last in pairs]
    measured = f"× {rises[0]:.3g} from step {memorised:g} to {general:g}; without as many others × {rises[1]:.3g}"
    expected = "× 2 or more from memorising until the test loss halves, and not without other frequencies"
    holds = rises[0] >= 2 and rises[1] < 2
    claims.check("excluded loss rises while the test loss is high", expected, measured, holds)


def _evaluate_weights(table: xr.Dataset, control: xr.Dataset, claims: Claims) -> None:
    """The norm of all weights falls from memorising on, and without weight decay it does not."""
    norm = table["squared_weights"].values
    memorised = np.flatnonzero(table["train_accuracy"].values > 0.99)
    fall = float(norm[-1] / norm[memorised[0]]) if len(memorised) else np.nan
    grown = control["grown"].values
    measured = f"× {fall:.2f} from memorising to the end; without weight decay × {grown.min():.2f} or more of the start"
    expected = "‖θ‖² falls by 20 % or more; without weight decay it grows"
    claims.check("weight norm falls", expected, measured, fall <= 0.8 and bool(np.all(grown > 1)))


def _below_half(values: np.ndarray) -> np.ndarray:
    """From which points on a series stays below half of its maximum."""
    high = np.flatnonzero(values >= values.max() / 2)
    return np.arange(len(values)) > high[-1]


def _first(steps: np.ndarray, mask: np.ndarray) -> float:
    """The first of the steps that a mask marks; NaN where it marks none."""
    return float(steps[mask.argmax()]) if mask.any() else np.nan


def _of_full_size(table: xr.Dataset) -> list[tuple[str, str, str, bool]]:
    n, singular = len(table["key"]), table["singular_values"].values
    ratio = float(singular[2 * n] / singular[0])
    kept_loss, full_loss = table.attrs["kept_loss"], table.attrs["full_loss"]
    halves = [table["step"].values[(table[f"{of}_accuracy"] >= 0.5).values] for of in ("restricted", "test")]
    ahead = int(halves[1][0] - halves[0][0]) if all(map(len, halves)) else 0
    return [
        ("few frequencies", "3 to 7 keys", f"{n}", 3 <= n <= 7),
        ("W_L has two directions for each of K keys", "σ_{2K+1} / σ_1 < 0.1", f"{ratio:.3f}", ratio < 0.1),
        (
            "the key frequencies are all of it",
            "restricted loss ≤ 1.1 × loss",
            f"{kept_loss:.2g}, {full_loss:.2g}",
            kept_loss <= 1.1 * full_loss,
        ),
        ("restricted accuracy is ahead", "50 % over 1,000 steps sooner", f"{ahead:,} steps", ahead > 1_000),
    ]


def draw(result: SweepResult, table: xr.Dataset, control: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption of the model of `grokked_of`.

    `table` is `progress_of` of it, `control` the `tests_of` the models without weight decay.
    """
    grokked = grokked_of(result)
    task: Any = grokked.task()
    model, seed = grokked.model(), int(grokked["seed"])
    keys = table["key"].values
    best = [int(np.where(table["neuron_frequency"] == k, table["neuron_explained"], -1).argmax()) for k in keys]
    waves = np.asarray(task.neurons(model)).reshape(task.p, task.p, -1).mean(axis=1)[:, best].T
    logits = np.asarray(task.logits(model))[:, 0].reshape(task.p, task.p)
    strongest = int(keys[table["embedding_energy"].values[keys].argmax()])
    plane = fourier.key_plane(model.W_E[: task.p], strongest)
    others = histories_of(decayed_of(result)).drop_sel(seed=seed)
    figure, text = panels(table, control, (waves, keys), logits, (plane, strongest), others)
    decay, none = result["weight_decay"].values
    text += (
        f" Weight decay {decay:g} ({none:g} for the dotted lines, means over {task.test_pairs or 'all'} test pairs). "
    )
    n_seeds = result.sizes["seed"]
    text += f"The picture shows one seed, {seed}"
    if n_seeds > 1:
        text += f", of lowest final test loss among {n_seeds}; thin: the test measures of the others"
    return figure, caption(grokked.attrs, f"{text}. Settings:")


def panels(
    table: xr.Dataset,
    control: xr.Dataset,
    waves: tuple[Any, Any],
    logits: Any,
    circle: tuple[Any, int],
    others: xr.Dataset | None = None,
) -> tuple[Figure, str]:
    """Progress above, the circuit below, and what the panels show in words.

    `table` is `superpos.analysis.grokking.progress` of a model. `control` has the `test_loss` and `test_accuracy` of models
    without weight decay, and `others` those of its other seeds, both over `seed` and `step`. `waves`, `logits` and `circle`
    are the arguments of `neuron_waves`, `logit_map` and `embedding_circle`. Nanda et al. 2023, figures 1, 2, 3, 6 and 7.
    """
    figure = plt.figure(figsize=(10.2, 6), layout="constrained")
    axes = figure.subplot_mosaic("AAAABBBBCCCC;DDDDEEEEFFFF")
    for name, of in (("A", "accuracy"), ("B", "loss")):
        seeds = None if others is None else others[f"test_{of}"]
        progress_curves(table, axes[name], of=of, control=control[f"test_{of}"], others=seeds)
    handles = {label: h for k in "AB" for h, label in zip(*axes[k].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=len(handles))
    frequency_energy(table, axes["C"])
    neuron_waves(*waves, axes["D"])
    logit_map(logits, axes["E"], label="logit of c = 0, centred")
    embedding_circle(*circle, axes["F"])
    text = (
        "Top: accuracy and loss through training, with the phases shaded (memorisation ends where the excluded loss is "
        "least, circuit formation where the test loss falls below half its maximum for good, clean-up where the test "
        "accuracy stays above 99.9 %); restricted: all pairs, from the key frequencies alone; excluded: training pairs, "
        "without them. Right: energy of the embedding by frequency; orange: key frequencies, which hold 2 % or more of "
        "the map from neurons to logits; grey: in the embedding, but hardly read by that map. Bottom: for every key "
        "frequency the neuron it explains best, its mean over b against a, scaled; the logit of c = 0 for all pairs; "
        "the embeddings of the numbers in the plane of the strongest key frequency, neighbours on the circle joined."
    )
    return figure, text


def frequency_energy(table: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Energy of the embedding by frequency, as shares of all but the constant; key frequencies orange and labelled."""
    ax, keys = current_axes(ax), table["key"].values
    share = table["embedding_energy"].values[1:] / table["embedding_energy"].values[1:].sum()
    k = np.arange(1, len(share) + 1)
    ax.bar(k, share, 0.9, color=[PALETTE["orange"] if i in keys else PALETTE["grey"] for i in k])
    for i in keys:
        ax.text(i, share[i - 1], f"{i}", ha="center", va="bottom", fontsize=7)
    ax.set(xlabel="frequency k", ylabel="share of ‖F $W_E$‖²")
    return ax


def neuron_waves(neurons: Any, frequencies: Any, ax: Axes | None = None) -> Axes:
    """Neurons (n, p) of `frequencies` (n,) against a, each from its least value to its largest, one above the other."""
    ax, x = current_axes(ax), np.asarray(neurons, float)
    for row, wave in enumerate(x):
        height = np.ptp(wave) or 1.0
        ax.plot((wave - wave.min()) / height + 1.25 * row, ".-", color="black", ms=2.5, lw=0.8)
    ax.set(xlabel="a (mean over b)", ylabel="neuron of frequency k")
    ax.set_yticks(1.25 * np.arange(len(x)) + 0.5, [f"{k}" for k in frequencies])
    return ax


def logit_map(logits: Any, ax: Axes | None = None, *, label: str = "logit") -> Axes:
    """One logit of all pairs, (p, p), a up and b to the right; white is its mean."""
    ax, z = current_axes(ax), arrays.as_numpy("logits", logits, ndim=2)
    z = z - z.mean()
    most = np.abs(z).max()
    image = ax.imshow(z, origin="lower", cmap=DIVERGING, vmin=-most, vmax=most, interpolation="nearest")
    ax.set(xlabel="b", ylabel="a")
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85)
    return ax
