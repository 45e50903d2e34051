"""Parameters of a toy model taken apart, by the hundred: which minimality coefficient gives every feature its subcomponent?

python sweeps/decomposition.py                          5 coefficients × 16 seeds on a pentagon
python sweeps/decomposition.py --n-seeds 4
python sweeps/decomposition.py --forty --n-seeds 4      40 features in 10 dimensions, at one coefficient
python sweeps/decomposition.py --forty --identity       the same with an identity matrix in the hidden layer
"""

from dataclasses import replace
from pathlib import Path

import superpos as sp
from superpos.experiments import forty_features_apart
from superpos.experiments.decomposing import measure
from superpos.experiments.parameter_decomposition import SIZES, build, build_toys, targets
from superpos.script import run

SHOWN = ["mmcs", "ml2r", "live", "importance_error", "stochastic", "adversarial", "recovered"]


def main(
    n_seeds: int = 16, forty: bool = False, identity: bool = False, quick: bool = False, out: Path | None = None
) -> None:
    """Train the decompositions, by default where the figure parameter_decomposition looks for them."""
    suffix = "_quick" if quick else ""
    if forty:
        size = forty_features_apart.SIZES.quick if quick else forty_features_apart.SIZES.laptop
        layer = "_identity" if identity else ""
        size = replace(size, seeds=n_seeds)
        out = out or Path("results") / f"forty_features_apart{suffix}{layer}.zarr"
        toys = sp.sweep(
            *forty_features_apart.build_toys(size), store=out.parent / f"forty_features_apart{suffix}_toys.zarr"
        )
        plan = forty_features_apart.build(size, *forty_features_apart.target(toys), layer)
        result = sp.sweep(*plan, store=out, block_size=1)
        print(measure(result, size.n_inputs)[SHOWN].to_dataframe().reset_index().to_string(index=False))
        return
    if identity:
        raise sp.ConfigError("identity is for --forty; the figure parameter_decomposition has that of five features.")
    size = SIZES.quick if quick else replace(SIZES.laptop, seeds=n_seeds)
    if out is None:
        of_seeds = "" if size in (SIZES.quick, SIZES.laptop) else f"_{n_seeds}"
        out = Path("results") / f"parameter_decomposition{suffix}{of_seeds}.zarr"
    toys = sp.sweep(*build_toys(size), store=out.parent / f"parameter_decomposition_toys{suffix}.zarr", block_size=2)
    print(sp.sweep(*build(size, *targets(toys)), store=out, block_size=len(size.coefficients)))


if __name__ == "__main__":
    run(main)
