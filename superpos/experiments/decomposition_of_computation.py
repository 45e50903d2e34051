"""Compressed computation taken apart: a part of W_in for every function, and W_out as one block, or not.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790, toy model of compressed computation.
"""

from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superpos.analysis.decompositions import ONE_HOT
from superpos.analysis.intervals import share_interval
from superpos.experiments import decomposing_networks
from superpos.experiments.claims import Claims
from superpos.experiments.decomposing_networks import (
    BATCH_SIZE,
    COEFFICIENTS,
    LEARNING_RATE,
    STEPS,
    build_network_decompositions,
)
from superpos.experiments.one_block import block_start, objectives
from superpos.experiments.parameter_decomposition import counts_of, in_order
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import NetworkDecomposition, ResidualMLP
from superpos.training.train_config import TrainConfig

SOURCE = "Bushnaq, Braun and Sharkey 2025, Stochastic Parameter Decomposition, toy model of compressed computation"
SHARE = 0.9  # of decompositions, from where on a claim holds
MMCS, ML2R_WITHIN = 0.99, 0.05  # the paper has a picture of a close match, and no number
TOGETHER = 0.9  # of the live subcomponents of W_out, for an input that needs the block
RELATIVE = 0.05  # of the error without subcomponents
LEFT = 0.6  # of the live subcomponents, at most, from where on training has left the block; half of the neurons are excited
SERVED = 0.25  # slope of an output in its own input from which its function counts as computed


@dataclass(frozen=True)
class Size:
    """The networks (`target_…`), coefficients and seeds of the decompositions, and their training.

    The full size has the paper's networks, and is taken apart as on a laptop: p falls to 1, batches are stratified, what is
    left out is one more component in place of faithfulness, and being needed often has a price. The paper's own training is
    `PUBLISHED`. Half of the subcomponents are superfluous if the claims hold. A laptop's coefficients are larger: the error
    is a mean over features, of which there are fewer. Settings were chosen on networks that the figure does not judge, of
    the seeds 0 and 3 to 6, and 0 and 3 at full size.
    """

    n_features: int = 20
    n_hidden: int = 10
    n_residual: int = 200
    feature_probability: float = 0.05  # one active feature in the mean, as in the paper
    target_seeds: tuple[int, ...] = (1, 2)
    target_steps: int = 3_000
    target_batch_size: int = 512
    n_subcomponents: int = 40
    coefficients: tuple[float, ...] = COEFFICIENTS
    seeds: int = 5
    control_seeds: int = 2
    steps: int = STEPS
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    schedule: str = "cosine"
    stratified: bool = True
    final_p_norm: float | None = 1.0  # from 2
    faithfulness_coefficient: float = 0.0
    delta_component: bool = True
    frequency_coefficient: float | None = 1.0
    n_inputs: int = 4_096  # of scores


SIZES = Sizes(
    quick=Size(
        n_features=6,
        n_hidden=3,
        n_residual=8,
        target_steps=20,
        target_batch_size=64,
        n_subcomponents=8,
        coefficients=(3e-4,),
        seeds=1,
        control_seeds=1,
        steps=20,
        batch_size=32,
        n_inputs=256,
    ),
    laptop=Size(),
    full=Size(
        n_features=100,
        n_hidden=50,
        n_residual=1_000,
        feature_probability=0.01,
        target_steps=10_000,
        target_batch_size=2_048,
        n_subcomponents=200,
        coefficients=(3e-6, 6e-6),
        seeds=2,
        control_seeds=1,
        batch_size=256,
    ),
)

# The paper's own training at its size: 100 subcomponents, p = 2, and inputs as they come. No figure is drawn of it.
PUBLISHED = replace(
    SIZES.full,
    n_subcomponents=100,
    coefficients=(1e-5,),
    steps=30_000,
    batch_size=2_048,
    learning_rate=2e-3,
    schedule="constant",
    stratified=False,
    final_p_norm=None,
    faithfulness_coefficient=1.0,
    delta_component=False,
    frequency_coefficient=None,
)


