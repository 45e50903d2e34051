"""ANDs and ORs of all pairs of bits in fewer neurons than gates, beside the naive baseline and a linear control.

    python figures/boolean_superposition.py [--full] [--quick] [--width column]

Hänni, Mendel, Vaintrob and Chan 2024, "Mathematical Models of Computation in Superposition"; Newgas 2025, arXiv 2507.09816.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import boolean_superposition as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"boolean_superposition{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=len(size.densities))
    table = sp.cached(path, experiment.measure, result)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table)
        return publish(figure, caption, claims, path=out / f"boolean_superposition{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
