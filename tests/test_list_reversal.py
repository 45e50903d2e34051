"""A list reversed: a circuit made by hand has every score, models without one of its halves do not."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.lists import copied, held_out_lists
from superpos.experiments import Claims
from superpos.experiments.list_reversal import ATTENTION, answers, evaluate, mirror, place_pattern
from superpos.models import Transformer

N, LENGTH, D = 6, 3, 13
TASK = sp.tasks.ListFunction(function="reversed", length=LENGTH, d_vocab=N, d_model=D)


def by_hand(sharpness=30.0, shift=0):
    """Tokens on axes 0 … 6, places on 7 … 12; answer i scores its place by `sharpness`, and a token says `shift` more."""
    W_E, W_pos = np.eye(N + 1, D), np.eye(2 * LENGTH, D, k=N + 1)
    W_Q, W_K = np.zeros((1, 1, D, D)), np.zeros((1, 1, D, D))
    for at, of in zip(*mirror(LENGTH), strict=True):
        W_Q[0, 0, N if at == LENGTH else N + 1 + at, of] = sharpness * D**0.5  # the first asks by "=", not by its place
        W_K[0, 0, N + 1 + of, of] = 1
    W_U = np.zeros((D, N + 1))
    W_U[np.arange(N), (np.arange(N) + shift) % N] = 5
    W_V = np.diag((np.arange(D) < N).astype(float))[None, None]
    W_O = 3 * np.eye(D)[None, None]  # above the token that the residual stream itself says
    return Transformer(*(jnp.asarray(W, jnp.float32) for W in (W_E, W_pos, W_Q, W_K, W_V, W_O, W_U)))


@pytest.fixture(scope="module")
def lists():
    return held_out_lists(TASK, 64)


def test_places_are_mirrored():
    at, of = mirror(LENGTH)
    assert at.tolist() == [3, 4, 5] and of.tolist() == [2, 1, 0]  # "=", and the answers that come before


@pytest.mark.slow
def test_the_circuit_by_hand_is_read_and_found(lists):
    model = by_hand()
    measured = {key: np.asarray(value) for key, value in answers(model, lists).items()}
    right, single = (dict(zip(ATTENTION, measured[key], strict=True)) for key in ("right", "single"))
    assert right["as it is"] == right["its mean"] == right["of another list"] == 1 == single["its mean"]
    assert measured["mass"] == pytest.approx(1) and measured["pattern"].shape == (LENGTH, 2 * LENGTH)
    np.testing.assert_allclose(copied(model), 15 * (np.eye(N) - 1 / N), atol=1e-5)
    np.testing.assert_allclose(place_pattern(model, LENGTH), measured["pattern"], atol=1e-5)

    # Even attention by NumPy: a token gets 3 / n for every time it was read, and 1 where it is read now.
    logits = np.zeros((64, LENGTH, N + 1))
    for k, tokens in enumerate(lists.tokens):
        for i in range(LENGTH):
            read = tokens[: LENGTH + i + 1]
            logits[k, i] = 3 * np.bincount(read, minlength=N + 1) / len(read)
            logits[k, i, tokens[LENGTH + i]] += 1
    logits[..., N] = 0  # "=" says nothing
    clear = np.diff(np.sort(logits, axis=-1)[..., -2:], axis=-1)[..., 0] > 1e-3  # ties fall by rounding
    hits = logits.argmax(-1) == lists.answer
    assert hits[clear].sum() / hits.size <= single["even"] <= (hits[clear].sum() + (~clear).sum()) / hits.size
    assert right["even"] < 0.2


@pytest.mark.slow
def test_scores_of_places_are_a_softmax(lists):
    """Of a blunt circuit: e^score of the place among all that stand before, by hand."""
    model = by_hand(2.0)
    others = 2 * LENGTH - np.arange(LENGTH)[::-1] - 1  # positions beside the mirrored one
    expected = np.exp(2) / (np.exp(2) + others)
    pattern = np.asarray(place_pattern(model, LENGTH))
    np.testing.assert_allclose(pattern[np.arange(LENGTH), mirror(LENGTH)[1]], expected, rtol=1e-5)
    assert float(answers(model, lists)["mass"]) == pytest.approx(expected.mean(), rel=1e-5)


def test_without_either_half_it_fails(lists):
    blunt, wrong = answers(by_hand(0.0), lists), answers(by_hand(shift=1), lists)
    assert float(blunt["right"][0]) < 0.2 and float(blunt["mass"]) == pytest.approx((1 / 4 + 1 / 5 + 1 / 6) / 3)
    assert float(blunt["single"][0]) == float(blunt["single"][-1])  # it was even before
    assert float(wrong["mass"]) == pytest.approx(1) and float(wrong["right"][0]) < 0.1


SCORES = ("mass", "places", "ov", "diagonal")


def table(right=(1.0, 1.0, 1.0, 0.0), even=0.2, **changed):
    n = 8
    noise = 0.001 * np.arange(n)
    columns = {name: np.full(n, changed.get(name, 0.99)) + noise for name in SCORES}
    variables = {name: (("seed",), values) for name, values in (columns | {"guess": np.full(n, 0.3)}).items()}
    shares = {"right": np.tile(right, (n, 1)), "single": np.tile((1.0, 1.0, 1.0, even), (n, 1))}
    variables |= {name: (("seed", "attention"), values) for name, values in shares.items()}
    return xr.Dataset(variables, {"attention": list(ATTENTION)})


def test_each_claim_can_fail():
    def failed(**changed):
        claims = Claims("test")
        evaluate(table(**changed), claims)
        return [k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"]

    assert failed() == []
    for k, name in enumerate(SCORES):
        assert failed(**{name: 0.8}) == [k + 1]
    for claim, place in ((0, 0), (5, 1), (6, 2), (7, 3)):
        right = [1.0, 1.0, 1.0, 0.0]
        right[place] = 0.5
        assert failed(right=right) == [claim]
    assert failed(even=0.35) == [8]
