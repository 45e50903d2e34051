"""Absolute value with enough neurons and with too few: loss against the naive baseline, and what neurons read.

    python figures/absolute_value.py [--full] [--quick]

Elhage et al. 2022, "Computation in Superposition".
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.analysis import circuit, neuron_order
from superpos.claims import Claims
from superpos.claims.circuits import by_density, judge_large, judge_small
from superpos.cli import run
from superpos.plot.circuits import neuron_shares, relative_loss_by_density

ABSOLUTE: Any = {"target": "absolute", "tied": False, "magnitude": "signed_uniform"}
SMALL = sp.tasks.Computation(n_features=3, n_hidden=6, **ABSOLUTE)
LARGE = sp.tasks.Computation(
    n_features=100, n_hidden=40, importance=0.8 ** np.arange(100), paired_init=True, init_scale=0.3, **ABSOLUTE
)
DENSITIES = (1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# No rate suits all densities: the best of these is kept at each.
RATES = (0.001, 0.003, 0.01, 0.03)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> None:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = sp.plot.size_suffix(full, quick)
    path = str(results / f"absolute_value{suffix}")
    less = {"batch_size": 64, "evaluation_samples": 1_024} if quick else {"batch_size": 256}
    steps = 20 if quick else 2_000  # every step is a point of the record, the first one the untrained loss
    config = sp.TrainConfig(steps=steps, history=steps, **less)
    seeds = range(2 if quick else 16)
    small = sp.sweep(SMALL, config, sp.Grid(seed=seeds), f"{path}_small.zarr", block_size=len(seeds))
    steps, n_seeds = (20, 1) if quick else (20_000, 8) if full else (8_000, 2)
    config = replace(config, steps=steps, history=20, batch_size=64 if quick else 1_024 if full else 512)
    grid = sp.Grid(feature_probability=DENSITIES, learning_rate=RATES[:1] if quick else RATES, seed=range(n_seeds))
    large = sp.sweep(LARGE, config, grid, f"{path}.zarr", block_size=7)
    table = by_density(large.best("seed").best("learning_rate"))
    first = small.best("seed")
    found = circuit(first.model())
    claims = Claims("Elhage et al. 2022, Computation in Superposition", judged=not quick)
    judge_small(found, float(first["loss"]), float(first["loss_history"][0]), claims)
    judge_large(table, claims)
    with sp.plot.style():
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.4, 2.9), layout="constrained")
        order = np.asarray(neuron_order(np.abs(found.W1)))
        sp.plot.stacked_weights(found.W1[order], found.reads()[order], left)
        left.set(ylabel="input weights of each neuron", title="3 features in 6 neurons")
        neuron_shares(table["monosemantic"], table["polysemantic"], middle)
        relative_loss_by_density(table["relative_loss"], right)
        text = (
            f"Left: best of {len(small['seed'])} models, numbers are features. Middle and right: least loss of "
            f"{n_seeds} seeds and {len(large['learning_rate'])} learning rates at each density; the naive baseline solves "
            "the best features with two neurons each and ignores the rest."
        )
        sp.plot.publish(figure, sp.plot.caption(large.attrs, text), claims, path=out / f"absolute_value{suffix}")


if __name__ == "__main__":
    run(main)
