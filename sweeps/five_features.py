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
    out: Path | None = None,
) -> None:
    """Train five features in two dimensions at many densities and save the result.

    By default where the figure looks for it; models that the figure does not want go beside them, named by their numbers.
    """
    size = SIZES.quick if quick else Size(densities, seeds, steps)
    if out is None:
        of_figure = {SIZES.quick: "_quick", SIZES.laptop: ""}
        suffix = of_figure.get(size, f"_{size.densities}x{size.seeds}_{size.steps}_steps")
        out = Path("results") / f"five_features{suffix}.zarr"
    result = sp.sweep(*build(size), store=out, block_size=BLOCK_SIZE)
    print(result)


if __name__ == "__main__":
    run(main)
