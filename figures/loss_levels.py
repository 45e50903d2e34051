"""Training rests on levels: six features of which one is active at a time, in two dimensions, and the known critical points.

    python figures/loss_levels.py [--full] [--quick] [--width column]

Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions in a Toy Model of Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import loss_levels as experiment
from superpos.script import run
from superpos.theory.single_active import polygon_levels


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    levels, planned = polygon_levels(experiment.N), experiment.build(size)
    free = sp.sweep(*planned, store=results / f"loss_levels{suffix}.zarr", block_size=len(levels))
    placed = sp.sweep(
        *planned,
        store=results / f"loss_levels_placed{suffix}.zarr",
        block_size=len(levels),
        init=experiment.starts(levels, size.repeats),
    )
    from_random, from_levels = (experiment.landed_of(result, levels) for result in (free, placed))
    begun = [level.name for level in levels for _ in range(size.repeats)]
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(levels, from_random, from_levels, begun, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(levels, free, placed, (from_random, from_levels), size.repeats)
        return publish(figure, caption, claims, path=out / f"loss_levels{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
