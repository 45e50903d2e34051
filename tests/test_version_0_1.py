"""Stores that version 0.1 wrote before its redesign: read with equal values, and taken up without training.

Written by `sp.sweep(task, STEPS, GRID, store=…, block_size=2)`; `values.json` has digests of the bytes of every variable.
"""

import hashlib
import json
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest

import superpos as sp

FIXTURES = Path(__file__).parent / "fixtures" / "version_0_1"
VALUES = json.loads((FIXTURES / "values.json").read_text())
STEPS = sp.TrainConfig(steps=4, history=2)
W = np.random.default_rng(0).standard_normal((2, 5))
READ = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.1)
TASKS = {
    "toy": READ,
    "toy_expected": sp.tasks.Toy(n_features=4, n_hidden=2, objective="expected", feature_probability=0.1),
    "adversarial_toy": sp.tasks.AdversarialToy(n_features=5, n_hidden=2, feature_probability=0.1),
    "computation": sp.tasks.Computation(n_features=4, n_hidden=6, feature_probability=0.1),
    "double_descent": sp.tasks.DoubleDescent(n_features=10, n_hidden=2, n_points=5, most_points=5),
    "residual_mlp": sp.tasks.ResidualMLP(n_features=6, n_hidden=3),
    "boolean_pairs": sp.tasks.BooleanPairs(n_features=4, n_hidden=5, n_pairs=3),
    "sparse_autoencoder": sp.tasks.SparseAutoencoder.of_toy(READ, W, n_latents=6),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_store_has_its_values_its_models_and_is_not_trained_again(name, tmp_path, monkeypatch):
    path = tmp_path / f"{name}.zarr"
    with zipfile.ZipFile(FIXTURES / f"{name}.zip") as packed:
        packed.extractall(path)
    result = sp.open(path)
    variables = result.dataset.load().data_vars.items()
    digests = {str(k): hashlib.sha256(np.ascontiguousarray(v.values).tobytes()).hexdigest()[:16] for k, v in variables}
    assert digests == VALUES[name]

    cell = result.cell(learning_rate=0.01, seed=3)
    assert type(cell.task) is type(TASKS[name]) and float(cell.config.learning_rate) == np.float32(0.01)
    shapes = jax.eval_shape(TASKS[name].broadcast().init, jax.random.key(0))
    assert [leaf.shape for leaf in jax.tree.leaves(cell.model)] == [leaf.shape for leaf in jax.tree.leaves(shapes)]
    assert np.array_equal(cell.loss, result["loss"].sel(learning_rate=0.01, seed=3))

    monkeypatch.setattr(sp.engines.Local, "train", None)
    grid = sp.Grid(learning_rate=[0.001, 0.01], seed=[0, 3])
    again = sp.sweep(TASKS[name], STEPS, grid, store=path, block_size=2, progress=False)
    assert again.dataset.identical(result.dataset)
