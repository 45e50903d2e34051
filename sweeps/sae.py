"""Sparse autoencoders by the hundred on one toy model: which architecture and sparsity give the true features back?

python sweeps/sae.py                       256 of them on a toy model of 40 features in 10 dimensions
python sweeps/sae.py --n-seeds 2           64
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.script import run


def toy_model(results: Path, quick: bool) -> tuple:
    """Task, W and b of the best of a few toy models, trained the first time."""
    toy = sp.tasks.Toy(n_features=40, n_hidden=10, feature_probability=0.02)
    path = results / f"sae_toy{'_quick' * quick}.zarr"
    config = sp.TrainConfig(steps=30 if quick else 5_000)
    best = sp.sweep(toy, config, sp.Grid(seed=range(4)), store=path, block_size=1).best("seed")
    return toy, best["W"], best["b"]


def build(results: Path = Path("results"), n_seeds: int = 8, quick: bool = False) -> tuple:
    """Task, training and grid: four architectures × eight settings of their sparsity × seeds."""
    toy, W, b = toy_model(results, quick)
    task = sp.tasks.SparseAutoencoder.of_toy(toy, W, b, n_latents=toy.n_features)
    settings = {
        "relu": np.geomspace(0.05, 1.2, 8),
        "topk": np.arange(1, 9),
        "batch_topk": np.geomspace(0.3, 3.0, 8),
        "jumprelu": np.geomspace(0.005, 0.3, 8),
    }
    if quick:
        settings = {"relu": settings["relu"][::7]}
    config = sp.TrainConfig(steps=30 if quick else 10_000, evaluation_samples=1 if quick else 16_384)
    return task, config, sp.sparsity_grid(settings, seed=range(n_seeds))


def main(n_seeds: int = 8, quick: bool = False, out: Path | None = None) -> None:
    """Train the autoencoders, by default where the figure sae_pareto looks for them."""
    size = "_quick" if quick else f"_{n_seeds}" * (n_seeds != 8)
    out = Path("results") / f"sae_pareto{size}.zarr" if out is None else out
    result = sp.sweep(*build(out.parent, 1 if quick else n_seeds, quick), store=out)
    print(result)


if __name__ == "__main__":
    run(main)
