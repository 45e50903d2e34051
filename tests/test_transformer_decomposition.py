"""Transformers taken apart: against an independent twin in NumPy, by closed forms, and by the laws of sweeps."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from new_decompositions import model_of
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.models.decomposed_transformer import HEADS, MLP, DecomposedTransformer
from superpos.tasks.base import materialize
from superpos.tasks.trained_sequences import sequences, settings_of
from superpos.training.optimizers import named_leaves

LAYERS, H, D, E, M, VOCAB, P, C, NEURONS, N = 2, 2, 4, 2, 3, 5, 6, 3, 2, 3
TRAINED = sp.tasks.RepeatedTokens(
    d_vocab=VOCAB, n_positions=P, n_layers=LAYERS, n_heads=H, d_model=D, d_mlp=M, shortest_period=2, longest_period=3
)
SHAPES = {"W_E": (VOCAB, D), "W_pos": (P, D), "W_U": (D, VOCAB)}
SHAPES |= {**dict.fromkeys(("W_Q", "W_K", "W_V"), (LAYERS, H, D, E)), "W_O": (LAYERS, H, E, D)}
SHAPES |= {"W_in": (LAYERS, D, M), "W_out": (LAYERS, M, D), "b_in": (LAYERS, M), "b_out": (LAYERS, D)}
RNG = np.random.default_rng(7)
WEIGHTS = {name: 0.7 * RNG.standard_normal((2, *shape)) for name, shape in SHAPES.items()}
FIELDS = {f"target_{name}": value for name, value in WEIGHTS.items()}
FIELDS |= {"trained_on": settings_of(TRAINED), "positions": "queries_keys", "n_subcomponents": C, "source": 1}
FIELDS |= {"gate_neurons": NEURONS, "p_norm": 0.7, "minimality_coefficient": 0.2}
TASK = sp.tasks.TransformerDecomposition(**FIELDS)
PLACES = [(role, layer) for role in (*HEADS, *MLP) for layer in range(LAYERS)]


# --- the twin: one sequence, one position, one head at a time ----------------------------------------------------------


def twin_logits(tokens, act):
    """Logits of one sequence, where act(role, layer, head, position, a) is what a matrix makes of one position's vector."""
    w = {name: value[1] for name, value in WEIGHTS.items()}
    x = w["W_E"][tokens]
    for layer in range(LAYERS):
        added = np.zeros_like(x)
        for h in range(H):
            where = x + w["W_pos"][: len(x)]
            q, k = (np.stack([act(role, layer, h, i, a) for i, a in enumerate(where)]) for role in ("W_Q", "W_K"))
            v = np.stack([act("W_V", layer, h, i, a) for i, a in enumerate(x)])
            for i in range(len(x)):
                weights = np.exp([q[i] @ k[j] / np.sqrt(E) for j in range(i + 1)])
                z = weights / weights.sum() @ v[: i + 1]
                added[i] += act("W_O", layer, h, i, z)
        x = x + added
        post = np.stack([np.maximum(act("W_in", layer, 0, i, a) + w["b_in"][layer], 0) for i, a in enumerate(x)])
        x = x + np.stack([act("W_out", layer, 0, i, a) + w["b_out"][layer] for i, a in enumerate(post)])
    return x @ w["W_U"]


def matrix(role, layer, head):
    """A target's matrix that multiplies from the right."""
    W = WEIGHTS[role][1][layer]
    return W if role in MLP else W[head]


def parts(p, role, layer, head):
    """U (rows, C) and V (C, columns) of one matrix."""
    return tuple(p[f"{kind}_{role[2:]}"][layer, head] for kind in "UV")


def twin_gates(p, at, inner):
    """What the networks of one matrix say of one position, before the sigmoids."""
    raw = np.array(p["gate_out_bias"][at])
    for c in range(C):
        for j in range(NEURONS):
            shared = p["gate_in_bias"].ndim == 2
            a = p["gate_in"][at, j] @ inner if shared else p["gate_in"][at, c, j] * inner[c]
            a += p["gate_in_bias"][at, j] if shared else p["gate_in_bias"][at, c, j]
            raw[c] += p["gate_out"][at, c, j] * a * 0.5 * (1 + math.erf(a / math.sqrt(2)))
    return raw


