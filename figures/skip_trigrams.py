"""Skip trigrams for fewer attention heads than they need: what is learned, and which heads answer what.

    python figures/skip_trigrams.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 4.15.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import skip_trigrams as experiment
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
    path = results / f"skip_trigrams{suffix}.zarr"
    result = sp.sweep(*experiment.build(size), store=path)
    table = sp.cached(path, experiment.measure, result, n_contexts=size.contexts)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, table)
        return publish(figure, caption, claims, path=out / f"skip_trigrams{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
