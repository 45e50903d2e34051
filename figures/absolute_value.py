"""Absolute value with enough neurons and with too few: loss against the naive baseline, and what neurons read.

    python figures/absolute_value.py [--full] [--quick]

Elhage et al. 2022, "Computation in Superposition".
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.analysis import circuit
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.absolute_value import by_density, judge_large, judge_small, relative_by_start, winning_starts
from superpos.script import run

ABSOLUTE: Any = {"target": "absolute", "tied": False, "magnitude": "signed_uniform"}
SMALL = sp.tasks.Computation(n_features=3, n_hidden=6, **ABSOLUTE)
DENSITIES = (1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
SHOWN = 0.01
# Random weights alone end above the naive baseline: important features that find no neuron of their own in time never do.
STARTS = (0, 10, 15, 20)


def task(n_features: int, n_hidden: int) -> sp.tasks.Computation:
    """Importance .8^i, and too few neurons."""
    importance = 0.8 ** np.arange(n_features)
    sizes: Any = {"n_features": n_features, "n_hidden": n_hidden, "importance": importance}
    return sp.tasks.Computation(**sizes, paired_init=True, init_scale=0.3, **ABSOLUTE)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    path = str(results / f"absolute_value{suffix}")
    less: dict[str, Any] = {"batch_size": 64, "evaluation_samples": 1_024} if quick else {"batch_size": 256}
    steps = 20 if quick else 2_000  # every step is a point of the record, the first one the untrained loss
    config = sp.TrainConfig(steps=steps, history=steps, **less)
    seeds = range(2 if quick else 16)
    small = sp.sweep(SMALL, config, sp.Grid(seed=seeds), f"{path}_small.zarr", block_size=len(seeds))
    steps, n_seeds = (20, 1) if quick else (40_000, 8) if full else (20_000, 1)
    # Gradients of the last features are far below Adam's usual epsilon.
    config = replace(
        config, steps=steps, history=20, batch_size=64 if quick else 512, learning_rate=0.001, epsilon=1e-16
    )
    starts: Any = (0, 4) if quick else STARTS
    densities = DENSITIES[::2] if quick else DENSITIES
    grid = sp.Grid(feature_probability=densities, dedicated_features=starts, seed=range(n_seeds))
    large = sp.sweep(task(20, 8) if quick else task(100, 40), config, grid, f"{path}.zarr", block_size=len(densities))
    best = large.best("seed").best("dedicated_features")
    table, first = by_density(best), small.best("seed")
    enough, few = circuit(first.model()), circuit(best.model(feature_probability=SHOWN))
    claims = Claims("Elhage et al. 2022, Computation in Superposition", judged=not quick)
    judge_small(enough, float(first["loss"]), float(first["loss_history"][0]), claims)
    judge_large(table, by_density(large.sel(dedicated_features=0).best("seed")), winning_starts(large), claims)
    with sp.plot.style():
        small_pair, large_pair = ((found.W1, found.reads()) for found in (enough, few))
        figure = sp.plot.absolute_value(small_pair, large_pair, SHOWN, table, relative_by_start(large))
        text = (
            f"Top left: {small.best_of(what='models')}. Numbers are features, 1 is the most important. Then: least loss "
            f"of {n_seeds} seed{'s' * (n_seeds > 1)} and {len(starts)} starts at each density; a start solves "
            f"{', '.join(map(str, starts))} of the first features with two neurons each and is random otherwise. The naive "
            f"baseline solves {large.attrs['task']['n_hidden'] // 2}, ignores the rest. Bottom: the model of least loss "
            "at one density, weights above 20 % of the neuron's largest."
        )
        return publish(figure, sp.plot.caption(large.attrs, text), claims, path=out / f"absolute_value{suffix}").status


if __name__ == "__main__":
    run(main)
