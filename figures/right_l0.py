"""The right number of active latents: below it dictionaries mix correlated features, above it any, and decoders show it.

    python figures/right_l0.py [--full] [--quick] [--width column]

Chanin and Garriga-Alonso 2025, "Sparse but Wrong: Incorrect L0 Leads to Incorrect Features in Sparse Autoencoders".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import right_l0 as experiment
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
    swept, tables = [], {}
    for world in size.worlds:
        path = results / f"right_l0{suffix}_{world.split()[-1]}.zarr"
        swept.append(sp.sweep(*experiment.build(size, world), store=path))
        tables[world] = sp.cached(path, experiment.measure, swept[-1], size.n_inputs, size.bisections)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(swept[-1], tables, size)
        return publish(figure, caption, claims, path=out / f"right_l0{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
