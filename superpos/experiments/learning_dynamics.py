"""How features are learned: Elhage et al. 2022, "Superposition and Learning Dynamics"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from superpos.analysis.dynamics import drops, even_stages, logistic_rate, moves
from superpos.analysis.features import feature_dimensionality
from superpos.data import Sets
from superpos.experiments.claims import Claims
from superpos.experiments.correlated_features import sets_of
from superpos.experiments.correlated_features.arrangements import across, orthogonal_within, within
from superpos.experiments.sizes import Sizes
from superpos.plot.animation import directions_animation
from superpos.plot.appearance import PALETTE, caption
from superpos.plot.dynamics import dimensionality_levels, logistic_growth, loss_steps
from superpos.plot.features import feature_directions_3d, set_colors
from superpos.plot.sweeps import plain_ticks
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import Toy
from superpos.theory.expectation import expected_loss
from superpos.theory.uniform import unlearned_loss
from superpos.training.train_config import TrainConfig

SOURCE = "Elhage et al. 2022, Superposition and Learning Dynamics"
TRIPLES = ((0, 1, 2), (3, 4, 5))
BLOCK_SIZES = {"levels": 1, "triples": 1, "growth": 3}
N_STAGES = 6  # of the way of the triples that are drawn
LEVELS = (0.0, 0.5)  # where all features end that are antipodal pairs or not represented
MOVE = 0.2  # a change of D_i this large is a move from one level to another


@dataclass(frozen=True)
class Size:
    """Features and hidden dimensions of the levels, steps (levels train four times as long), seeds, and how triples train."""

    n_features: int = 20
    n_hidden: int = 4
    steps: int = 1_000
    growth_steps: int = 2_000
    levels_seeds: int = 8
    triples_seeds: int = 16
    triples_objective: str = "expected"
    magnitude: str = "uniform"  # of the features of triples and of lone features
    frames: int = 48  # of the animation


SIZES = Sizes(
    # A quick look samples triples of features that are 0 or 1: the population loss of sets takes long to compile.
    quick=Size(
        n_features=8,
        n_hidden=2,
        steps=60,
        growth_steps=100,
        levels_seeds=1,
        triples_seeds=1,
        triples_objective="sampled",
        magnitude="constant",
        frames=4,
    ),
    laptop=Size(),
    full=Size(n_features=40, n_hidden=6, levels_seeds=32, triples_seeds=64),
)


def build(size: Size) -> dict[str, tuple[Toy, TrainConfig, Grid]]:
    """Task, training and grid of the three experiments, with weights recorded on the way."""

    def config(steps: Any, points: Any, **settings: Any) -> TrainConfig:
        snapshots = tuple(np.unique(points.astype(int)).tolist())
        return TrainConfig(steps=steps, snapshots=snapshots, history=1, schedule="constant", **settings)

    levels = Toy(
        n_features=size.n_features,
        n_hidden=size.n_hidden,
        objective="expected",
        feature_probability=1 / 3,
        init_scale=0.02,
    )
    triples = Toy(
        n_features=6,
        n_hidden=3,
        correlated_sets=TRIPLES,
        objective=size.triples_objective,
        magnitude=size.magnitude,
        feature_probability=0.03,
        init_scale=0.02,
    )
    lone = Toy(
        n_features=1,
        n_hidden=1,
        activation="identity",
        objective="expected",
        magnitude=size.magnitude,
        feature_probability=0.2,
        init_scale=0.02,
    )
    # Plain gradient descent rests on plateaus, which Adam hurries over; their lengths differ by orders of magnitude.
    levels_steps = 4 * size.steps
    even_in_logarithm = np.append(0, np.geomspace(1, levels_steps, 200))
    even, even_of_growth = np.linspace(0, size.steps, 201), np.linspace(0, size.growth_steps, 401)
    each = Grid(bias=[False, True], importance=[1.0, 0.5, 0.25], seed=[0])
    return {
        "levels": (
            levels,
            config(levels_steps, even_in_logarithm, learning_rate=3.0, optimizer="sgd"),
            Grid(seed=range(size.levels_seeds)),
        ),
        "triples": (
            triples,
            config(size.steps, even, learning_rate=2e-3),
            Grid(seed=range(size.triples_seeds)),
        ),
        "growth": (
            lone,
            config(size.growth_steps, even_of_growth, learning_rate=0.1, optimizer="sgd"),
            each,
        ),
    }


def trajectory(cell: SweepResult) -> xr.Dataset:
    """D_i and the loss (sum over features) at every snapshot of one cell, over (snapshot, feature).

    `drop` says whether the interval that begins at a snapshot belongs to a drop of the loss (`analysis.dynamics.drops`),
    `moving` how many features are half-way through a move in it, and `active` whether any feature has still to move: after
    that there is nothing to find, and intervals do not count.
    """
    task: Any = cell.task()
    Ws, bs = (cell[f"{name}_snapshots"].transpose("snapshot", ...).values for name in ("W", "b"))
    D = np.stack([np.asarray(feature_dimensionality(W)) for W in Ws])
    losses = [
        expected_loss(W, b, task.feature_probability, task.importance, order=task.order)
        for W, b in zip(Ws, bs, strict=True)
    ]
    loss = task.n_features * np.array(losses, float)
    every_move = [move for column in D.T for move in moves(column, larger_than=MOVE)]
    end = max((move.stop for move in every_move), default=len(loss) - 1)
    drop, moving = np.append(drops(loss), False), np.zeros(len(loss), int)
    np.add.at(moving, [move.middle for move in every_move], 1)
    over = "snapshot"
    variables = {
        "dimensionality": ((over, "feature"), D),
        "loss": (over, loss),
        "drop": (over, drop),
        "moving": (over, moving),
        "active": (over, np.arange(len(loss)) < end),
    }
    return xr.Dataset(variables, {"step": (over, cell["snapshot_step"].values)})


def trajectories(result: SweepResult) -> xr.Dataset:
    """The `trajectory` of every seed, over (seed, snapshot, feature), as `superpos.cached` takes it."""
    seeds = result["seed"].values
    return xr.concat([trajectory(result.sel(seed=int(seed))) for seed in seeds], xr.Variable("seed", seeds))


def chance(table: xr.Dataset, draws: int = 10_000) -> tuple[float, float]:
    """How many moves drops would hold if they came at other times: the mean, and the share of draws with no fewer than now.

    Drops keep their number, their lengths and the gaps between them: in every seed they are shifted in a circle, by any
    number of intervals as often, within the time until the last move.
    """
    rng, now, pooled = np.random.default_rng(0), 0, np.zeros(draws)
    for _, of_seed in table.groupby("seed"):
        active = of_seed["active"].values.ravel()
        drop, moving = of_seed["drop"].values.ravel()[active], of_seed["moving"].values.ravel()[active]
        if len(drop):
            shifted = np.array([np.sum(moving[np.roll(drop, shift)]) for shift in range(len(drop))])
            now, pooled = now + int(shifted[0]), pooled + rng.choice(shifted, draws)
    return float(pooled.mean()), float(np.mean(pooled >= now))


def evaluate(results: Mapping[str, SweepResult], levels: xr.Dataset, grown: xr.Dataset, claims: Claims) -> None:
    """All claims; `results` are of the sweeps of `build`, `levels` of `trajectories`, `grown` of `growth`."""
    evaluate_levels(levels, claims)
    evaluate_transformation(results["triples"], claims)
    evaluate_growth(grown, claims)


def evaluate_levels(table: xr.Dataset, claims: Claims) -> None:
    """Dimensionalities end on two levels, and jump between them where the loss falls; `table` is of `trajectories`.

    A share of the moves says nothing by itself: drops that take most of the time hold most of the moves. So the moves of
    all seeds are compared with what the same drops would hold at other times, by `chance`.

    What comes out depends on the optimiser, the clock and how a drop is told. Tried were, with the moves inside drops and the
    share of draws with no fewer: AdamW at a rate of .002, 60 of 72 (.001), and of .0005, 50 of 67 (.004); SGD at 3, with
    snapshots even in steps, 1 of 37 (.99), and even in the logarithm of steps, 19 of 38 of four seeds (.004). The last is
    what the figure shows, because its plateaus can be seen.
    """
    final = table["dimensionality"].isel(snapshot=-1).values
    off = np.min(np.abs(final[..., None] - np.array(LEVELS)), axis=-1).max()
    pairs = np.sum(final > np.mean(LEVELS), axis=-1)
    measured = f"off by at most {off:.4f}; {pairs.min()} to {pairs.max()} features at 1/2, {len(final)} seeds"
    claims.check(
        "energy levels: D_i ends at 0 or 1/2", "within .03, every seed", measured, off <= 0.03 and min(pairs) > 0
    )
    total, inside = int(table["moving"].sum()), int(table["moving"].where(table["drop"]).sum())
    share, covered = 100 * inside / max(1, total), 100 * float(table["drop"].where(table["active"]).mean())
    by_chance, luck = chance(table)
    measured = (
        f"{inside} of {total} ({share:.0f} %), drops cover {covered:.0f} % of the time until the last move; at other "
    )
    measured += f"times they would hold {by_chance:.1f}, and as many in {100 * luck:.2g} % of draws"
    expected = "more of the moves |ΔD_i| > .2 inside loss drops than in 95 % of draws of when the drops come"
    claims.check("energy levels: features move where the loss drops", expected, measured, total > 0 and luck < 0.05)


def octahedron(W: Any, sets: Sets) -> bool:
    """Whether both sets are orthogonal in themselves, and every feature is opposite to exactly one of the other set."""
    return orthogonal_within(W, sets, tolerance=0.05)


def evaluate_transformation(result: SweepResult, claims: Claims) -> None:
    """Two triples of correlated features go through principal components to an octahedron; over `seed`."""
    sets: Sets = sets_of(result)
    best = result.best("seed")
    W, Ws = best["W"].values, best["W_snapshots"].transpose("snapshot", "hidden", "feature").values
    partners = np.sum(across(W, sets) < -0.95, axis=1)
    every = result["W"].transpose("seed", "hidden", "feature").values
    hits = [octahedron(V, sets) for V in every]
    measured = f"|cos| ≤ {np.abs(within(W, sets)).max():.3f}, partners {partners.min()}…{partners.max()}"
    measured += f", by {100 * np.mean(hits):.0f} % of {len(hits)} seeds"
    expected = "within |cos| < .05, one partner of the other set at cos < −.95"
    claims.check("two correlated triples in space: an octahedron", expected, measured, octahedron(W, sets))
    together = np.array([within(V, sets).min() for V in Ws])
    at = int(together.argmax())
    measured = f"cos ≥ {together[at]:.3f} at step {int(best['snapshot_step'][at])} of {int(best['snapshot_step'][-1])}"
    holds = together[at] > 0.9 and 0 < at < len(Ws) - 1 and together[-1] < 0.5
    claims.check("… principal components first: members of a set agree", "within cos > .9 on the way", measured, holds)


def growth(result: SweepResult) -> xr.Dataset:
    """a = ‖W‖² at every snapshot of lone linear features, and the rate 8ηIσ² of logistic growth that gradient flow gives.

    σ² is E x² without a bias, and the variance with one that keeps to its optimum. Over (bias, importance, snapshot).
    """
    task, config = result.attrs["task"], result.attrs["train"]
    p = task["feature_probability"]
    a = (result["W_snapshots"] ** 2).sum(("hidden", "feature"))
    variance = xr.where(result["bias"], unlearned_loss(p), p / 3)
    rate = 8 * config["learning_rate"] * result["importance"] * variance
    return xr.Dataset({"share": a, "rate": rate, "step": ("snapshot", result["snapshot_step"].values)})


def evaluate_growth(table: xr.Dataset, claims: Claims) -> None:
    """Lone features of a linear model grow logistically, the important ones first; `table` is of `growth`."""
    steps = table["step"].values
    for bias, words in ((False, "no bias, σ² = E x²"), (True, "with a bias, σ² = variance")):
        ratios = []
        for importance in table["importance"].values:
            cell = table.sel(bias=bias, importance=importance)
            ratios.append(_rate(cell["share"].values, steps) / float(cell["rate"]))
        measured = "ratio " + ", ".join(f"{r:.3f}" for r in ratios)
        holds = all(abs(r - 1) <= 0.1 for r in ratios)
        claims.check(f"linear: da/dt = 8ηIσ²a(1 − a) ({words})", "slope of log(a/(1 − a)) ± 10 %", measured, holds)
    arrived = [
        int(steps[np.argmax(a > 0.5)]) if np.any(a > 0.5) else -1
        for a in table["share"].sel(bias=False).transpose("importance", "snapshot").sortby("importance").values[::-1]
    ]
    holds = min(arrived) >= 0 and all(np.diff(arrived) > 0)
    measured = "a = 1/2 at steps " + ", ".join(map(str, arrived))
    claims.check("linear: features arrive in order of importance", "most important first", measured, holds)


def _rate(share: np.ndarray, steps: np.ndarray) -> float:
    """The fitted rate; NaN where training was too short for one."""
    if np.sum((share > 0.05) & (share < 0.95)) < 3:
        return float("nan")
    return logistic_rate(share, steps)


def draw(
    results: Mapping[str, SweepResult], levels: xr.Dataset, grown: xr.Dataset, n_frames: int
) -> tuple[Figure, str, FuncAnimation]:
    """Energy levels, logistic growth, and below the way of two correlated triples; and that way as an animation.

    `results` are of the sweeps of `build`, `levels` is of `trajectories`, `grown` of `growth`; the animation has about
    `n_frames` pictures.
    """
    seed = int(results["levels"].best("seed")["seed"])
    others, levels = levels.drop_sel(seed=seed), levels.sel(seed=seed)
    best = results["triples"].best("seed")
    Ws, steps = best["W_snapshots"].transpose("snapshot", "hidden", "feature").values, best["snapshot_step"].values
    stages, frames = even_stages(Ws, N_STAGES), even_stages(Ws, n_frames)
    figure = plt.figure(figsize=(8.4, 6.4))
    left = figure.add_gridspec(2, 1, left=0.08, right=0.56, bottom=0.44, top=0.96, height_ratios=(1.7, 1), hspace=0.1)
    above = figure.add_subplot(left[0, 0])
    dimensionality_levels(levels["dimensionality"], levels["step"], above)
    above.set(xlabel="", title="energy levels", xscale="log", xlim=(1, float(levels["step"][-1])))
    above.tick_params(labelbottom=False)
    above.set_ylim(top=max(0.8, above.get_ylim()[1]))
    above.legend(loc="upper left", ncols=2)
    below = figure.add_subplot(left[1, 0], sharex=above)
    below.plot(others["step"], others["loss"].transpose("snapshot", "seed"), color=PALETTE["silver"], lw=0.6)
    loss_steps(levels["loss"], levels["step"], below, windows=levels["drop"][:-1])
    below.set_ylabel("loss (sum)")
    plain_ticks(below, subs=(1,))
    right = figure.add_gridspec(1, 1, left=0.67, right=0.99, bottom=0.44, top=0.96)
    lone = grown.sel(bias=False)
    names = [f"importance {value:g}" for value in lone["importance"].values]
    share = lone["share"].transpose("importance", "snapshot")
    growing = logistic_growth(share, lone["rate"].values, grown["step"].values, names, figure.add_subplot(right[0, 0]))
    growing.legend(loc="lower right")
    growing.set_title("a lone linear feature, $a = \\|W\\|^2$")
    sets = best.attrs["task"]["correlated_sets"]
    style = {"color": set_colors(Ws.shape[2], sets), "faces": sets}
    limit = max(1.0, float(abs(Ws).max()))
    bottom = figure.add_gridspec(1, len(stages), left=0.0, right=1.0, bottom=0.0, top=0.33, wspace=0)
    for k, stage in enumerate(stages):
        ax = feature_directions_3d(Ws[stage], figure.add_subplot(bottom[0, k], projection="3d"), limit=limit, **style)
        ax.set_title(f"step {steps[stage]:,}", y=1.0)
    animation = directions_animation(Ws[list(frames)], steps[list(frames)], **style)
    text = (
        "Top left: dimensionality of every feature and the loss during training, of the seed of least loss, on a logarithmic "
        "scale of steps, chosen so that short plateaus are seen, too; shaded: drops. Thin: the loss of the "
        f"{others.sizes['seed']} other seeds. Top right: growth of lone features; "
        "dashed: slope 8ηIσ². Bottom: two sets (colours) of three correlated features in three dimensions during training, "
        f"the seed of least loss among {results['triples'].sizes['seed']}, which the animation shows in full."
    )
    parts = (("levels", "Energy levels:"), ("triples", "Correlated triples:"), ("growth", "Lone features:"))
    return figure, " ".join([text, *(caption(results[name].attrs, words) for name, words in parts)]), animation