def build_targets(size: Size) -> tuple[ResidualMLP, TrainConfig, Grid]:
    """Task, training and grid of the networks that are taken apart."""
    names = ("n_features", "n_hidden", "n_residual", "feature_probability")
    task = ResidualMLP(init_scale=0.5, **{name: getattr(size, name) for name in names})
    config = TrainConfig(steps=size.target_steps, batch_size=size.target_batch_size)
    return task, config, Grid(seed=list(size.target_seeds))


def build(size: Size, targets: SweepResult) -> tuple[NetworkDecomposition, TrainConfig, Grid]:
    """Task, training and grid of the decompositions: by network, coefficient and seed in one sweep."""
    return _decompositions(size, [targets.sel(seed=seed) for seed in size.target_seeds], size.seeds)


def build_controls(size: Size, targets: SweepResult) -> tuple[NetworkDecomposition, TrainConfig, Grid]:
    """The same of the first network with the entries of either matrix in another order, which computes nothing."""
    network = targets.sel(seed=size.target_seeds[0]).model()
    draw = np.random.default_rng(0)
    for W in (network.W_in, network.W_out):
        W[...] = draw.permutation(np.asarray(W[...]).ravel()).reshape(W.shape)
    return _decompositions(size, network, size.control_seeds, feature_probability=size.feature_probability)


def build_from_block(
    size: Size, targets: SweepResult
) -> tuple[NetworkDecomposition, TrainConfig, Grid, dict[str, Any]]:
    """The same of the first network as of all, and parameters to start from, whose W_out is one block (`block_start`)."""
    task, config, grid = _decompositions(size, targets.sel(seed=size.target_seeds[0]), size.control_seeds)
    return task, config, grid, block_start(task)


def _decompositions(
    size: Size, networks: Any, seeds: int, **settings: Any
) -> tuple[NetworkDecomposition, TrainConfig, Grid]:
    names = (
        "n_subcomponents", "coefficients", "steps", "batch_size", "learning_rate", "stratified", "final_p_norm",
        "faithfulness_coefficient", "delta_component", "frequency_coefficient",
    )  # fmt: skip
    settings |= {"magnitude": "signed_uniform"} | {name: getattr(size, name) for name in names}
    if size.frequency_coefficient is not None:
        settings["frequency_inputs"] = 1 / size.feature_probability
    task, config, grid = build_network_decompositions(networks, seeds=range(seeds), **settings)
    return task, replace(config, schedule=size.schedule), grid


def measure(result: SweepResult, n_inputs: int) -> xr.Dataset:
    """`decomposing_networks.measure`, and the `objectives` of every model."""

    def compared(task: Any, model: Any) -> dict[str, float]:
        return objectives(task, model, n_inputs)._asdict()

    return decomposing_networks.measure(result, n_inputs, compared)


def best_coefficient(table: xr.Dataset) -> float:
    """The coefficient at which most decompositions give every function its subcomponent, of several the least."""
    share = table["one_each_alone"].mean(
        [name for name in table["one_each_alone"].dims if name != "minimality_coefficient"]
    )
    return float(share["minimality_coefficient"][int(np.argmax(share.values))])


