"""How far a model that adds modulo p had come at every snapshot, and what it is made of in the end."""

from typing import Any

import jax
import numpy as np
import xarray as xr

from superpos.analysis import fourier
from superpos.data.modular import modular_table


def progress(task: Any, models: list[Any], steps: Any) -> xr.Dataset:
    """The progress measures of the paper at every snapshot; `models` (n_points) at `steps`, the last one has the keys.

    Over `step`: `train_loss`, `test_loss`, `train_accuracy`, `test_accuracy`; `restricted_loss` and `restricted_accuracy`
    (all pairs, key frequencies alone), `excluded_loss` (training pairs, without them) and `other_excluded_loss` (without
    as many others, drawn at random); `gini_embedding`, `gini_logits` of the norms by frequency; `squared_weights`. Over
    `key`: `alone_removed`, the test loss without that frequency at the end, and `alone_kept`. Attributes: `keys` and the
    ends of the `phases`.
    """
    answers = modular_table(task.p, task.operation)[2]
    train = np.asarray(task.training_pairs())
    W_L = np.asarray(models[-1].W_out[0] @ models[-1].W_U[...][:, : task.p])
    keys = fourier.key_frequencies(W_L)
    rows, z, others = [], np.zeros(0), other_frequencies(task.p, keys)
    for model in models:
        z = np.asarray(logits_of(task, model), np.float64)
        at_train, at_test = fourier.score(z, answers, train), fourier.score(z, answers, ~train)
        restricted = fourier.score(fourier.kept_frequencies(z, keys), answers)
        excluded = fourier.score(fourier.removed_frequencies(z, keys), answers, train)
        beside = fourier.score(fourier.removed_frequencies(z, others), answers, train)
        W_E, now = np.asarray(model.W_E[: task.p]), np.asarray(model.W_out[0] @ model.W_U[...][:, : task.p])
        rows.append(
            {
                "train_loss": at_train.loss,
                "test_loss": at_test.loss,
                "train_accuracy": at_train.accuracy,
                "test_accuracy": at_test.accuracy,
                "restricted_loss": restricted.loss,
                "restricted_accuracy": restricted.accuracy,
                "excluded_loss": excluded.loss,
                "other_excluded_loss": beside.loss,
                "gini_embedding": fourier.gini(np.sqrt(fourier.spectrum(W_E)[1:])),
                "gini_logits": fourier.gini(np.sqrt(fourier.spectrum(now.T)[1:])),
                "squared_weights": squared_weights(model),
            }
        )
    table = xr.Dataset({name: ("step", [row[name] for row in rows]) for name in rows[0]}, {"step": np.asarray(steps)})
    removed = [fourier.score(fourier.removed_frequencies(z, k), answers, ~train).loss for k in keys]
    alone_kept = [fourier.score(fourier.kept_frequencies(z, k), answers, ~train).loss for k in keys]
    table = table.assign_coords(key=keys).assign(alone_removed=("key", removed), alone_kept=("key", alone_kept))
    only, without = (f(z, keys) for f in (fourier.kept_frequencies, fourier.removed_frequencies))
    ends = fourier.phases(steps, table["excluded_loss"], table["test_loss"], table["test_accuracy"])
    neurons = fourier.neuron_frequencies(neurons_of(task, models[-1]))
    energy = fourier.spectrum(np.asarray(models[-1].W_E[: task.p]))
    singular = np.linalg.svd(W_L - W_L.mean(axis=1, keepdims=True), compute_uv=False)
    table["embedding_energy"] = ("frequency", energy)
    table["neuron_explained"], table["neuron_frequency"] = ("neuron", neurons.explained), ("neuron", neurons.frequency)
    table["singular_values"] = ("rank", singular)
    table.attrs = {
        **{f"phase_{name}": value for name, value in ends._asdict().items()},
        "kept_test_accuracy": fourier.score(only, answers, ~train).accuracy,
        "kept_loss": fourier.score(only, answers).loss,
        "full_loss": fourier.score(z, answers).loss,
        "removed_loss": fourier.score(without, answers).loss,
        "trig_explained": fourier.trig_fit(z, keys)[1],
        "p": task.p,
    }
    return table


@jax.jit
def logits_of(task: Any, model: Any) -> Any:
    """`task.logits(model)`, compiled once for all tasks and models of one shape."""
    return task.logits(model)


@jax.jit
def neurons_of(task: Any, model: Any) -> Any:
    """`task.neurons(model)`, likewise."""
    return task.neurons(model)


def squared_weights(model: Any) -> float:
    """The sum of the squares of all parameters, ‖θ‖²."""
    return sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(model))


def other_frequencies(p: int, keys: Any, seed: int = 0) -> np.ndarray:
    """As many frequencies of 1 … (p − 1)/2 as there are `keys`, or all there are, drawn at random from the others."""
    rest = np.setdiff1d(np.arange(1, (p + 1) // 2), keys)
    return np.sort(np.random.default_rng(seed).permutation(rest)[: len(np.atleast_1d(keys))])
