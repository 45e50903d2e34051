"""Classes in superposition: cross-entropy lays any number of them on regular shapes, with the loss of a closed form.

    python figures/cross_entropy.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 4.12.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import cross_entropy as experiment
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
    trained, tables = {}, {}
    for m in (2, 3):
        store = results / f"cross_entropy{suffix}_{m}.zarr"
        trained[m] = sp.sweep(*experiment.build(size, m), store=store, block_size=len(size.penalties))
        tables[m] = sp.cached(store, experiment.measure, trained[m])
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, {m: experiment.shapes(result) for m, result in trained.items()}, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(trained, tables)
        return publish(figure, caption, claims, path=out / f"cross_entropy{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