def evaluate(
    targets: xr.Dataset,
    table: xr.Dataset,
    controls: xr.Dataset,
    from_block: xr.Dataset,
    size: Size,
    claims: Claims,
) -> None:
    """`targets` is the table of `compressed_computation.measure` of the networks, the others are `measure`'s."""
    n, m = size.n_features, size.n_hidden
    slopes, naive = (
        targets["response"].sel(input=ONE_HOT, method="nearest").values / ONE_HOT,
        targets["relative"].values,
    )
    claims.check(
        f"the networks compute {n} functions with {m} neurons",
        f"every slope at least {SERVED:g}, and losses below that of {m} functions computed exactly",
        f"slopes from {slopes.min():.2f} to {slopes.max():.2f}, losses {_range(naive)} of the naive one",
        slopes.min() >= SERVED and naive.max() < 1,
    )
    best = best_coefficient(table)
    at = table.sel(minimality_coefficient=best)

    def judge(statement: str, expected: str, good: xr.DataArray, measured: str) -> None:
        count, of = int(good.sum()), good.size
        _, low, high = share_interval(count, of)
        measured = f"{count} of {of} (95 %: {low:.2f} to {high:.2f}) at {best:g}; {measured}"
        expected = f"{expected}, in at least {SHARE:.0%} of decompositions at the best coefficient"
        claims.check(statement, expected, measured, count >= SHARE * of)

    by_network = "/".join(str(int(k)) for k in at["one_each_alone"].sum("seed").values)
    judge(
        "W_in: one live subcomponent for every function",
        f"exactly {n} live and importances one-hot to .1",
        at["one_each_alone"] > 0,
        f"by network {by_network} of {at.sizes['seed']}; live {counts_of(at['live_first'])}",
    )
    judge(
        "W_in: what each function's subcomponent is, is its column",
        f"MMCS ≥ {MMCS:g} and ML2R within {ML2R_WITHIN:g} of 1",
        (at["mmcs"] >= MMCS) & (abs(at["ml2r"] - 1) <= ML2R_WITHIN),
        f"MMCS {_range(at['mmcs'].values, 4)}, ML2R {_range(at['ml2r'].values, 3)}",
    )
    judge(
        f"W_out: {m} subcomponents, its rank, and not one for every function",
        f"exactly {m} live, each needed by some one-hot input and no other by any",
        (at["live_second"] == m) & (at["second_error"] == 0),
        f"live {counts_of(at['live_second'])}",
    )
    by_coefficient = table["together"].mean([d for d in table["together"].dims if d != "minimality_coefficient"])
    judge(
        "W_out: its subcomponents are one block, which every input needs as a whole",
        f"a one-hot input needs at least {TOGETHER:.0%} of those live in the mean",
        at["together"] >= TOGETHER,
        f"{_range(at['together'].values)} of them; means by coefficient "
        f"{', '.join(f'{v:.2f}' for v in by_coefficient.values)}; it excites {_range(at['excited'].values)} of the neurons; "
        f"neurons read alone {counts_of(at['neurons_read'])} (mean cosine {_range(at['neuron_cosine'].values, 3)}); "
        f"needed by every one-hot input {counts_of(at['always'])}",
    )
    block, neurons, trained = (table[f"objective{name}"] for name in ("_block", "_neurons", ""))
    left = from_block["together"].sel(minimality_coefficient=best)
    claims.check(
        "W_out: the loss prefers subcomponents that read single neurons to one block, so training leaves the block",
        "at every coefficient an exact block costs more than exact parts of single neurons and than trained decompositions; "
        f"trained from a block at the best coefficient, a one-hot input needs at most {LEFT:.0%} of those live",
        f"in multiples of the block's loss: single neurons {_range((neurons / block).values)}, trained "
        f"{_range((trained / block).values)}; trained from a block, an input needs {_range(left.values)}",
        bool((neurons < block).all() and (trained < block).all() and (left <= LEFT).all()),
    )
    judge(
        "with random masks the output stays close to the network's",
        f"squared error at most {RELATIVE:g} of that without subcomponents",
        at["relative"] <= RELATIVE,
        f"{_range(at['relative'].values, 3)}; with adversarial masks {_range((at['adversarial'] / at['without']).values, 3)}",
    )
    alone = int(controls["one_each_alone"].sum())
    claims.check(
        "control: W_in of permuted weights, which compute nothing, has no subcomponent for every feature",
        "no decomposition at any coefficient",
        f"{alone} of {controls['one_each_alone'].size}; live {counts_of(controls['live_first'])}",
        alone == 0,
    )


def _range(values: np.ndarray, digits: int = 2) -> str:
    return f"{values.min():.{digits}f} to {values.max():.{digits}f}"


