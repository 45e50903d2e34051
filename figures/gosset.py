"""Gosset's polytopes: what every structure gains per hidden dimension as features get sparser, and what training finds.

    python figures/gosset.py [--full] [--quick] [--width column]

Elhage et al. 2022, "The Geometry of Superposition", carried on past the square antiprism.
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import gosset as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Train or load all models, compute all curves, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"gosset{suffix}"
    sweeps, tables = {}, {}
    for name, planned in experiment.build(size).items():
        store = results / f"gosset_{name.replace(' ', '_')}{suffix}.zarr"
        order = size.large_order if name == "large" else size.order
        sweeps[name] = sp.sweep(*planned, store=store, init=experiment.start(size.settings[name]))
        tables[name] = sp.cached(store, experiment.measured, sweeps[name], order=order)
    solids, large = tables.pop("solids"), tables.pop("large")
    planted = {name: tables.pop(name) for name in experiment.PLANTED if name in tables}
    lines = sp.cached(path, experiment.curves, np.geomspace(*experiment.X_RANGE, size.n_curve_points), order=size.order)
    exact = winning = None
    if not quick:
        x = np.unique(np.concatenate([t["x"].values for t in (*tables.values(), *planted.values(), large)]).round(6))
        exact = sp.cached(results / f"gosset_exact{suffix}", experiment.curves, x)
        winning = sp.cached(path, experiment.ranges, *experiment.X_RANGE)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, exact, solids, large, planted, winning, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(sweeps["large"], size.settings, tables, large, lines, winning)
        return publish(figure, caption, claims, path=out / f"gosset{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
