"""When grokking comes: seeds × weight decays, and shares of the pairs that train, in two sweeps.

    python figures/grokking_sweep.py [--full] [--quick] [--width column]

Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability", appendix D; Power et al. 2022.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import grokking_sweep as experiment
from superpos.experiments.grokking import circuits_of
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the two sweeps, or train them, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"grokking_sweep{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=size.block_size)
    fractions_path = results / f"grokking_data{suffix}.zarr"
    by_fraction = sp.sweep(*experiment.build_fractions(size), store=fractions_path, block_size=1)
    times = experiment.milestones(result)
    fractions = experiment.milestones(by_fraction).assign_attrs(weight_decay=experiment.DRAWN_DECAY)
    circuits = sp.cached(path, circuits_of, experiment.drawn_seeds(result))
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(times, fractions, circuits, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, times, fractions)
        return publish(figure, caption, claims, path=out / f"grokking_sweep{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
