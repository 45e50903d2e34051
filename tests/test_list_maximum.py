"""The maximum of a list: a circuit made by hand has every score, models without one of its halves do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.lists import all_lists, copied, held_out_lists
from superpos.experiments import Claims
from superpos.experiments.list_maximum import ATTENTION, answers, common_maxima, evaluate, scores
from superpos.models import Transformer

ALL = np.ones(6, bool)
TASK = sp.tasks.ListFunction(length=3, d_vocab=6, d_model=8)


def by_hand(sharpness=30.0, copies=None):
    """Tokens on axes of their own, "=" on axis 6; the score of token t is sharpness · t, and tokens are copied."""
    d, n = 8, 6
    W_E = np.eye(n + 1, d)
    W_Q, W_K = np.zeros((1, 1, d, d)), np.zeros((1, 1, d, d))
    W_Q[0, 0, 6, 0], W_K[0, 0, :n, 0] = sharpness * d**0.5, np.arange(n)
    W_U = np.eye(d, n + 1) if copies is None else copies
    square = np.eye(d)[None, None]
    weights = (W_E, np.zeros((4, d)), W_Q, W_K, square, square, 5 * W_U)
    return Transformer(*(jnp.asarray(W, jnp.float32) for W in weights))


@pytest.fixture(scope="module")
def lists():
    return held_out_lists(TASK, 200)


@pytest.mark.slow
def test_the_circuit_by_hand_is_read_and_found(lists):
    model = by_hand()
    np.testing.assert_allclose(scores(model), 30 * np.arange(6), rtol=1e-5)
    np.testing.assert_allclose(copied(model), 5 * (np.eye(6) - 1 / 6), atol=1e-5)
    measured = answers(model, lists, ALL)
    assert float(measured["mass"]) == pytest.approx(1) and float(measured["follows"]) == 1
    some = answers(model, lists, np.arange(6) == 5)  # only where a 5 stands
    assert float(measured["follows_common"]) == float(some["follows_common"]) == 1
    right = dict(zip(ATTENTION, np.asarray(measured["right"]), strict=True))
    assert right["as it is"] == 1 and max(right["its mean"], right["of another list"]) < 0.7
    other = np.roll(lists.tokens[:, :3], -1, axis=0)
    there = other.argmax(axis=1)  # what stands at the place of the other list's maximum
    same = [t[place] == max(t) for t, place in zip(lists.tokens[:, :3].tolist(), there, strict=True)]
    assert right["of another list"] == pytest.approx(
        np.mean(same), abs=0.05
    )  # but for lists whose maximum is there twice


def test_common_maxima_are_counted():
    lists = all_lists(4, 8)
    share = np.bincount(lists.max(axis=1), minlength=8) / len(lists)
    assert common_maxima(8, 4).tolist() == (share >= 1e-3).tolist() == [False] + [True] * 7


def test_without_either_half_it_fails(lists):
    smallest = answers(by_hand(-30.0), lists, ALL)
    assert float(smallest["mass"]) < 0.2 and float(smallest["right"][0]) < 0.2
    wrong = answers(by_hand(copies=np.eye(8, 7)[:, [1, 2, 3, 4, 5, 0, 6]]), lists, ALL)
    assert float(wrong["mass"]) == pytest.approx(1) and float(wrong["right"][0]) == 0 == float(wrong["follows"])


SCORES = ("mass", "monotone", "ov", "diagonal", "diagonal_common", "follows", "follows_common")


def table(**changed):
    n = 8
    columns = {name: np.full(n, 0.99) for name in SCORES}
    right = np.tile([1.0, 0.2, 0.3], (n, 1))
    right[:, :2] = [changed.pop("right", 1.0), changed.pop("mean", 0.2)]
    columns |= {name: np.full(n, value) for name, value in changed.items()}
    variables = {name: (("seed",), values + 0.001 * np.arange(n)) for name, values in columns.items()}
    return xr.Dataset(variables | {"right": (("seed", "attention"), right)}, {"attention": list(ATTENTION)})


def test_each_claim_can_fail():
    def failed(**changed):
        claims = Claims("test")
        evaluate(table(**changed), claims)
        return [k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"]

    assert failed() == [] and failed(right=0.9) == [0] and failed(mean=0.6) == [8]
    for k, name in enumerate(SCORES):
        assert failed(**{name: 0.8}) == [k + 1]


def test_answers_are_one_program_for_all_seeds(lists):
    before = answers._cache_size()
    jax.block_until_ready(answers(by_hand(), lists, ALL))
    assert answers._cache_size() == max(before, 1)
