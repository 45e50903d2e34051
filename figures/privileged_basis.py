"""Monosemantic and polysemantic neurons: a hidden ReLU gives the neurons a meaning, and sparsity takes it from them.

    python figures/privileged_basis.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Superposition in a Privileged Basis".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import privileged_basis as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = str(results / f"privileged_basis{suffix}")
    result, sparse, linear = (
        sp.sweep(plan.task, plan.training, plan.grid, store=f"{path}{ending}.zarr", block_size=plan.block_size)
        for ending, plan in experiment.build(size).items()
    )
    models = experiment.best_weights(result, sparse)
    of_relu = sp.cached(path, sp.SweepResult.geometry, result)["polysemanticity"]
    of_linear = sp.cached(f"{path}_linear", sp.SweepResult.geometry, linear)["polysemanticity"]
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(models, claims, finds_rare_codes=size.finds_rare_codes)
    experiment.evaluate_control(of_relu, of_linear, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(models, result, sparse, of_relu, of_linear)
        return publish(figure, caption, claims, path=out / f"privileged_basis{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
