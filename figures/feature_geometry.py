"""Where dimensionality sticks: D* and D_i against 1/(1 − S) for equally important features.

    python figures/feature_geometry.py [--full] [--quick] [--width column]

Elhage et al. 2022, "The Geometry of Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish, uniform
from superpos.experiments import feature_geometry as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    size, suffix = choose(uniform.SIZES, full=full, quick=quick)
    path = results / f"uniform_geometry{suffix}.zarr"
    result = sp.sweep(*uniform.build(size), store=path)
    geometry = sp.cached(path, sp.SweepResult.geometry, result)
    p = result["feature_probability"].values
    benefits = sp.cached(path, uniform.benefit_table, p[experiment.checked(p)], size.competitors, order=size.order)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(result, geometry, uniform.structures_in(benefits), claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, geometry)
        return publish(figure, caption, claims, path=out / f"feature_geometry{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
