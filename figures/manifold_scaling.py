"""Latents that tile common manifolds or find rare ones, by the sign of β − α: what is best, and what training does.

    python figures/manifold_scaling.py [--full] [--quick] [--width column]

Michaud, Gorton and McGrath 2025, "Understanding sparse autoencoder scaling in the presence of feature manifolds".
"""

from pathlib import Path

import superpos as sp
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import manifold_scaling as experiment
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
    for kind in size.manifolds:
        path = results / f"manifold_scaling{suffix}_{kind}.zarr"
        swept.append(sp.sweep(*experiment.build(size, kind), store=path))
        tables[kind] = sp.cached(path, experiment.measure, swept[-1], size, kind)
    claims = Claims(experiment.SOURCE, judged=not quick)
    experiment.evaluate(tables, size, claims)
    with sp.plot.style():
        figure, caption = experiment.draw(swept[-1], tables, size)
        return publish(figure, caption, claims, path=out / f"manifold_scaling{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
