"""Classes under cross-entropy: the loss against NumPy, the closed form against a search, and claims that can fail."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments import cross_entropy as experiment
from superpos.theory import class_loss

rng = np.random.default_rng(13)
TASK = sp.tasks.OneHotClassifier(n_features=5, n_hidden=2, weight_l2=0.05)


def _loss(W: np.ndarray, penalty: float) -> float:
    """Twin in double precision, one class at a time."""
    total = 0.0
    for i in range(W.shape[1]):
        logits = W.T @ W[:, i]
        total += np.log(np.sum(np.exp(logits))) - logits[i]
    return (total + penalty * np.sum(W**2)) / W.shape[1]


def test_the_loss_is_the_mean_over_classes_with_the_penalty():
    W = rng.normal(size=(2, 5))
    model = sp.ToyModel(W, activation="identity")
    assert_allclose(TASK.loss(model, jax.random.key(0), 1)[0], _loss(W, 0.05), rtol=1e-5)
    assert_allclose(TASK.expected_loss(model), _loss(W, 0.0), rtol=1e-5)


@pytest.mark.parametrize("penalty", [0.01, 0.3, 0.99])
def test_the_closed_form_is_the_best_length_of_all(penalty):
    unit = experiment.polygon(7)
    lengths = np.linspace(0, 8, 4_001)
    losses = [_loss(a * unit, penalty) for a in lengths]
    best = class_loss(3 * unit, penalty)  # of any length
    assert_allclose(best.minimised, min(losses), rtol=1e-6)
    assert abs(best.squared_length**0.5 - lengths[int(np.argmin(losses))]) < 0.003
    assert_allclose(best.minimised - best.cross_entropy, penalty * best.squared_length, rtol=1e-9)


@pytest.mark.parametrize("unit", [experiment.polygon(4), experiment.directions_in_space(12), np.eye(3, 3) - 1 / 3])
def test_from_a_penalty_of_one_on_nothing_is_represented(unit):
    """Just below, the squared length is m (1 − λ) for a tight frame of m dimensions; a triangle lies in a plane."""
    assert class_loss(unit, 1.0).squared_length == 0 == class_loss(unit, 3.0).squared_length
    rank = np.linalg.matrix_rank(unit)
    assert_allclose(class_loss(unit, 0.999).squared_length, rank * 0.001, rtol=0.01)


def test_the_best_antiprism_is_better_than_those_beside_it():
    best = experiment.best_known(8, 3, 0.03).minimised
    for height in (0.45, 0.5, 0.65):
        assert class_loss(experiment.antiprism(height), 0.03).minimised > best
    assert_allclose(np.linalg.norm(experiment.antiprism(0.5), axis=0), 1)


def test_training_ends_on_the_pentagon_of_the_closed_form():
    run = sp.train(TASK, sp.TrainConfig(steps=600))
    W, best = np.asarray(run.model.W), class_loss(experiment.polygon(5), 0.05)
    assert_allclose(_loss(W, 0.05), best.minimised, rtol=1e-5)
    assert_allclose(np.sum(W**2, axis=0), best.squared_length, rtol=1e-3)
    assert_allclose(sp.analysis.angle_gaps(W), 72, atol=0.1)
    assert_allclose(run.loss, best.cross_entropy, rtol=1e-3)  # without penalty


def _tables() -> tuple[dict[int, xr.Dataset], dict[int, xr.DataArray]]:
    """Perfect models of two numbers of classes in the plane and in space."""
    tables, named = {}, {}
    for m, numbers in ((2, [5, 12]), (3, [8, 12])):
        over = {"n_features": numbers, "weight_l2": [1.2, 0.9, 0.03], "seed": range(3)}
        empty = xr.Dataset(coords=over)
        seeds = xr.DataArray(np.ones(3), {"seed": range(3)}, ("seed",))
        tables[m] = experiment.known(empty, m) * seeds
        names = [[experiment.expected_shape(n, m)] * 3 for n in numbers]
        named[m] = xr.DataArray(names, {"n_features": numbers, "seed": range(3)}, ("n_features", "seed"))
    return tables, named


def _failed(tables, named) -> list[str]:
    claims = Claims("")
    experiment.evaluate(tables, named, claims)
    return [claim.statement[:12] for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    tables, named = _tables()
    assert _failed(tables, named) == []
    assert _failed(tables, named | {2: named[2].where(named[2] != "12-gon", "irregular")}) == ["in the plane"]
    assert _failed(tables, named | {3: named[3].where(named[3] != "icosahedron", "irregular")}) == ["in space all"]
    plane, first = tables[2], tables[2]["seed"] == 0
    assert _failed(tables | {2: plane.assign(minimised=plane["minimised"] * 1.0005)}, named) == ["the loss is "]
    spoiled = plane["minimised"] * (1 + 0.01 * first)
    assert _failed(tables | {2: plane.assign(minimised=spoiled)}, named) == ["hardly any t"]
    assert _failed(tables | {2: plane.assign(squared_length=plane["squared_length"] * 1.1)}, named) == ["from λ = 1 o"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"weight_l2": -0.1}, "weight_l2 must be at least 0"),
        ({"weight_l2": np.nan}, "weight_l2 must be finite"),
        ({"weight_l2": [0.1, 0.2]}, "weight_l2 must be one number"),
        ({"init_scale": -1.0}, "init_scale must be at least 0"),
        ({"n_features": 1}, "n_features must be at least 2"),
        ({"n_hidden": 0}, "n_hidden must be at least 1"),
        ({"n_features": 60_000}, "n_features × n_features must be"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        replace(TASK, **settings).check()


@pytest.mark.parametrize(
    ("directions", "penalty", "sentence"),
    [
        (np.eye(2), 0.0, "weight_l2 must be"),
        (np.eye(2, 3), 0.1, "a column is 0"),
        ([[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]], 0.1, "must see the same angles"),
        ([1.0, 2.0], 0.1, "directions must"),
    ],
)
def test_wrong_calls_of_the_closed_form_are_refused(directions, penalty, sentence):
    with pytest.raises(ConfigError, match=sentence):
        class_loss(directions, penalty)
