"""Superposition as a phase change: trained models, the true optimum, and where they differ, for 2→1 and 3→2.

python figures/phase_diagram.py [--cells 64] [--seeds 8] [--quick]

Elhage et al. 2022, "Superposition as a Phase Change".
"""

import runpy
from pathlib import Path

import tyro

import superpos as sp
from superpos.analysis import against_optimum
from superpos.plot.figures import phase_diagram

SWEEPS = Path(__file__).parents[1] / "sweeps"


def main(
    hidden: tuple[int, ...] = (1, 2),
    cells: int = 64,
    seeds: int = 8,
    quick: bool = False,
    results: Path = Path("results"),
    out: Path = Path("results/figures"),
) -> None:
    """Load the sweeps, or train them, compare them with the optimum, and draw the figure."""
    script = runpy.run_path(str(SWEEPS / "phase_diagram.py"))
    rows, suffix = [], "_quick" if quick else f"_{cells}x{seeds}" * ((cells, seeds) != (64, 8))
    for m in hidden[:1] if quick else hidden:
        path = results / script["name"](m, cells, seeds, quick)
        result = sp.sweep(*script["build"](m, cells, seeds, quick), store=path, block_size=script["BLOCK_SIZE"])
        table = result.phases()
        compared = against_optimum(table, steps=200, order=16)
        near, same = (100 * float(x.mean()) for x in (compared["excess"] <= 0.01, compared["agrees"]))
        print(f"{m + 1} → {m}: {near:.2f} % of cells within 1 % of the optimum, {same:.2f} % with its phase")
        rows.append((result, table, compared, sp.theory.boundaries(m + 1)))
    with sp.plot.style():
        files = sp.plot.save(*phase_diagram(rows), path=out / f"phase_diagram{suffix}")
    print("\n".join(str(file) for file in files))


if __name__ == "__main__":
    tyro.cli(main)
