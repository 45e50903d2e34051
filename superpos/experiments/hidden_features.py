"""Many features computed in a hidden layer for few outputs: Nanda 2023, open problem 4.13."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.hidden_reading import left_without, reading_of
from superpos.analysis.intervals import Interval, mean_interval
from superpos.analysis.probes import linear_probe_r2
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.experiments.two_hidden_layers import inputs
from superpos.plot.appearance import DIVERGING, PALETTE, caption, current_axes
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import MixedComputation
from superpos.training.train_config import TrainConfig

SOURCE = "Nanda 2023, 200 Concrete Open Problems, 4.13: more hidden features than outputs"
FIRST_SEED = 100  # thresholds were set on seeds 0 to 3
SPARSE, RARE = 0.3, 0.03  # densities of which the claims speak
# What features are read from, with its color.
READERS = {
    "hidden": PALETTE["red"],
    "hidden, inputs": PALETTE["orange"],
    "random": PALETTE["grey"],
    "outputs": PALETTE["blue"],
}
NAMES = {
    "hidden": "hidden layer", "hidden, inputs": "… and inputs", "random": "random layer", "outputs": "outputs",
}  # fmt: skip
MIXED = {"directions": PALETTE["red"], "groups": PALETTE["green"]}
Case = tuple[str, int]  # mixing and number of hidden neurons
WEIGHTS = {"W1": "hidden", "W2": "output"}  # with their first axis
# What is measured of every model, with the axes it has.
MEASURED: dict[str, tuple[str, ...]] = {
    "relative": (), "computed": ("reader",), "left": ("removed", "feature"), "in_group": (), "features_per_neuron": (),
}  # fmt: skip


@dataclass(frozen=True)
class Size:
    """Features, outputs and neurons by mixing, densities, seeds and training."""

    n_features: int = 24
    n_outputs: int = 3
    directions: tuple[int, ...] = (6, 12, 24, 48)
    groups: tuple[int, ...] = (6, 24)
    densities: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03)
    seeds: int = 16
    steps: int = 3_000
    batch_size: int = 256
    evaluation_samples: int = 65_536
    samples: int = 8_192  # of probes

    def cases(self) -> list[Case]:
        """Every mixing with every number of neurons."""
        return [("directions", m) for m in self.directions] + [("groups", m) for m in self.groups]


SIZES = Sizes(
    quick=Size(
        n_features=4, n_outputs=2, directions=(4,), groups=(4,), densities=(1.0, 0.3, 0.03), seeds=2, steps=10, batch_size=32,
        evaluation_samples=2_048,
    ),
    laptop=Size(),
    full=Size(directions=(6, 12, 18, 24, 30, 36, 48), groups=(6, 12, 24, 48), seeds=32, steps=20_000, batch_size=1_024,
              densities=(1.0, 0.55, 0.3, 0.17, 0.1, 0.055, 0.03)),
)  # fmt: skip


def build(size: Size, case: Case) -> tuple[MixedComputation, TrainConfig, Grid]:
    """Task, training and grid of one mixing and number of neurons; every seed has random directions of its own."""
    mixing, n_hidden = case
    task = MixedComputation(n_features=size.n_features, n_hidden=n_hidden, n_outputs=size.n_outputs, mixing=mixing)
    config = TrainConfig(
        steps=size.steps, batch_size=size.batch_size, history=1, evaluation_samples=size.evaluation_samples
    )
    pairs = [(seed, p) for seed in range(FIRST_SEED, FIRST_SEED + size.seeds) for p in size.densities]
    axes = {"feature_probability": [p for _, p in pairs], "seed": [seed for seed, _ in pairs]}
    if mixing == "directions":
        axes["mixing_seed"] = axes["seed"]
    return task, config, Grid.zipped(**axes)


def measure(result: SweepResult, size: Size, case: Case) -> xr.Dataset:
    r"""Over `feature_probability` and `seed`, of one mixing and number of neurons:

    * `relative`: the loss over that of answering the mean; `two_each` and `shared_lines`, over `feature_probability`: the
      same of the naive baselines (see `superpos.theory.mixed_baseline`).
    * `computed`, over `reader`: $\sum_i \max(R^2_i, 0)$ of linear probes of every |x_i|, from the hidden layer, from the
      hidden layer and the inputs together, from a random hidden layer of the same width and from the outputs. `inputs`, over
      `feature_probability`: the same from the inputs alone.
    * `left`, over `removed` and `feature`: what share of the weight of |x_i| in the outputs is left without the neurons that
      read `removed` more than any other feature.
    * `in_group`: of the squared weights with which a neuron reads, the share in its main group of neighbours; and
      `features_per_neuron`, $(\sum_i w_i^2)^2 / \sum_i w_i^4$. Means over neurons, weighted by ‖W1_k‖ ‖W2_k‖.
    """
    dims = ("feature_probability", "seed")
    trained = result.dataset.drop_vars("mixing_seed", errors="ignore").set_index(cell=dims).unstack("cell")
    rows, of_density = [], []
    for k, p in enumerate(size.densities):
        x = inputs(p, size.n_features, size.samples)
        at_density = trained.isel(feature_probability=list(trained["feature_probability"].values).index(p))
        task = task_of(size, case, p)
        nothing = replace(task, n_hidden=1).baseline().loss
        naive = [task.baseline(shared_lines=shared).loss / nothing for shared in (False, True)]
        of_density.append([*naive, held(x, np.abs(x))])
        rows.append([])
        for seed in at_density["seed"].values:
            cell = at_density.sel(seed=seed)
            W1, W2 = (cell[name].transpose(axis, ...).values.astype(float) for name, axis in WEIGHTS.items())
            M = np.asarray(task_of(size, case, p, int(seed)).precompute().matrix, float)
            rows[k].append((
                float(cell["loss"]) / nothing, computed(W1, W2, x, int(seed)), left_without(W1, W2, M, x),
                *reading_of(W1, W2, size.n_outputs),
            ))  # fmt: skip
    of_models = {
        name: ((*dims, *axes), np.array([[row[k] for row in at_density] for at_density in rows]))
        for k, (name, axes) in enumerate(MEASURED.items())
    }
    others = ("two_each", "shared_lines", "inputs")
    table = of_models | {name: (dims[:1], np.array(of_density)[:, k]) for k, name in enumerate(others)}
    return xr.Dataset(table, {dims[0]: list(size.densities), "seed": trained["seed"].values, "reader": list(READERS)})


def task_of(size: Size, case: Case, p: float, seed: int = 0) -> MixedComputation:
    """The task of one model."""
    mixing, n_hidden = case
    return MixedComputation(
        n_features=size.n_features, n_hidden=n_hidden, n_outputs=size.n_outputs, mixing=mixing, feature_probability=p,
        mixing_seed=seed if mixing == "directions" else 0,
    )  # fmt: skip


def computed(W1: np.ndarray, W2: np.ndarray, x: np.ndarray, seed: int) -> list[float]:
    """The sums of R² of |x_i| that are not negative, in the order of `READERS`."""
    h, size = np.maximum(W1 @ x, 0), np.abs(x)
    at_random = np.maximum(np.random.default_rng(seed).normal(size=W1.shape) @ x, 0)
    return [held(read, size) for read in (h, np.concatenate([h, x]), at_random, W2 @ h)]


def held(h: np.ndarray, y: np.ndarray) -> float:
    """How many of the features y can be read linearly from h."""
    return float(np.maximum(linear_probe_r2(h, y), 0).sum())


def evaluate(tables: dict[Case, xr.Dataset], size: Size, claims: Claims) -> None:
    """`tables` are `measure`'s, by mixing and number of neurons."""
    of = {m: tables["directions", m] for m in size.directions}
    judge_room(tables, size.n_outputs, claims)
    judge_features(of, size, claims)
    judge_losses({m: table for m, table in of.items() if m < 2 * size.n_features}, claims)
    judge_groups(tables, size, claims)
    most = max(size.directions)
    same, others = removal(of[most])
    judged = [p for p in size.densities if p > RARE]
    claims.check(
        "the outputs are made of them: without the neurons of one feature its weight in the outputs goes, and others stay",
        f"{most} neurons: at most 0.1 of its own is left and at least 0.9 of others, by intervals, at every "
        f"density above {RARE:g}",
        f"own {numbers(same)}; others {numbers(others)}",
        all(same[p].high <= 0.1 and others[p].low >= 0.9 for p in judged),
    )


