"""Taking parameters apart: the weights of five features in two dimensions as one rank-one subcomponent for every feature.

    python figures/parameter_decomposition.py [--full] [--quick] [--width column]

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import parameter_decomposition as experiment
from superpos.experiments.decomposing import measure
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Train the targets and their decompositions, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)

    def path(part: str) -> Path:
        return results / f"parameter_decomposition{part}{suffix}.zarr"

    W, b = experiment.targets(sp.sweep(*experiment.build_toys(size), store=path("_toys"), block_size=2))
    if not quick:
        experiment.check_targets(W)
    result = sp.sweep(*experiment.build(size, W, b), store=path(""), block_size=len(size.coefficients))
    controls = sp.sweep(
        *experiment.build_controls(size, W, b), store=path("_controls"), block_size=len(size.coefficients)
    )
    identity = sp.sweep(*experiment.build_identity(size, W, b), store=path("_identity"), block_size=1)
    table = sp.cached(path(""), measure, result, size.n_inputs)
    of_controls = sp.cached(path("_controls"), measure, controls, size.n_inputs)
    claims = Claims(experiment.SOURCE, judged=not quick)
    of_identity = sp.cached(path("_identity"), measure, identity, size.n_inputs)
    experiment.evaluate(result, table, of_controls, of_identity, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, of_controls, W)
        return publish(figure, caption, claims, path=out / f"parameter_decomposition{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
