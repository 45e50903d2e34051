"""40 features in 10 dimensions taken apart, with a subcomponent for every feature; without and with an identity between.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from superpos.analysis.intervals import share_interval
from superpos.experiments.claims import Claims
from superpos.experiments.decomposing import BATCH_SIZE, LEARNING_RATE, STEPS, build_decompositions
from superpos.experiments.parameter_decomposition import SHARE, counts_of, importance_matrix
from superpos.experiments.sizes import Sizes
from superpos.plot.appearance import PALETTE, caption, current_axes
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ParameterDecomposition, Toy
from superpos.training.train_config import TrainConfig

SOURCE = "Bushnaq, Braun and Sharkey 2025, Stochastic Parameter Decomposition, table 1"
N_FEATURES, N_HIDDEN = 40, 10
TOY = Toy(n_features=N_FEATURES, n_hidden=N_HIDDEN, feature_probability=0.05)
# With an identity in the hidden layer or not: the words of it, and how many subcomponents are needed.
LAYERS = {"": N_FEATURES, "_identity": N_FEATURES + N_HIDDEN}


@dataclass(frozen=True)
class Size:
    """Toy models (`toy_…`), subcomponents, coefficient, seeds and training of the decompositions.

    The paper trains 40,000 steps of batch 4,096 at a learning rate of .001 with p = 2 throughout, at a coefficient of .0001.
    The laptop's coefficient is about two thirds of it, as in 5→2, where being needed often has a price. With an identity it
    trains longer (`identity_steps`): where a column is split between two subcomponents, one takes it over in time.
    """

    toy_seeds: int = 2
    toy_steps: int = 5_000
    n_subcomponents: int = 200
    coefficient: float = 7e-5
    seeds: int = 16
    steps: int = STEPS
    identity_steps: int = 5_000
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    published: bool = False  # the four losses alone, and batches as they come
    n_inputs: int = 4_096  # of scores


SIZES = Sizes(
    quick=Size(
        toy_seeds=1, toy_steps=20, n_subcomponents=40, seeds=1, steps=20, identity_steps=20, batch_size=32, n_inputs=256
    ),
    laptop=Size(),
    full=Size(
        coefficient=1e-4, steps=40_000, identity_steps=40_000, batch_size=4_096, learning_rate=1e-3, published=True
    ),
)
PUBLISHED: dict[str, Any] = {
    "p_norm": 2.0, "final_p_norm": None, "faithfulness_coefficient": 1.0, "delta_component": False,
    "frequency_coefficient": None, "nonnegative_start": False, "stratified": False,
}  # fmt: skip


def build_toys(size: Size) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the toy models, of which the best is taken apart."""
    config = TrainConfig(steps=size.toy_steps, batch_size=1_024, learning_rate=1e-2)
    return TOY, config, Grid(seed=range(size.toy_seeds))


def target(toys: SweepResult) -> tuple[np.ndarray, np.ndarray]:
    """W (n_hidden, n_features) and b (n_features,) of the toy model with the least loss."""
    best = toys.best("seed").model()
    return np.asarray(best.W[...]), np.asarray(best.b[...])


def build(
    size: Size, W: np.ndarray, b: np.ndarray, layer: str = ""
) -> tuple[ParameterDecomposition, TrainConfig, Grid]:
    """Task, training and grid of its decompositions, trained as 5→2; with "_identity" in the hidden layer longer."""
    return build_decompositions(
        TOY,
        W,
        b,
        coefficients=[size.coefficient],
        seeds=range(size.seeds),
        n_subcomponents=size.n_subcomponents,
        steps=size.identity_steps if layer == "_identity" else size.steps,
        batch_size=size.batch_size,
        learning_rate=size.learning_rate,
        identity_layers=int(layer == "_identity"),
        **(PUBLISHED if size.published else {}),
    )


