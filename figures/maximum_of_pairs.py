"""The maximum and the product of pairs of features in fewer neurons than pairs, beside naive networks.

    python figures/maximum_of_pairs.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 4.6.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import maximum_of_pairs as experiment
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
    trained = {}
    for target in experiment.TARGETS:
        store = results / f"maximum_of_pairs{suffix}_{target}.zarr"
        trained[target] = sp.sweep(*experiment.build(size, target), store=store, block_size=len(size.densities))
    tables = {target: experiment.measure(result) for target, result in trained.items()}
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(trained, tables)
        return publish(figure, caption, claims, path=out / f"maximum_of_pairs{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
