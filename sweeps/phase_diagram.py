"""Phase diagrams: what becomes of a feature by its density and its relative importance.

python sweeps/phase_diagram.py                 2 features in 1 dimension, 64 × 64 cells × 8 restarts
python sweeps/phase_diagram.py --n-hidden 2    3 features in 2 dimensions
python sweeps/phase_diagram.py --cells 256 --seeds 16    a million models
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.script import run

BLOCK_SIZE = 64


def build(n_hidden: int = 1, cells: int = 64, seeds: int = 8, quick: bool = False) -> tuple:
    """Task, training and grid; `quick` is for checking that everything runs."""
    if n_hidden not in (1, 2):
        raise sp.ConfigError(f"n_hidden must be 1 (for 2→1) or 2 (for 3→2), got {n_hidden}.")
    if quick:
        cells, seeds = 6, 4
    n = n_hidden + 1
    task = sp.tasks.Toy(n_features=n, n_hidden=n_hidden, importance=np.ones(n), objective="expected", order=16)
    grid = sp.Grid(
        feature_probability=np.geomspace(1, 0.01, cells),
        relative_importance=sp.entry("importance", -1, np.geomspace(0.1, 10, cells)),
        seed=range(seeds),
    )
    return task, sp.TrainConfig(steps=200, history=1), grid


def name(n_hidden: int, cells: int, seeds: int, quick: bool) -> str:
    """What the result is called: phase_2_1.zarr, or with its size where that is not the usual one."""
    size = "_quick" if quick else f"_{cells}x{seeds}" * ((cells, seeds) != (64, 8))
    return f"phase_{n_hidden + 1}_{n_hidden}{size}.zarr"


def main(n_hidden: int = 1, cells: int = 64, seeds: int = 8, quick: bool = False, out: Path | None = None) -> None:
    """Train a phase diagram and save the result, by default where the figure looks for it."""
    out = Path("results") / name(n_hidden, cells, seeds, quick) if out is None else out
    result = sp.sweep(*build(n_hidden, cells, seeds, quick), store=out, block_size=BLOCK_SIZE)
    print(result)


if __name__ == "__main__":
    run(main)
