"""Every minimum of five and six features in two dimensions, by density: loss, basin, name and learning coefficient.

    python figures/landscape.py [--full] [--quick] [--width column]

Elhage et al. 2022, *Toy Models of Superposition*; Lau et al. 2023, "The Local Learning Coefficient".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import landscape as experiment
from superpos.experiments.landscape import basins
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Find the minima, or read them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    tables = [
        sp.cached(results / f"landscape_{n}{suffix}", experiment.measure, n, size.densities, size.starts)
        for n in size.features
    ]
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, claims)
    if size.compared:
        beside, counts = results / f"landscape_shares{suffix}", (size.compared, size.starts, size.seeds)
        basins.evaluate_shares(sp.cached(beside, basins.shares_by_shape, *counts), claims)
    looked = [
        sp.cached(results / f"landscape_further_{k}{suffix}", basins.look_further, p, size.starts, size.further)
        for k, p in enumerate(experiment.densities(size.sought))
    ]
    basins.evaluate_further(looked, size.further, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(tables)
        return publish(figure, caption, claims, path=out / f"landscape{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
