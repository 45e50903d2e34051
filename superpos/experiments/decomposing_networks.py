"""Decompositions of networks that compute, by coefficient and seed in one sweep, and their scores.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.decompositions import N_INPUTS
from superpos.analysis.network_decompositions import score_network_decomposition
from superpos.experiments.decomposing import inputs_for_one, scored
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import NetworkDecomposition
from superpos.training.train_config import TrainConfig

# What the figure of compressed computation trains on a laptop: batches of inputs with an active feature, a p that falls,
# what is left out as one more part in place of faithfulness, a price for being needed often.
SETTINGS: dict[str, Any] = {
    "p_norm": 2.0,
    "final_p_norm": 1.0,
    "stratified": True,
    "faithfulness_coefficient": 0.0,
    "delta_component": True,
    "frequency_coefficient": 1.0,
}
STEPS, BATCH_SIZE, LEARNING_RATE = 4_000, 128, 1e-2
COEFFICIENTS = (1e-5, 3e-5, 1e-4, 3e-4)
SUBCOMPONENTS_PER_FEATURE = 2  # of which half are superfluous, if there is one for every function


def build_network_decompositions(
    network: Any,
    *,
    coefficients: Sequence[float] = COEFFICIENTS,
    seeds: Sequence[int] = range(5),
    steps: int = STEPS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
    **settings: Any,
) -> tuple[NetworkDecomposition, TrainConfig, Grid]:
    """Task, training and grid of decompositions of networks: every network with every minimality coefficient and seed.

    `network` is what `NetworkDecomposition.of_model` takes; `settings` are fields of the task, over `SETTINGS`.
    `n_subcomponents` is two for every feature unless it is given, and `frequency_inputs` as many as a feature needs to be
    active once in the mean. Several networks are the axis `source`.

    Raises:
        ConfigError: as `of_model`.
    """
    settings = SETTINGS | settings
    if "n_subcomponents" not in settings:
        n_features = NetworkDecomposition.of_model(network, n_subcomponents=1).n_features
        settings["n_subcomponents"] = SUBCOMPONENTS_PER_FEATURE * n_features
    task = NetworkDecomposition.of_model(network, **settings)
    if settings["frequency_coefficient"] is not None and "frequency_inputs" not in settings:
        task = replace(task, frequency_inputs=inputs_for_one(task.feature_probability))
    config = TrainConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate)
    axes: dict[str, Any] = {"source": range(len(network))} if isinstance(network, list | tuple) else {}
    return task, config, Grid(**axes, minimality_coefficient=list(coefficients), seed=seeds)


def measure(
    result: SweepResult, n_inputs: int = N_INPUTS, more: Callable[[Any, Any], dict[str, float]] | None = None
) -> xr.Dataset:
    """Every number of `score_network_decomposition` over the axes of `result`, and importances for one-hot inputs.

    `more(task, model)` gives further numbers by name.

    `relative` is the error with random masks over that without subcomponents, and `relative_adversarial` that with
    adversarial masks. `one_each_alone` is whether the first matrix is one live subcomponent for every function: as many
    live as there are features, and importances that are one-hot to .1.
    Models that diverged or are missing have no scores (NaN), and are not one for each.
    """

    def score(task: Any, model: Any) -> tuple[dict[str, float], np.ndarray]:
        scores = score_network_decomposition(task, model, n_inputs=n_inputs)
        return scores.scalars() | ({} if more is None else more(task, model)), scores.importances

    table = scored(result, score)
    alone = (table["live_first"] == table.sizes["feature"]) & (table["first_error"] == 0)
    shares = {"relative": "stochastic", "relative_adversarial": "adversarial"}
    table = table.assign({name: table[error] / table["without"] for name, error in shares.items()})
    return table.assign(one_each_alone=alone.astype(float))
