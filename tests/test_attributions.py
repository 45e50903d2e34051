"""Direct logit attribution: parts add up to the logits of a twin, and are what a head's absence would show directly."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from test_transformer import KINDS, TOKENS, build, forward, weights

import superpos as sp
from superpos.analysis import logit_attribution
from superpos.analysis.heads import fresh_sequences
from superpos.experiments import Claims
from superpos.experiments.logit_attribution import EFFECTS, effects, evaluate, previous_heads, rank_agreement

TARGETS = np.array([1, 4, 1, 0, 2, 3])


def right_logits(w, kind):
    """Logits of the targets less the mean of all, by the twin."""
    logits = forward(w, TOKENS, kind)
    return (logits - logits.mean(axis=1, keepdims=True))[np.arange(6), TARGETS]


@pytest.mark.parametrize("kind", ["mlp", pytest.param("normalised", marks=pytest.mark.slow)])
def test_parts_add_up_to_the_logits_of_a_twin(kind):
    model = build(kind)
    parts = jax.jit(logit_attribution)(model, TOKENS, TARGETS)
    assert_allclose(parts.total, right_logits(weights(model), kind), rtol=1e-5, atol=1e-5)
    assert parts.heads.shape == (2, 2, 6) and parts.mlps.shape == (2, 6)
    assert (np.abs(parts.position).max() == 0) == ("positions" in KINDS[kind])


def test_the_attribution_of_a_head_is_what_is_missing_without_it_if_no_layer_follows():
    w = weights(build())
    parts = jax.jit(logit_attribution)(build(), TOKENS, TARGETS)
    assert_allclose(parts.total, right_logits(w, "attention only"), rtol=1e-5, atol=1e-5)
    assert np.abs(parts.mlps).max() == 0 == np.abs(parts.position).max()
    for layer in range(2):
        until = {name: W[: layer + 1] if W.ndim == 4 else W for name, W in w.items()}
        for head in range(2):
            without = until | {"W_O": until["W_O"].copy()}
            without["W_O"][layer, head] = 0
            missing = right_logits(until, "attention only") - right_logits(without, "attention only")
            assert_allclose(parts.heads[layer, head], missing, rtol=1e-5, atol=1e-5)
    centred = w["W_U"] - w["W_U"].mean(axis=1, keepdims=True)
    assert_allclose(parts.embedding, np.sum(w["W_E"][TOKENS] * centred.T[TARGETS], axis=1), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def measured():
    """A random model of two layers on eight sequences."""
    task = sp.tasks.RepeatedTokens(
        d_vocab=6, n_positions=8, n_heads=2, d_model=8, shortest_period=3, longest_period=4, init_scale=1.5
    )
    model = jax.jit(task.init)(jax.random.key(1))
    data = fresh_sequences(task, 8)
    return SimpleNamespace(model=model, data=data, **{k: np.asarray(v) for k, v in effects(model, data).items()})


@pytest.mark.slow
def test_effects_are_what_the_model_says_without_a_head(measured):
    model, data = measured.model, jax.tree.map(np.asarray, measured.data)
    run = jax.jit(lambda model, tokens: jax.vmap(model)(tokens))

    def mean_logit(model):
        logits = np.asarray(run(model, data.tokens), float)
        logits -= logits.mean(axis=-1, keepdims=True)
        right = np.take_along_axis(logits[:, :-1], data.tokens[:, 1:, None], -1)[..., 0]
        return right[data.scored[:, :-1]].mean()

    assert measured.logit == pytest.approx(mean_logit(model), abs=1e-5) and measured.error < 1e-4
    for layer, head in ((0, 1), (1, 0)):
        without = jax.tree.map(lambda leaf: leaf, model)
        without.W_O = model.W_O[...].at[layer, head].set(0)
        fallen = measured.logit - mean_logit(without)
        assert measured.effect[layer, head, EFFECTS.index("zero")] == pytest.approx(fallen, abs=1e-5)
    last = measured.effect[1]
    assert_allclose(last[:, EFFECTS.index("zero")], measured.direct[1], atol=1e-5)  # nothing follows
    assert_allclose(last[:, EFFECTS.index("patterns kept")], measured.direct[1], atol=1e-5)
    assert np.abs(measured.effect[0, :, 0] - measured.direct[0]).max() > 0.01  # something follows


@pytest.mark.parametrize(
    ("tokens", "targets", "sentence"),
    [
        (TOKENS, TARGETS + 2, "targets must be .* 4"),
        (TOKENS, -TARGETS, "targets must be"),
        (TOKENS + 2, TARGETS, "tokens must be"),
        (np.zeros(8, int), np.zeros(8, int), "tokens must be at most 7"),
    ],
)
def test_wrong_tokens_are_refused_in_one_sentence(tokens, targets, sentence):
    model = build()
    with pytest.raises(sp.ConfigError, match=sentence) as caught:
        logit_attribution(model, tokens, targets)
    assert "\n" not in str(caught.value)


def table(n=8):
    """A table as of `measure`: an induction circuit whose attribution misses the head of layer 0."""
    rng = np.random.default_rng(0)
    direct = np.tile([[0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]], (n, 1, 1)) + 0.01 * rng.standard_normal((n, 2, 4))
    effect = np.repeat(direct[..., None], 3, axis=-1)
    effect[:, 0, 0, :2] = 9.0 + 0.1 * rng.standard_normal((n, 2))
    previous = np.zeros((n, 2, 4))
    previous[:, 0, 0] = 0.6
    heads = ("seed", "layer", "head")
    variables = {"direct": (heads, direct), "previous_token": (heads, previous)}
    variables |= {"logit": (("seed",), np.full(n, 10.0)), "error": (("seed",), np.full(n, 1e-6))}
    return xr.Dataset(
        variables | {"effect": ((*heads, "without"), effect)}, {"seed": range(n), "without": list(EFFECTS)}
    )


def test_agreement_is_the_correlation_of_ranks():
    small = table(1).isel(seed=[0])
    ranks = rank_agreement(small)
    direct, effect = small["direct"].values.ravel(), small["effect"].sel(without="zero").values.ravel()
    d = np.argsort(np.argsort(direct)) - np.argsort(np.argsort(effect))
    assert float(ranks.sel(without="zero")[0]) == pytest.approx(1 - 6 * np.sum(d**2) / (8 * 63))
    assert float(ranks.sel(without="patterns kept")[0]) == 1 == float(rank_agreement(small, -1).sel(without="zero")[0])
    assert float(previous_heads(small)["direct"][0]) == pytest.approx(0.1, abs=0.05)


def test_each_claim_can_fail():
    def failed(change):
        changed, claims = table(), Claims("test")
        change(changed)
        evaluate(changed, claims)
        return [k for k, claim in enumerate(claims.claims) if claim.verdict in ("FAIL", "identity VIOLATED")]

    def set_to(name, index, value):
        def change(changed):
            changed[name].values[index] = value

        return change

    one = (slice(None), 0, 0)
    assert failed(lambda changed: None) == []
    assert failed(set_to("error", slice(None), 0.1)) == [0]
    assert failed(set_to("effect", (0, 1, 0, 0), 9.0)) == [1]
    assert 2 in failed(set_to("direct", one, 2.5))
    assert 3 in failed(set_to("effect", (*one, 0), 4.5)) and 4 not in failed(set_to("effect", (*one, 0), 4.5))
    assert failed(set_to("effect", (slice(None), 0, 1, slice(0, 3, 2)), 11.0)) == [4]
    assert failed(set_to("effect", (*one, 2), 5.0)) == [5]
    assert failed(set_to("effect", (slice(None), 1, slice(None), 1), [4.0, 3.0, 2.0, 1.0])) == [7]
    assert failed(set_to("effect", (slice(None), 0, slice(1, 3), 2), 0.01)) == [6]
    assert 8 in failed(set_to("effect", (*one, 0), 0.1))
