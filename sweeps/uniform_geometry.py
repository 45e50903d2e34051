"""Many equally important features: which geometry do they choose as they get sparser?

python sweeps/uniform_geometry.py            200 features in 20 dimensions, as in the published notebook
python sweeps/uniform_geometry.py --full     400 features in 30 dimensions, as in the paper
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.script import run


def build(full: bool = False, quick: bool = False, seeds: int | None = None) -> tuple:
    """Task, training and grid; three seeds unless said otherwise. `quick`, of one, is for checking that everything runs."""
    n_features, n_hidden = (400, 30) if full else (40, 6) if quick else (200, 20)
    task = sp.tasks.Toy(n_features=n_features, n_hidden=n_hidden)
    one_over_p = np.geomspace(1, 20, 8 if quick else 20)
    grid = sp.Grid(feature_probability=1 / one_over_p, seed=range(seeds or (1 if quick else 3)))
    steps = 1_000 if quick else 10_000 if full else 5_000
    return task, sp.TrainConfig(steps=steps, evaluation_samples=32_768), grid


def main(
    full: bool = False,
    quick: bool = False,
    seeds: int | None = None,
    out: Path = Path("results/uniform_geometry.zarr"),
) -> None:
    """Train models of equally important features at many densities and save the result."""
    result = sp.sweep(*build(full, quick, seeds), store=out)
    print(result)


if __name__ == "__main__":
    run(main)
