"""Many equally important features: which geometry do they choose as they get sparser?

python sweeps/uniform_geometry.py            200 features in 20 dimensions, as in the published notebook
python sweeps/uniform_geometry.py --full     400 features in 30 dimensions, as in the paper
"""

from dataclasses import replace
from pathlib import Path

import superpos as sp
from superpos.experiments.sizes import choose
from superpos.experiments.uniform import SIZES, build
from superpos.script import run


def main(
    full: bool = False,
    quick: bool = False,
    seeds: int | None = None,
    out: Path = Path("results/uniform_geometry.zarr"),
) -> None:
    """Train models of equally important features at many densities and save the result."""
    size, _ = choose(SIZES, full=full, quick=quick)
    if seeds is not None:
        size = replace(size, seeds=seeds)
    result = sp.sweep(*build(size), store=out)
    print(result)


if __name__ == "__main__":
    run(main)
