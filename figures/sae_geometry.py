"""Whether a sparse autoencoder recovers features depends on the shape that the toy model has put them in.

python figures/sae_geometry.py [--full] [--quick] [--width column]
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import sae_geometry as experiment
from superpos.experiments.sae_recovery import Scored
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
    path = results / f"sae_geometry_toys{suffix}.zarr"
    task, config, grid = experiment.build_toys(size)
    models = sp.sweep(task, config, grid, store=path, block_size=len(grid.axes["feature_probability"].values))
    toys, scored = experiment.choose_examples(models, size), {}
    for name in size.architectures:
        path = results / f"sae_geometry_{name}{suffix}.zarr"
        result = sp.sweep(*experiment.build(size, name, toys.W), store=path)
        scored[name] = Scored(result, sp.cached(path, sp.SweepResult.sae_scores, result))
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(scored, toys, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(scored, toys)
        return publish(figure, caption, claims, path=out / f"sae_geometry{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
