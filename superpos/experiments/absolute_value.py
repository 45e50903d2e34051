"""Absolute value with enough neurons and with too few: loss against the naive baseline, and what neurons read.

Elhage et al. 2022, "Computation in Superposition".
"""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from superpos.analysis.circuits import Circuit, circuit, neuron_counts
from superpos.analysis.naive import naive_loss, relative_loss
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.neurons import neuron_keys, stacked_weights
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Computation
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Computation in Superposition"
# Densities at which both kinds of neurons may exist.
MID_RANGE = (0.1, 0.03, 0.01)
DRAWN_DENSITY = 0.01


@dataclass(frozen=True)
class Size:
    """Training of three features in six neurons (`few_…`), and features, neurons, grid and training of many."""

    few_steps: int = 2_000
    few_seeds: int = 16
    few_batch_size: int = 256
    n_features: int = 100
    n_hidden: int = 40
    densities: tuple[float, ...] = (1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    # Random weights alone end above the naive baseline: important features that find no neuron of their own in time never do.
    starts: tuple[int, ...] = (0, 10, 15, 20)
    seeds: int = 1
    steps: int = 20_000
    batch_size: int = 512
    evaluation_samples: int = 131_072


SIZES = Sizes(
    quick=Size(
        few_steps=20,
        few_seeds=2,
        few_batch_size=64,
        n_features=20,
        n_hidden=8,
        densities=(1, 0.1, 0.01, 0.001),
        starts=(0, 4),
        steps=20,
        batch_size=64,
        evaluation_samples=1_024,
    ),
    laptop=Size(),
    full=Size(seeds=8, steps=40_000),
)


def build(size: Size) -> tuple[Computation, TrainConfig, Grid]:
    """Task, training and grid of many features: importance .8^i, and too few neurons."""
    task = Computation(
        n_features=size.n_features,
        n_hidden=size.n_hidden,
        importance=0.8 ** np.arange(size.n_features),
        paired_init=True,
        init_scale=0.3,
        target="absolute",
        tied=False,
        magnitude="signed_uniform",
    )
    # Gradients of the last features are far below Adam's usual epsilon.
    config = TrainConfig(
        steps=size.steps,
        history=20,
        batch_size=size.batch_size,
        learning_rate=0.001,
        epsilon=1e-16,
        evaluation_samples=size.evaluation_samples,
    )
    grid = Grid(feature_probability=size.densities, dedicated_features=size.starts, seed=range(size.seeds))
    return task, config, grid


def build_few(size: Size) -> tuple[Computation, TrainConfig, Grid]:
    """Task, training and grid of three features in six neurons, enough of them."""
    task = Computation(n_features=3, n_hidden=6, target="absolute", tied=False, magnitude="signed_uniform")
    # Every step is a point of the record, the first one the untrained loss.
    config = TrainConfig(
        steps=size.few_steps,
        history=size.few_steps,
        batch_size=size.few_batch_size,
        evaluation_samples=size.evaluation_samples,
    )
    return task, config, Grid(seed=range(size.few_seeds))


def one_of_each_sign(network: Circuit) -> bool:
    """Whether every feature has exactly one neuron for its positive and one for its negative side, and no neuron two."""
    reads = network.reads()
    positive, negative = (np.sum(reads & (sign * network.W1 > 0), axis=0) for sign in (1, -1))
    return bool(np.all(reads.sum(axis=1) == 1) and np.all(positive == 1) and np.all(negative == 1))


def by_density(best: SweepResult) -> xr.Dataset:
    """What the neurons read, and the relative loss, by density; `best` is over `feature_probability` alone.

    Counts of neurons that are `monosemantic`, `polysemantic` and `idle`; `spearman`, the rank correlation of a neuron's top
    feature and its number of features, NaN where all read the same number; `alone`, how many of the first features are
    read by monosemantic neurons only; and of the polysemantic neurons the medians of `features`, how many they read, and
    `second`, the second largest |weight| where the largest is 1: NaN where there are none.
    """
    rows = []
    for k in range(best.sizes["feature_probability"]):
        cell = best.isel(feature_probability=k)
        network = circuit(cell.model())
        task: Any = cell.task()
        relative = float(relative_loss(float(cell["loss"]), naive_loss(task)))
        rows.append((*neuron_counts(network), *reading(network), relative))
    names = ("monosemantic", "polysemantic", "idle", "spearman", "alone", "features", "second", "relative_loss")
    data = {
        name: ("feature_probability", list(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return xr.Dataset(data, {"feature_probability": best["feature_probability"].values})


def reading(network: Circuit) -> tuple[float, int, float, float]:
    """`spearman`, `alone`, `features` and `second` of `by_density`."""
    reads, size = network.reads(), np.abs(network.W1)
    number, top = reads.sum(axis=1), np.argmax(size, axis=1)
    used, shared = number > 0, number > 1
    varies = len(set(number[used])) > 1 and len(set(top[used])) > 1
    ranks: Any = spearmanr(top[used], number[used]) if varies else None
    alone_features = reads[number == 1].any(axis=0) & ~reads[shared].any(axis=0)
    second = np.sort(size[shared], axis=1)[:, -2] if shared.any() else [np.nan]
    features = number[shared] if shared.any() else [np.nan]
    n_alone = int(np.argmin(np.append(alone_features, False)))
    return (
        (np.nan if ranks is None else float(ranks.statistic)),
        n_alone,
        float(np.median(features)),
        float(np.median(second)),
    )


def relative_by_start(result: SweepResult) -> xr.DataArray:
    """Least loss over the naive baseline's of every kind of start, over (dedicated_features, feature_probability)."""
    names = ("dedicated_features", "feature_probability")
    least = result["loss"].min([d for d in result["loss"].dims if d not in names]).transpose(*names)
    first = result.isel(**{str(d): 0 for d in result["loss"].dims if d != names[1]})
    tasks: Any = [first.isel(feature_probability=k).task() for k in range(least.shape[1])]
    return least / np.array([naive_loss(task).loss for task in tasks])


def winning_starts(result: SweepResult) -> xr.DataArray:
    """How many features the start of the model of least loss solves (`dedicated_features`), over `feature_probability`."""
    names = ("dedicated_features", "feature_probability")
    least = result["loss"].min([d for d in result["loss"].dims if d not in names]).transpose(*names)
    return least["dedicated_features"][least.argmin("dedicated_features")]


def best_by_density(result: SweepResult) -> SweepResult:
    """The models of least loss of all seeds and starts, over `feature_probability`."""
    return result.best("seed").best("dedicated_features")


def evaluate(few: SweepResult, many: SweepResult, table: xr.Dataset, claims: Claims) -> None:
    """All claims, of the results of `build_few` and `build`; `table` is `by_density` of `best_by_density`."""
    first = few.best("seed")
    evaluate_few(circuit(first.model()), float(first["loss"]), float(first["loss_history"][0]), claims)
    random = by_density(many.sel(dedicated_features=0).best("seed"))
    evaluate_many(table, random, winning_starts(many), claims)


def evaluate_few(network: Circuit, loss: float, untrained: float, claims: Claims) -> None:
    """n = 3, m = 6."""
    holds = one_of_each_sign(network)
    claims.check("3 in 6 neurons: one + and one − neuron per feature", "in the best", "yes" if holds else "no", holds)
    share = loss / untrained
    claims.check("3 in 6 neurons: loss over that of untrained", "below 0.001", f"{share:.2g}", share < 1e-3)


def evaluate_many(table: xr.Dataset, random: xr.Dataset, winning: xr.DataArray, claims: Claims) -> None:
    """100 features in 40 neurons, from dense to sparse.

    `table` is `by_density` of the models of least loss, most of which began with some features solved, `winning` (of
    `winning_starts`) with how many; `random` is that of the best models from random weights alone. What a start holds
    already is no finding: claims say what training kept or made of it, and random weights stand beside.
    """
    table, random = (t.sortby("feature_probability", ascending=False) for t in (table, random))
    winning = winning.sortby("feature_probability", ascending=False)
    p, solved = table["feature_probability"].values, winning.values
    share, alone_share = (
        t["polysemantic"] / (t["monosemantic"] + t["polysemantic"] + t["idle"]) for t in (table, random)
    )
    measured = f"{_two(share)}; from random weights {_two(alone_share)}"
    holds = share.values[0] == 0 and bool(np.all(np.diff(share.values) >= 0))
    claims.check("share of polysemantic neurons by density", "0 at 1, never falling", measured, holds)
    dense, plain = (int(t["monosemantic"][0]) for t in (table, random))
    measured = f"{dense} of a start with {solved[0]} solved; {plain} from random weights"
    statement = "dense: training leaves all neurons monosemantic (the best start has some features solved)"
    claims.check(statement, "40", measured, dense == 40)
    at = int(np.abs(np.log(p / 0.01)).argmin())
    trained, plain = table.isel(feature_probability=at), random.isel(feature_probability=at)
    mono, poly = (int(trained[name]) for name in ("monosemantic", "polysemantic"))
    measured = f"{mono} and {poly}; from random weights {int(plain['monosemantic'])} and {int(plain['polysemantic'])}"
    statement = f"1 − S = 0.01: mono- and polysemantic neurons (start: {solved[at]} solved)"
    claims.check(
        statement, "both; from a start that solves features, some become polysemantic", measured, mono > 0 and poly > 0
    )
    alone = int(trained["alone"])
    measured = f"features 1 to {alone}" if alone else "none"
    random_alone = (
        f"from random weights 1 to {int(plain['alone'])}" if int(plain["alone"]) else "from random weights none"
    )
    statement = f"1 − S = 0.01: most important features stay monosemantic (start: {solved[at]} solved)"
    expected = "the first at least, and not all that the start solved"
    claims.check(
        statement, expected, f"{measured}; {random_alone}", alone > 0 and (not solved[at] or alone < solved[at])
    )
    second, features = float(trained["second"]), float(trained["features"])
    measured = f"of {features:g} the second {second:.2f}"
    one_large = features > 2 and second < 0.5
    claims.check(
        "1 − S = 0.01: one large weight, several small", "second below half, 3 or more (medians)", measured, one_large
    )
    mid_range = [q for q in p if np.any(np.isclose(q, MID_RANGE))]
    correlation, random_correlation = (t.sel(feature_probability=mid_range)["spearman"].values for t in (table, random))
    measured = f"{_two(correlation)}; from random weights {_two(random_correlation)}"
    densities = ", ".join(f"{q:g}" for q in mid_range)
    positive = bool(np.all(correlation > 0))
    claims.check(f"1 − S = {densities}: Spearman(top feature, number of features)", "above 0", measured, positive)
    for of_which, of in (("of the best start", table), ("from random weights alone", random)):
        relative = of["relative_loss"].values
        beaten = ", ".join(f"{q:g}" for q in p[relative < 1]) or "none"
        measured = f"{_two(relative)}: beaten at {beaten}"
        claims.check(
            f"loss over the naive baseline by density, {of_which}", "below 1 somewhere", measured, beaten != "none"
        )


def _two(values: Any) -> str:
    return ", ".join(f"{value:.2f}" for value in np.asarray(values))


def draw(few: SweepResult, many: SweepResult, table: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption, of the results of `build_few` and `build`; `table` is `by_density` of `best_by_density`."""
    at_density = best_by_density(many).model(feature_probability=DRAWN_DENSITY)
    enough, too_few = ((c.W1, c.reads()) for c in map(circuit, (few.best("seed").model(), at_density)))
    figure = panels(enough, too_few, DRAWN_DENSITY, table, relative_by_start(many))
    n_seeds, starts = many.sizes["seed"], many["dedicated_features"].values.tolist()
    text = (
        f"Top left: {few.best_of(what='models')}. Numbers are features, 1 is the most important. Then: least loss "
        f"of {n_seeds} seed{'' if n_seeds == 1 else 's'} and {len(starts)} starts at each density; a start solves "
        f"{', '.join(map(str, starts))} of the first features with two neurons each and is random otherwise. The naive "
        f"baseline solves {many.attrs['task']['n_hidden'] // 2}, ignores the rest. Bottom: the model of least loss "
        "at one density, weights above 20 % of the neuron's largest."
    )
    return figure, caption(many.attrs, text)


def panels(enough: Any, too_few: Any, density: float, table: xr.Dataset, starts: xr.DataArray) -> Figure:
    """Enough neurons, shares of neurons and loss by density above; the neurons of one model with too few below.

    `enough` and `too_few` are pairs of input weights and which of them count, each (n_hidden, n_features); `too_few` is the
    model at `density`. `table` is `by_density`'s, `starts` that of `relative_by_start`. Of the large
    model only weights that count are drawn, as magnitudes. Elhage et al. 2022, "Computation in Superposition".
    """
    figure = plt.figure(figsize=(9.4, 5.8), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    left, middle, right = halves[0].subplots(1, 3)
    W, reads = _ordered(*enough)
    stacked_weights(W, reads, left)
    left.set(ylabel="input weights of each neuron", title=f"{W.shape[1]} features in {W.shape[0]} neurons")
    neuron_shares(table["monosemantic"], table["polysemantic"], middle)
    relative_loss_by_density(table["relative_loss"], right, starts=starts)
    W, reads = _ordered(*too_few)
    title = f"{W.shape[1]} features in {W.shape[0]} neurons, 1 − S = {density:g}"
    n_drawn = 1 + int(
        np.max(np.flatnonzero(reads.any(axis=0)), initial=0)
    )  # bars for the others would be seen by no one
    ax = stacked_weights((np.abs(W) * reads)[:, :n_drawn], reads[:, :n_drawn], halves[1].subplots())
    ax.set(ylabel="|input weights|", title=title)
    halves[1].legend(handles=neuron_keys()[:2], loc="outside lower center", ncols=2)
    return figure


def _ordered(W: Any, reads: Any) -> tuple[np.ndarray, np.ndarray]:
    """Neurons by their largest weight's feature, the fewest features first among equals."""
    W, reads = np.asarray(W), np.asarray(reads)
    order = np.lexsort((reads.sum(axis=1), np.argmax(np.abs(W), axis=1)))
    return W[order], reads[order]


def neuron_shares(monosemantic: xr.DataArray, polysemantic: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Numbers of neurons that read one feature and several against 1/(1 − S), over `feature_probability`."""
    ax = current_axes(ax)
    x = 1 / monosemantic.feature_probability.values
    ax.plot(x, monosemantic.values, "o-", color=PALETTE["black"], ms=4, label="monosemantic")
    ax.plot(x, polysemantic.values, "s-", color=PALETTE["orange"], ms=4, label="polysemantic")
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="neurons")
    ax.legend()
    plain_ticks(ax, subs=(1,))
    return ax


def relative_loss_by_density(
    relative: xr.DataArray, ax: Axes | None = None, *, starts: xr.DataArray | None = None
) -> Axes:
    """Loss over that of the naive baseline against 1/(1 − S), over `feature_probability`; below 1 is superposition.

    `starts`, over (dedicated_features, feature_probability), are drawn as thin lines: the least loss of each kind of start,
    light from random weights, dark from the naive baseline.
    """
    ax = current_axes(ax)
    x = 1 / relative.feature_probability.values
    ax.axhline(1, color="#888888", lw=1, label="naive baseline")
    ax.plot(x, relative.values, "o-", color="black", ms=4, label="least loss")
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="loss / naive baseline")
    if starts is None:
        ax.set_yscale("linear")  # axes that were drawn on before may be logarithmic
        ax.set_ylim(bottom=0)
    else:
        colors = colormaps["viridis_r"](np.linspace(0.1, 0.9, len(starts)))
        for color, values in zip(colors, starts, strict=True):
            number = int(values["dedicated_features"])
            ax.plot(x, values.values, "-", color=color, lw=1, label=f"{number} solved at first", zorder=1)
        ax.set_yscale("log")
    ax.legend()
    plain_ticks(ax, subs=(1,), y=starts is not None)
    return ax
