"""Five features in two dimensions, from dense to sparse: the paper's opening figure.

python sweeps/five_features.py --seeds 16
"""

from pathlib import Path

import superpos as sp
from superpos.experiments.five_features import BLOCK_SIZE, SIZES, Size, build
from superpos.script import run


def main(
    densities: int = 48,
    seeds: int = 16,
    steps: int = 10_000,
    quick: bool = False,
    out: Path = Path("results/five_features.zarr"),
) -> None:
    """Train five features in two dimensions at many densities and save the result."""
    size = SIZES.quick if quick else Size(densities, seeds, steps)
    result = sp.sweep(*build(size), store=out, block_size=BLOCK_SIZE)
    print(result)


if __name__ == "__main__":
    run(main)
