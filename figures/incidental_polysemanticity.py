"""Features share neurons by chance of the start, although there are neurons enough for all.

    python figures/incidental_polysemanticity.py [--full] [--quick] [--width column]

Lecomte et al. 2023, "What Causes Polysemanticity? An Alternative Origin Story of Mixed Selectivity from Incidental Causes".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import incidental_polysemanticity as experiment
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
    name = f"incidental_polysemanticity{suffix}"
    trained, tables = {}, {}
    for n in size.features:
        store = results / f"{name}_{n}.zarr"
        trained[n] = sp.sweep(*experiment.build(size, n), store=store, block_size=1)
        tables[n] = sp.cached(store, experiment.measure, trained[n])
    store = results / f"{name}_control.zarr"
    control = sp.sweep(*experiment.build_control(size), store=store, block_size=1)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, experiment.measure(control), claims)
    with sp.plot.style():
        figure, caption = experiment.draw(trained, tables)
        return publish(figure, caption, claims, path=out / name, width=width).status


if __name__ == "__main__":
    run(main)
