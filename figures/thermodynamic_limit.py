"""The best benefit per dimension at one density, from 1 to 20 dimensions, with more features than find a place.

    python figures/thermodynamic_limit.py [--full] [--quick] [--width column]

Elhage et al. 2022, "The Geometry of Superposition" (n ≫ m).
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import thermodynamic_limit as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Train every size, or load what is there, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"thermodynamic_limit{suffix}"
    sweeps = {
        m: sp.sweep(*planned, store=results / f"thermodynamic_limit{suffix}_{m}.zarr")
        for m, planned in experiment.build(size).items()
    }
    pieces = sp.cached(path, experiment.pieces, experiment.DENSITY, largest=size.largest_piece, order=size.piece_order)
    table = experiment.summary({m: experiment.trained(result) for m, result in sweeps.items()}, pieces)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(table, sweeps)
        return publish(figure, caption, claims, path=out / f"thermodynamic_limit{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
