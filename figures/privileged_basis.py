"""Monosemantic and polysemantic neurons: a hidden ReLU gives the neurons a meaning, and sparsity takes it from them.

    python figures/privileged_basis.py [--full] [--quick]

Elhage et al. 2022, "Superposition in a Privileged Basis".
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

import superpos as sp
from superpos.claims.privileged_basis import EXPECTED, has, judge, judge_control, near_ties, neurons
from superpos.experiments import Claims, publish, size_suffix
from superpos.plot.figures import privileged_basis
from superpos.script import run

TASK = sp.tasks.Computation(n_features=10, n_hidden=5, importance=0.75 ** np.arange(10))
DENSITIES = (0.7, 0.5, 0.35, 0.25, 0.15, 0.12, 0.08, 0.06)
# Fine codes: at the usual learning rate 1,000 models at .04 end above what some of these 40 reach.
SPARSE, SPARSE_RATE = (0.04, 0.03, 0.025, 0.02), 0.04


def sweeps(full: bool, quick: bool, path: str) -> tuple[sp.SweepResult, sp.SweepResult, sp.SweepResult]:
    """The densities of the paper, the sparsest with a learning rate of their own, and the control without hidden ReLU."""
    config = sp.TrainConfig(evaluation_samples=4_096, steps=100) if quick else sp.TrainConfig()
    seeds = range(1 if quick else 1_000 if full else 40)
    grid, fine = (sp.Grid(feature_probability=p, seed=seeds) for p in (DENSITIES, SPARSE))
    control, few = replace(TASK, hidden_activation="identity"), sp.Grid(feature_probability=DENSITIES, seed=seeds[:8])
    return (
        sp.sweep(TASK, config, grid, f"{path}.zarr", block_size=8),
        sp.sweep(TASK, replace(config, learning_rate=SPARSE_RATE), fine, f"{path}_sparse.zarr", block_size=4),
        sp.sweep(control, config, few, f"{path}_linear.zarr", block_size=8),
    )


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    path = str(results / f"privileged_basis{suffix}")
    result, sparse, linear = sweeps(full, quick, path)
    models = {
        float(p): best.isel(feature_probability=k).model().W[...]
        for best in (result.best("seed"), sparse.best("seed"))
        for k, p in enumerate(best["feature_probability"].values)
    }
    relu, control = (
        sp.cached(at, sp.SweepResult.geometry, r)["polysemanticity"]
        for at, r in ((path, result), (f"{path}_linear", linear))
    )
    claims = Claims("Elhage et al. 2022, Superposition in a Privileged Basis", judged=not quick)
    judge(models, claims, full=full)
    judge_control(relu, control, claims)
    with sp.plot.style():
        shown = {p: (models[p], has(models[p], p)) for p in EXPECTED}
        counts = xr.DataArray([neurons(W, p).single for p, W in models.items()], {"feature_probability": [*models]})
        ratios = {"hidden ReLU": relu, "linear hidden layer": control}
        figure, text = privileged_basis(
            shown, counts, ratios, {p: row[0] for p, row in EXPECTED.items()}, near_ties(result)
        )
        rate = sparse.attrs["train"]["learning_rate"]
        text += (
            f" {result.best_of(what='models').capitalize()}; from 1 − S = {SPARSE[0]} on the learning rate is {rate:g}."
        )
        return publish(
            figure, sp.plot.caption(result.attrs, text), claims, path=out / f"privileged_basis{suffix}"
        ).status


if __name__ == "__main__":
    run(main)
