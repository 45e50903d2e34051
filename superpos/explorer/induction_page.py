"""What a page shows of models that predict repeated tokens: where their heads look, and when they began to."""

from typing import Any

import numpy as np

from superpos.analysis.attention import rise
from superpos.analysis.heads import INDUCTION, PREVIOUS, fresh_sequences, measure_heads
from superpos.explorer import encode
from superpos.explorer.shown_models import (
    MAX_SHOWN,
    evenly,
    models_through_training,
    pack_transformers,
    recorded_curves,
)
from superpos.plot.appearance import PALETTE
from superpos.sweeping import SweepResult

FORMAT = 1
# Sequences that heads are scored on.
N_SEQUENCES = 64
# Positions of a sequence that are drawn, and points of training at which they are.
MAX_POSITIONS, MAX_PICTURED = 128, 41
# Attention weights that one model may bring along, at all points of training.
MAX_WEIGHTS = 240_000
# Attention is coded in so many steps from 0 to 1.
LEVELS = 255


def pack_induction(
    result: SweepResult, *, n_sequences: int = N_SEQUENCES, most: int = MAX_SHOWN, progress: bool | None = None
) -> dict[str, Any]:
    """Everything the page of induction heads shows of a sweep, JSON-ready.

    `shown` are models in full (`superpos.explorer.shown_models`): the scores of `superpos.analysis.heads.measure_heads` on
    `n_sequences` fresh sequences at every snapshot, and at some of them the attention of every head on the first sequence.

    Raises:
        ConfigError: no model of the sweep is sound.
    """

    def describe(cell: SweepResult) -> dict[str, Any]:
        return describe_model(cell, n_sequences)

    return {
        "format": FORMAT,
        "kind": "induction",
        **pack_transformers(result, describe, accuracy="accuracy", most=most, progress=progress),
        "n_sequences": n_sequences,
        "limits": {"previous": PREVIOUS, "induction": INDUCTION},
        "colors": {"previous": PALETTE["green"], "induction": PALETTE["blue"], "loss": PALETTE["red"]},
    }


def describe_model(cell: SweepResult, n_sequences: int = N_SEQUENCES) -> dict[str, Any]:
    """What the page shows of the one model in `cell`."""
    task: Any = cell.task()
    models, steps = models_through_training(cell)
    measured = [
        {name: np.asarray(v) for name, v in measure_heads(task, model, n_sequences).items()} for model in models
    ]
    scores = {name: np.stack([one[name] for one in measured]) for name in measured[0] if name != "pattern"}
    data = fresh_sequences(task, n_sequences)
    drawn = min(int(task.n_positions), MAX_POSITIONS)
    lower = np.tril_indices(drawn)
    patterns = [one["pattern"][..., lower[0], lower[1]] for one in measured]
    pictured = evenly(len(models), min(MAX_PICTURED, max(2, MAX_WEIGHTS // patterns[0].size)))
    at, curves = recorded_curves(cell, {"loss": "loss"})
    if len(steps) >= len(at) or not curves:
        at, curves = steps, {"loss": scores["loss"]}
    return {
        "layers": int(task.n_layers),
        "heads": int(task.n_heads),
        "positions": int(task.n_positions),
        "tokens": encode.whole(np.asarray(data.tokens)[0, :drawn]),
        "period": int(np.asarray(data.period)[0]),
        "chance": float(np.log(task.d_vocab)),
        "curves": {"steps": np.asarray(at).tolist(), "loss": encode.numbers(curves["loss"], log=True)},
        "steps": steps.tolist(),
        "loss": encode.numbers(scores["loss"], log=True),
        "accuracy": encode.numbers(scores["accuracy"]),
        "previous": encode.numbers(scores["previous_token"]),
        "induction": encode.numbers(scores["prefix_matching"]),
        "uniform": float(scores["uniform"][-1]),
        "fall": _fall(steps, scores["loss"]),
        "pictured": [int(steps[k]) for k in pictured],
        "pattern": encode.whole(np.rint(LEVELS * np.stack([patterns[k] for k in pictured]))),
    }


def _fall(steps: np.ndarray, loss: np.ndarray) -> list[float] | None:
    """The steps at 10, 50 and 90 % of the way that the loss falls; None where it does not, or nobody looked."""
    if len(steps) < 4 or not loss[-1] < loss[0]:
        return None
    return list(rise(steps, loss))