def judge_room(tables: dict[Case, xr.Dataset], n_outputs: int, claims: Claims) -> None:
    """What no layer can exceed: the rank of what is read."""
    of_layers = [table["computed"].sel(reader=["hidden", "random"]).max() / m for (_, m), table in tables.items()]
    of_outputs = [table["computed"].sel(reader="outputs").max() for table in tables.values()]
    of_inputs = [table["inputs"].max() / table.sizes["feature"] for table in tables.values()]
    layer, outputs, blind = (float(max(values)) for values in (of_layers, of_outputs, of_inputs))
    claims.identity(
        "a layer holds at most as many features as it has units, and inputs hold none",
        f"sums of R² of linear probes: at most {n_outputs} from outputs, m from m neurons, 0 from inputs (5 % for sampling)",
        f"at most {outputs:.2f} from outputs, {layer:.2f} m from neurons, {blind:.3f} n from inputs",
        outputs <= 1.05 * n_outputs and layer <= 1.05 and blind <= 0.05,
    )


def judge_features(of: dict[int, xr.Dataset], size: Size, claims: Claims) -> None:
    """How many features hidden layers hold, beside outputs and random layers; `of` are tables by number of neurons."""
    n, outputs = size.n_features, size.n_outputs
    for m, times, name in ((n, 1.5, "more"), (max(of), 4, "many more")):
        held = held_by(of[m], "hidden")
        claims.check(
            f"{'one neuron' if m == n else 'two neurons'} for every feature: the hidden layer holds {name} than the outputs",
            f"more than {times * outputs:g} of {n} features, for {outputs} outputs, by intervals (95 %) at every density",
            numbers(held),
            all(v.low > times * outputs for v in held.values()),
        )
    more = {m: held_by(table, "hidden", "random") for m, table in of.items()}
    at_random = held_by(of[n], "random")
    claims.check(
        "training puts them there: a random hidden layer of the same width holds fewer",
        f"difference of paired seeds above 0 by its interval, at every density, with {listed(of)} neurons",
        f"least {min(v.low for values in more.values() for v in values.values()):.2f}; {n} neurons: {numbers(more[n])} more "
        f"than {numbers(at_random)}",
        all(v.low > 0 for values in more.values() for v in values.values()),
    )
    both = held_by(of[n], "hidden, inputs")
    claims.check(
        "one neuron does for a feature, where outputs share what is linear: |x| = 2 ReLU(x) − x",
        f"more than n/2 = {n // 2} features from {n} neurons and the inputs together, by intervals at every density",
        numbers(both),
        all(v.low > n // 2 for v in both.values()),
    )


def judge_losses(of: dict[int, xr.Dataset], claims: Claims) -> None:
    """Losses beside those of whole features computed one by one."""
    for name, baseline, most in (
        ("it beats two neurons for each of m/2 features", "two_each", 1.0),
        ("sparse: it beats one neuron for each, and what is linear shared", "shared_lines", SPARSE),
    ):
        ratio = {m: over_seeds_of(table["relative"] / table[baseline]) for m, table in of.items()}
        claims.check(
            name,
            f"loss over that network's below 1 by its interval, at every density ≤ {most:g}, with {listed(of)} neurons",
            "; ".join(f"{m}: {numbers(values)}" for m, values in ratio.items()),
            all(v.high < 1 for values in ratio.values() for p, v in values.items() if p <= most),
        )


def judge_groups(tables: dict[Case, xr.Dataset], size: Size, claims: Claims) -> None:
    """What is otherwise where features share a code."""
    few, n, outputs = 2 * size.n_outputs, size.n_features, size.n_outputs
    groups, apart = (tables[mixing, few].sel(feature_probability=RARE) for mixing in ("groups", "directions"))
    loss = mean_interval(groups["relative"].values)
    held = mean_interval(groups["computed"].sel(reader="hidden").values)
    logs: Any = np.log(apart["relative"] / groups["relative"])
    times = [float(np.exp(v)) for v in mean_interval(logs.values)]
    claims.check(
        "groups, sparse: sums of features take their place, and the hidden layer holds no more of them than the outputs",
        f"{few} neurons at {RARE:g}: loss below 0.15 of that of the mean, at most {outputs} features held, by intervals; "
        "with directions at least twice the loss",
        f"loss {loss.estimate:.3f} (at most {loss.high:.3f}), {held.estimate:.2f} features (at most {held.high:.2f}), "
        f"{float(groups['features_per_neuron'].mean()):.1f} features a neuron; with directions {times[0]:.2f} × the loss "
        f"({times[1]:.2f} to {times[2]:.2f})",
        loss.high < 0.15 and held.high <= outputs and times[1] > 2,
    )
    inside = over_seeds_of(tables["groups", n]["in_group"])
    outside = over_seeds_of(tables["directions", n]["in_group"])
    claims.check(
        "groups: what one neuron reads is of one group",
        f"share of its squared weights above 0.9 by intervals at every density, {n} neurons; with directions below 0.8 at "
        f"{RARE:g}",
        f"{numbers(inside)}; with directions {numbers(outside)}",
        all(v.low > 0.9 for v in inside.values()) and outside[RARE].high < 0.8,
    )
    ratio = over_seeds_of((tables["groups", n]["computed"] / tables["directions", n]["computed"]).sel(reader="hidden"))
    claims.check(
        "groups, with a neuron for every feature: fewer features than with directions, but hardly",
        "ratio of paired seeds below 1 by its interval and above 0.8, at every density",
        numbers(ratio),
        all(v.high < 1 and v.low > 0.8 for v in ratio.values()),
    )


def over_seeds_of(values: xr.DataArray) -> dict[float, Interval]:
    """The mean over seeds with its interval, by density."""
    rows = values.transpose("feature_probability", "seed")
    return {float(row["feature_probability"]): mean_interval(row.values) for row in rows}


def held_by(table: xr.Dataset, reader: str, beside: str | None = None) -> dict[float, Interval]:
    """How many features are read from `reader`, or how many more than from another, by density."""
    values = table["computed"].sel(reader=reader)
    return over_seeds_of(values if beside is None else values - table["computed"].sel(reader=beside))


def removal(table: xr.Dataset) -> tuple[dict[float, Interval], dict[float, Interval]]:
    """What is left of a feature without its own neurons, and without those of another, by density."""
    left = table["left"].transpose(..., "removed", "feature")
    own: Any = xr.zeros_like(left.isel(removed=0, feature=0)) + np.trace(left.values, axis1=-2, axis2=-1)
    n = left.sizes["feature"]
    others = (left.sum(("removed", "feature")) - own) / (n * (n - 1))
    return over_seeds_of(own / n), over_seeds_of(others)


def numbers(values: dict[float, Interval]) -> str:
    """Means with half an interval, by density."""
    return ", ".join(f"{p:g}: {v.estimate:.2f} ± {v.high - v.estimate:.2f}" for p, v in values.items())


def listed(values: Any) -> str:
    """Numbers in words."""
    first = [f"{value:g}" for value in values]
    return f"{', '.join(first[:-1])} and {first[-1]}" if len(first) > 1 else first[0]


def draw(tables: dict[Case, xr.Dataset], results: dict[Case, SweepResult], size: Size) -> tuple[Figure, str]:
    """Figure and caption: features held by density and width, losses, what neurons read, and what is left without them."""
    n, outputs, few, most = size.n_features, size.n_outputs, 2 * size.n_outputs, max(size.directions)
    figure, axes = plt.subplots(2, 3, figsize=(9.4, 5.2), layout="constrained", height_ratios=(1.15, 1))
    held_by_density(tables["directions", n], outputs, axes[0, 0])
    axes[0, 0].set_title(f"{n} neurons")
    held_by_width({m: tables["directions", m] for m in size.directions}, SPARSE, outputs, axes[0, 1])
    axes[0, 1].set_title(f"1 − S = {SPARSE:g}")
    axes[0, 1].legend(loc="upper left")
    loss_beside_naive(tables, (few, n), axes[0, 2])
    for mixing, ax in zip(("groups", "directions"), axes[1], strict=False):
        losses = tables[mixing, few]["relative"].sel(feature_probability=RARE)
        best = int(losses["seed"][int(losses.argmin("seed"))])
        read_weights(weights_of(results[mixing, few], RARE, best), outputs if mixing == "groups" else 0, ax)
        ax.set_title(f"{mixing}, {few} neurons, 1 − S = {RARE:g}")
    left = tables["directions", most]["left"].sel(feature_probability=SPARSE)
    image = left_image(left.mean("seed").values, axes[1, 2])
    axes[1, 2].set_title(f"{most} neurons, 1 − S = {SPARSE:g}")
    figure.colorbar(image, ax=axes[1, 2], label="weight that is left", ticks=[0, 0.5, 1])
    text = (
        f"{outputs} outputs, each a mixture of {n} absolute values |x|. Above: features held, the sum of R² of linear probes "
        "of every |x|, in hidden layers, in random ones of the same width and in outputs, by density and by number of "
        "neurons (random directions); dashed, the number of outputs. Right: loss over that of answering the mean for random "
        "directions and for groups; black and dotted, two neurons for each of as many features as there are; black and "
        f"dashed, one neuron each where linear parts are shared. Bars are 95 % intervals. Below: what {few} neurons of the "
        "best sparse model read over their largest weight; right, what is left of the weight of each feature in the outputs "
        "without the neurons of one, mean over seeds."
    )
    return figure, caption(results["directions", n].attrs, text)


def weights_of(result: SweepResult, p: float, seed: int) -> np.ndarray:
    """W1 of one model."""
    densities, seeds = (result.dataset[name].values for name in ("feature_probability", "seed"))
    cell = int(np.flatnonzero((densities == p) & (seeds == seed))[0])
    return np.asarray(result.dataset["W1"].isel(cell=cell).transpose("hidden", "feature"))


def held_by_density(table: xr.Dataset, n_outputs: int, ax: Axes | None = None) -> Axes:
    """Features held by every reader, sparse to the right."""
    ax = current_axes(ax)
    for reader, color in READERS.items():
        with_bars(ax, {1 / p: v for p, v in held_by(table, reader).items()}, color)
    ax.axhline(n_outputs, color="black", ls="--", lw=1)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="features held", ylim=(0, 1.04 * table.sizes["feature"]))
    plain_ticks(ax, subs=(1, 2, 5))
    return ax


