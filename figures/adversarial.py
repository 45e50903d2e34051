"""Superposition makes models vulnerable: attacks of a tenth of the input norm, and training on larger ones.

    python figures/adversarial.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Superposition and Adversarial Robustness".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish, uniform
from superpos.experiments import adversarial as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweeps, or train them, attack the models, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    attacked_path = results / f"uniform_geometry{suffix}.zarr"
    trained_path = results / f"adversarial_training{suffix}.zarr"
    result = sp.sweep(*uniform.build(size.attacked), store=attacked_path)
    trained = sp.sweep(*experiment.build(size), store=trained_path)
    attacked = result.isel(feature_probability=slice(None, None, size.every_density))
    table = sp.cached(attacked_path, experiment.measure, attacked, samples=size.samples)
    geometry = sp.cached(trained_path, sp.SweepResult.geometry, trained)
    per_dimension = geometry["n_represented"] / size.n_hidden
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, per_dimension, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table, trained, per_dimension)
        return publish(figure, caption, claims, path=out / f"adversarial{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
