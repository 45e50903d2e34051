"""Scaling laws of superposition: loss against dimensions, where all features are represented and where the rare are lost.

    python figures/scaling_laws.py [--full] [--quick] [--width column]

Liu, Liu and Gore 2025, "Superposition Yields Robust Neural Scaling".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import scaling_laws as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Train the models of both regimes, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    claims = Claims(experiment.SOURCE, judged=not quick)
    trained, tables = {}, {}
    for regime in experiment.STRENGTHS:
        path = results / f"scaling_laws_{regime}{suffix}.zarr"
        block_size = size[regime].models_of_a_block
        trained[regime] = sp.sweep(*experiment.build(size, regime), store=path, block_size=block_size)
        tables[regime] = sp.cached(path, experiment.measure, trained[regime])
    experiment.evaluate(tables, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(trained, tables)
        return publish(figure, caption, claims, path=out / f"scaling_laws{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
