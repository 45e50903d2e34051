"""Features that are manifolds: one latent at a time tiles a circle as a closed form says, several capture it or dilute it.

    python figures/manifolds.py [--full] [--quick] [--width column]

Bhalla et al. 2026, "Do Sparse Autoencoders Capture Concept Manifolds?"; Michaud, Gorton and McGrath 2025, "Understanding
sparse autoencoder scaling in the presence of feature manifolds".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import manifolds as experiment
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
    builds = {"one": experiment.build_one, "two": experiment.build_two, "bias": experiment.build_bias}
    circle = [
        sp.sweep(*build(size), store=results / f"manifolds{suffix}_{name}.zarr") for name, build in builds.items()
    ]
    path = results / f"manifolds{suffix}.zarr"
    many = sp.sweep(*experiment.build_many(size), store=path)
    table = sp.cached(path, experiment.manifold_table, many, size.n_inputs)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(circle, table, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(circle, many, table, size)
        return publish(figure, caption, claims, path=out / f"manifolds{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
