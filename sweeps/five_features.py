"""Five features in two dimensions, from dense to sparse: the paper's opening figure.

python sweeps/five_features.py --seeds 16
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.cli import run


def build(densities: int = 48, seeds: int = 16, steps: int = 10_000, quick: bool = False) -> tuple:
    """Task, training and grid; `quick` is for checking that everything runs."""
    if quick:
        densities, seeds, steps = 12, 4, 1_500
    task = sp.tasks.Toy(n_features=5, n_hidden=2, importance=0.9 ** np.arange(5))
    grid = sp.Grid(feature_probability=np.geomspace(1, 0.01, densities), seed=range(seeds))
    return task, sp.TrainConfig(steps=steps), grid


def main(
    densities: int = 48,
    seeds: int = 16,
    steps: int = 10_000,
    quick: bool = False,
    out: Path = Path("results/five_features.zarr"),
) -> None:
    """Train five features in two dimensions at many densities and save the result."""
    result = sp.sweep(*build(densities, seeds, steps, quick), store=out, block_size=24)
    print(result)


if __name__ == "__main__":
    run(main)
