"""40 features in 10 dimensions taken apart on a laptop, with a subcomponent for every feature.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790, which trains 40,000 steps of batch
4,096 at a learning rate of .001 with p = 2 throughout.
"""

from collections.abc import Sequence

import numpy as np

from superpos.experiments.decomposing import STEPS, build_decompositions
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ParameterDecomposition, Toy
from superpos.training.train_config import TrainConfig

TOY = Toy(n_features=40, n_hidden=10, feature_probability=0.05)
N_SUBCOMPONENTS = 200
# About two thirds of the published .0001, as in 5→2, where being needed often has a price.
COEFFICIENT = 7e-5
QUICK_STEPS = 20


def build_toys(*, quick: bool = False) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the toy models, of which the best is taken apart."""
    config = TrainConfig(steps=QUICK_STEPS if quick else 5_000, batch_size=1_024, learning_rate=1e-2)
    return TOY, config, Grid(seed=range(2))


def target(toys: SweepResult) -> tuple[np.ndarray, np.ndarray]:
    """W (n_hidden, n_features) and b (n_features,) of the toy model with the least loss."""
    best = toys.best("seed").model()
    return np.asarray(best.W[...]), np.asarray(best.b[...])


def build(
    W: np.ndarray, b: np.ndarray, seeds: Sequence[int], *, identity: bool = False, quick: bool = False
) -> tuple[ParameterDecomposition, TrainConfig, Grid]:
    """Task, training and grid of its decompositions, trained as 5→2; with an `identity` in the hidden layer if asked for."""
    return build_decompositions(
        TOY,
        W,
        b,
        coefficients=[COEFFICIENT],
        seeds=seeds,
        n_subcomponents=N_SUBCOMPONENTS,
        steps=QUICK_STEPS if quick else STEPS,
        identity_layers=int(identity),
    )
