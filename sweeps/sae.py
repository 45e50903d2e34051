"""Sparse autoencoders by the hundred on one toy model: which architecture and sparsity give the true features back?

python sweeps/sae.py                       256 of them on a toy model of 40 features in 10 dimensions
python sweeps/sae.py --n-seeds 2           64
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.cli import run


def toy_model(results: Path, n_features: int, n_hidden: int, quick: bool) -> tuple:
    """Task, W and b of the best of a few toy models, trained the first time."""
    toy = sp.tasks.Toy(n_features=n_features, n_hidden=n_hidden, feature_probability=0.02)
    path = results / f"sae_toy_{n_features}_{n_hidden}{'_quick' * quick}.zarr"
    config = sp.TrainConfig(steps=200 if quick else 5_000)
    best = sp.sweep(toy, config, sp.Grid(seed=range(4)), store=path, block_size=1).best("seed")
    return toy, best["W"], best["b"]


def build(results: Path, n_features: int = 40, n_hidden: int = 10, n_seeds: int = 8, quick: bool = False) -> tuple:
    """Task, training and grid: four architectures × eight settings of their sparsity × seeds."""
    toy, W, b = toy_model(results, n_features, n_hidden, quick)
    task = sp.tasks.SparseAutoencoder.of_toy(toy, W, b, n_latents=n_features)
    settings = {
        "relu": np.geomspace(0.05, 1.2, 8),
        "jumprelu": np.geomspace(0.005, 0.3, 8),
        "topk": np.arange(1, 9),
        "batch_topk": np.geomspace(0.3, 3.0, 8),
    }
    settings = {name: values[::4] for name, values in settings.items()} if quick else settings
    return task, sp.TrainConfig(steps=100 if quick else 10_000), sp.sparsity_grid(settings, seed=range(n_seeds))


def main(n_seeds: int = 8, results: Path = Path("results"), quick: bool = False) -> None:
    """Train the autoencoders where the figure sae_pareto looks for them."""
    n_seeds = 1 if quick else n_seeds
    result = sp.sweep(
        *build(results, n_seeds=n_seeds, quick=quick), store=results / f"sae_pareto{'_quick' * quick}.zarr"
    )
    print(result)


if __name__ == "__main__":
    run(main)
