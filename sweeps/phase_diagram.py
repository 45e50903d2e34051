"""Phase diagrams: what becomes of a feature by its density and its relative importance.

python sweeps/phase_diagram.py                 2 features in 1 dimension, 64 × 64 cells × 8 restarts
python sweeps/phase_diagram.py --n-hidden 2    3 features in 2 dimensions
python sweeps/phase_diagram.py --cells 256 --seeds 16    a million models
"""

from pathlib import Path

import superpos as sp
from superpos.experiments.phase_diagram import BLOCK_SIZE, SIZES, Size, build, store_name
from superpos.script import run


def main(n_hidden: int = 1, cells: int = 64, seeds: int = 8, quick: bool = False, out: Path | None = None) -> None:
    """Train a phase diagram and save the result, by default where the figure looks for it."""
    if quick:  # to check that everything runs
        cells, seeds = SIZES.quick.cells, SIZES.quick.seeds
    size = Size((n_hidden,), cells, seeds)
    planned = build(size)[n_hidden]
    out = Path("results") / store_name(n_hidden, size) if out is None else out
    result = sp.sweep(*planned, store=out, block_size=BLOCK_SIZE)
    print(result)


if __name__ == "__main__":
    run(main)
