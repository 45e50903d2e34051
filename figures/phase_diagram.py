"""Superposition as a phase change: trained models, the true optimum, and where they differ, for 2→1 and 3→2.

python figures/phase_diagram.py [--cells 64] [--seeds 8] [--full] [--quick]

Elhage et al. 2022, "Superposition as a Phase Change".
"""

import runpy
from pathlib import Path

import superpos as sp
from superpos.analysis import against_optimum
from superpos.claims.phase_diagram import judge
from superpos.experiments import Claims, publish, size_suffix
from superpos.plot.figures import phase_diagram
from superpos.script import run

SWEEPS = Path(__file__).parents[1] / "sweeps"


def main(
    hidden: tuple[int, ...] = (1, 2),
    cells: int = 64,
    seeds: int = 8,
    full: bool = False,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
) -> int:
    """Load the sweeps, or train them, compare them with the optimum, draw the figure and judge it."""
    script = runpy.run_path(str(SWEEPS / "phase_diagram.py"))
    cells, seeds = (128, 16) if full else (cells, seeds)
    rows, suffix = [], size_suffix(full, quick) or f"_{cells}x{seeds}" * ((cells, seeds) != (64, 8))
    claims = Claims("Elhage et al. 2022, Superposition as a Phase Change", judged=not quick)
    for m in hidden[:1] if quick else hidden:
        path = results / script["name"](m, cells, seeds, quick)
        result = sp.sweep(*script["build"](m, cells, seeds, quick), store=path, block_size=script["BLOCK_SIZE"])
        table = sp.cached(path, sp.SweepResult.phases, result)
        compared = sp.cached(path, against_optimum, table, steps=200, order=16)
        judge(table, compared, m + 1, claims)
        rows.append((result, table, compared, sp.theory.boundaries(m + 1)))
    with sp.plot.style():
        return publish(*phase_diagram(rows), claims, path=out / f"phase_diagram{suffix}").status


if __name__ == "__main__":
    run(main)
