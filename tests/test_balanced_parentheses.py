"""Balanced parentheses: kinds of words, and what ablations and patches of a model's parts are."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.lists import all_lists
from superpos.experiments import Claims
from superpos.experiments.balanced_parentheses import (
    KINDS,
    LAYERS,
    PARTS,
    PATCHES,
    answers,
    evaluate,
    kinds_of,
    pairs_of,
    patched,
    unseen_words,
)

TASK = sp.tasks.ListFunction(
    function="balanced", d_vocab=2, length=6, n_layers=2, n_heads=2, d_model=8, d_mlp=8, init_scale=3.0
)


def test_kinds_are_those_of_the_definition():
    words = all_lists(6, 2)
    for word, kind in zip(words.tolist(), kinds_of(words), strict=True):
        depths = [sum(1 - 2 * t for t in word[: k + 1]) for k in range(6)]
        expected = "ends elsewhere" if depths[-1] else "dips" if min(depths) < 0 else "balanced"
        assert KINDS[kind] == expected
    assert np.bincount(kinds_of(words)).tolist() == [5, 44, 15]
    unseen = unseen_words(6, 0.25)
    assert 0 < len(unseen) < 32 and {tuple(w) for w in unseen.tolist()} < {tuple(w) for w in words.tolist()}


@pytest.fixture(scope="module")
def random():
    """A random model, words, what it computes of them, and its answer to one of them with activations replaced."""
    model, words = jax.jit(TASK.init)(jax.random.key(11)), all_lists(6, 2)[::3]
    tokens = np.column_stack([words, np.full(len(words), 2)])
    cache = jax.jit(jax.vmap(lambda t: model.run_with_cache(t)[1]))(tokens)
    answer = jax.jit(lambda t, edits: model(t, edits)[-1, :2].argmax())
    balanced = kinds_of(words) == 0
    said = [np.asarray(value) for value in answers(model, tokens, balanced)]
    return SimpleNamespace(model=model, tokens=tokens, cache=cache, answer=answer, balanced=balanced, said=said)


@pytest.mark.slow
def test_parts_are_replaced_one_at_a_time(random):
    said, attended = random.said
    assert said.shape == (7, 22) and attended.shape == (22, 2, 7) and random.balanced.sum() == 1
    np.testing.assert_allclose(attended, random.cache["blocks.1.attn.pattern"][:, :, -1], atol=1e-6)
    np.testing.assert_array_equal(said[0], random.cache["logits"][:, -1, :2].argmax(axis=1))
    even = np.broadcast_to(np.tril(np.ones((7, 7))) / np.arange(1, 8)[:, None], (2, 7, 7))
    mean = np.asarray(random.cache[PARTS["MLP 0"]])[random.balanced].mean(axis=0)
    for name, to in (("MLP 0", mean), ("choice 0", even)):
        expected = [random.answer(t, {PARTS[name]: to}) for t in random.tokens]
        np.testing.assert_array_equal(said[1 + list(PARTS).index(name)], expected)
    assert len({tuple(row) for row in said.tolist()}) > 3  # parts matter


@pytest.mark.slow
def test_patches_move_what_attention_writes_at_the_end(random):
    said = np.asarray(patched(random.model, random.tokens, np.roll(random.tokens, 5, axis=0)))
    written = np.asarray(random.cache[PARTS["attention 1"]])
    expected = []
    for token, itself, other in zip(random.tokens, written, np.roll(written, 5, axis=0), strict=True):
        to = np.concatenate([itself[:-1], other[-1:]])
        expected.append(random.answer(token, {PARTS["attention 1"]: to}))
    np.testing.assert_array_equal(said[LAYERS.index("layer 1")], expected)
    assert (said != random.said[0][0]).any(axis=1).all()  # every patch changes something
    np.testing.assert_array_equal(patched(random.model, random.tokens, random.tokens), [random.said[0][0]] * 3)


def table(n=8):
    """A table as of `measure`, of models whose layer 1 sees dips."""
    right = np.ones((n, 3, 7))
    right[:, 2, 1 + list(PARTS).index("attention 1")] = 0.1
    flipped = np.zeros((n, 3, 3))
    flipped[:, :, 1:] = 1
    flipped[:, 2, :2] = [0.3, 0.5]
    noise = 1e-3 * np.random.default_rng(0).standard_normal(n)
    return xr.Dataset(
        {
            "right": (("seed", "kind", "without"), right),
            "flipped": (("seed", "patch", "layers"), flipped + noise[:, None, None]),
            "below": (("seed", "head"), 0.8 + noise[:, None] * np.ones(2)),
        },
        {"kind": list(KINDS), "without": ["nothing", *PARTS], "patch": list(PATCHES), "layers": list(LAYERS)},
        {"below_even": 0.4, **dict.fromkeys(KINDS, 10)},
    )


def test_each_claim_can_fail():
    def failed(name, value, **at):
        changed, claims = table(), Claims("test")
        changed[name].loc[at] = value
        evaluate(changed, claims)
        return [k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"]

    assert failed("below", 0.8) == []
    assert failed("right", 0.9, kind="balanced", without="nothing") == [0]
    assert failed("right", 0.8, kind="dips", without="choice 0") == [1]
    assert failed("right", 0.6, kind="dips", without="attention 1") == [2]
    assert failed("below", 0.3) == [3]
    assert failed("flipped", 0.4, patch="balanced, of dips", layers="layer 1") == [4]
    assert failed("flipped", 0.6, patch="dips, of balanced", layers="layer 0") == [5]
    assert failed("flipped", 0.9, patch="ends elsewhere, of balanced", layers="layer 0") == [6]
    assert failed("flipped", 0.8, patch="ends elsewhere, of balanced", layers="both") == [6]


def test_pairs_are_of_the_two_kinds():
    kinds = kinds_of(all_lists(6, 2))
    for one, other in PATCHES.values():
        first, second = pairs_of(kinds, one, other)
        assert len(first) == len(second) == 5 * 15 == len(set(zip(first.tolist(), second.tolist(), strict=True)))
        assert set(kinds[first]) == {one} and set(kinds[second]) == {other}
