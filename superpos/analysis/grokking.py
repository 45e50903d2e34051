"""How far a model that adds modulo p had come at every snapshot, and what it is made of in the end."""

from typing import Any

import jax
import numpy as np
import xarray as xr

from superpos.analysis import fourier
from superpos.modular import modular_table


def progress(task: Any, models: list[Any], steps: Any) -> xr.Dataset:
    """The progress measures of the paper at every snapshot; `models` (n_points) at `steps`, the last one has the keys.

    Over `step`: `train_loss`, `test_loss`, `train_accuracy`, `test_accuracy`; `restricted_loss` and `restricted_accuracy`
    (all pairs, key frequencies alone) and `excluded_loss` (training pairs, without them); `gini_embedding`, `gini_logits`
    of the norms by frequency; `squared_weights`. Over `key`: `alone_removed`, the test loss without that frequency at the
    end, and `alone_kept`. Attributes: `keys` and the ends of the `phases`.
    """
    answers = modular_table(task.p, task.operation)[2]
    train = np.asarray(task.training_pairs())
    W_L = np.asarray(models[-1].W_out[0] @ models[-1].W_U[...][:, : task.p])
    keys = fourier.key_frequencies(W_L)
    logits_of, rows, z = jax.jit(task.logits), [], np.zeros(0)
    for model in models:
        z = np.asarray(logits_of(model), np.float64)
        at_train, at_test = fourier.score(z, answers, train), fourier.score(z, answers, ~train)
        restricted = fourier.score(fourier.kept_frequencies(z, keys), answers)
        excluded = fourier.score(fourier.removed_frequencies(z, keys), answers, train)
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
                "gini_embedding": fourier.gini(np.sqrt(fourier.spectrum(W_E)[1:])),
                "gini_logits": fourier.gini(np.sqrt(fourier.spectrum(now.T)[1:])),
                "squared_weights": sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(model)),
            }
        )
    table = xr.Dataset({name: ("step", [row[name] for row in rows]) for name in rows[0]}, {"step": np.asarray(steps)})
    removed = [fourier.score(fourier.removed_frequencies(z, k), answers, ~train).loss for k in keys]
    kept = [fourier.score(fourier.kept_frequencies(z, k), answers, ~train).loss for k in keys]
    table = table.assign_coords(key=keys).assign(alone_removed=("key", removed), alone_kept=("key", kept))
    only, without = (f(z, keys) for f in (fourier.kept_frequencies, fourier.removed_frequencies))
    ends = fourier.phases(steps, table["excluded_loss"], table["test_loss"], table["test_accuracy"])
    neurons = fourier.neuron_frequencies(task.neurons(models[-1]))
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


def snapshots_of(result: Any) -> tuple[Any, list[Any], np.ndarray]:
    """Task, model at every snapshot and steps of one cell of a result, as `progress` takes them."""
    stacked, steps = result.snapshots(), result.dataset["snapshot_step"].values
    models = [jax.tree.map(lambda leaf, k=k: leaf[k], stacked) for k in range(len(steps))]
    return result.task(), models, steps


def progress_of(result: Any) -> xr.Dataset:
    """`progress` of one cell of a result with snapshots, as `superpos.kept` takes it."""
    return progress(*snapshots_of(result))


def circuits_of(result: Any) -> xr.Dataset:
    """What trained models are made of in the end, over `seed`, as `superpos.kept` takes it.

    `single`, the share of neurons of which one frequency explains more than 85 % (Nanda et al. 2023, section 4.2);
    `n_keys`; `key_energy`, the share of the embedding's energy, but for the constant, that key frequencies hold.
    """
    rows = []
    for seed in result["seed"].values:
        cell = result.sel(seed=seed)
        task, model = cell.task(), cell.model()
        keys = fourier.key_frequencies(np.asarray(model.W_out[0] @ model.W_U[...][:, : task.p]))
        energy = fourier.spectrum(np.asarray(model.W_E[: task.p]))
        single = np.mean(fourier.neuron_frequencies(task.neurons(model)).explained > fourier.SINGLE)
        rows.append({"single": single, "n_keys": len(keys), "key_energy": energy[keys].sum() / energy[1:].sum()})
    return xr.Dataset(
        {name: ("seed", [row[name] for row in rows]) for name in rows[0]}, {"seed": result["seed"].values}
    )


def tests_of(result: Any) -> xr.Dataset:
    """`test_loss` and `test_accuracy` through the training of models, over (`seed`, `step`)."""
    named = {
        name: result[f"{name}_history"].transpose("seed", "record").values for name in ("test_loss", "test_accuracy")
    }
    over = {"step": result["record_step"].values, "seed": result["seed"].values}
    return xr.Dataset({name: (("seed", "step"), values) for name, values in named.items()}, over)