def twin_terms(task, p, data, r):
    """The four losses; r is (matrix, masks, sequence and position)."""
    names = [(role, layer, h) for role, layer in PLACES for h in range(1 if role in MLP else H)]
    missing = [matrix(*name) - (parts(p, *name)[0] @ parts(p, *name)[1]).T for name in names]
    faithfulness = sum(np.sum(m**2) for m in missing) / sum(m.size for m in missing)
    tokens, weights = np.asarray(data.tokens), np.asarray(data.weights)
    errors, minimality = dict.fromkeys([None, *PLACES], 0.0), 0.0
    for s in range(N):
        mask, left = {}, {}

        def own(role, layer, head, i, a, s=s, mask=mask, left=left):
            at, (_, V) = names.index((role, layer, head)), parts(p, role, layer, head)
            raw, drawn = twin_gates(p, at, V @ a), r[at, :, s * P + i]
            lower = np.array([0.01 * g if g < 0 else min(g, 1) for g in raw])
            upper = np.array([min(max(g, 0), 1) if g <= 1 else 1 + 0.01 * (g - 1) for g in raw])
            mask[role, layer, head, i] = lower + (1 - lower) * drawn[:C], np.sum((upper + 1e-12) ** task.p_norm)
            left[role, layer, head, i] = drawn[C] if task.delta_component else 0.0
            return a @ matrix(role, layer, head)

        target = twin_logits(tokens[s], own)
        minimality += sum(cost for _, cost in mask.values()) / (N * P)
        for only in errors:

            def act(role, layer, head, i, a, only=only, mask=mask, left=left):
                W = matrix(role, layer, head)
                if only is not None and only != (role, layer):
                    return a @ W
                (U, V), (m, _), rest = (
                    parts(p, role, layer, head),
                    mask[role, layer, head, i],
                    left[role, layer, head, i],
                )
                return sum(m[c] * (V[c] @ a) * U[:, c] for c in range(C)) + rest * (a @ W - U @ (V @ a))

            masked = twin_logits(tokens[s], act)
            for i in range(P):
                one, other = (logits[i] - np.log(np.exp(logits[i]).sum()) for logits in (target, masked))
                errors[only] += weights[s, i] * np.sum(np.exp(one) * (one - other))
    whole = errors.pop(None)
    return np.array([faithfulness, whole, np.mean(list(errors.values())), minimality])


@pytest.mark.slow
@pytest.mark.parametrize("form", [{}, {"gate": "shared", "delta_component": True}], ids=["mlp", "shared, delta"])
def test_losses_are_those_of_the_twin(eager, form):
    task = materialize(dataclasses.replace(TASK, **form))
    model = model_of(task)
    data = sequences(TRAINED, jax.random.key(3), N)
    assert 0 < np.sum(np.asarray(data.weights) > 0) < N * P
    r = np.random.default_rng(4).random((LAYERS * (4 * H + 2), C + task.delta_component, N * P))
    parameters = {k: np.asarray(leaf) for k, leaf in named_leaves(model)}
    ours = np.array(task.terms(model, data, jnp.asarray(r)), float)
    assert_allclose(ours, twin_terms(task, parameters, data, r), rtol=1e-8)


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences_of_the_twin(eager):
    """Along directions that move all parameters at once."""
    task, coefficients = materialize(TASK), np.array([0.3, 1.0, 0.7, 0.2])
    model, data = model_of(task), sequences(TRAINED, jax.random.key(3), N)
    r = np.random.default_rng(4).random((LAYERS * (4 * H + 2), C, N * P))

    def loss(model):
        return jnp.dot(jnp.stack(task.terms(model, data, jnp.asarray(r))), coefficients)

    gradient = dict(named_leaves(jax.grad(loss)(model)))
    parameters = {k: np.asarray(leaf) for k, leaf in named_leaves(model)}
    for seed in range(2):
        rng, step = np.random.default_rng(seed), 1e-6
        direction = {k: rng.standard_normal(v.shape) for k, v in parameters.items()}
        ahead, behind = (
            coefficients @ twin_terms(task, {k: v + to * step * direction[k] for k, v in parameters.items()}, data, r)
            for to in (1, -1)
        )
        slope = sum(np.sum(gradient[k] * direction[k]) for k in parameters)
        assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6)