def held_by_width(tables: dict[int, xr.Dataset], p: float, n_outputs: int, ax: Axes | None = None) -> Axes:
    """Features held by every reader at one density, by number of neurons."""
    ax = current_axes(ax)
    for reader, color in READERS.items():
        with_bars(ax, {m: held_by(table, reader)[p] for m, table in tables.items()}, color, label=NAMES[reader])
    ax.axhline(n_outputs, color="black", ls="--", lw=1)
    n = next(iter(tables.values())).sizes["feature"]
    ax.set(xscale="log", xlabel="hidden neurons", ylabel="features held", ylim=(0, 1.04 * n))
    ax.set_xticks(list(tables), [f"{m}" for m in tables])
    ax.minorticks_off()
    return ax


def loss_beside_naive(tables: dict[Case, xr.Dataset], widths: tuple[int, ...], ax: Axes | None = None) -> Axes:
    """Relative loss of both mixings with few and with more neurons, and of the naive networks of directions."""
    ax = current_axes(ax)
    for (mixing, color), (m, style) in product(MIXED.items(), zip(widths, ("--", "-"), strict=True)):
        values = {1 / p: v for p, v in over_seeds_of(tables[mixing, m]["relative"]).items()}
        with_bars(ax, values, color, ls=style, label=f"{mixing}, {m} neurons")
    for m in widths:
        for name, style in (("two_each", ":"), ("shared_lines", "--")):
            ax.axhline(float(tables["directions", m][name][0]), color="black", ls=style, lw=0.8)
    ax.set(xscale="log", yscale="log", xlabel="1 / (1 − S)", ylabel="loss over that of the mean")
    plain_ticks(ax, subs=(1, 2, 5))
    plain_ticks(ax, subs=(1, 3), y=True)
    ax.set_ylim(bottom=ax.get_ylim()[0] / 3)  # for the legend
    ax.legend(loc="lower left", fontsize=7)
    return ax


