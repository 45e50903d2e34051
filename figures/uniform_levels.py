"""Where dimensionality sticks: the shape that every feature is part of, where theory lets one after another win.

    python figures/uniform_levels.py [--full] [--quick]

Elhage et al. 2022, "The Geometry of Superposition".
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.claims import Claims
from superpos.claims import uniform_levels as levels
from superpos.claims.uniform import benefit_table, structures_in
from superpos.cli import run

WINDOWS = ((1.1, 1.6), (4.0, 6.0))  # of 1/(1 − S)


def build(full: bool, quick: bool) -> tuple:
    """Few exact models in the dimensions that the shapes fill; at full size the paper's 400 features, sampled."""
    if full:
        task, sizes, config = sp.tasks.Toy(n_features=400, n_hidden=30), [30], sp.TrainConfig(steps=10_000)
    else:
        task = sp.tasks.Toy(n_features=12, n_hidden=2, objective="expected", order=24)
        sizes, config = [2] if quick else [2, 3, 4], sp.TrainConfig(steps=30 if quick else 800)
    counts = (2, 2) if quick else (11, 9)
    x = np.concatenate([np.linspace(*ends, k) for ends, k in zip(WINDOWS, counts, strict=True)])
    seeds = range(1 if quick else 4)
    return task, config, sp.Grid(n_hidden=sizes, feature_probability=1 / x, seed=seeds)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> None:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = sp.plot.size_suffix(full, quick)
    path, order = results / f"uniform_levels{suffix}.zarr", 8 if quick else 64
    result = sp.sweep(*build(full, quick), store=path)
    table, p = sp.kept(path, sp.SweepResult.geometry, result), result["feature_probability"].values
    known = structures_in(sp.kept(path, benefit_table, p, [*levels.LEVELS], order=order))
    claims = Claims("Elhage et al. 2022, The Geometry of Superposition", judged=not quick)
    levels.judge_shapes(table, known, claims)
    levels.judge_three_fifths(result, table, known, claims)
    levels.judge_losses(result, table, known, claims)
    levels.judge_theory(found := None if quick else sp.kept(path, levels.theory_table), claims)
    bands, labels = levels.winner_ranges(found), {}
    with sp.plot.style():
        layout = {"height_ratios": (2.2, 1), "sharex": "col", "layout": "constrained"}
        figure, axes = plt.subplots(2, 2, figsize=(8.2, 5.6), **layout)
        for (above, below), ends in zip(axes.T, WINDOWS, strict=True):
            inside = table.isel(feature_probability=(1 / p > ends[0] - 1e-9) & (1 / p < ends[1] + 1e-9))
            sp.plot.dimensionality_by_shape(inside["dimensionality"], inside["component_shape"], above)
            x, at = np.linspace(*ends, 3 if quick else 21), results / f"uniform_levels{suffix}_{ends[0]:g}"
            curves = structures_in(sp.kept(at, benefit_table, 1 / x, [*levels.LEVELS], order=min(order, 32)))
            sp.plot.benefit_curves(x, {s.shape.name: s.benefit for s in curves}, below)
            for ax in (above, below):
                sp.plot.winner_bands(bands, ax)
            above.set(xlabel="", xlim=(ends[0] - 0.02 * np.ptp(ends), ends[1] + 0.02 * np.ptp(ends)))
            below.set_ylim(-5, 0.4)
            labels |= {label: handle for handle, label in zip(*above.get_legend_handles_labels(), strict=True)}
        plt.setp(axes[:, 1], ylabel="")
        figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=4, markerscale=2)
        text = (
            "Top: dimensionality of every feature, in the colour of the shape it is part of. Bottom: what every shape gains "
            "per hidden dimension, exactly. Shaded: where a shape is the best one (beyond, the 5-demicube and larger ones "
            f"are). Hidden dimensions: {', '.join(map(str, result['n_hidden'].values))}."
        )
        sp.plot.publish(figure, sp.plot.caption(result.attrs, text), claims, path=out / f"uniform_levels{suffix}")


if __name__ == "__main__":
    run(main)
