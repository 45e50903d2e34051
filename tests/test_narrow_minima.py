"""Minima that are narrower than a step of a descent: where they are looked for, and that they are found."""

import numpy as np
import pytest

import superpos as sp
from superpos.landscapes.bottoms import loss_of
from superpos.landscapes.candidates import narrow_places
from superpos.landscapes.problem import problem_of
from superpos.landscapes.search import Minima

PAIRS = np.array([[1.0, -1, 0, 0, 0], [0, 0, 1, -1, 0]])  # and a feature without length
DEAD = np.array([0, 0, 0, 0, -0.1])
ALIKE = np.zeros(5, int)


def task(density, **fields):
    return sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=density, **fields)


def test_places_that_are_alike_are_looked_at_once():
    """Beside two pairs the fifth feature is silent, or lies beside one of the four, which are alike."""
    problem = problem_of(task(0.1))
    silent, beside = narrow_places(problem, problem.flat(PAIRS, DEAD), ALIKE)
    assert silent.shape == (1, 15) and beside.shape == (4, 15)
    np.testing.assert_allclose(silent[0], problem.flat(PAIRS, np.array([0, 0, 0, 0, 0.05])))  # its mean
    lengths = np.linalg.norm(beside[:, :10].reshape(-1, 2, 5), axis=1)
    assert np.all(lengths[:, :4] == 1) and np.all((lengths[:, 4] > 0.3) & (lengths[:, 4] <= 0.5))
    hidden = beside[:, 10:14].min(axis=1)  # never by more than the fifth one says there
    assert np.all((hidden < 0) & (-hidden <= lengths[:, 4]))


def test_there_are_none_without_a_short_feature_or_a_bias():
    problem, unbiased = problem_of(task(0.1)), problem_of(task(0.1, bias=False))
    assert narrow_places(problem, problem.flat(PAIRS + 0.3 * np.eye(5)[4], np.zeros(5)), ALIKE) == []
    assert narrow_places(unbiased, unbiased.flat(PAIRS, None), ALIKE) == []


@pytest.mark.slow
def test_a_minimum_that_descents_leave_is_found():
    """One of 65,536 random starts ended in it: two pairs, and a short fifth feature that the bias of another one hides."""
    problem = problem_of(task(0.01576))
    minima = Minima(problem, ALIKE)
    _, beside = narrow_places(problem, problem.flat(PAIRS, DEAD), ALIKE)
    assert minima.add_first(beside, "narrow place") and len(minima.basins) == 1
    bottom = minima.basins[0].bottom
    W, b = (np.asarray(part) for part in problem.parts(bottom.flat))
    assert np.linalg.norm(W, axis=0)[4] == pytest.approx(0.42, abs=0.01)
    assert b.min() == pytest.approx(-0.165, abs=0.01)
    turn, least, *_ = np.linalg.eigvalsh(bottom.hessian)
    assert least > 1e-4 > 1e-12 > abs(turn)  # flat along rotations alone
    assert loss_of(problem, bottom.flat + 1e-4 * np.random.default_rng(0).normal(size=15)) > bottom.loss

    saddle = problem.flat(np.zeros((2, 5)), np.full(5, 0.01576 / 2))  # without a slope, and no minimum
    assert not minima.add_first(saddle[None], "a saddle") and len(minima.basins) == 1
