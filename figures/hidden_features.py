"""A hidden layer that holds many more features than the network puts out, and what decides whether it does.

    python figures/hidden_features.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problem 4.13.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import hidden_features as experiment
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
    for mixing, n_hidden in size.cases():
        store = results / f"hidden_features{suffix}_{mixing}_{n_hidden}.zarr"
        task, config, grid = experiment.build(size, (mixing, n_hidden))
        trained[mixing, n_hidden] = sp.sweep(task, config, grid, store=store, block_size=len(size.densities))
    tables = {case: experiment.measure(result, size, case) for case, result in trained.items()}
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(tables, trained, size)
        return publish(figure, caption, claims, path=out / f"hidden_features{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
