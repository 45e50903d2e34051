"""Eight features in the plane, binary, discrete or uniform: how large they are decides how many fit.

    python figures/magnitudes.py [--full] [--quick] [--width column]

Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability", problems 4.7 to 4.9.
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import magnitudes as experiment
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
    for k, law in enumerate(size.laws):
        store = results / f"magnitudes{suffix}_{k}.zarr"
        trained[law] = sp.sweep(*experiment.build(size, law), store=store, block_size=size.densities)
    tables = {law: experiment.measure(result) for law, result in trained.items()}
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(trained, tables)
        return publish(figure, caption, claims, path=out / f"magnitudes{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
