"""What the accelerator benchmark trains: every task once for correctness, and the sizes whose speed is told."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

import superpos as sp

T = sp.tasks
HAS_KERNELS = "kernel" in inspect.signature(sp.sweep).parameters


@dataclass(frozen=True)
class Speed:
    """A size whose rate is measured: so many densities, or seeds where `seeds`, all of one block where they fit."""

    name: str
    task: Any
    n_models: int
    kernels: tuple[str, ...] = ()  # of our own that train it beside the plain one
    torch: tuple[int, int] | None = None  # features and dimensions of the PyTorch loop beside it


@dataclass(frozen=True)
class Scale:
    """How much of everything is done."""

    speeds: tuple[Speed, ...]
    curves: tuple[tuple[str, Any, tuple[int, ...]], ...]  # name, task, block sizes
    correct: dict[str, Any]
    steps: int  # of the comparison with the CPU
    seconds: float  # per timing
    large: tuple[Any, int, int]  # task, densities, steps: trained from start to end
    autoencoders: tuple[Any, int]  # task, learning rates
    addition: tuple[int, int, int]  # p, seeds, steps of the whole training
    figures: tuple[str, ...]
    figure_flag: str = "--full"


def full() -> Scale:
    """For a card: what fits into eight minutes."""
    speeds = (
        Speed("2→1", T.Toy(n_features=2, n_hidden=1), 65_536, ("fused",), torch=(2, 1)),
        Speed("5→2", T.Toy(n_features=5, n_hidden=2), 32_768, ("fused",), torch=(5, 2)),
        Speed("20→5", T.Toy(n_features=20, n_hidden=5), 8_192, ("fused", "tiled"), torch=(20, 5)),
        Speed("80→20", T.Toy(n_features=80, n_hidden=20), 1_024, ("tiled",)),
        Speed("100→20", T.Toy(n_features=100, n_hidden=20), 1_024, ("tiled",), torch=(100, 20)),
        Speed("400→30", T.Toy(n_features=400, n_hidden=30), 256, ("tiled",), torch=(400, 30)),
    )
    curves = (
        ("5→2", T.Toy(n_features=5, n_hidden=2), (64, 512, 2_048, 8_192)),
        ("400→30", T.Toy(n_features=400, n_hidden=30), (8, 32, 128)),
        ("modular addition, p = 113", T.ModularAddition(p=113), (1, 4, 16)),
    )
    correct = {
        "toy": T.Toy(n_features=5, n_hidden=2, feature_probability=0.1),
        "toy, expected loss": T.Toy(n_features=5, n_hidden=2, feature_probability=0.1, objective="expected"),
        "adversarial toy": T.AdversarialToy(n_features=20, n_hidden=5, feature_probability=0.1),
        "computation": T.Computation(n_features=20, n_hidden=10, feature_probability=0.1),
        "boolean pairs": T.BooleanPairs(n_features=20, n_hidden=50, n_pairs=100),
        "residual MLP": T.ResidualMLP(n_features=20, n_hidden=10),
        "double descent": T.DoubleDescent(n_features=100, n_hidden=2, most_points=64, feature_probability=0.1),
        "sparse autoencoder": T.SparseAutoencoder(n_features=40, n_hidden=10, n_latents=40, architecture="topk", k=2),
        "modular addition": T.ModularAddition(p=23),
        "repeated tokens": T.RepeatedTokens(),
    }
    figures = ("five_features", "phase_diagram", "sae_recovery", "induction_heads", "grokking", "double_descent")
    large = (T.Toy(n_features=400, n_hidden=30), 40, 50_000)
    return Scale(
        speeds, curves, correct, 20, 1.0, large, (correct["sparse autoencoder"], 256), (113, 128, 25_000), figures
    )


def tiny() -> Scale:
    """Everything once, with next to nothing in it: that it will not fail on the day."""
    toy = T.Toy(n_features=2, n_hidden=1, feature_probability=0.1)
    speeds = (Speed("2→1", toy, 8, ("fused", "tiled"), torch=(2, 1)),)
    large = (toy, 4, 8)
    autoencoder = T.SparseAutoencoder(n_features=4, n_hidden=2, n_latents=4, architecture="relu")
    return Scale(speeds, (("2→1", toy, (4,)),), {"toy": toy}, 8, 0.02, large, (autoencoder, 4), (3, 2, 8), ())


def grid_of(n_models: int) -> Any:
    """Densities from 1 to 1/20, all of one seed: one block holds as many as it can."""
    return sp.Grid(feature_probability=np.geomspace(1, 0.05, n_models))
