"""Where dimensionality sticks: the shape that every feature is part of, where theory lets one after another win.

    python figures/uniform_levels.py [--full] [--quick]

Elhage et al. 2022, "The Geometry of Superposition".
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.claims import uniform_levels as levels
from superpos.claims.uniform import benefit_table, structures_in
from superpos.experiments import Claims, publish, size_suffix
from superpos.plot.levels import uniform_levels
from superpos.script import run

WINDOWS = ((1.1, 1.6), (4.0, 6.0))  # of 1/(1 − S)


def build(full: bool, quick: bool) -> tuple:
    """Few exact models in the dimensions that the shapes fill; at full size the paper's 400 features, sampled."""
    if full:
        task, sizes, config = sp.tasks.Toy(n_features=400, n_hidden=30), [30], sp.TrainConfig(steps=10_000)
    else:
        task = sp.tasks.Toy(n_features=12, n_hidden=2, objective="expected", order=24)
        sizes, config = [2] if quick else [2, 3], sp.TrainConfig(steps=30 if quick else 800)
    counts = (2, 2) if quick else (11, 9)
    x = np.concatenate([np.linspace(*ends, k) for ends, k in zip(WINDOWS, counts, strict=True)])
    seeds = range(1 if quick else 4)
    return task, config, sp.Grid(n_hidden=sizes, feature_probability=1 / x, seed=seeds)


def of_four_dimensions(path: Path) -> list:
    """The geometry of models with four hidden dimensions where the densest window has features in abundance for them, too."""
    task, config, _ = build(full=False, quick=False)
    grid = sp.Grid(n_hidden=[4], feature_probability=1 / np.linspace(*WINDOWS[0], 11), seed=range(4))
    return [sp.cached(path, sp.SweepResult.geometry, sp.sweep(task, config, grid, store=path))]


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    path, order = results / f"uniform_levels{suffix}.zarr", 8 if quick else 64
    result = sp.sweep(*build(full, quick), store=path)
    table, p = sp.cached(path, sp.SweepResult.geometry, result), result["feature_probability"].values
    more = [] if full or quick else of_four_dimensions(results / "uniform_levels_four.zarr")
    known = structures_in(sp.cached(path, benefit_table, p, [*levels.LEVELS], order=order))
    claims = Claims("Elhage et al. 2022, The Geometry of Superposition", judged=not quick)
    levels.judge_shapes(table, known, claims)
    levels.judge_three_fifths(result, [table, *more], known, claims)
    pyramid = None if quick else sp.cached(path, levels.pyramid_table, p)
    levels.judge_losses(result, table, known, claims, pyramid)
    levels.judge_theory(found := None if quick else sp.cached(path, levels.theory_table), claims)
    bands, curves = levels.winner_ranges(found, pyramid), []
    for ends in WINDOWS:
        x, at = np.linspace(*ends, 3 if quick else 21), results / f"uniform_levels{suffix}_{ends[0]:g}"
        some = structures_in(sp.cached(at, benefit_table, 1 / x, [*levels.LEVELS], order=min(order, 32)))
        curves.append((x, {s.shape.name: s.benefit for s in some}))
    with sp.plot.style():
        figure = uniform_levels(table, curves, bands)
        text = (
            "Top: dimensionality of every feature, in the colour of the shape it is part of. Bottom: what every shape gains "
            "per hidden dimension, exactly. Shaded: where a shape is the best one (yellow: a square pyramid; unshaded: "
            f"shapes of 16 and more directions). Hidden dimensions: {', '.join(map(str, result['n_hidden'].values))}."
        )
        return publish(figure, sp.plot.caption(result.attrs, text), claims, path=out / f"uniform_levels{suffix}").status


if __name__ == "__main__":
    run(main)
