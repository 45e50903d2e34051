"""Crosscoders over two toy models: BatchTopK tells shared features from exclusive ones, an L1 penalty invents exclusive ones.

    python figures/crosscoders.py [--full] [--quick] [--width column]

Lindsey et al. 2024, "Sparse Crosscoders"; Minder et al. 2025; Mishra-Sharma et al. 2025.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import crosscoders as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    paths = [results / f"crosscoders{suffix}{part}.zarr" for part in ("_toys", "", "_few")]
    toys = sp.sweep(*experiment.build_toys(size), store=paths[0], block_size=2)
    result = sp.sweep(*experiment.build(size, toys), store=paths[1], block_size=1)
    few = sp.sweep(*experiment.build_few(size, toys), store=paths[2], block_size=1)
    table, few_table = sp.cached(paths[1], experiment.measure, result), sp.cached(paths[2], experiment.measure, few)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(toys, table, few_table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, toys, table, few_table)
        return publish(figure, caption, claims, path=out / f"crosscoders{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