def exact(task, bias):
    """One subcomponent for every entry that a matrix reads, and networks that say the same importance everywhere."""
    target, U, V, count, n = task.target, {}, {}, 0, task.n_subcomponents
    for role in (*HEADS, *MLP):
        W = np.asarray(getattr(target, role)[...])
        W = W[:, None] if role in MLP else W
        layers, heads, columns, rows = W.shape
        U[role], V[role] = np.zeros((layers, heads, rows, n)), np.zeros((layers, heads, n, columns))
        U[role][..., :columns], V[role][..., :columns, :] = np.swapaxes(W, 2, 3), np.eye(columns)
        count += layers * heads
    zeros = np.zeros((count, n, NEURONS))
    return DecomposedTransformer(U, V, zeros, zeros, zeros, np.full((count, n), bias))


def test_closed_forms_of_an_exact_decomposition(eager):
    task = materialize(dataclasses.replace(TASK, n_subcomponents=D))
    data = sequences(TRAINED, jax.random.key(3), N)
    model = exact(task, 1.0)
    r = np.random.default_rng(4).random((len(model.names), D, N * P))
    unmasked = np.array(task.terms(model, data, jnp.asarray(r)), float)
    assert_allclose(unmasked, [0, 0, 0, D * LAYERS * (4 * H + 2)], atol=1e-10)
    assert model.names[:3] == ["W_Q 0.0", "W_Q 0.1", "W_Q 1.0"] and model.names[-1] == "W_out 1"
    assert_allclose(exact(task, 0.3).importances(task.target, data.tokens), 0.3)
    free = task.terms(
        exact(task, 0.0), data, jnp.zeros(r.shape)
    )  # nothing is left but the embedding, unembedding and biases
    x = WEIGHTS["W_E"][1][np.asarray(data.tokens)]
    target = np.stack(
        [twin_logits(tokens, lambda role, l, h, i, a: a @ matrix(role, l, h)) for tokens in np.asarray(data.tokens)]
    )
    for layer in range(LAYERS):
        x = x + WEIGHTS["b_out"][1][layer]
    p, q = (logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)) for logits in (target, x @ WEIGHTS["W_U"][1]))
    assert_allclose(free.stochastic, np.sum(np.asarray(data.weights)[..., None] * np.exp(p) * (p - q)), rtol=1e-10)


def test_sequences_are_those_that_are_scored():
    skip = sp.tasks.SkipTrigrams(n_sources=3, n_destinations=2, n_groups=2, length=4)
    lists = sp.tasks.ListFunction(function="reversed", length=3, d_vocab=4)
    modular = sp.tasks.ModularAddition(p=7, d_model=4, n_heads=1, d_mlp=4)
    for task, n_positions, n_scored, n_answers in ((skip, 5, 1, 9), (lists, 6, 3, 5), (modular, 3, 1, 7)):
        data = sequences(task, jax.random.key(0), 40)
        weights = np.asarray(data.weights)
        assert data.tokens.shape == (40, n_positions) and data.n_answers == n_answers
        assert_allclose(weights[:, -n_scored:], 1 / (40 * n_scored), rtol=1e-6)
        assert not weights[:, :-n_scored].any()
    assert (np.asarray(data.tokens)[:, 2] == 7).all() and set(np.unique(data.tokens[:, :2])) == set(range(7))
    assert dict(settings_of(skip)) == {
        "kind": "skip_trigrams",
        "n_sources": 3,
        "n_destinations": 2,
        "n_groups": 2,
        "length": 4,
    }


SHORT = sp.TrainConfig(steps=3, batch_size=4, evaluation_samples=4, history=1)


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_alone_has_the_same_bytes_and_sources_share_the_program():
    task = dataclasses.replace(TASK, source=0, final_p_norm=0.5, adversarial_coefficient=0.5)
    grid = sp.Grid(source=[0, 1], minimality_coefficient=[0.1, 0.2], seed=[0, 1])
    together = sp.sweep(task, SHORT, grid, block_size=2, progress=False)
    alone = sp.Grid(source=[1], minimality_coefficient=[0.2], seed=[1])
    alone = sp.sweep(task, SHORT, alone, block_size=2, progress=False)
    cell = together.sel(source=1, minimality_coefficient=0.2, seed=1)
    for leaf in ("U_Q", "V_O", "V_in", "U_out", "gate_in", "loss", "layerwise_history"):
        assert_array_equal(
            np.asarray(cell[leaf]), np.asarray(alone.isel(source=0, minimality_coefficient=0, seed=0)[leaf])
        )
    other = together.sel(source=0, minimality_coefficient=0.2, seed=1)
    assert np.any(np.asarray(other["U_Q"]) != np.asarray(cell["U_Q"]))
    assert together["V_Q"].dims[-4:] == ("layer", "head", "subcomponent", "residual")
    assert "matrices of 2 transformers trained on repeated tokens" in sp.plot.caption(together.attrs, "")
    scores = sp.analysis.score_transformer_decomposition(cell.task(), cell.model(), n_sequences=8)
    assert scores.matrices[0] == "W_Q 0.0" and np.isfinite(list(scores.scalars().values())).all()


