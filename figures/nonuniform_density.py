"""The pentagon bends, then breaks: one of five features made denser and sparser than the others.

    python figures/nonuniform_density.py [--full] [--quick] [--width column]

Elhage et al. 2022, "The Geometry of Superposition", Non-Uniform Superposition.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import nonuniform_density as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Follow both solutions, train fresh ones, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"nonuniform_density{suffix}.zarr"
    loop = experiment.loop(sp.cached(path, experiment.follow_both, size.factors, order=size.order))
    result = sp.sweep(*experiment.build(size), store=path)
    best = result.best("seed")
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(loop, best, sp.cached(path, sp.SweepResult.geometry, best), claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, loop)
        return publish(figure, caption, claims, path=out / f"nonuniform_density{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