def evaluate(plain: xr.Dataset, identity: xr.Dataset, claims: Claims) -> None:
    """Tables are `decomposing.measure`'s, over (minimality_coefficient, seed)."""
    for layer, table in zip(LAYERS, (plain, identity), strict=True):
        name, n = "40→10" + (" with an identity in the hidden layer" if layer else ""), table.sizes["seed"]
        recovered = int(table["recovered"].sum())
        _, low, high = share_interval(recovered, n)
        claims.check(
            f"{name}: every column of W is one subcomponent, in direction and length",
            "MMCS ≥ .999 and ML2R within .03 of 1 in at least 90 % of seeds",
            f"{recovered} of {n} seeds (95 %: {low:.2f} to {high:.2f}); MMCS {float(table['mmcs'].mean()):.4f}, "
            f"ML2R {float(table['ml2r'].mean()):.3f} ± {float(table['ml2r'].std()):.3f}",
            recovered >= SHARE * n,
        )
        clean = int((table["importance_error"] == 0).sum())
        claims.check(
            f"{name}: an input with one feature needs that feature's subcomponent alone, in W and Wᵀ",
            "every importance within .1 of the identity in at least 90 % of seeds",
            f"{clean} of {n} seeds",
            clean >= SHARE * n,
        )
        needed = LAYERS[layer]
        exact = int((table["live"] == needed).sum())
        claims.check(
            f"{name}: no more subcomponents are live than are needed",
            f"exactly {needed} in at least 90 % of seeds",
            f"{exact} of {n} seeds; live {counts_of(table['live'])}",
            exact >= SHARE * n,
        )


def draw(results: Sequence[SweepResult], plain: xr.Dataset, identity: xr.Dataset) -> tuple[Figure, str]:
    """Figure and caption: importances in W and its transpose without and with an identity, in it, and what is live.

    `results` are the sweeps without and with an identity, `plain` and `identity` their tables.
    """
    figure, axes = plt.subplots(1, 4, figsize=(9.6, 3.9), layout="constrained", width_ratios=(1.2, 1.2, 0.9, 1))
    for ax, table, title in zip(axes, (plain, identity), ("40→10", "with an identity"), strict=False):
        one = table["importances"].isel(minimality_coefficient=0, seed=0).values
        importance_matrix(one, ax, shown=min(45, one.shape[1]))
        ax.set_title(title)
    in_the_identity(identity["importances"].isel(minimality_coefficient=0, seed=0).values[1], axes[2])
    axes[2].set_title("in the identity")
    live_parts((plain["live"], identity["live"]), axes[3])
    text = (
        "40 features in 10 dimensions as 200 subcomponents per matrix, whose importances for inputs with one feature of "
        "activity .75 are drawn: black is needed. From the left, seed 0: in W and its transpose, the first 45 "
        "subcomponents in the order of the features that need them; the same with an identity matrix in the hidden layer; "
        "in that matrix, of whose ten live subcomponents an input needs some. Right: how many subcomponents are live in all "
        "matrices together, tied ones counted once, of every seed; lines: how many are needed. With an identity training has "
        f"{results[1].attrs['train']['steps']:,} steps."
    )
    return figure, caption(results[0].attrs, text)


def in_the_identity(importances: np.ndarray, ax: Axes | None = None, *, shown: int = 14) -> Axes:
    """Importances (C, n_features) of the subcomponents of the hidden layer that are needed most, as a grey image."""
    ax = current_axes(ax)
    most = np.argsort(-importances.mean(axis=1), kind="stable")[:shown]
    ax.imshow(importances[most].T, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    ax.set(xticks=[], yticks=[], xlabel="subcomponent", ylabel="feature of the input")
    return ax


def live_parts(counts: tuple[xr.DataArray, xr.DataArray], ax: Axes | None = None) -> Axes:
    """Live subcomponents of every seed, without and with an identity, and how many are needed."""
    ax = current_axes(ax)
    for values, (layer, needed), color in zip(counts, LAYERS.items(), ("blue", "orange"), strict=True):
        label = "with an identity" if layer else "40→10"
        live = values.values.ravel()
        ax.axhline(needed, color="#BBBBBB", lw=0.8, zorder=0)
        ax.plot(np.arange(live.size), live, "o", ms=4, color=PALETTE[color], label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="seed", ylabel="live subcomponents")
    ax.set_ylim(top=ax.get_ylim()[1] + 4)  # room for the legend
    ax.legend(loc="upper left")
    return ax
