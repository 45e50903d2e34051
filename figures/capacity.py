"""Capacity: how dimensions are shared out among features of different importance, as they get sparser.

    python figures/capacity.py [--full] [--quick]

Scherlis et al. 2022, "Polysemanticity and Capacity in Neural Networks".
"""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.capacity import judge_allocation, judge_bound, measure, priced
from superpos.script import run

PANELS = (1.0, 0.3, 0.1, 0.02)


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    n, m = (8, 2) if quick else (16, 4)
    task = sp.tasks.Toy(n_features=n, n_hidden=m, importance=0.8 ** np.arange(n), objective="expected")
    densities = np.geomspace(1, 0.01, 5 if quick else 25 if full else 13)
    grid = sp.Grid(feature_probability=densities, seed=range(64 if full else 2 if quick else 8))
    config = sp.TrainConfig(steps=100 if quick else 1_000 if full else None)
    path = results / f"capacity{suffix}.zarr"
    result = sp.sweep(task, config, grid, store=path)
    found, price = (
        sp.cached(path, measure, result),
        sp.cached(path, priced, result.best("seed"), order=16 if quick else 64),
    )
    best = found.isel(seed=result.best_index("seed"))
    claims = Claims("Scherlis et al. 2022, Polysemanticity and Capacity", judged=not quick)
    judge_bound(found, m, claims)
    judge_allocation(result.best("seed"), best, price, claims)
    with sp.plot.style():
        figure = plt.figure(figsize=(8.2, 5), layout="constrained")
        rows: Any = figure.subfigures(2, 1, height_ratios=(1.2, 1))
        left, middle, right = rows[0].subplots(1, 3, width_ratios=(1, 1, 1))
        sp.plot.capacity_map(best["capacity"], left)
        image = sp.plot.capacity_map(price["capacity"], middle)
        left.set_title(f"trained, best of {result.sizes['seed']}")
        middle.set(title="equal marginal benefit", ylabel="")
        rows[0].colorbar(image, ax=middle, label="capacity $C_i$")
        missing = m - found["capacity"].sum("feature")
        sp.plot.capacity_bound(missing.values.ravel(), found["defect"].max("feature").values.ravel(), right)
        right.set_title("all models")
        axes = rows[1].subplots(1, len(PANELS), sharey=True)
        for ax, p in zip(axes, PANELS, strict=True):
            at = {"feature_probability": p, "method": "nearest"}
            one, said = best["capacity"].sel(**at), price["capacity"].sel(**at)
            sp.plot.capacity_by_importance(task.importance, one, ax, expected=said)
            ax.set_title(f"1 − S = {float(one['feature_probability']):.2g}")
            ax.set_ylabel(ax.get_ylabel() if ax is axes[0] else "")
        axes[-1].legend(loc="upper right")
        text = (
            "Capacity: the share of a dimension that every feature has. Trained; as equal marginal benefit predicts from "
            "known shapes that fit; and m − ΣC against the squared sine by which a feature is no eigenvector of "
            f"WWᵀ, one dot per model. Bottom: some densities against importance. Trained ones: {result.best_of()}."
        )
        return publish(figure, sp.plot.caption(result.attrs, text), claims, path=out / f"capacity{suffix}").status


if __name__ == "__main__":
    run(main)
