"""A list sorted: a circuit made by hand has every score, models without one of its halves do not."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from superpos.analysis.lists import raises_itself
from superpos.data.list_functions import AnsweredList
from superpos.experiments import Claims
from superpos.experiments.list_sorting import (
    ATTENTION,
    answers,
    at_length,
    distinct_lists,
    evaluate,
    from_weights,
    lengths,
    next_scores,
    raises_smaller,
    share_of_length,
    shares,
)
from superpos.experiments.over_seeds import over_seeds
from superpos.models import Transformer

N, LENGTH = 6, 3
D = N + 1


def by_hand(sharpness=30.0, copies=3.0, shift=0):
    """Tokens on axes 0 … 6; a scores t by `sharpness` · (N − t) where t > a and by 0 elsewhere, and tokens are copied."""
    eye = np.eye(D)
    a, t = np.arange(D)[:, None] % N - (np.arange(D)[:, None] == N), np.arange(D)[None]  # "=" comes before all tokens
    scores = sharpness * np.where((t > a) & (t < N), N - t, 0) * D**0.5
    W_U = copies * np.roll(eye, shift, axis=1)
    W_U[:, N] = 0
    W_V = eye * (np.arange(D) < N)
    weights = (eye, np.zeros((2 * LENGTH, D)), scores[None, None], eye[None, None], W_V[None, None], eye[None, None])
    return Transformer(*(jnp.asarray(W, jnp.float32) for W in (*weights, W_U)))


def two_kinds():
    """Lists with every token once, and lists whose smaller token stands there twice, half of each."""
    listed = np.array([[3, 0, 5], [0, 4, 2], [5, 3, 4], [2, 2, 4], [1, 4, 1], [0, 5, 0]])
    answer = np.sort(listed, axis=1)
    tokens = np.concatenate([listed, np.full((6, 1), N), answer[:, :-1]], axis=1)
    return AnsweredList(tokens, answer, np.ones(6, bool))


def without_residual(model, gain=5.0):
    """The same where the head says more than the token that is read, so that it decides."""
    model.W_O[...] = gain * model.W_O[...]
    return model


@pytest.mark.slow
def test_the_circuit_by_hand_sorts_all_but_repeats():
    model, lists = without_residual(by_hand()), two_kinds()
    measured = {key: np.asarray(value) for key, value in answers(model, lists).items()}
    right, repeated = (dict(zip(ATTENTION, measured[key], strict=True)) for key in ("right", "repeated"))
    for name in ("as it is", "of another order", "one place", "one answer"):
        assert right[name] == 1, name
    assert right["its mean"] < 1 and repeated["as it is"] == measured["again"] == 0 and measured["enough"] == 1
    assert measured["mass"] == pytest.approx(1, abs=1e-5) == measured["larger"]
    assert measured["wrong_close"] == measured["wrong_far"] == 0
    assert [float(share) for share in shares(model, lists)] == [1, 0]
    assert raises_itself(model).all() and bool(from_weights(model, lists, 15 * np.eye(N))[:3].all())


def test_scores_are_those_of_the_circuit():
    scores = np.asarray(next_scores(by_hand(2.0)))
    assert scores.shape == (LENGTH, N + 1, N)
    expected = [[2.0 * (N - t) if t > a else 0 for t in range(N)] for a in (*range(N), -1)]
    np.testing.assert_allclose(scores, np.tile(expected, (LENGTH, 1, 1)), rtol=1e-5)
    model = by_hand(2.0)
    model.W_pos[...] = (
        jnp.zeros_like(model.W_pos[...]).at[LENGTH + 2, 4].set(1.0)
    )  # the last answer also asks as 4 does
    np.testing.assert_allclose(np.asarray(next_scores(model))[2], np.asarray(expected) + expected[4], rtol=1e-5)


def test_other_lists_attention_by_numpy():
    """With the attention of the next list the answer is what stands where that list's token does."""
    model, lists = without_residual(by_hand()), two_kinds()
    there = np.argsort(np.roll(lists.tokens[:3, :LENGTH], -1, axis=0)[:2], axis=1, kind="stable")
    read = np.take_along_axis(lists.tokens[:2, :LENGTH], there, axis=1)
    only = AnsweredList(*(field[:3] for field in lists))
    share = np.asarray(answers(model, only)["right"])[ATTENTION.index("of another list")]
    third = lists.tokens[2, :LENGTH][np.argsort(lists.tokens[0, :LENGTH])]
    expected = np.mean([*(read == lists.answer[:2]).all(axis=1), (third == lists.answer[2]).all()])
    assert share == pytest.approx(expected)


def test_without_either_half_it_fails():
    lists = two_kinds()
    blunt, wrong = answers(without_residual(by_hand(0.0)), lists), answers(without_residual(by_hand(shift=1)), lists)
    assert float(blunt["right"][0]) == 0 and float(wrong["right"][0]) == 0
    # Even attention over 4, 5 and 6 positions: to the answer, and to all tokens that are larger than the last one.
    assert float(blunt["mass"]) == pytest.approx((1 / 4 + 1 / 5 + 1 / 6) / 3)
    assert float(blunt["larger"]) == pytest.approx((3 / 4 + 2 / 5 + 1 / 6) / 3)
    assert float(wrong["mass"]) == pytest.approx(1, abs=1e-5)
    assert not np.asarray(from_weights(by_hand(), lists, np.zeros((N, N)))).all()  # a says itself


