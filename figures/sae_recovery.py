"""Sparse autoencoders take the true directions back out of a toy model: a pentagon, and a square antiprism.

python figures/sae_recovery.py [--full] [--quick]
"""

from pathlib import Path
from typing import Any

import numpy as np

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.sae_recovery import examples, judge_plane, judge_space, random_scores
from superpos.plot.sae_figures import sae_recovery
from superpos.script import run

# What sets the sparsity of each architecture.
PLANE: dict[str, dict[str, float]] = {
    "relu": {"sparsity_coefficient": 0.4},
    "gated": {"sparsity_coefficient": 0.6},
    "jumprelu": {"sparsity_coefficient": 0.2},
    "topk": {"k": 1},
    "batch_topk": {"k": 0.15},
    "matryoshka": {"k": 0.1},
}
SPACE: dict[str, dict[str, float]] = {"relu": {"sparsity_coefficient": 0.4}, "topk": {"k": 1}}
SHAPES = {2: "pentagon", 3: "square antiprism"}


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweeps, or train them, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    n_seeds = 2 if quick else 64 if full else 16
    small: Any = {"batch_size": 64, "evaluation_samples": 1}
    toy_config = sp.TrainConfig(steps=50, **small) if quick else sp.TrainConfig(steps=2_500)
    config = sp.TrainConfig(steps=20, **small) if quick else sp.TrainConfig(batch_size=1_024 if full else 512)
    # A quick look has features that are 0 or 1: the population loss of others takes long to compile.
    how: dict[str, Any] = {"magnitude": "constant"} if quick else {}
    found: dict[int, dict[str, Any]] = {2: {}, 3: {}}
    chance, true, named = {}, {}, {}
    # Every architecture is a program of its own, and so is every size: a quick look has one.
    cases = [(2, 5, {"topk": PLANE["topk"]})] if quick else [(2, 5, PLANE), (3, 8, SPACE)]
    for m, n, recipes in cases:
        toy = sp.tasks.Toy(n_features=n, n_hidden=m, feature_probability=0.05, **how)
        count, path = n_seeds if m == 2 else n_seeds // 2, results / f"sae_recovery_toy{m}{suffix}.zarr"
        toys = sp.sweep(toy, toy_config, sp.Grid(seed=range(count)), store=path, block_size=1)
        # Every autoencoder reads a toy model of its own, where so many ended as the shape.
        true[m], named[m] = examples(toys, SHAPES[m], count), toys.geometry()["shape"].values.tolist()
        grid = sp.Grid.zipped(source=np.arange(count) % len(true[m]), seed=range(count))
        chance[m] = random_scores(true[m][0], n)
        for name, sparsity in recipes.items():
            task = sp.tasks.SparseAutoencoder.of_toy(toy, true[m], n_latents=n, architecture=name, **sparsity)
            path = results / f"sae_recovery_{name}{m}{suffix}.zarr"
            result = sp.sweep(task, config, grid, store=path, block_size=1)
            found[m][name] = (result, sp.cached(path, sp.SweepResult.sae_scores, result))
    claims = Claims("Bricken et al. 2023 and the papers of each architecture, on known features", judged=not quick)
    judge_plane({name: table for name, (_, table) in found[2].items()}, chance[2], claims)
    if found[3]:
        judge_space({name: table for name, (_, table) in found[3].items()}, named[3], SHAPES[3], chance[3], claims)
    with sp.plot.style():
        figure, caption = sae_recovery(found, true, chance)
        return publish(figure, caption, claims, path=out / f"sae_recovery{suffix}").status


if __name__ == "__main__":
    run(main)
