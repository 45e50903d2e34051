"""Induction heads: two layers learn to look up what followed last time, one layer cannot, and a fixed distance is a trap.

    python figures/induction_heads.py [--full] [--quick]

Olsson et al. 2022, "In-context Learning and Induction Heads".
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.experiments import publish, size_suffix
from superpos.experiments.induction_heads import measures as claimed
from superpos.plot.transformers import induction_heads
from superpos.script import run


def build(full: bool, quick: bool) -> dict[str, tuple]:
    """Task, training and grid: one and two layers with a random period, and one layer with a fixed one."""
    sizes: dict[str, Any] = {}
    steps, trap_steps, seeds, batch = (
        (20, 20, 1, 8) if quick else (10_000, 1_000, 4, 64) if full else (1_000, 400, 3, 32)
    )
    if quick:
        sizes = {"d_vocab": 16, "n_positions": 16, "n_heads": 2, "d_model": 16}
        sizes |= {"shortest_period": 5, "longest_period": 7}
    if full:
        sizes = {"d_vocab": 256, "n_positions": 256, "n_heads": 8, "d_model": 128}
        sizes |= {"shortest_period": 64, "longest_period": 128}
    task: Any = sp.tasks.RepeatedTokens(**sizes)
    middle = (task.shortest_period + task.longest_period) // 2
    trap = replace(task, n_layers=1, shortest_period=middle, longest_period=middle)
    # Dense while heads form.
    early, late = np.linspace(0, steps / 2, 6 if quick else 21), np.linspace(steps / 2, steps, 2 if quick else 6)
    kept = tuple(np.unique(np.append(early, late).astype(int)).tolist())
    how: dict[str, Any] = {"batch_size": batch, "schedule": "constant", "history": 1, "evaluation_samples": 1_024}
    config = sp.TrainConfig(steps=steps, snapshots=kept, **how)
    # A quick look compiles one program for every model of one layer.
    alone = config if quick else replace(config, steps=trap_steps, snapshots=())
    return {
        "": (task, config, sp.Grid(n_layers=[1, 2], seed=range(seeds))),
        "_trap": (trap, alone, sp.Grid(seed=range(seeds))),
    }


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix, found = size_suffix(full, quick), {}
    path, small = results / f"induction_heads{suffix}.zarr", {"n_sequences": 8} if quick else {}
    for name, (task, config, grid) in build(full, quick).items():
        found[name] = sp.sweep(task, config, grid, results / f"induction_heads{name}{suffix}.zarr", block_size=1)
    result, trap = found[""], found["_trap"]
    cell = result.sel(n_layers=2).best("seed")
    middle = int(trap.attrs["task"]["shortest_period"])
    periods = [round(middle * k / 6) for k in (2, 3, 4, 5, 6, 7, 8, 9, 10)]
    table = sp.cached(path, claimed.through_training, result, **small)
    tests = sp.cached(path, claimed.by_period, result, trap, periods, **small)
    ablated = claimed.without_heads_of(result, path, **small)
    patterns = sp.cached(path, claimed.drawn_patterns, cell, trap.best("seed"), round(middle * 3 / 4), **small)
    claims = claimed.Claims("Olsson et al. 2022, In-context Learning and Induction Heads", judged=not quick)
    claimed.judge(result, table, tests, [*ablated.values()], claims)
    with sp.plot.style():
        shown = table.sel(seed=(seed := int(cell["seed"])))
        _, window = claimed.windows(shown.sel(n_layers=2))
        figure, text = induction_heads(shown, window, tests, ablated[seed], patterns)
        text += f" Two layers but on the right: seed {seed}, of least loss among {len(ablated)}."
        return publish(
            figure, sp.plot.caption(result.attrs, text), claims, path=out / f"induction_heads{suffix}"
        ).status


if __name__ == "__main__":
    run(main)
