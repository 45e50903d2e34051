"""Forty features in ten dimensions taken apart: one rank-one subcomponent for each, without and with an identity between.

    python figures/forty_features_apart.py [--full] [--quick] [--width column]

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import forty_features_apart as experiment
from superpos.experiments.decomposing import measure
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Train the toy models and the decompositions of the best, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    name = f"forty_features_apart{suffix}"
    W, b = experiment.target(sp.sweep(*experiment.build_toys(size), store=results / f"{name}_toys.zarr"))
    trained, tables = [], []
    for layer in experiment.LAYERS:
        path = results / f"{name}{layer}.zarr"
        trained.append(sp.sweep(*experiment.build(size, W, b, layer), store=path, block_size=1))
        tables.append(sp.cached(path, measure, trained[-1], size.n_inputs))
    claims = Claims(experiment.SOURCE, judged=not quick)
    plain, identity = tables
    experiment.evaluate(plain, identity, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(trained, plain, identity)
        return publish(figure, caption, claims, path=out / name, width=width).status


if __name__ == "__main__":
    run(main)
