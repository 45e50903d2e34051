"""Decompositions of toy models by coefficient and seed in one sweep, trained as recovers most, and their scores.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from superpos.analysis.decompositions import N_INPUTS, score_decomposition
from superpos.errors import ConfigError
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ParameterDecomposition
from superpos.training.train_config import TrainConfig

# What recovers most on a laptop (docs/concepts/parameter_decomposition.md): batches of inputs with an active feature, a p
# that falls, and little weight on faithfulness, which holds subcomponents where they are.
SETTINGS: dict[str, Any] = {"p_norm": 2.0, "final_p_norm": 0.4, "faithfulness_coefficient": 0.03}
STEPS, BATCH_SIZE, LEARNING_RATE = 8_000, 128, 2e-2
COEFFICIENTS = (1e-3, 1.8e-3, 3e-3, 5.6e-3, 1e-2)
# As many for every feature as in the paper, with 20 for 5 features and 200 for 40.
SUBCOMPONENTS_PER_FEATURE = 4
# From where on a decomposition counts as recovered; in table 1 of the paper MMCS is 1.000 and ML2R between .992 and 1.031.
MMCS, ML2R_WITHIN = 0.999, 0.03


def build_decompositions(
    toy: Any,
    W: Any,
    b: Any = None,
    *,
    coefficients: Sequence[float] = COEFFICIENTS,
    seeds: Sequence[int] = range(16),
    steps: int = STEPS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
    **settings: Any,
) -> tuple[ParameterDecomposition, TrainConfig, Grid]:
    """Task, training and grid of decompositions of toy models: every minimality coefficient with every seed.

    `toy`, `W` and `b` are those of `ParameterDecomposition.of_toy`; `settings` are fields of the task, over `SETTINGS`.
    `n_subcomponents` is four for every feature unless it is given, and batches are stratified where features are
    independent.

    Raises:
        ConfigError: as `of_toy`.
    """
    settings = SETTINGS | settings
    settings.setdefault("n_subcomponents", SUBCOMPONENTS_PER_FEATURE * getattr(toy, "n_features", 1))
    task = ParameterDecomposition.of_toy(toy, W, b, **settings)
    if "stratified" not in settings:
        task = replace(task, stratified=task.features.dependent_through is None)
    config = TrainConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate, evaluation_samples=8_192)
    return task, config, Grid(minimality_coefficient=list(coefficients), seed=seeds)


def measure(result: SweepResult, n_inputs: int = N_INPUTS) -> xr.Dataset:
    """Every number of `score_decomposition` over the axes of `result`, with importances for one-hot inputs.

    `recovered` is whether every column of W is one subcomponent: MMCS at least .999 and ML2R within .03 of 1. Models that
    diverged or are missing have no scores (NaN), and are not recovered.
    """
    dims, shape = result["loss"].dims, result["loss"].shape
    sound = ((result.dataset["diverged_step"] < 0) & ~result.missing).transpose(*dims).values
    scores: dict[tuple[int, ...], Any] = {}
    for index in np.argwhere(sound):
        place = tuple(map(int, index))
        cell = result.isel(**dict(zip(map(str, dims), place, strict=True)))
        scores[place] = score_decomposition(cell.task(), cell.model(), n_inputs=n_inputs)
    if not scores:
        raise ConfigError("no model of this sweep is sound: all diverged or are missing.")
    first = next(iter(scores.values()))
    data: dict[str, Any] = {name: (dims, np.full(shape, np.nan)) for name in first.scalars()}
    importances = np.full((*shape, *first.importances.shape), np.nan, np.float32)
    for place, one in scores.items():
        importances[place] = one.importances
        for name, value in one.scalars().items():
            data[name][1][place] = value
    data["importances"] = ((*dims, "matrix", "subcomponent", "feature"), importances)
    table = xr.Dataset(data, {name: result.dataset[name] for name in result["loss"].coords})
    recovered = (table["mmcs"] >= MMCS) & (abs(table["ml2r"] - 1) <= ML2R_WITHIN)
    return table.assign(recovered=recovered.astype(float))