def draw(result: SweepResult, table: xr.Dataset, controls: xr.Dataset, from_block: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: importances in both matrices, and by coefficient what is one per function and what is needed."""
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.9), layout="constrained")
    best = best_coefficient(table)
    g = table.sel(minimality_coefficient=best).isel(source=0, seed=0)["importances"].values
    for k, (name, ax) in enumerate(zip(("$W_{in}$", "$W_{out}$"), axes, strict=False)):
        importances(g[k], ax)
        ax.set_title(f"importances in {name}\nβ = {best:g}")
    rates(table["one_each_alone"], controls["one_each_alone"], axes[2])
    axes[2].set_title("$W_{in}$: one subcomponent\nfor every function")
    shares(table, from_block, axes[3])
    axes[3].set_title("$W_{out}$: live subcomponents\nthat an input needs")
    text = (
        "Networks that compute ReLU of every feature with half as many neurons, taken apart. Left: importances of "
        "subcomponents for inputs with one feature of activity .75, first network, seed 0, ordered within each matrix. Third "
        "is the share of decompositions in which W_in has one live subcomponent for every function and no other, with "
        "Wilson's 95 % interval; grey for weights in another order, which compute nothing. Right: the share of W_out's live "
        "subcomponents that such an input needs, mean and range of decompositions; squares are those that start as one "
        "block. At 1 they are one block; the lower line is the share of neurons that such an input excites."
    )
    return figure, caption(result.attrs, text)


def importances(g: np.ndarray, ax: Axes | None = None) -> Axes:
    """Importances (C, n_features) as a grey image, subcomponents in the order of the features that need them."""
    ax = current_axes(ax)
    ax.imshow(g[in_order(g[None])].T, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set(xticks=[], yticks=[], xlabel="subcomponent", ylabel="feature of the input")
    return ax


def rates(good: xr.DataArray, control: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Share of decompositions by coefficient with Wilson's 95 % interval, beside that of the controls in grey."""
    ax = current_axes(ax)
    x = good["minimality_coefficient"].values
    kinds: tuple[tuple[Any, ...], ...] = (
        (good, PALETTE["blue"], "trained", 0.96),
        (control, "#888888", "permuted", 1.04),
    )
    for values, color, label, aside in kinds:
        counts = values.sum([d for d in values.dims if d != "minimality_coefficient"]).values.astype(int)
        n = values.size // len(x)
        bounds = np.array([share_interval(int(k), n)[1:] for k in counts]).T
        style: dict[str, Any] = {"fmt": "o-", "ms": 4, "capsize": 2, "lw": 1, "color": color, "label": label}
        ax.errorbar(aside * x, counts / n, yerr=np.abs(bounds - counts / n), **style)
    ax.set(ylim=(-0.04, 1.35), ylabel="share of decompositions")
    _coefficients(x, ax)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(loc="upper left", fontsize="small", ncols=2)
    return ax


def shares(table: xr.Dataset, from_block: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Mean and range of `together` by coefficient, and those that started at 1, beside the share of neurons excited."""
    ax = current_axes(ax)
    values = table["together"].transpose("minimality_coefficient", ...).values
    values = values.reshape(len(values), -1)
    x = table["minimality_coefficient"].values
    ax.fill_between(x, values.min(axis=1), values.max(axis=1), color=PALETTE["orange"], alpha=0.25, lw=0)
    ax.plot(x, values.mean(axis=1), "o-", ms=4, color=PALETTE["orange"], label="trained")
    started = from_block["together"].mean("seed")
    ax.plot(x, started.values, "s", ms=4, mfc="none", color=PALETTE["blue"], label="from one block")
    for height, label in ((1.0, "one block"), (float(table["excited"].mean()), "neurons that it excites")):
        ax.axhline(height, color="#888888", lw=0.8, ls="--")
        ax.annotate(label, (x[0], height), xytext=(0, 3), textcoords="offset points", fontsize=7, color="#666666")
    ax.set(ylim=(-0.04, 1.15), ylabel="share of live subcomponents")
    _coefficients(x, ax)
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0.84), fontsize="small")  # between the two lines
    return ax


def _coefficients(x: np.ndarray, ax: Axes) -> None:
    """The coefficients that were trained as the only ticks of a logarithmic axis, with room beside the outer ones."""
    ax.set(xscale="log", xlabel="minimality coefficient β", xlim=(x.min() / 1.5, x.max() * 1.5))
    ax.set_xticks(x, [np.format_float_scientific(v, 3, trim="-", exp_digits=1).replace("-", "−") for v in x])
    ax.set_xticks([], minor=True)
