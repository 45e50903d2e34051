"""The paper's opening figure: feature directions by density, and how many seeds find each geometry.

    python figures/five_features.py [--full] [--quick]

Elhage et al. 2022, "Demonstrating Superposition".
"""

import runpy
from pathlib import Path

import superpos as sp
from superpos.claims import Claims
from superpos.claims.five_features import judge
from superpos.cli import run
from superpos.plot.figures import five_features

SWEEPS = Path(__file__).parents[1] / "sweeps"


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> None:
    """Load the sweep, or train it, draw the figure and judge it."""
    build = runpy.run_path(str(SWEEPS / "five_features.py"))["build"]
    suffix = sp.plot.size_suffix(full, quick)
    path = results / f"five_features{suffix}.zarr"
    result = sp.sweep(*build(quick=quick), store=path, block_size=24)
    table = sp.kept(path, sp.SweepResult.geometry, result)
    claims = Claims("Elhage et al. 2022, opening figure", judged=not quick)
    judge(result, table, claims)
    with sp.plot.style():
        figure, caption = five_features(result, table)
        sp.plot.publish(figure, caption, claims, path=out / f"five_features{suffix}")


if __name__ == "__main__":
    run(main)
