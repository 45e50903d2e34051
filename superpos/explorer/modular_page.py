"""What a page shows of models that calculate modulo p: how they learned it, and the frequencies they did it with."""

from typing import Any

import numpy as np

from superpos.analysis import fourier
from superpos.analysis.grokking import neurons_of
from superpos.analysis.grokking import progress as progress_of
from superpos.explorer import encode
from superpos.explorer.shown_models import (
    MAX_SHOWN,
    evenly,
    models_through_training,
    pack_transformers,
    recorded_curves,
)
from superpos.plot.grokking import CURVES, PHASE_SHADES
from superpos.sweeping import SweepResult

FORMAT = 1
# Points of training that are looked at: each takes tenths of a second, at p = 113 more.
MAX_PICTURED = 61
# Frequencies whose circle is drawn.
MAX_CIRCLES = 6
RECORDED = {
    "loss": "train_loss",
    "test_loss": "test_loss",
    "accuracy": "train_accuracy",
    "test_accuracy": "test_accuracy",
}


def pack_modular(result: SweepResult, *, most: int = MAX_SHOWN, progress: bool | None = None) -> dict[str, Any]:
    """Everything the page of modular arithmetic shows of a sweep, JSON-ready.

    `shown` are models in full (`superpos.explorer.shown_models`): at up to 61 snapshots, evenly spread, the measures of
    `superpos.analysis.grokking.progress`, the embedding's energy by frequency, its circles, and what explains the neurons.

    Raises:
        ConfigError: no model of the sweep is sound.
    """
    common = pack_transformers(result, describe_model, accuracy="test_accuracy", most=most, progress=progress)
    return {
        "format": FORMAT,
        "kind": "modular",
        **common,
        "colors": {name: color for name, (_, color) in CURVES.items()},
        "phases": list(PHASE_SHADES),
        "limits": {"single": fourier.SINGLE, "key": fourier.KEY_SHARE},
    }


def describe_model(cell: SweepResult) -> dict[str, Any]:
    """What the page shows of the one model in `cell`.

    Restricted and excluded loss, and the phases, which come from it, are those of a + b: they are left out for other
    operations. Without snapshots there are no phases, and the measures are those of the trained model alone.
    """
    task: Any = cell.task()
    models, steps = models_through_training(cell)
    looked_at = evenly(len(models), MAX_PICTURED)
    models, steps = [models[k] for k in looked_at], steps[looked_at]
    table = progress_of(task, models, steps)
    keys = table["key"].values
    embeddings = [np.asarray(model.W_E[: task.p], np.float64) for model in models]
    energy = np.stack([fourier.spectrum(W_E)[1:] for W_E in embeddings])
    circles = circle_frequencies(energy[-1], keys)
    planes = np.stack([[oriented_plane(W_E, k) for k in circles] for W_E in embeddings])
    neurons = [fourier.neuron_frequencies(neurons_of(task, model)) for model in models]
    adds = task.operation == "addition"
    measures = ["restricted_loss", "excluded_loss", "restricted_accuracy"] if adds else []
    ends = {name: float(table.attrs[f"phase_{name}"]) for name in ("memorised", "circuit", "clean")}
    if not adds or len(models) < 3:
        ends = dict.fromkeys(ends, np.nan)
    return {
        "p": int(task.p),
        "operation": task.operation,
        "keys": [int(k) for k in keys],
        "curves": _curves(cell, table, steps),
        "measures": {
            "steps": steps.tolist(),
            **{name: encode.numbers(table[name], log=name.endswith("loss")) for name in measures},
        },
        "final": {name: float(table[name][-1]) for name in RECORDED.values()},
        "phases": {name: None if np.isnan(end) else end for name, end in ends.items()},
        "pictured": steps.tolist(),
        "energy": encode.numbers(energy / energy.sum(axis=1, keepdims=True)),
        "circles": circles,
        "circle": encode.numbers(planes),
        "turning": encode.numbers([[turning_share(z, k) for z, k in zip(at, circles, strict=True)] for at in planes]),
        "turning_by_chance": turning_by_chance(task.p, task.d_model),
        "neuron_frequency": encode.whole([n.frequency for n in neurons]),
        "neuron_explained": encode.numbers([n.explained for n in neurons]),
    }


def circle_frequencies(energy: np.ndarray, keys: Any, most: int = MAX_CIRCLES) -> list[int]:
    """The key frequencies that hold most of the embedding's `energy` by frequency 1, 2, …; without keys the strongest."""
    candidates = np.asarray(keys, int) if len(keys) else np.array([energy.argmax() + 1])
    strongest = candidates[np.argsort(-energy[candidates - 1], kind="stable")][:most]
    return sorted(int(k) for k in strongest)


def oriented_plane(embedding: np.ndarray, frequency: int) -> np.ndarray:
    """`fourier.key_plane`, (p, 2), with both axes signed so that cos and sin grow along them."""
    plane = fourier.key_plane(embedding, frequency)
    along = np.diag(_waves(len(plane), frequency) @ plane)
    return plane * np.where(along < 0, -1.0, 1.0)


def turning_share(plane: np.ndarray, frequency: int) -> float:
    """The share of the spread of points (p, 2) that turns with the frequency: 1 for a circle or an ellipse."""
    total = float(np.sum(plane**2))
    return float(np.sum((_waves(len(plane), frequency) @ plane) ** 2)) / total if total > 0 else 0.0


def turning_by_chance(p: int, d_model: int) -> float:
    """About the `turning_share` of random embeddings, d/(d + p − 3): the plane is chosen for the frequency."""
    return d_model / (d_model + p - 3)


def _waves(p: int, frequency: int) -> np.ndarray:
    return fourier.fourier_basis(p)[2 * frequency - 1 : 2 * frequency + 1]


def _curves(cell: SweepResult, table: Any, steps: np.ndarray) -> dict[str, Any]:
    """Loss and accuracy through training: as recorded, or at the snapshots where these are more."""
    at, curves = recorded_curves(cell, RECORDED)
    if len(steps) >= len(at) or not curves:
        at, curves = steps, {name: table[name].values for name in RECORDED.values()}
    coded = {name: encode.numbers(values, log=name.endswith("loss")) for name, values in curves.items()}
    return {"steps": np.asarray(at).tolist(), **coded}
