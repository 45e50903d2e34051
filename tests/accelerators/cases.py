"""The programs that are compiled for accelerators: every kind of task, in the sizes that people train.

Grids are long enough for whole blocks: a block is never larger than the cells of one seed need.
"""

from typing import Any

import numpy as np

import superpos as sp

DENSITY = sp.Grid(feature_probability=np.geomspace(1, 0.01, 1024))
RATES = sp.Grid(learning_rate=np.geomspace(1e-4, 1e-2, 1024))
READ = sp.tasks.Toy(n_features=60, n_hidden=20, feature_probability=0.1)
T = sp.tasks


def cases() -> dict[str, tuple[Any, Any]]:
    """Task and grid by name."""
    return {
        "toy 2→1": (T.Toy(n_features=2, n_hidden=1), DENSITY),
        "toy 5→2": (T.Toy(n_features=5, n_hidden=2), DENSITY),
        "toy 20→5": (T.Toy(n_features=20, n_hidden=5), DENSITY),
        "toy 400→30": (T.Toy(n_features=400, n_hidden=30), DENSITY),
        "toy 5→2, expected loss": (T.Toy(n_features=5, n_hidden=2, objective="expected"), DENSITY),
        "adversarial toy": (T.AdversarialToy(n_features=100, n_hidden=20, feature_probability=0.05), RATES),
        "computation": (T.Computation(n_features=100, n_hidden=40, feature_probability=0.01), RATES),
        "boolean pairs": (T.BooleanPairs(n_features=20, n_hidden=50, n_pairs=100), RATES),
        "residual MLP": (T.ResidualMLP(n_features=100, n_hidden=50), RATES),
        "double descent": (
            T.DoubleDescent(n_features=1000, n_hidden=2, most_points=2000, feature_probability=0.01),
            RATES,
        ),
        "sparse autoencoder": (
            T.SparseAutoencoder(n_features=40, n_hidden=10, n_latents=40, architecture="topk", k=2),
            RATES,
        ),
        "modular addition": (T.ModularAddition(p=113), RATES),
        "repeated tokens": (T.RepeatedTokens(), RATES),
    }
