"""How features are learned: jumps between energy levels, geometric transformations, logistic growth.

    python figures/learning_dynamics.py [--full] [--quick] [--width column]

Elhage et al. 2022, "Superposition and Learning Dynamics".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import learning_dynamics as experiment
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
    sweeps = {
        name: sp.sweep(
            *planned, store=results / f"dynamics_{name}{suffix}.zarr", block_size=experiment.BLOCK_SIZES[name]
        )
        for name, planned in experiment.build(size).items()
    }
    levels = sp.cached(results / f"dynamics_levels{suffix}.zarr", experiment.trajectories, sweeps["levels"])
    grown = experiment.growth(sweeps["growth"].isel(seed=0))
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(sweeps, levels, grown, claims)
    with sp.plot.style():
        figure, caption, animation = experiment.draw(sweeps, levels, grown, size.frames)
        return publish(
            figure, caption, claims, path=out / f"learning_dynamics{suffix}", width=width, animation=animation
        ).status


if __name__ == "__main__":
    run(main)
