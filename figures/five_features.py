"""The paper's opening figure: feature directions by density, and how many seeds find each geometry.

python figures/five_features.py [--quick]
"""

import runpy
from pathlib import Path

import tyro

import superpos as sp
from superpos.plot.figures import five_features

SWEEPS = Path(__file__).parents[1] / "sweeps"


def main(quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")) -> None:
    """Load the sweep, or train it, and draw the figure."""
    build = runpy.run_path(str(SWEEPS / "five_features.py"))["build"]
    name = "five_features_quick" if quick else "five_features"
    result = sp.sweep(*build(quick=quick), store=results / f"{name}.zarr", block_size=24)
    with sp.plot.style():
        files = sp.plot.save(*five_features(result, result.geometry()), path=out / name)
    print("\n".join(str(file) for file in files))


if __name__ == "__main__":
    tyro.cli(main)
