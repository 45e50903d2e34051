"""Parameters of a toy model taken apart, by the hundred: which minimality coefficient gives every feature its subcomponent?

python sweeps/decomposition.py                          5 coefficients × 16 seeds on a pentagon
python sweeps/decomposition.py --n-seeds 4
"""

from dataclasses import replace
from pathlib import Path

import superpos as sp
from superpos.experiments.parameter_decomposition import SIZES, build, build_toys, targets
from superpos.script import run


def main(n_seeds: int = 16, quick: bool = False, out: Path | None = None) -> None:
    """Train the decompositions, by default where the figure parameter_decomposition looks for them."""
    size = SIZES.quick if quick else replace(SIZES.laptop, seeds=n_seeds)
    suffix = "_quick" if quick else ""
    if out is None:
        of_seeds = "" if size in (SIZES.quick, SIZES.laptop) else f"_{n_seeds}"
        out = Path("results") / f"parameter_decomposition{suffix}{of_seeds}.zarr"
    toys = sp.sweep(*build_toys(size), store=out.parent / f"parameter_decomposition_toys{suffix}.zarr", block_size=2)
    print(sp.sweep(*build(size, *targets(toys)), store=out, block_size=len(size.coefficients)))


if __name__ == "__main__":
    run(main)
