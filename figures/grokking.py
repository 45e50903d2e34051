"""Grokking: a transformer memorises sums modulo p, and long afterwards computes them with a few frequencies.

    python figures/grokking.py [--full] [--quick] [--width column]

Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import grokking as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the models, or train them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"grokking{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=1)
    table = sp.cached(path, experiment.progress_of, experiment.grokked_of(result))
    circuits = sp.cached(path, experiment.circuits_of, experiment.decayed_of(result))
    control = experiment.tests_of(experiment.plain_of(result))
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, control, claims, circuits, full=full)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, control)
        return publish(figure, caption, claims, path=out / f"grokking{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
