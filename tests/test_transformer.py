"""The transformer: an independent twin, its gradients, causality, and interventions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.models import Transformer, ablate
from superpos.training.optimizers import named_leaves

SIZES = {"d_vocab": 5, "n_positions": 7, "n_layers": 2, "n_heads": 2, "d_model": 6}
KINDS = {
    "attention only": {"positions": "queries_keys"},
    "mlp": {"d_mlp": 8},
    "normalised": {"d_mlp": 8, "bias": True, "layer_norm": True, "activation": "gelu", "positions": "queries_keys"},
}
TOKENS = np.array([3, 1, 4, 1, 0, 2])  # shorter than n_positions


def build(kind="attention only"):
    """Weights drawn by NumPy, larger than initial ones: heads attend to something, neurons bend."""
    shapes = jax.eval_shape(lambda key: Transformer.random(key, **SIZES, **KINDS[kind]), jax.random.key(0))
    rng, std = np.random.default_rng(0), 0.4 if kind == "mlp" else 0.8
    return jax.tree.map(lambda leaf: jnp.asarray(std * rng.standard_normal(leaf.shape), float), shapes)


def forward(w, tokens, kind):
    """The equations with loops over positions and heads, and nothing shared with the package."""
    options = KINDS[kind]

    def norm(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5) if options.get("layer_norm") else x

    def act(a):
        tanh = np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))
        return 0.5 * a * (1 + tanh) if options.get("activation") == "gelu" else np.maximum(a, 0)

    shortformer = options.get("positions") == "queries_keys"
    x = [w["W_E"][t] + (0 if shortformer else w["W_pos"][i]) for i, t in enumerate(tokens)]
    for layer in range(len(w["W_Q"])):
        y = [norm(row) for row in x]
        place = [row + (w["W_pos"][i] if shortformer else 0) for i, row in enumerate(y)]
        new = []
        for i in range(len(x)):
            out = x[i].copy()
            for h in range(w["W_Q"].shape[1]):
                q = place[i] @ w["W_Q"][layer, h]
                weights = np.exp([q @ (place[j] @ w["W_K"][layer, h]) / np.sqrt(len(q)) for j in range(i + 1)])
                value = sum(a * (y[j] @ w["W_V"][layer, h]) for j, a in enumerate(weights / weights.sum()))
                out += value @ w["W_O"][layer, h]
            if "W_in" in w:
                pre = norm(out) @ w["W_in"][layer] + (w["b_in"][layer] if "b_in" in w else 0)
                out = out + act(pre) @ w["W_out"][layer] + (w["b_out"][layer] if "b_out" in w else 0)
            new.append(out)
        x = new
    return np.array([norm(row) @ w["W_U"] for row in x])


def weights(model):
    return {name: np.asarray(leaf, np.float64) for name, leaf in named_leaves(model)}


@pytest.mark.parametrize("kind", KINDS)
def test_model_is_the_formula(kind):
    model = build(kind)
    assert_allclose(model(TOKENS), forward(weights(model), TOKENS, kind), rtol=1e-5, atol=1e-5)


def test_gradients_are_finite_differences(x64, rng):
    kind, target = "normalised", np.array([1, 4, 1, 0, 2, 3])  # which has all there is
    model = build(kind)

    def loss(model):
        return -jnp.mean(jax.nn.log_softmax(model(TOKENS))[jnp.arange(6), target])

    gradient = jax.jit(jax.grad(loss))(model)
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), model)
    step = 1e-5
    for name, _ in named_leaves(model):  # along a random direction in each parameter
        moved = []
        for sign in (1, -1):
            w = weights(model)
            w[name] = w[name] + sign * step * np.asarray(getattr(direction, name)[...])
            logits = forward(w, TOKENS, kind)
            moved.append(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(6), target]))
        wanted = (moved[0] - moved[1]) / (2 * step)
        found = float(jnp.sum(getattr(gradient, name)[...] * getattr(direction, name)[...]))
        assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_token_changes_no_earlier_logit(kind):
    run = build(kind)
    for k in range(1, 6):
        other = TOKENS.copy()
        other[k] = (other[k] + 1) % 5
        a, b = run(TOKENS), run(other)
        assert_array_equal(a[:k], b[:k])
        assert np.abs(a[k:] - b[k:]).min(axis=1).max() > 1e-4  # and it does change its own


@pytest.mark.parametrize("kind", KINDS)
def test_last_only_is_the_last_row(kind):
    model = build(kind)
    last, cache = model.run_with_cache(TOKENS, last_only=True)
    assert_allclose(last, model(TOKENS)[-1], rtol=1e-5, atol=1e-5)
    assert cache["blocks.1.attn.q"].shape == (2, 1, 3) and cache["blocks.0.attn.q"].shape == (2, 6, 3)


@pytest.mark.parametrize("kind", ["attention only", "mlp"])
def test_putting_back_what_was_there_changes_nothing(kind):
    model = build(kind)
    logits, cache = model.run_with_cache(TOKENS)
    assert tuple(cache) == model.activations
    for name, value in cache.items():
        assert_array_equal(model(TOKENS, {name: value}), logits)


def test_every_activation_matters():
    model = build("mlp")
    logits, other = model(TOKENS), model.run_with_cache(TOKENS[::-1].copy())[1]
    for name, value in other.items():
        if name != "pos_embed":
            assert np.abs(model(TOKENS, {name: value}) - logits).max() > 1e-3, name


def test_without_heads_only_the_direct_path_is_left():
    model = build()
    off = {f"blocks.{layer}.attn.z": ablate(slice(None)) for layer in range(2)}
    w = weights(model)
    assert_allclose(model(TOKENS, off), w["W_E"][TOKENS] @ w["W_U"], rtol=1e-5, atol=1e-5)


def test_ablating_a_head_takes_its_output_away():
    model = build()
    _, cache = model.run_with_cache(TOKENS)
    logits, without = model.run_with_cache(TOKENS, {"blocks.1.attn.z": ablate(1)})
    head = cache["blocks.1.attn.z"][1] @ model.W_O[1, 1]
    assert_allclose(without["blocks.1.attn_out"], cache["blocks.1.attn_out"] - head, rtol=1e-5, atol=1e-6)
    assert_allclose(logits, cache["logits"] - head @ model.W_U[...], rtol=1e-5, atol=1e-5)
    mean = cache["blocks.1.attn.z"].mean(1)
    _, other = model.run_with_cache(TOKENS, {"blocks.1.attn.z": ablate(jnp.array([0, 1]), to=mean[:, None])})
    assert_allclose(other["blocks.1.attn.z"], np.broadcast_to(mean[:, None], (2, 6, 3)), rtol=1e-6)


def test_bad_names_and_shapes_get_one_sentence():
    model = build()
    with pytest.raises(
        sp.ConfigError, match=r"no activation 'blocks.1.attn.hook_patern'. Did you mean blocks.1.attn.pattern\?"
    ):
        model(TOKENS, {"blocks.1.attn.hook_patern": ablate(0)})
    with pytest.raises(sp.ConfigError, match=r"blocks.0.attn.z must have shape \(2, 6, 3\), got \(2, 1, 3\)"):
        model(TOKENS, {"blocks.0.attn.z": jnp.zeros((2, 1, 3))})
    with pytest.raises(sp.ConfigError, match="tokens must be at most 7"):
        model(np.zeros(8, int))
    with pytest.raises(sp.ConfigError, match="positions must be one of"):
        Transformer.random(jax.random.key(0), **SIZES, bias=False, positions="sinusoid")
    with pytest.raises(sp.ConfigError, match="W_in and W_out"):
        Transformer(
            *(jnp.zeros(s) for s in ((5, 6), (7, 6), *[(1, 2, 6, 3)] * 3, (1, 2, 3, 6), (6, 5))),
            W_in=jnp.zeros((1, 6, 8)),
        )


def test_initial_weights_have_the_stated_deviation_and_are_independent():
    sizes = {"d_vocab": 128, "n_positions": 128, "n_layers": 2, "n_heads": 4, "d_model": 64, "d_mlp": 64, "bias": True}
    w = weights(jax.jit(lambda key, scale: Transformer.random(key, scale=scale, **sizes))(jax.random.key(1), 3.0))
    assert not w.pop("b_in").any() and not w.pop("b_out").any()
    for name, leaf in w.items():
        std = 3 * (128**-0.5 if name == "W_U" else 64**-0.5)
        assert abs(leaf.std() / std - 1) < 4 / np.sqrt(2 * leaf.size), name
    correlations = np.corrcoef([leaf.ravel() for leaf in w.values()]) - np.eye(len(w))
    assert np.abs(correlations).max() < 4 / np.sqrt(8_192)
