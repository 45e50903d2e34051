"""Features that travel together: rings, lines and spheres of directions, in the order that the data has.

    python figures/bag_of_words.py [--full] [--quick] [--width column]

Prieto et al. 2026, "From Data Statistics to Feature Geometry: How Correlations Shape Superposition".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import bag_of_words as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Train the models of four worlds and their control, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path, beside = (results / f"bag_of_words{part}{suffix}.zarr" for part in ("", "_control"))
    result = sp.sweep(*experiment.build(size), store=path, block_size=size.models_of_a_seed)
    # A block holds one seed, and each seed has one model of the control: larger blocks would be padding.
    control = sp.sweep(*experiment.build_control(size), store=beside, block_size=1)
    claims = Claims(experiment.SOURCE, judged=not quick)
    table = sp.cached(path, experiment.measure, result)
    experiment.evaluate(result, table, sp.cached(beside, experiment.measure, control), claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table)
        return publish(figure, caption, claims, path=out / f"bag_of_words{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
