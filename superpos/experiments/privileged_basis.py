"""Neurons in a privileged basis: Elhage et al. 2022, "Superposition in a Privileged Basis"."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.neurons import HAS_ABOVE, neuron_has_feature, neuron_order
from superpos.experiments.claims import Claims
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.plot.neurons import neuron_keys, participation, stacked_weights
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Computation
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Superposition in a Privileged Basis"
DENSITIES = (0.7, 0.5, 0.35, 0.25, 0.15, 0.12, 0.08, 0.06)
# Fine codes: at the usual learning rate 1,000 models at .04 end above what some of these 40 reach.
SPARSE, SPARSE_RATE = (0.04, 0.03, 0.025, 0.02), 0.04
# By density: neurons with exactly one feature; features in how many other neurons; how far off the count may be.
EXPECTED = {
    0.7: (5, None, 0),
    0.5: (5, None, 0),
    0.35: (3, (3, 2), 0),
    0.25: (3, (3, 2), 0),
    0.15: (2, (5, 3), 1),
    0.12: (1, (6, 4), 0),
    0.08: (0, (8, 5), 0),
    0.06: (0, (8, 5), 0),
    0.04: (0, (10, 5), 0),
}
# Below this density features differ too much in length for a common cut-off, so every feature has its own.
OWN_CUT_OFF_BELOW = 0.05
# Models whose losses are this close are as good as each other.
NEAR_TIE = 0.002


@dataclass(frozen=True)
class Size:
    """Seeds, of the control without hidden ReLU too, training, and whether seeds are so many that rare codes are found."""

    seeds: int = 40
    control_seeds: int = 8
    training: TrainConfig = TrainConfig()
    finds_rare_codes: bool = False
    sparse_block_size: int = 4


SIZES = Sizes(
    quick=Size(
        seeds=1,
        control_seeds=1,
        training=TrainConfig(steps=30, batch_size=64, evaluation_samples=1_024),
        sparse_block_size=8,  # one program for both
    ),
    laptop=Size(),
    full=Size(seeds=1_000, finds_rare_codes=True),
)


class Planned(NamedTuple):
    """A sweep: what `superpos.sweep` takes."""

    task: Computation
    training: TrainConfig
    grid: Grid
    block_size: int


def build(size: Size) -> dict[str, Planned]:
    """What is trained, by the ending of the store's name.

    These are the densities of the paper (""), the sparsest with a learning rate of their own, and the control without hidden
    ReLU.
    """
    task = Computation(n_features=10, n_hidden=5, importance=0.75 ** np.arange(10))
    dense, sparse = (Grid(feature_probability=p, seed=range(size.seeds)) for p in (DENSITIES, SPARSE))
    control = Grid(feature_probability=DENSITIES, seed=range(size.control_seeds))
    return {
        "": Planned(task, size.training, dense, 8),
        "_sparse": Planned(task, replace(size.training, learning_rate=SPARSE_RATE), sparse, size.sparse_block_size),
        "_linear": Planned(replace(task, hidden_activation="identity"), size.training, control, 8),
    }


class Neurons(NamedTuple):
    """What the neurons of one model serve."""

    single: int  # neurons with exactly one feature
    shared: int  # features that polysemantic neurons have
    sharing: int  # polysemantic neurons


def has(W: Any, feature_probability: float) -> np.ndarray:
    """Which neuron has which feature, with the cut-off that suits the density."""
    return np.asarray(neuron_has_feature(W, per_feature=bool(feature_probability < OWN_CUT_OFF_BELOW)))


def neurons(W: Any, feature_probability: float) -> Neurons:
    """Count the neurons of one model, with the cut-off that suits the density."""
    return counted(has(W, feature_probability))


def counted(has_feature: np.ndarray) -> Neurons:
    """Count neurons by which has which feature, (n_hidden, n_features)."""
    n_features = has_feature.sum(axis=1)
    several = n_features > 1
    shared = has_feature[several].any(axis=0)
    return Neurons(int(np.sum(n_features == 1)), int(shared.sum()), int(several.sum()))


def pairs(W: Any) -> int:
    """How many pairs of neurons stand for a feature that nothing else has, in a model of very sparse features."""
    return len({tuple(np.flatnonzero(column)) for column in has(W, 0.0).T if column.sum() == 2})


def near_ties(result: SweepResult) -> list[tuple[float, int]]:
    """(density, neurons with exactly one feature) of models within 0.2 % of the least loss that count otherwise."""
    ties = set()
    for k, p in enumerate(result["feature_probability"].values):
        loss = result["loss"].isel(feature_probability=k).values
        W = result["W"].isel(feature_probability=k).transpose("seed", "hidden", "feature").values
        best = neurons(W[np.nanargmin(loss)], p).single
        counts = {neurons(W[seed], p).single for seed in np.flatnonzero(loss <= (1 + NEAR_TIE) * np.nanmin(loss))}
        ties |= {(float(p), count) for count in counts - {best}}
    return sorted(ties)


def best_weights(*results: SweepResult) -> dict[float, Any]:
    """W of least loss by density, of results over (feature_probability, seed)."""
    return {
        float(p): best.isel(feature_probability=k).model().W[...]
        for best in (result.best("seed") for result in results)
        for k, p in enumerate(best["feature_probability"].values)
    }


def evaluate(models: dict[float, Any], claims: Claims, *, finds_rare_codes: bool = False) -> None:
    """The rows of the table, and that neurons do not come back; `models` are the W of least loss by density.

    Counts are the analyser's (`superpos.analysis.neurons`): a feature belongs to the neurons that it excites, judged by
    the largest *positive* weight, or by each feature's own where features are sparsest. The largest magnitude would not
    do: a weight below 0 keeps a ReLU neuron silent, and one such weight of −3 (at 1 − S = .15 and .06, where all positive
    ones are 1 or less) lifts .3 max|W| above every excitation of the neurons that share. Where that cut-off would count
    otherwise, its count and the two weights are said.

    Of forty models at .04 one or none finds the pairs that others fall just short of; sparser, several do.
    """
    counts = {p: neurons(W, p) for p, W in models.items()}
    for p, (single, rest, off) in EXPECTED.items():
        got, within = counts[p], abs(counts[p].single - single) <= off
        expected = f"{single} with one feature"
        if off:
            expected += f" (± {off})"
        if rest and (p > OWN_CUT_OFF_BELOW or finds_rare_codes):
            expected += f", {rest[0]} features in the other {rest[1]}"
            if got.single != single:  # the near-tie: one neuron fewer for itself, and one more feature to share
                rest = (rest[0] + single - got.single, rest[1] + single - got.single)
            within &= (got.shared, got.sharing) == rest
        measured = f"{got.single}, {got.shared} in {got.sharing}"
        W = np.asarray(models[p])
        largest = counted(HAS_ABOVE * np.abs(W).max() < W)
        if largest != got and p > OWN_CUT_OFF_BELOW:
            measured += f" (by max |W|: {largest.single}, {largest.shared} in {largest.sharing}; "
            measured += f"W lies in {W.min():.2f}…{W.max():.2f}, and a negative weight excites nothing)"
        claims.check(f"1 − S = {p:g}: neurons", expected, measured, within)
    for p in (0.35, 0.25):
        has_feature = has(models[p], p)
        code = has_feature[has_feature.sum(axis=1) > 1]
        words = sorted("".join(str(int(bit)) for bit in column) for column in code.T[code.T.any(axis=1)])
        holds = words == ["01", "10", "11"]
        claims.check(f"1 − S = {p:g}: the two others are a binary code", "01, 10, 11", ", ".join(words), holds)
    every = "every feature is its own pair of neurons"
    if finds_rare_codes:
        claims.check(f"1 − S = 0.04: {every}", "10 of C(5, 2) pairs", pairs(models[0.04]), pairs(models[0.04]) == 10)
    else:
        measured = f"{pairs(models[0.04])}; one in forty finds them"
        claims.needs_full(f"1 − S = 0.04: {every}", "10 of C(5, 2) pairs", measured)
    if sparser := [p for p in models if p < 0.04]:
        fewest = min(pairs(models[p]) for p in sparser)
        at = ", ".join(f"{p:g}" for p in sparser)
        claims.check(f"1 − S = {at}: {every}", "10 of C(5, 2) pairs", f"{fewest} or more", fewest == 10)
    ordered = sorted(counts, reverse=True)  # dense to sparse, also those of no row
    rises = [
        counts[sparser].single - counts[p].single > (1 if 0.15 in (p, sparser) else 0)
        for p, sparser in pairwise(ordered)
    ]
    measured = ", ".join(str(counts[p].single) for p in ordered)
    claims.check("that count never rises as features get sparser", "± 1 at .15", measured, not any(rises))


def evaluate_control(relu: xr.DataArray, linear: xr.DataArray, claims: Claims) -> None:
    """Without the hidden ReLU, W is any rotation: participation ratios of neurons, over (feature_probability, …)."""
    for p in (0.7, 0.5):
        with_relu, without = (float(table.sel(feature_probability=p).median()) for table in (relu, linear))
        claims.check(
            f"1 − S = {p:g}: without the hidden ReLU no basis is privileged",
            "median participation ratio 1.5 times larger",
            f"{without:.2f} linear, {with_relu:.2f} ReLU",
            without >= 1.5 * with_relu,
        )


def draw(
    models: Mapping[float, Any], result: SweepResult, sparse: SweepResult, relu: xr.DataArray, linear: xr.DataArray
) -> tuple[Figure, str]:
    """Neurons by density, how many of them have one feature, and how many each has with and without a hidden ReLU.

    `models` are the `best_weights` of `result` and `sparse`; `relu` and `linear` as in `evaluate_control`.
    """
    drawn = {p: np.asarray(models[p]) for p in EXPECTED}
    counts = xr.DataArray([neurons(W, p).single for p, W in models.items()], {"feature_probability": [*models]})
    figure = plt.figure(figsize=(9.4, 5.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    above, below = halves
    panels = above.subplots(1, len(drawn), sharey=True)
    for ax, (p, W) in zip(panels, drawn.items(), strict=True):
        order = np.asarray(neuron_order(W))
        stacked_weights(W[order], has(W, p)[order], ax)
        ax.set_title(f"1 − S = {p:g}")
    panels[0].set_ylabel("weights of each neuron")
    above.legend(handles=neuron_keys(), loc="outside lower center", ncols=3)
    left, right = below.subplots(1, 2)
    published = {p: single for p, (single, _, _) in EXPECTED.items()}
    monosemantic_count(counts, left, expected=published, close=near_ties(result))
    participation({"hidden ReLU": relu, "linear hidden layer": linear}, right)
    rate = sparse.attrs["train"]["learning_rate"]
    text = (
        "Top: weights of the neurons, one bar each; numbers are features, the most important is 1. Bottom: neurons with "
        "exactly one feature; features per neuron, medians and quartiles over all neurons of all models."
        f" {result.best_of(what='models').capitalize()}; from 1 − S = {SPARSE[0]} on the learning rate is {rate:g}."
    )
    return figure, caption(result.attrs, text)


def monosemantic_count(
    count: xr.DataArray, ax: Axes | None = None, *, expected: Mapping[float, float] | None = None, close: Any = ()
) -> Axes:
    """How many neurons have exactly one feature, against 1/(1 − S); `count` is over `feature_probability`.

    `expected` are published counts by density, drawn as grey squares; `close` pairs (density, count) of other models whose
    loss is about as low, drawn as small crosses.
    """
    ax = current_axes(ax)
    if expected:
        x = [1 / p for p in expected]
        ax.plot(x, list(expected.values()), "s", color="#BBBBBB", ms=9, mec="none", label="published")
    ax.plot(1 / count.feature_probability, count, "o-", color="black", ms=4, label="least loss")
    if len(close):
        x, y = np.asarray(close, float).T
        ax.plot(1 / x, y, "x", color=PALETTE["red"], ms=5, label="loss within 0.2 %", zorder=3)
    ax.set(xscale="log", xlabel="1 / (1 − S)", ylabel="neurons with exactly one feature")
    ax.set_ylim(-0.35, None)
    ax.legend()
    plain_ticks(ax)
    return ax
