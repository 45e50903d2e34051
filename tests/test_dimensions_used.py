"""Models that use some of their dimensions: the same as smaller models, in one compilation."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.errors import ConfigError
from superpos.landscapes.problem import problem_of
from superpos.sweeping.compiled import lay_out

CIRCLE = {"world": "circle", "sharpness": 5.0, "log_odds": -2.0, "magnitude": "constant"}


def _task(n_hidden=4, **settings) -> sp.tasks.WorldToy:
    return sp.tasks.WorldToy(n_features=6, n_hidden=n_hidden, **CIRCLE, **settings)


def test_first_weights_have_the_standard_deviation_of_the_dimensions_used():
    key = jax.random.key(3)
    full, some = _task().init(key), _task(n_used=2.0).init(key)
    assert_allclose(some.W[:2], np.sqrt(10 / 8) * np.asarray(full.W[:2]), rtol=1e-6)
    assert_array_equal(some.W[2:], 0)
    assert_array_equal(_task(n_used=4.0).init(key).W[...], full.W[...])
    assert_allclose(some.W[:2], _task(n_hidden=2).init(key).W[...], rtol=1e-6)  # draws of a smaller shape are the first


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_training_is_that_of_the_smaller_shape_and_the_other_rows_stay_0(optimizer):
    config = sp.TrainConfig(
        steps=20, batch_size=32, history=2, weight_decay=0.3, optimizer=optimizer, evaluation_samples=1
    )
    start = _task(n_used=2.0).init(jax.random.key(1))
    given = {"W": start.W[...], "b": start.b[...]}
    large = sp.train(_task(n_used=2.0), config, init=given).model
    small = sp.train(_task(n_hidden=2), config, init={**given, "W": given["W"][:2]}).model
    assert_array_equal(large.W[2:], 0)
    assert np.ptp(np.asarray(large.W[:2]) - np.asarray(given["W"][:2])) > 0.05  # it was trained
    assert_allclose(large.W[:2], small.W[...], atol=1e-5)
    assert_allclose(large.b[...], small.b[...], atol=1e-5)


def test_models_of_many_sizes_are_one_family():
    layout = lay_out(_task(), sp.TrainConfig(steps=10), sp.Grid(n_used=[1, 2, 3, 4], seed=[0, 1]), block_size=4)
    assert layout.n_blocks == 2 and len(layout.families) == 1


@pytest.mark.parametrize("n_used", [0, 5, 1.5, np.nan, [1, 2], "two"])
def test_dimensions_that_cannot_be_used(n_used):
    with pytest.raises(ConfigError, match="n_used"):
        _task(n_used=n_used).check()


def test_a_grid_refuses_a_fraction_of_a_dimension():
    with pytest.raises(ConfigError, match="n_used must be a whole number"):
        lay_out(_task(), sp.TrainConfig(steps=10), sp.Grid(n_used=[1, 1.5]), block_size=2)


def test_a_landscape_is_over_all_dimensions():
    with pytest.raises(ConfigError, match="n_used must be None for a landscape"):
        problem_of(_task(n_used=2.0, activation="identity", objective="expected"))
