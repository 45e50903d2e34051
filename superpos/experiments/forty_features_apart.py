"""40 features in 10 dimensions taken apart on a laptop, with a subcomponent for every feature.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790, which trains 40,000 steps of batch
4,096 at a learning rate of .001 with p = 2 throughout.
"""

from collections.abc import Sequence

import numpy as np

from superpos.experiments.decomposing import build_decompositions
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ParameterDecomposition, Toy
from superpos.training.train_config import TrainConfig

TOY = Toy(n_features=40, n_hidden=10, feature_probability=0.05)
N_SUBCOMPONENTS = 200
PUBLISHED = 1e-4  # the minimality coefficient of 40→10
# An entry of W weighs 1/800 here and 1/20 in 5→2. With the .03 of 5→2 columns are given up, as nothing asks for them.
FAITHFULNESS_COEFFICIENT = 1.0
STEPS, QUICK_STEPS = 8_000, 20
LEARNING_RATE = 1e-2


def build_toys(*, quick: bool = False) -> tuple[Toy, TrainConfig, Grid]:
    """Task, training and grid of the toy models, of which the best is taken apart."""
    config = TrainConfig(steps=QUICK_STEPS if quick else 5_000, batch_size=1_024, learning_rate=1e-2)
    return TOY, config, Grid(seed=range(2))


def target(toys: SweepResult) -> tuple[np.ndarray, np.ndarray]:
    """W (n_hidden, n_features) and b (n_features,) of the toy model with the least loss."""
    best = toys.best("seed").model()
    return np.asarray(best.W[...]), np.asarray(best.b[...])


def build(
    W: np.ndarray, b: np.ndarray, seeds: Sequence[int], *, quick: bool = False
) -> tuple[ParameterDecomposition, TrainConfig, Grid]:
    """Task, training and grid of its decompositions: the published coefficient, p from 2 to .4."""
    return build_decompositions(
        TOY,
        W,
        b,
        coefficients=[PUBLISHED],
        seeds=seeds,
        n_subcomponents=N_SUBCOMPONENTS,
        steps=QUICK_STEPS if quick else STEPS,
        learning_rate=LEARNING_RATE,
        faithfulness_coefficient=FAITHFULNESS_COEFFICIENT,
    )
