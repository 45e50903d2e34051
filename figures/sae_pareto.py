"""Explained variance or the right features? Hundreds of sparse autoencoders on one toy model whose features are known.

    python figures/sae_pareto.py [--full] [--quick]

Chanin and Garriga-Alonso 2025, "Sparse but Wrong", ask what reconstruction hides; here the truth is at hand.
"""

from pathlib import Path

import numpy as np

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.sae_pareto import (
    by_setting,
    control_table,
    judge,
    most_f1_of_one_latent,
    probe_table,
    pursued,
)
from superpos.plot.pareto import sae_pareto
from superpos.script import run


def toy_model(results: Path, suffix: str, steps: int) -> tuple:
    """Task, W and b of the best of four toy models."""
    toy = sp.tasks.Toy(n_features=40, n_hidden=10, feature_probability=0.02)
    grid, path = sp.Grid(seed=range(4)), results / f"sae_toy{suffix}.zarr"
    best = sp.sweep(toy, sp.TrainConfig(steps=steps), grid, store=path, block_size=1).best("seed")
    return toy, best["W"], best["b"]


def build(full: bool, quick: bool) -> tuple[dict, range, int]:
    """Values of the sparsity by architecture, seeds, and steps."""
    n = 2 if quick else 16 if full else 8
    settings = {
        "relu": np.geomspace(0.05, 1.2, n),
        "topk": np.arange(1, n + 1),
        "batch_topk": np.geomspace(0.3, 3.0, n),
        "jumprelu": np.geomspace(0.005, 0.3, n),
    }
    if quick:  # every architecture is a compilation
        settings = {"relu": settings["relu"]}
    return settings, range(1 if quick else 32 if full else 8), 30 if quick else 20_000 if full else 10_000


def main(
    full: bool = False, quick: bool = False, results: Path = Path("results"), out: Path = Path("results/figures")
) -> int:
    """Load the sweep, or train it, draw the figure and judge it."""
    suffix = size_suffix(full, quick)
    settings, seeds, steps = build(full, quick)
    toy, W, b = toy_model(results, suffix, 30 if quick else 5_000)
    task = sp.tasks.SparseAutoencoder.of_toy(toy, W, b, n_latents=toy.n_features)
    config = sp.TrainConfig(steps=steps, evaluation_samples=1 if quick else 16_384)
    path = results / f"sae_pareto{suffix}.zarr"
    result = sp.sweep(task, config, sp.sparsity_grid(settings, seed=seeds), store=path)
    n_inputs, p = 512 if quick else 16_384, float(toy.feature_probability)
    table = by_setting(sp.cached(path, sp.SweepResult.sae_scores, result, n_inputs=n_inputs))
    optimised = by_setting(sp.cached(path, pursued, result, n_inputs=min(n_inputs, 4096)))  # a second per autoencoder
    probes = sp.cached(path, probe_table, W, p=p, n_inputs=512 if quick else 131_072)
    controls = sp.cached(path, control_table, W, p=p, n_inputs=n_inputs)
    claims = Claims("targets of recovery from 40 features in 10 dimensions", judged=not quick)
    judge(table, optimised, controls, probes["f1"].values, most_f1_of_one_latent(p, toy.n_features), claims)
    with sp.plot.style():
        figure, caption = sae_pareto(result, table, optimised, controls, float(probes["f1"].mean()))
        return publish(figure, caption, claims, path=out / f"sae_pareto{suffix}").status


if __name__ == "__main__":
    run(main)