@pytest.mark.slow
def test_scores_of_exact_decompositions():
    task = dataclasses.replace(TASK, n_subcomponents=D)
    kept = sp.analysis.score_transformer_decomposition(task, exact(materialize(task), 1.0), n_sequences=8)
    assert kept.live.tolist() == [D] * len(kept.matrices) and kept.at_once == D * len(kept.matrices)
    assert_allclose([kept.faithfulness, kept.stochastic, kept.rounded, kept.adversarial, kept.unmasked], 0, atol=1e-5)
    assert_allclose(kept.needed, 1) and kept.without > 0.01
    free = sp.analysis.score_transformer_decomposition(task, exact(materialize(task), 0.0), n_sequences=8)
    assert free.scalars()["live"] == 0 and free.rounded == pytest.approx(free.without)
    assert 0 < free.stochastic < free.adversarial and "live subcomponents 0 (none)" in repr(free)
    with pytest.raises(sp.ConfigError, match="task must be a TransformerDecomposition, got RepeatedTokens"):
        sp.analysis.score_transformer_decomposition(TRAINED, kept)
    with pytest.raises(sp.ConfigError, match="model must be a DecomposedTransformer with the shapes"):
        sp.analysis.score_transformer_decomposition(TASK, exact(materialize(task), 0.0))


@pytest.mark.slow
def test_of_model_takes_the_transformer_and_its_task():
    trained = sp.tasks.SkipTrigrams(n_sources=2, n_destinations=2, n_groups=1, d_model=4, d_head=2, n_heads=1, length=2)
    swept = sp.sweep(trained, SHORT, sp.Grid(seed=[0, 1]), progress=False)
    both = sp.tasks.TransformerDecomposition.of_model([swept.isel(seed=k) for k in (0, 1)], n_subcomponents=C, source=1)
    both.check()
    assert both.trained == trained
    tokens = jnp.array([0, 4, 2])
    assert_allclose(materialize(both).target(tokens), swept.isel(seed=1).model()(tokens), rtol=1e-6)
    for wrong, sentence in (
        ([], "got an empty list"),
        (3, "model must be a run or a result of one cell"),
        (sp.ToyModel(np.eye(2)), "model must be a run or a result of one cell"),
        (swept.isel(seed=0).model(), "model must be a run or a result of one cell"),
    ):
        with pytest.raises(sp.ConfigError, match=sentence):
            sp.tasks.TransformerDecomposition.of_model(wrong, n_subcomponents=C)


WRONG = {
    "n_subcomponents must be at least 1, got 0.": {"n_subcomponents": 0},
    "p_norm must be above 0 and at most 100, got 0.": {"p_norm": 0.0},
    "source must be below 2, the number of targets, got 2.": {"source": 2},
    "target_W_Q must be finite, got nan.": {"target_W_Q": WEIGHTS["W_Q"] * np.nan},
    "target_W_K must be given: a parameter of the transformer.": {"target_W_K": None},
    "target_W_U must have 2 axes, or one more of sources as target_W_E has, got shape (4, 5).": {
        "target_W_U": WEIGHTS["W_U"][0]
    },
    "target_W_in must have shape (2, 4, 3), that of its task's models, got None.": {"target_W_in": None, "target_W_out": None, "target_b_in": None, "target_b_out": None},
    "trained_on must be of a task that trains transformers, got toy.": {
        "trained_on": (("kind", "toy"), ("n_features", 2), ("n_hidden", 1))
    },
    "trained_on must be settings of a task as pairs, got 3.": {"trained_on": 3},
}  # fmt: skip


@pytest.mark.parametrize("sentence", WRONG)
def test_bad_input_is_one_sentence(sentence, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.tasks.TransformerDecomposition(**FIELDS | WRONG[sentence]).check()
    assert str(error.value) == sentence
