"""Phase diagrams: what becomes of a feature by its density and its relative importance.

python sweeps/phase_diagram.py                 2 features in 1 dimension, 64 × 64 cells × 8 restarts
python sweeps/phase_diagram.py --n-hidden 2    3 features in 2 dimensions
python sweeps/phase_diagram.py --cells 256 --seeds 16    a million models
"""

from pathlib import Path

import numpy as np
import tyro

import superpos as sp

BLOCK_SIZE = 64


def build(n_hidden: int = 1, cells: int = 64, seeds: int = 8, quick: bool = False) -> tuple:
    """Task, training and grid; `quick` is for checking that everything runs."""
    if quick:
        cells, seeds = 12, 4
    n = n_hidden + 1
    task = sp.tasks.Toy(n_features=n, n_hidden=n_hidden, importance=np.ones(n), objective="expected", order=16)
    grid = sp.Grid(
        feature_probability=np.geomspace(1, 0.01, cells),
        relative_importance=sp.entry("importance", -1, np.geomspace(0.1, 10, cells)),
        seed=range(seeds),
    )
    return task, sp.TrainConfig(steps=400, history=1), grid


def main(
    n_hidden: int = 1, cells: int = 64, seeds: int = 8, quick: bool = False, out: Path = Path("results/phase_2_1.zarr")
) -> None:
    """Train a phase diagram and save the result."""
    result = sp.sweep(*build(n_hidden, cells, seeds, quick), store=out, block_size=BLOCK_SIZE)
    print(result)


if __name__ == "__main__":
    tyro.cli(main)