def with_bars(ax: Axes, values: dict[float, Interval], color: str, **how: Any) -> None:
    """A line of means with intervals."""
    mean, low, high = np.array(list(values.values())).T
    ax.errorbar(list(values), mean, [mean - low, high - mean], marker="o", ms=3, lw=1.2, capsize=2, color=color, **how)


def read_weights(W1: np.ndarray, n_groups: int, ax: Axes | None = None) -> Any:
    """Weights of every neuron over its largest, in the order of what they read most; lines between groups of features."""
    ax = current_axes(ax)
    W1 = W1 / np.maximum(np.abs(W1).max(axis=1, keepdims=True), 1e-30)
    order = np.argsort(np.abs(W1) @ np.arange(W1.shape[1]) / np.abs(W1).sum(axis=1), kind="stable")
    image = ax.imshow(W1[order], cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    for k in range(1, n_groups):
        ax.axvline(k * W1.shape[1] / n_groups - 0.5, color="#888888", lw=0.7)
    ax.set(xlabel="feature", ylabel="neuron", yticks=[])
    return image


def left_image(left: np.ndarray, ax: Axes | None = None) -> Any:
    """The image of what is left of every feature without the neurons of each."""
    ax = current_axes(ax)
    image = ax.imshow(left, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xlabel="feature in the outputs", ylabel="neurons removed of")
    return image
