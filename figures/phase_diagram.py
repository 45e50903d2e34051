"""Superposition as a phase change: trained models, the true optimum, and where they differ, for 2→1 and 3→2.

python figures/phase_diagram.py [--cells 64] [--seeds 8] [--full] [--quick] [--width column]

Elhage et al. 2022, "Superposition as a Phase Change".
"""

from dataclasses import replace
from pathlib import Path

import superpos as sp
from superpos.analysis import against_optimum
from superpos.experiments import Claims, Width, choose, publish
from superpos.experiments import phase_diagram as experiment
from superpos.script import run


def main(
    hidden: tuple[int, ...] = (1, 2),
    cells: int = 64,
    seeds: int = 8,
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
    width: Width = None,
) -> int:
    """Load the sweeps, or train them, compare them with the optimum, draw the figure and judge it."""
    size, suffix = choose(experiment.SIZES, full=full, quick=quick)
    if full:
        size = replace(size, hidden=hidden)
    elif not quick:
        size = experiment.Size(hidden, cells, seeds)
        suffix = experiment.size_label(size)
    rows, claims = [], Claims(experiment.SOURCE, judged=not quick)
    for m, planned in experiment.build(size).items():
        path = results / experiment.store_name(m, size)
        result = sp.sweep(*planned, store=path, block_size=experiment.block_size(size))
        table = sp.cached(path, sp.SweepResult.phases, result)
        compared = sp.cached(path, against_optimum, table, steps=size.steps, order=16)
        experiment.evaluate(table, compared, m + 1, claims)
        rows.append((result, table, compared, sp.theory.boundaries(m + 1)))
    with sp.plot.style():
        return publish(*experiment.draw(rows), claims, path=out / f"phase_diagram{suffix}", width=width).status


if __name__ == "__main__":
    run(main)