def test_tokens_below_are_raised():
    t = np.arange(12)
    lower = 1.0 * (t[:, None] >= t[None])
    assert raises_smaller(lower).all() and len(raises_smaller(lower)) == 2  # of tokens 5 and 6
    assert not raises_smaller(lower.T).any() and len(raises_smaller(np.eye(4))) == 2


def test_lists_of_other_lengths():
    model = without_residual(by_hand())
    rows = np.random.default_rng(0).normal(size=(2 * LENGTH, D)).astype(np.float32)
    model.W_pos[...] = jnp.asarray(rows)
    longer = np.asarray(at_length(model, 4).W_pos[...])
    np.testing.assert_allclose(longer[:4], np.tile(rows[:LENGTH].mean(axis=0), (4, 1)), atol=1e-6)
    np.testing.assert_array_equal(longer[[4, 5, 7]], rows[[3, 4, 5]])  # "=", the first answer said, and the last
    np.testing.assert_allclose(longer[6], (rows[4] + rows[5]) / 2, atol=1e-6)
    np.testing.assert_array_equal(at_length(model, LENGTH).W_pos[LENGTH:], rows[LENGTH:])
    assert lengths(5) == [3, 4, 5, 6, 7, 8] and lengths(3)[0] == 2
    listed = distinct_lists(4, N, 32)
    assert listed.shape == (32, 4) and all(len(set(row)) == 4 for row in listed.tolist())
    assert float(share_of_length(without_residual(by_hand()), listed)) == 1
    assert float(share_of_length(without_residual(by_hand(0.0)), listed)) < 0.2


class Swept(dict):
    """What `over_seeds` asks of a result."""

    def sel(self, seed):
        return SimpleNamespace(model=lambda: 10 * seed, task=lambda: LENGTH)


def test_one_row_for_every_seed():
    dims, coords = {"pair": ("place",)}, {"place": ("here", "there")}
    swept: Any = Swept(seed=xr.DataArray([3, 5]))
    table = over_seeds(swept, lambda model, task: {"n": task, "pair": [model, model + 1]}, dims, coords)
    assert table["n"].dims == ("seed",) and table["n"].values.tolist() == [LENGTH] * 2
    assert table["pair"].dims == ("seed", "place") and table["pair"].values.tolist() == [[30, 31], [50, 51]]
    assert table["seed"].values.tolist() == [3, 5] and table["place"].values.tolist() == ["here", "there"]


GOOD = {
    "larger": 0.8, "mass": 0.6, "above": 0.99, "ov": 0.9, "diagonal": 0.99, "smaller": 0.99, "weights": 0.9,
    "weights_copied": 0.5, "wrong_close": 0.03, "wrong_far": 0.01, "again": 0.7, "enough": 0.9,
}  # fmt: skip
RIGHT = (0.97, 0.0, 0.0, 0.97, 0.97, 0.5)
OF_LENGTH = (0.9, 0.96, 0.96, 0.8, 0.6, 0.5)


def table(right=RIGHT, of_length=OF_LENGTH, once=0.97, twice=(0.5, 0.9), **changed):
    n = 8
    noise = 0.0001 * np.arange(n)
    variables = {name: (("seed",), value + noise) for name, value in (GOOD | changed).items()}
    variables["right"] = (("seed", "attention"), np.tile(right, (n, 1)))
    variables["of_length"] = (("seed", "length"), np.tile(of_length, (n, 1)))
    variables["distinct"] = (("n_layers", "seed"), np.full((2, n), once))
    variables["twice"] = (("n_layers", "seed"), np.tile(np.reshape(twice, (2, 1)), n))
    return xr.Dataset(variables, {"attention": list(ATTENTION), "length": lengths(5), "n_layers": [1, 2]})


def failed(**changed):
    claims = Claims("test")
    evaluate(table(**changed), claims)
    return [k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"]


@pytest.mark.parametrize(
    ("claim", "changed"),
    [
        (0, {"right": (0.88, 0, 0, 0.88, 0.88, 0.5)}),
        (1, {"larger": 0.7}),
        (2, {"mass": 0.4}),
        (3, {"above": 0.8}),
        (4, {"ov": 0.7}),
        (5, {"diagonal": 0.8}),
        (6, {"smaller": 0.8}),
        (7, {"weights": 0.8}),
        (8, {"weights_copied": 0.8}),
        (9, {"right": (0.97, 0.1, 0, 0.97, 0.97, 0.5)}),
        (10, {"right": (0.97, 0, 0.1, 0.97, 0.97, 0.5)}),
        (11, {"right": (0.97, 0, 0, 0.9, 0.97, 0.5)}),
        (12, {"right": (0.97, 0, 0, 0.97, 0.9, 0.5)}),
        (13, {"right": (0.97, 0, 0, 0.97, 0.97, 0.8)}),
        (14, {"wrong_close": 0.015}),
        (15, {"once": 0.7}),
        (16, {"again": 0.9}),
        (17, {"enough": 0.99}),
        (18, {"twice": (0.5, 0.7)}),
        (19, {"of_length": (0.9, 0.8, 0.96, 0.8, 0.6, 0.5)}),
        (20, {"of_length": (0.9, 0.96, 0.96, 0.6, 0.6, 0.5)}),
        (21, {"of_length": (0.9, 0.96, 0.96, 0.8, 0.6, 0.7)}),
    ],
)
def test_each_claim_can_fail(claim, changed):
    assert failed() == []
    assert failed(**changed) == [claim]
