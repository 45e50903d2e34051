"""GELU and SoLU in the place of hidden ReLUs: features on more neurons, and squares that no ReLU computes.

    python figures/smooth_neurons.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problems 4.3, 4.10 and 4.11.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import smooth_neurons as experiment
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
    name = f"smooth_neurons{suffix}"
    store, of_squares = results / f"{name}.zarr", results / f"{name}_squares.zarr"
    passed = sp.sweep(*experiment.build(size), store=store, block_size=len(size.densities))
    squared = sp.sweep(*experiment.build_squares(size), store=of_squares, block_size=2 * len(size.of_squares))
    table, squares = sp.cached(store, experiment.measure, passed), experiment.over_line(squared)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(passed["loss"], table, squares, claims)
    with sp.plot.style():
        figure, caption = experiment.draw((passed, squared), table, squares)
        return publish(figure, caption, claims, path=out / name, width=width).status


if __name__ == "__main__":
    run(main)
