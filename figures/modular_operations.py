"""Subtraction and multiplication modulo p beside addition: the same circuit in another order.

    python figures/modular_operations.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 3.4.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import modular_operations as experiment
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
    paths = [results / f"modular_operations{suffix}.zarr", results / f"modular_operations{suffix}_transformer.zarr"]
    result = sp.sweep(*experiment.build(size), store=paths[0])
    transformers = sp.sweep(*experiment.build_transformer(size), store=paths[1], block_size=1)
    table = sp.cached(paths[0], experiment.measure, result)
    of_transformers = sp.cached(paths[1], experiment.measure_transformer, transformers)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(table, of_transformers, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(result, transformers, table)
        return publish(figure, caption, claims, path=out / f"modular_operations{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
