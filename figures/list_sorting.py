"""A list sorted by one attention head: what the last answer attends to, what it writes, and tokens that repeat.

    python figures/list_sorting.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 3.1.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import list_sorting as experiment
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    path = results / f"list_sorting{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path, block_size=experiment.BLOCK_SIZE)
    table = sp.cached(path, experiment.measure, result, n_lists=size.n_lists)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table)
        return publish(figure, caption, claims, path=out / f"list_sorting{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
