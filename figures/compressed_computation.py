"""Compressed computation beside the naive baseline: squared and fourth-power loss, with and without label noise.

    python figures/compressed_computation.py [--full] [--quick] [--width column]

Braun et al. 2025, "Interpretability in Parameter Space"; Bhagat et al. 2026, "Compressed Computation is (probably) not
Computation in Superposition"; FranciscoHS, "Compressed Computation under L⁴ Loss is likely Computation in Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import compressed_computation as experiment
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
    swept, tables = {}, {}
    for name, (task, config, grid, block_size) in experiment.build(size).items():
        path = f"{results / f'compressed_computation{suffix}{name}'}.zarr"
        swept[name] = sp.sweep(task, config, grid, store=path, block_size=block_size)
        tables[name] = sp.cached(path, experiment.measure, swept[name])
    embedded = tables["_embedded"]["relative"]
    across = experiment.across_sizes(tables["_sizes"], tables["_sizes_embedded"], size)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables[""], embedded, across, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(swept[""], tables[""], embedded, across, size)
        return publish(figure, caption, claims, path=out / f"compressed_computation{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
