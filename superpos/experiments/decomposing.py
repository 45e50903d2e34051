"""Decompositions of toy models by coefficient and seed in one sweep, trained as recovers most, and their scores.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from superpos.analysis.decompositions import N_INPUTS, score_decomposition
from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.analysis.subcomponents import identity_error
from superpos.errors import ConfigError
from superpos.sweeping import Grid, SweepResult
from superpos.tasks import ParameterDecomposition
from superpos.tasks.base import materialize
from superpos.training.train_config import TrainConfig

# What recovers most on a laptop (docs/concepts/parameter_decomposition.md): batches of inputs with an active feature, a p
# that falls, V ≥ 0 at the start, what is left out as one more part in place of faithfulness, a price for being needed often.
SETTINGS: dict[str, Any] = {
    "p_norm": 2.0,
    "final_p_norm": 0.4,
    "faithfulness_coefficient": 0.0,
    "delta_component": True,
    "frequency_coefficient": 0.3,
    "nonnegative_start": True,
}
STEPS, BATCH_SIZE, LEARNING_RATE = 3_000, 128, 2e-2
# Around two thirds of the published one: with these, a subcomponent that one feature needs costs 1.3 times as much.
COEFFICIENTS = (7e-4, 1.2e-3, 2e-3, 3.5e-3, 6e-3)
# As many for every feature as in the paper, with 20 for 5 features and 200 for 40.
SUBCOMPONENTS_PER_FEATURE = 4
# In one program: beyond it nothing is gained. (Processor time of a step, a model: 5→2 .42, .26 and .32 ms in blocks of 1, 4
# and 16, 40→10 4.7, 5.1 and 5.4.)
MOST_TOGETHER = 16
LEAST_DENSITY = 1e-6  # where no feature is active, any number of inputs will do
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
    independent. `frequency_inputs` is as many as a feature needs to be active once in the mean.

    Raises:
        ConfigError: as `of_toy`.
    """
    settings = SETTINGS | settings
    settings.setdefault("n_subcomponents", SUBCOMPONENTS_PER_FEATURE * getattr(toy, "n_features", 1))
    task = ParameterDecomposition.of_toy(toy, W, b, **settings)
    if "stratified" not in settings:
        task = replace(task, stratified=task.features.dependent_through is None)
    if "frequency_inputs" not in settings:
        task = replace(task, frequency_inputs=inputs_for_one(task.feature_probability))
    config = TrainConfig(steps=steps, batch_size=batch_size, learning_rate=learning_rate, evaluation_samples=8_192)
    return task, config, Grid(minimality_coefficient=list(coefficients), seed=seeds)


def inputs_for_one(feature_probability: Any) -> float:
    """How many inputs a feature needs to be active once in the mean."""
    return 1 / max(float(np.mean(feature_probability)), LEAST_DENSITY)


def block_size_for(n_coefficients: int) -> int:
    """Models in a block, with hardly any padding: a block holds one seed, whose cells are the coefficients."""
    n_blocks = math.ceil(n_coefficients / MOST_TOGETHER)
    return math.ceil(n_coefficients / n_blocks)


class Need(NamedTuple):
    """How well the subcomponent that the input of one feature needs most is that feature's column of W, over features."""

    need_error: int  # `identity_error` of importances in W
    need_cosine: float  # mean, as in MMCS
    need_ratio: float  # mean ratio of lengths, as in ML2R
    n_represented: int  # features that count: their columns are longer than 1/2


def by_need(W: np.ndarray, U: np.ndarray, V: np.ndarray, importances: np.ndarray) -> Need:
    """Compare every represented column of W with the subcomponent that its one-hot input needs most.

    `importances` (C, n_features) are those in W. MMCS and ML2R look for the subcomponent of the largest cosine, and among
    opposite columns a trace of the one in the other's subcomponent has a cosine of 1. Need does not confuse them.
    """
    represented = np.flatnonzero(np.linalg.norm(W, axis=0) > REPRESENTED_ABOVE)
    n, g = len(represented), importances[:, represented]
    if not n:
        return Need(0, np.nan, np.nan, 0)
    best, columns = g.argmax(axis=0), W[:, represented]
    added = U[:, best] * V[best, represented]
    lengths, norms = np.linalg.norm(added, axis=0), np.linalg.norm(columns, axis=0)
    cosine = np.sum(added * columns, axis=0) / np.maximum(lengths * norms, 1e-30)
    error = identity_error(g) if len(g) >= n else n
    return Need(error, float(cosine.mean()), float((lengths / norms).mean()), n)


def measure(result: SweepResult, n_inputs: int = N_INPUTS) -> xr.Dataset:
    """Every number of `score_decomposition` over the axes of `result`, with importances for one-hot inputs.

    `recovered` is whether every column of W is one subcomponent: MMCS at least .999 and ML2R within .03 of 1. `taken_apart`
    asks the same of the subcomponents that inputs need (`by_need`), that importances in W are right to .1, and that as many
    are live as features are represented; with identity layers, which have live ones of their own, it is not asked. Models
    that diverged or are missing have no scores (NaN), and are neither.
    """

    def score(task: Any, model: Any) -> tuple[dict[str, float], np.ndarray]:
        scores = score_decomposition(task, model, n_inputs=n_inputs)
        W, U, V = (np.asarray(a, float) for a in (materialize(task.broadcast()).target_W, model.U[...], model.V[...]))
        return scores.scalars() | by_need(W, U, V, scores.importances[0])._asdict(), scores.importances

    table = scored(result, score)
    recovered = (table["mmcs"] >= MMCS) & (abs(table["ml2r"] - 1) <= ML2R_WITHIN)
    apart = (table["need_error"] == 0) & (table["need_cosine"] >= MMCS) & (abs(table["need_ratio"] - 1) <= ML2R_WITHIN)
    if not result.attrs["task"]["identity_layers"]:
        apart &= table["live"] == table["n_represented"]
    return table.assign(recovered=recovered.astype(float), taken_apart=apart.astype(float))


def scored(result: SweepResult, score: Callable[[Any, Any], tuple[dict[str, float], np.ndarray]]) -> xr.Dataset:
    """What `score(task, model)` says of every model over the axes of `result`: numbers by name, and importances.

    Importances are (matrix, C, n_features). Models that diverged or are missing have NaN.
    """
    dims, shape = result["loss"].dims, result["loss"].shape
    sound = ((result.dataset["diverged_step"] < 0) & ~result.missing).transpose(*dims).values
    scores: dict[tuple[int, ...], tuple[dict[str, float], np.ndarray]] = {}
    for index in np.argwhere(sound):
        place = tuple(map(int, index))
        cell = result.isel(**dict(zip(map(str, dims), place, strict=True)))
        scores[place] = score(cell.task(), cell.model())
    if not scores:
        raise ConfigError("no model of this sweep is sound: all diverged or are missing.")
    numbers, first = next(iter(scores.values()))
    data: dict[str, Any] = {name: (dims, np.full(shape, np.nan)) for name in numbers}
    importances = np.full((*shape, *first.shape), np.nan, np.float32)
    for place, (numbers, importances[place]) in scores.items():
        for name, value in numbers.items():
            data[name][1][place] = value
    data["importances"] = ((*dims, "matrix", "subcomponent", "feature"), importances)
    return xr.Dataset(data, {name: result.dataset[name] for name in result["loss"].coords})
