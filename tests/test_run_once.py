"""Programs that run once compile faster, and start and evaluate the same models."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.sweeping import mesh
from superpos.sweeping.run_once import run_once_options


def test_only_a_cpu_has_options():
    assert run_once_options("gpu") == run_once_options("tpu") == {}
    assert set(run_once_options("cpu").values()) <= {False}


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("objective", ["sampled", "expected"])
def test_training_has_the_same_bits_and_the_evaluation_the_same_value(objective, monkeypatch):
    task = sp.tasks.Toy(n_features=4, n_hidden=2, objective=objective)
    config = sp.TrainConfig(steps=20)
    grid, results = sp.Grid(feature_probability=[0.1, 0.5], seed=[0]), []
    for options in (run_once_options, lambda platform: {}):
        mesh.programs.cache_clear()
        monkeypatch.setattr(mesh, "run_once_options", options)
        results.append(sp.sweep(task, config, grid))
    mesh.programs.cache_clear()
    for name in ("W", "b"):
        assert_array_equal(*(np.asarray(result[name]) for result in results))
    assert_allclose(*(np.asarray(result["loss"]) for result in results), rtol=1e-5)
