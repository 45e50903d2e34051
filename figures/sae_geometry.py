"""Whether a sparse autoencoder recovers features depends on the shape that the toy model has put them in.

python figures/sae_geometry.py [--full] [--quick]
"""

from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.sae_geometry import judge
from superpos.experiments.sae_recovery import examples, random_scores
from superpos.plot.sae_figures import sae_geometry
from superpos.script import run

# Shapes of five features in the plane, and a density at which a toy model may end as it. At .2 seeds end as either of two.
TRAINED_AT = {"pentagon": 0.2, "2 × antipodal pair": 0.2, "triangle": 0.75}
DENSITY = 0.05  # of the features that autoencoders see, the same for all shapes
SPARSITY: dict[str, dict[str, list[float]]] = {
    "relu": {"sparsity_coefficient": [0.03, 0.1, 0.2, 0.4, 0.8]},
    "jumprelu": {"sparsity_coefficient": [0.01, 0.03, 0.1, 0.2, 0.4]},
    "topk": {"k": [1, 2]},
}


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    small: Any = {"batch_size": 64, "evaluation_samples": 1}
    toy_config = sp.TrainConfig(steps=50, **small) if quick else sp.TrainConfig()
    usual = sp.TrainConfig(steps=10_000 if full else 5_000, batch_size=512)
    config = sp.TrainConfig(steps=20, **small) if quick else usual
    p = list(dict.fromkeys(TRAINED_AT.values()))
    each, seeds = (1, 1) if quick else (4, 16) if full else (2, 6)
    # A quick look has features that are 0 or 1: the population loss of others takes long to compile.
    how: dict[str, Any] = {"magnitude": "constant"} if quick else {}
    toy = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=DENSITY, **how)
    grid = sp.Grid(feature_probability=p, seed=range(2 if quick else 16))
    toys = sp.sweep(toy, toy_config, grid, store=results / f"sae_geometry_toys{suffix}.zarr", block_size=len(p))
    models, shapes, chance = [], [], {}
    for shape, density in TRAINED_AT.items():
        models += list(some := examples(toys, shape, each, feature_probability=density))
        shapes += [shape] * len(some)
        represented = some[0][:, np.linalg.norm(some[0], axis=0) > REPRESENTED_ABOVE]
        chance[shape] = random_scores(represented, 5, 10 if quick else 2_000) if represented.size else (np.nan, np.nan)
    true, found = np.stack(models), {}
    for name, axis in (dict([next(iter(SPARSITY.items()))]) if quick else SPARSITY).items():
        task = sp.tasks.SparseAutoencoder.of_toy(toy, true, n_latents=5, architecture=name)
        grid = sp.Grid(**axis, source=range(len(true)), seed=range(seeds))
        path = results / f"sae_geometry_{name}{suffix}.zarr"
        result = sp.sweep(task, config, grid, store=path)
        found[name] = (result, sp.cached(path, sp.SweepResult.sae_scores, result))
    claims = Claims("Shapes: Elhage et al. 2022; autoencoders: Bricken et al. 2023", judged=not quick)
    named = [sp.geometry(W).name for W in true]
    judge({name: table for name, (_, table) in found.items()}, named, shapes, chance, claims)
    with sp.plot.style():
        figure, caption = sae_geometry(found, true, shapes, chance, TRAINED_AT)
        return publish(figure, caption, claims, path=out / f"sae_geometry{suffix}").status


if __name__ == "__main__":
    run(main)
