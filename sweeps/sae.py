"""Sparse autoencoders by the hundred on one toy model: which architecture and sparsity give the true features back?

python sweeps/sae.py                       256 of them on a toy model of 40 features in 10 dimensions
python sweeps/sae.py --n-seeds 2           64
"""

from dataclasses import replace
from pathlib import Path

import superpos as sp
from superpos.experiments.sae_pareto import SIZES, build, build_toys
from superpos.script import run


def main(n_seeds: int = 8, quick: bool = False, out: Path | None = None) -> None:
    """Train the autoencoders, by default where the figure sae_pareto looks for them."""
    size = SIZES.quick if quick else replace(SIZES.laptop, seeds=n_seeds)
    suffix = "_quick" if quick else ""
    if out is None:
        of_seeds = "" if size in (SIZES.quick, SIZES.laptop) else f"_{n_seeds}"
        out = Path("results") / f"sae_pareto{suffix}{of_seeds}.zarr"
    toys = sp.sweep(*build_toys(size), store=out.parent / f"sae_toy{suffix}.zarr", block_size=1)
    print(sp.sweep(*build(size, toys.best("seed")), store=out))


if __name__ == "__main__":
    run(main)
