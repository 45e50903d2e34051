"""Parameters taken apart: against an independent twin in NumPy, by closed forms, and by the laws of sweeps."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from new_decompositions import model_of
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.analysis.decompositions import ONE_HOT
from superpos.models.decomposition import Decomposition, lower_leaky, upper_leaky
from superpos.tasks.base import materialize
from superpos.training.optimizers import named_leaves

N, M, C, NEURONS, BATCH = 4, 3, 5, 2, 7
RNG = np.random.default_rng(5)
W, B = RNG.standard_normal((2, M, N)), 0.3 * RNG.standard_normal((2, N))
TASK = sp.tasks.ParameterDecomposition(
    n_features=N, n_hidden=M, n_subcomponents=C, target_W=W, target_b=B, source=1, gate_neurons=NEURONS,
    feature_probability=0.5, minimality_coefficient=0.2, p_norm=0.7, faithfulness_coefficient=1.5,
    stochastic_coefficient=0.6, layerwise_coefficient=0.4,
)  # fmt: skip
FORMS = ({}, {"gate": "shared"}, {"tied": False, "identity_layers": 2})


def key(seed):
    """A key whose draws compile in no time."""
    return jax.random.key(seed, impl="unsafe_rbg")


# --- the twin: one input at a time, in loops ---------------------------------------------------------------------------


def twin_gelu(a):
    return a * 0.5 * (1 + math.erf(a / math.sqrt(2)))


def twin_gates(p, layer, inner, shared):
    """What the networks of one matrix say, before the sigmoids."""
    out = np.zeros(len(inner))
    for c in range(len(inner)):
        out[c] = p["gate_out_bias"][layer, c]
        for k in range(NEURONS):
            if shared:
                a = sum(p["gate_in"][layer, k, d] * inner[d] for d in range(len(inner))) + p["gate_in_bias"][layer, k]
            else:
                a = p["gate_in"][layer, c, k] * inner[c] + p["gate_in_bias"][layer, c, k]
            out[c] += p["gate_out"][layer, c, k] * twin_gelu(a)
    return out


def twin_terms(task, p, x, r):
    """The four losses, from parameters by name, inputs (feature, input) and uniform numbers (matrix, C, input)."""
    target, b = W[1], B[1]
    matrices = [target, *[np.eye(M)] * task.identity_layers, target.T]
    pairs = [(p["U"], p["V"])]
    pairs += [(p["U_hidden"][k], p["V_hidden"][k]) for k in range(task.identity_layers)]
    pairs += [(p["V"].T, p["U"].T) if task.tied else (p["U_out"], p["V_out"])]
    n, n_entries = len(matrices), sum(m.size for m in matrices)
    faithfulness = sum(np.sum((m - u @ v) ** 2) for m, (u, v) in zip(matrices, pairs, strict=True)) / n_entries
    stochastic = layerwise = minimality = 0.0
    for k in range(x.shape[1]):
        a, inputs = x[:, k], []
        for m in matrices:
            inputs.append(a)
            a = m @ a
        output = np.maximum(a + b, 0)
        gates = [twin_gates(p, l, pairs[l][1] @ inputs[l], task.gate == "shared") for l in range(n)]
        for raw in gates:
            upper = [min(max(g, 0), 1) if g <= 1 else 1 + 0.01 * (g - 1) for g in raw]
            minimality += sum((g + 1e-12) ** task.p_norm for g in upper) / x.shape[1]
        masks = []
        for l, raw in enumerate(gates):
            lower = np.array([0.01 * g if g < 0 else min(g, 1) for g in raw])
            masks.append(lower + (1 - lower) * r[l, :, k])
        for only in [None, *range(n)]:
            a = x[:, k]
            for l in range(n):
                masked = pairs[l][0] @ np.diag(masks[l]) @ pairs[l][1]
                a = (masked if only in (None, l) else matrices[l]) @ a
            error = np.mean((np.maximum(a + b, 0) - output) ** 2) / x.shape[1]
            if only is None:
                stochastic += error
            else:
                layerwise += error / n
    return np.array([faithfulness, stochastic, layerwise, minimality])


def inputs(task, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.random((N, BATCH)) * (rng.random((N, BATCH)) < 0.6)
    return x, rng.random((task.identity_layers + 2, C, BATCH))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_losses_are_those_of_the_twin(eager, form):
    task = materialize(dataclasses.replace(TASK, **form))
    model = model_of(task)
    x, r = inputs(task)
    parameters = {name: np.asarray(leaf) for name, leaf in named_leaves(model)}
    ours = np.array(task.terms(model, jnp.asarray(x), jnp.asarray(r)), float)
    assert_allclose(ours, twin_terms(task, parameters, x, r), rtol=1e-10)
    raw = np.asarray(model.gate(model.inner_activations(model.of_target(task.target, jnp.asarray(x)).inputs)))
    assert (raw < 0).any() and (raw > 1).any() and ((raw > 0) & (raw < 1)).any()  # every branch of the sigmoids


@pytest.mark.slow
def test_inputs_count_with_their_weights(eager):
    task = materialize(TASK)
    model = model_of(task)
    x, r = inputs(task)
    parameters = {name: np.asarray(leaf) for name, leaf in named_leaves(model)}
    weights = np.arange(1.0, BATCH + 1) / np.sum(np.arange(1.0, BATCH + 1))
    ours = np.array(task.terms(model, jnp.asarray(x), jnp.asarray(r), jnp.asarray(weights)), float)
    each = [twin_terms(task, parameters, x[:, [k]], r[:, :, [k]]) for k in range(BATCH)]
    assert_allclose(ours, weights @ np.stack(each), rtol=1e-10)


@pytest.mark.slow
def test_a_stratified_loss_has_the_same_mean_with_less_variance():
    keys, losses = jax.random.split(key(0), 512), []
    for stratified in (False, True):
        task = materialize(dataclasses.replace(TASK, feature_probability=0.05, stratified=stratified))
        model = exact(task, 0.3)
        losses.append(np.asarray(jax.jit(jax.vmap(lambda k: task.loss(model, k, 32)[0]))(keys)))  # noqa: B023
    (mean, variance), (stratified_mean, stratified_variance) = ((x.mean(), x.var()) for x in losses)
    assert abs(mean - stratified_mean) < 4 * np.sqrt((variance + stratified_variance) / 512)
    assert stratified_variance < variance / 3


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences_of_the_twin(eager):
    task = materialize(dataclasses.replace(TASK, identity_layers=1))
    model = model_of(task)
    x, r = inputs(task)
    weights = np.array([1.5, 0.6, 0.4, 0.2])

    def loss(model):
        return jnp.dot(jnp.stack(task.terms(model, jnp.asarray(x), jnp.asarray(r))), weights)

    gradient = dict(named_leaves(jax.grad(loss)(model)))
    parameters = {name: np.array(leaf) for name, leaf in named_leaves(model)}
    rng = np.random.default_rng(0)
    for name, values in parameters.items():
        at = tuple(rng.integers(size) for size in values.shape)
        difference, step = [], 1e-6
        for sign in (1, -1):
            moved = {k: v.copy() for k, v in parameters.items()}
            moved[name][at] += sign * step
            difference.append(weights @ twin_terms(task, moved, x, r))
        assert_allclose(gradient[name][at], (difference[0] - difference[1]) / (2 * step), rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_the_loss_is_the_weighted_sum_and_masks_do_not_share_the_draw_of_the_inputs(eager):
    task = materialize(TASK)
    model = model_of(task)
    loss, metrics = task.loss(model, key(1), 64)
    assert_allclose(loss, np.dot([1.5, 0.6, 0.4, 0.2], [float(v) for v in metrics.values()]), rtol=1e-12)
    assert list(metrics) == ["faithfulness", "stochastic", "layerwise", "minimality"]


def exact(task, importance):
    """The columns of W as subcomponents, and networks that say the same importance for every input."""
    target, n = np.asarray(materialize(task).target_W), task.identity_layers + 2
    V, U = np.zeros((C, N)), np.zeros((M, C))
    V[:N, :N], U[:, :N] = np.eye(N), target
    zeros = jnp.zeros((n, C, NEURONS))
    return Decomposition(jnp.asarray(V), jnp.asarray(U), zeros, zeros, zeros, jnp.full((n, C), importance))


def test_closed_forms_of_an_exact_decomposition(eager):
    task = materialize(TASK)
    x, r = (jnp.asarray(a) for a in inputs(task))
    terms = task.terms(exact(TASK, 1.0), x, r)  # nothing is masked
    assert_allclose(np.array(terms, float), [0, 0, 0, 2 * C], atol=1e-10)
    assert_allclose(float(task.terms(exact(TASK, 3.0), x, r).minimality), 2 * C * 1.02**0.7, rtol=1e-10)
    terms = task.terms(exact(TASK, -1.0), x, r)  # masks are r - .01 (1 - r)
    assert_allclose(float(terms.minimality), 2 * C * 1e-12**0.7, rtol=1e-10)
    masks = np.asarray(r) - 0.01 * (1 - np.asarray(r))
    W1, b = np.asarray(task.target_W), np.asarray(task.target_b)[:, None]
    clean = np.maximum(W1.T @ W1 @ x + b, 0)
    both = np.maximum(masks[1, :N] * (W1.T @ W1 @ (masks[0, :N] * x)) + b, 0)
    assert_allclose(float(terms.stochastic), np.mean((both - clean) ** 2), rtol=1e-10)
    assert float(terms.faithfulness) == 0


def test_sigmoids_leak_on_their_own_side_alone():
    a = jnp.array([-2.0, 0.0, 0.4, 1.0, 3.0])
    assert_allclose(lower_leaky(a), [-0.02, 0, 0.4, 1, 1], rtol=1e-6)
    assert_allclose(upper_leaky(a), [0, 0, 0.4, 1, 1.02], rtol=1e-6)


@pytest.mark.slow
def test_new_subcomponents_are_unit_reads_times_their_overlap_with_the_target(eager):
    task = materialize(dataclasses.replace(TASK, tied=False, identity_layers=1))
    model = task.init(key(2))
    for (U, V), matrix in zip(model.matrices, task.matrices, strict=True):
        assert_allclose(np.linalg.norm(V, axis=1), 1)
        overlaps = np.einsum("rc,rk,ck->c", U, matrix, V)  # that of a unit vector, times its length
        assert_allclose(overlaps, np.linalg.norm(U, axis=0) ** 2)


@pytest.mark.slow
def test_p_falls_linearly_to_its_end_from_where_it_is_told(eager):
    task = materialize(dataclasses.replace(TASK, p_norm=1.0, final_p_norm=0.5, anneal_from=0.5))
    model = task.init(key(0))

    def after(step):
        return float(task.after_step(model, model, None, None, None, step, 100)[0].exponent[...])

    assert [after(step) for step in (0, 49, 74, 99)] == [1.0, 1.0, 0.75, 0.5]
    x, r = (jnp.asarray(a) for a in inputs(task))
    squared = jax.tree.map(lambda leaf: leaf, model)
    squared.exponent[...] = jnp.asarray(2.0)
    again = dataclasses.replace(task, final_p_norm=None, p_norm=2.0)
    unannealed = jax.tree.map(lambda leaf: leaf, model)
    unannealed.exponent = None
    assert float(task.terms(squared, x, r).minimality) == float(again.terms(unannealed, x, r).minimality)
    assert float(jax.grad(lambda m: task.terms(m, x, r).minimality)(model).exponent[...]) == 0


# --- sweeps -----------------------------------------------------------------------------------------------------------

SHORT = sp.TrainConfig(steps=4, batch_size=16, evaluation_samples=8, history=2)


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("tied", [True, False])
def test_a_cell_alone_has_the_same_bytes_and_sources_share_the_program(tied):
    task = dataclasses.replace(TASK, source=0, final_p_norm=0.5, tied=tied)
    grid = sp.Grid(source=[0, 1], p_norm=[1.0, 2.0], seed=[0, 1])
    together = sp.sweep(task, SHORT, grid, block_size=2, progress=False)
    alone = sp.sweep(task, SHORT, sp.Grid(source=[1], p_norm=[2.0], seed=[1]), block_size=2, progress=False)
    cell = together.sel(source=1, p_norm=2.0, seed=1)
    for name in ("U", "V", *([] if tied else ["U_out"]), "gate_in", "gate_out_bias", "loss", "minimality_history"):
        assert_array_equal(np.asarray(cell[name]), np.asarray(alone[name]).squeeze())
    assert float(cell["exponent"]) == 0.5  # where p ends
    other = together.sel(source=0, p_norm=2.0, seed=1)
    assert np.any(np.asarray(other["U"]) != np.asarray(cell["U"]))
    assert together["V"].dims[-2:] == ("subcomponent", "feature")
    assert "parameters of 2 toy models" in sp.plot.caption(together.attrs, "")


def test_of_toy_and_of_model_take_the_target_and_its_inputs():
    toy = sp.tasks.Toy(n_features=N, n_hidden=M, feature_probability=0.2, magnitude="constant")
    one = sp.tasks.ParameterDecomposition.of_toy(toy, W[0], B[0], n_subcomponents=C)
    assert (one.feature_probability, one.magnitude, one.n_features) == (0.2, "constant", N)
    several = sp.tasks.ParameterDecomposition.of_toy(toy, W[:, None], B[:, None], n_subcomponents=C, source=1)
    assert several.target_W.shape == (2, M, N) and several.target_b.shape == (2, N)
    assert_array_equal(materialize(several).target_W, W[1].astype(np.float32))
    model = sp.ToyModel(W[0], B[0])
    of_model = sp.tasks.ParameterDecomposition.of_model(model, n_subcomponents=C, feature_probability=0.3)
    assert_array_equal(of_model.target_W, W[0])
    assert of_model.feature_probability == 0.3
    random = sp.tasks.ParameterDecomposition(n_features=N, n_hidden=M, n_subcomponents=C, source=7)
    assert_allclose(np.linalg.norm(materialize(random).target_W, axis=0), 1, rtol=1e-6)
    for task in (one, several, of_model, random):
        task.check()


FIELDS = {"n_features": N, "n_hidden": M, "n_subcomponents": C, "target_W": W[0]}
WRONG = {
    "n_subcomponents must be at least 1, got 0.": {"n_subcomponents": 0},
    "n_subcomponents must be a whole number, got None.": {"n_subcomponents": None},
    "target_W must be finite, got nan.": {"target_W": np.where(W[0] > 1, np.nan, W[0])},
    "target_W must have shape (n_hidden, n_features) = (3, 4), or several such, got (4, 3).": {"target_W": W[0].T},
    "target_b must have one number per feature of target_W, got shape (3,).": {"target_b": B[0][:3]},
    "target_b must be left out where target_W is: a random target has no bias.": {"target_W": None, "target_b": B[0]},
    "p_norm must be above 0 and at most 100, got 0.": {"p_norm": 0.0},
    "final_p_norm must be above 0 and at most 100, got -1.": {"final_p_norm": -1.0},
    "minimality_coefficient must be at least 0 and at most 1e+06, got -1.": {"minimality_coefficient": -1.0},
    "source must be below 1, the number of targets, got 1.": {"source": 1},
    "gate must be one of mlp, shared, got 'mpl'. Did you mean mlp?": {"gate": "mpl"},
    "identity_layers must be a whole number, got True.": {"identity_layers": True},
    "anneal_from must be at least 0 and below 1, got 1.": {"final_p_norm": 0.5, "anneal_from": 1.0},
    "stratified must be true or false, got 1.": {"stratified": 1},
    "correlated_sets must be left out where stratified is true: features are drawn independently there.": {
        "stratified": True,
        "correlated_sets": ((0, 1),),
    },
}


@pytest.mark.parametrize("sentence", WRONG)
def test_bad_input_is_one_sentence(sentence, unchecked):
    task = sp.tasks.ParameterDecomposition(**{**FIELDS, **WRONG[sentence]})
    with pytest.raises(sp.ConfigError) as error:
        sp.sweep(task, SHORT, sp.Grid(seed=[0]), progress=False)
    assert str(error.value) == sentence


def test_what_is_no_toy_model_is_refused():
    computation = sp.tasks.Computation(n_features=N, n_hidden=M)
    with pytest.raises(sp.ConfigError, match="toy must be of models with the hidden layer Wx"):
        sp.tasks.ParameterDecomposition.of_toy(computation, W[0], n_subcomponents=C)
    with pytest.raises(sp.ConfigError, match="model must be a ToyModel, a run or a result of one cell, got 3"):
        sp.tasks.ParameterDecomposition.of_model(3, n_subcomponents=C)


# --- scores -----------------------------------------------------------------------------------------------------------


def test_recovery_of_columns_split_and_shared():
    target = W[0]
    exact_match = sp.analysis.subcomponent_recovery(target, target, np.eye(N))
    assert_allclose(exact_match[:2], 1)
    assert_array_equal(exact_match.best, np.arange(N))
    halves = sp.analysis.subcomponent_recovery(target, np.hstack([target, target]) / 2, np.tile(np.eye(N), (2, 1)))
    assert_allclose(halves[:2], (1, 0.5))
    order, factor = np.array([2, 0, 3, 1]), np.array([-2.0, 3.0, 0.5, -1.0])  # signs and lengths move from U to V
    moved = sp.analysis.subcomponent_recovery(target, target[:, order] * factor, np.eye(N)[order] / factor[:, None])
    assert_allclose(moved[:2], 1)
    assert_array_equal(moved.best, np.argsort(order))
    pair = np.array([[1.0, -1.0], [0.5, -0.5]])  # one subcomponent for two opposite columns
    assert_allclose(sp.analysis.subcomponent_recovery(pair, pair[:, :1], [[1.0, -1.0]])[:2], 1)
    assert_allclose(sp.analysis.subcomponent_recovery(pair, pair[:, :1], [[1.0, 1.0]]).cosine, [1, -1])
    silent = sp.analysis.subcomponent_recovery(np.eye(2) * [1, 0], np.eye(2), np.eye(2))
    assert silent.mmcs == 1 and np.isnan(silent.cosine[1]) and silent.best[1] == -1
    chance = np.hstack([target * 1.01, 1e-3 * target]) + np.eye(M, 2 * N) * 1e-3, np.tile(np.eye(N), (2, 1))
    assert (sp.analysis.subcomponent_recovery(target, *chance).best < N).all()  # negligible ones do not count
    short = sp.analysis.subcomponent_recovery(np.eye(2) * [1, 0.4], np.eye(2), np.eye(2) * [1, -1], above=0.5)
    assert (short.mmcs, short.ml2r) == (1, 1)


def test_errors_of_importances_are_counted():
    g = np.eye(5, 3)[[4, 2, 0, 3, 1]]
    assert sp.analysis.identity_error(g) == 0 and sp.analysis.live_subcomponents(g) == 3
    g[0, 1], g[2, 0] = 0.3, 0.8  # one too much, one too little
    assert sp.analysis.identity_error(g) == 2
    assert sp.analysis.identity_error(g, tolerance=0.25) == 1
    assert sp.analysis.identity_error(np.zeros((5, 3))) == 3
    assert sp.analysis.dense_error(np.ones((3, 4)), 3) == 0
    assert sp.analysis.dense_error(np.ones((3, 4)), 2) == 4
    assert sp.analysis.dense_error(np.full((3, 4), 0.5), 2) == 2 + 4
    with pytest.raises(sp.ConfigError, match="at least as many subcomponents"):
        sp.analysis.identity_error(np.ones((2, 3)))


def test_agreement_is_that_of_the_matrices(rng):
    U, V = rng.standard_normal((3, 4)), rng.standard_normal((4, 6))
    order, factor = rng.permutation(4), np.array([2.0, -1.0, 0.3, -4.0])
    assert_allclose(sp.analysis.subcomponent_agreement(U, V, U[:, order] * factor, V[order] / factor[:, None]), 1)
    assert_allclose(sp.analysis.subcomponent_agreement(U, V, U[:, :2], V[:2]), 0.5)
    small = np.hstack([U, 1e-3 * rng.standard_normal((3, 2))]), np.vstack([V, rng.standard_normal((2, 6))])
    assert_allclose(sp.analysis.subcomponent_agreement(*small, U, V), 1)  # tiny ones do not count
    there = rng.standard_normal((3, 5)), rng.standard_normal((5, 6))
    ahead, back = sp.analysis.subcomponent_agreement(U, V, *there), sp.analysis.subcomponent_agreement(*there, U, V)
    assert_allclose(ahead, back)
    assert 0 <= ahead < 0.8


@pytest.mark.slow
def test_scores_of_an_exact_decomposition_and_masks_that_hurt(unchecked):
    task = dataclasses.replace(TASK, p_norm=1.0)
    kept = sp.analysis.score_decomposition(task, exact(task, 1.0), n_inputs=32)
    assert kept.mmcs > 0.9999 and abs(kept.ml2r - 1) < 1e-4
    assert (kept.stochastic, kept.adversarial) == (0, 0) and list(kept.live_by_matrix) == [C, C] and kept.live == C
    assert kept.importances.shape == (2, C, N) and (kept.importances == 1).all()
    assert kept.importance_error == 2 * (N * C - N)
    free = exact(task, 0.0)
    random = sp.analysis.adversarial_reconstruction(task, free, n_inputs=32, steps=0)
    worst = sp.analysis.adversarial_reconstruction(task, free, n_inputs=32)
    assert 0 < random < worst
    assert sp.analysis.score_decomposition(task, free, n_inputs=32).adversarial == worst
    assert "MMCS 1.0000" in repr(kept) and set(kept.scalars()) >= {"mmcs", "ml2r", "live", "adversarial"}
    assert ONE_HOT == 0.75
    with pytest.raises(sp.ConfigError, match="model must be a Decomposition of 3 matrices, with V of shape"):
        sp.analysis.score_decomposition(dataclasses.replace(task, identity_layers=1), free)


@pytest.mark.trained
@pytest.mark.slow
def test_two_antipodal_pairs_are_taken_apart_into_four_subcomponents():
    """Opposite columns lie on one line, so that one subcomponent could carry both; the method gives each its own."""
    target = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    task = sp.tasks.ParameterDecomposition(n_features=4, n_hidden=2, n_subcomponents=8, target_W=target)
    config = sp.TrainConfig(steps=5_000, batch_size=128, learning_rate=1e-2, evaluation_samples=1_024, history=5)
    result = sp.sweep(task, config, sp.Grid(seed=[0, 1]), block_size=1, progress=False)
    for seed in range(2):
        scores = sp.analysis.score_decomposition(task, result.sel(seed=seed).model(), n_inputs=512)
        assert scores.mmcs > 0.999 and scores.importance_error == 0 and scores.live == 4
