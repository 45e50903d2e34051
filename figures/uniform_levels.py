"""Where dimensionality sticks: the shape that every feature is part of, where theory lets one after another win.

    python figures/uniform_levels.py [--full] [--quick] [--width column]

Elhage et al. 2022, "The Geometry of Superposition".
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import uniform_levels as experiment
from superpos.experiments.uniform import benefit_table, structures_in
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
    path = results / f"uniform_levels{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path)
    geometries, p = [sp.cached(path, sp.SweepResult.geometry, result)], result["feature_probability"].values
    if planned := experiment.build_more(size):
        more_path = results / "uniform_levels_four.zarr"
        geometries.append(sp.cached(more_path, sp.SweepResult.geometry, sp.sweep(*planned, store=more_path)))
    shapes = structures_in(sp.cached(path, benefit_table, p, [*experiment.LEVELS], order=size.benefit_order))
    pyramid = None if quick else sp.cached(path, experiment.pyramid_table, p)
    theory = None if quick else sp.cached(path, experiment.theory_table)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(result, geometries, shapes, pyramid, theory, claims)
    curves = []
    for ends in experiment.WINDOWS:
        x = np.linspace(*ends, size.n_curve_points)
        beside, names = results / f"uniform_levels{suffix}_{ends[0]:g}", [*experiment.LEVELS, experiment.PYRAMID]
        drawn = structures_in(sp.cached(beside, benefit_table, 1 / x, names, order=size.curve_order))
        curves.append((x, {s.shape.name: s.benefit for s in drawn}))
    with sp.plot.style():
        bands = experiment.winner_ranges(theory, pyramid)
        figure, caption = experiment.draw(result, geometries[0], curves, bands)
        return publish(figure, caption, claims, path=out / f"uniform_levels{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
