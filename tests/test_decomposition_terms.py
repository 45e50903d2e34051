"""What is left out as one more part, and the price of being needed often: against a twin in NumPy, by laws, in sweeps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.tasks.base import materialize
from superpos.training.optimizers import named_leaves

N, M, C, BATCH = 4, 3, 5, 6
RNG = np.random.default_rng(8)
W, B = RNG.standard_normal((M, N)), 0.3 * RNG.standard_normal(N)
TASK = sp.tasks.ParameterDecomposition(
    n_features=N, n_hidden=M, n_subcomponents=C, target_W=W, target_b=B, gate_neurons=2, feature_probability=0.5,
    delta_component=True, frequency_coefficient=0.4, frequency_inputs=30.0, p_norm=0.7, faithfulness_coefficient=0.0,
)  # fmt: skip
WEIGHTS = np.arange(1.0, BATCH + 1) / np.sum(np.arange(1.0, BATCH + 1))


def setting(**changes):
    """Task, a model with importances between 0 and 1 and beyond, inputs, and uniform numbers, those of the rest last."""
    task = materialize(dataclasses.replace(TASK, **changes))
    rng = np.random.default_rng(1)
    leaves, structure = jax.tree.flatten(task.init(jax.random.key(0, impl="unsafe_rbg")))
    model = jax.tree.unflatten(structure, [leaf + 0.5 * rng.standard_normal(leaf.shape) for leaf in leaves])
    x = rng.random((N, BATCH)) * (rng.random((N, BATCH)) < 0.7)
    return task, model, jnp.asarray(x), jnp.asarray(rng.random((2 + task.identity_layers, C + 1, BATCH)))


def twin(task, model, x, r):
    """Stochastic and layerwise errors and minimality, with every masked matrix written out for every input."""
    x, r = np.asarray(x), np.asarray(r)
    matrices = [W, *[np.eye(M)] * task.identity_layers, W.T]
    pairs = [(np.asarray(U), np.asarray(V)) for U, V in model.matrices]
    inner = model.inner_activations(model.of_target(task.target, jnp.asarray(x)).inputs)
    gates = np.asarray(model.gate(inner))  # held against a twin in test_parameter_decomposition
    g = np.where(gates < 0, 0.01 * gates, np.minimum(gates, 1))
    stochastic = layerwise = 0.0
    for k in range(x.shape[1]):
        masked = []
        for l, (U, V) in enumerate(pairs):
            masks = g[l, :, k] + (1 - g[l, :, k]) * r[l, :C, k]
            masked.append(U @ np.diag(masks) @ V + r[l, C, k] * (matrices[l] - U @ V))
        for only in (None, *range(len(matrices))):
            a = x[:, k]
            clean = np.maximum(W.T @ W @ a + B, 0)
            for l, matrix in enumerate(matrices):
                a = (masked[l] if only in (None, l) else matrix) @ a
            error = WEIGHTS[k] * np.mean((np.maximum(a + B, 0) - clean) ** 2)
            stochastic, layerwise = stochastic + error * (only is None), layerwise + error * (only is not None)
    upper = np.where(gates > 1, 1 + 0.01 * (gates - 1), np.clip(gates, 0, 1))
    means = (upper + 1e-12) ** float(task.p_norm) @ WEIGHTS
    frequency = means * np.log2(1 + float(task.frequency_inputs) * means)
    return stochastic, layerwise / len(matrices), np.sum(means + float(task.frequency_coefficient) * frequency)


@pytest.mark.parametrize("layers", [0, 2])
def test_terms_are_those_of_the_twin(eager, layers):
    task, model, x, r = setting(identity_layers=layers)
    terms = task.terms(model, x, r, jnp.asarray(WEIGHTS))
    assert_allclose(np.array(terms[1:], float), twin(task, model, x, r), rtol=1e-10)
    no_step = dataclasses.replace(task, adversarial_steps=0)  # the masks of the adversary are the same
    assert_allclose(no_step.adversarial_error(model, x, r, jnp.asarray(WEIGHTS)), terms.stochastic, rtol=1e-12)


def test_what_is_left_out_counts_at_mask_one_and_is_missing_at_zero(eager):
    task, model, x, r = setting()
    whole = task.terms(model, x, jnp.ones_like(r))  # the target itself, however bad the subcomponents are
    assert_allclose([float(whole.stochastic), float(whole.layerwise)], 0, atol=1e-20)
    without = dataclasses.replace(task, delta_component=False)
    plain = without.terms(model, x, r[:, :C])
    assert_allclose(task.terms(model, x, r.at[:, C].set(0.0)).stochastic, plain.stochastic, rtol=1e-12)
    assert float(plain.faithfulness) > 0.1 and float(plain.stochastic) > 0.01


def test_one_subcomponent_needed_twice_as_often_costs_more_than_two_if_frequency_counts(eager):
    cost = {}
    for coefficient in (None, 1.0):
        task, model, x, r = setting(frequency_coefficient=coefficient, frequency_inputs=20.0, p_norm=1.0)
        model.gate_out[...] = 0 * model.gate_out[...]
        for needed in ([0.1, 0.0], [0.05, 0.05]):  # by every input, so that these are the means
            model.gate_out_bias[...] = jnp.broadcast_to(jnp.asarray([*needed, *[0.0] * (C - 2)]), (2, C))
            cost[coefficient, needed[1] > 0] = float(task.terms(model, x, r).minimality)
    assert_allclose(cost[None, False], cost[None, True], rtol=1e-8)
    assert_allclose(cost[1.0, False] / cost[1.0, True], (1 + np.log2(3)) / (1 + np.log2(2)), rtol=1e-8)


@pytest.mark.slow
def test_a_nonnegative_start_reads_no_two_features_with_opposite_signs(eager):
    for form in ({}, {"tied": False, "identity_layers": 1}):
        task, *_ = setting(**form)
        usual = task.init(jax.random.key(3, impl="unsafe_rbg"))
        start = dataclasses.replace(task, nonnegative_start=True).init(jax.random.key(3, impl="unsafe_rbg"))
        U, V = np.asarray(start.U[...]), np.asarray(start.V[...])
        assert (np.asarray(usual.V[...]) < 0).any()
        assert_array_equal(V, np.abs(np.asarray(usual.V[...])))
        assert_allclose(np.einsum("rc,rk,ck->c", U, W, V), np.linalg.norm(U, axis=0) ** 2, rtol=1e-6)
        other = dict(named_leaves(usual))
        for name, leaf in named_leaves(start):
            assert name in ("U", "V") or np.array_equal(np.asarray(leaf), np.asarray(other[name])), name


SHORT = sp.TrainConfig(steps=3, batch_size=8, evaluation_samples=8, history=3)


@pytest.mark.slow
def test_options_are_swept_and_a_cell_alone_has_the_same_bytes():
    task = dataclasses.replace(TASK, stratified=True, adversarial_coefficient=0.5, nonnegative_start=True)
    grid = sp.Grid(frequency_coefficient=[0.0, 0.5], frequency_inputs=[4.0, 20.0])
    together = sp.sweep(task, SHORT, grid, block_size=2, progress=False)
    one = sp.Grid(frequency_coefficient=[0.5], frequency_inputs=[4.0])
    alone = sp.sweep(task, SHORT, one, block_size=2, progress=False)
    cell = together.sel(frequency_coefficient=0.5, frequency_inputs=4.0)
    for name in ("U", "V", "gate_in", "loss", "minimality_history"):
        assert np.isfinite(np.asarray(cell[name])).all()
        assert_array_equal(np.asarray(cell[name]), np.asarray(alone[name]).squeeze())
    assert np.any(
        np.asarray(cell["U"]) != np.asarray(together.sel(frequency_coefficient=0.0, frequency_inputs=4.0)["U"])
    )
    caption = sp.plot.caption(together.attrs, "")
    assert "delta component" in caption and "V ≥ 0 at the start" in caption
    scores = sp.analysis.score_decomposition(cell.task(), cell.model(), n_inputs=16)
    assert scores.faithfulness > 0 and np.isfinite(list(scores.scalars().values())).all()


@pytest.mark.slow
def test_networks_have_a_delta_component_too(eager):
    rng = np.random.default_rng(2)
    task = sp.tasks.NetworkDecomposition(
        n_features=N, n_hidden=M, n_subcomponents=C, gate_neurons=2, feature_probability=0.5, delta_component=True,
        target_W=rng.standard_normal((M, N)), target_W_out=rng.standard_normal((N, M)), frequency_coefficient=1.0,
    )  # fmt: skip
    task = materialize(task)
    model = task.init(jax.random.key(0, impl="unsafe_rbg"))
    x = jnp.asarray(rng.random((N, BATCH)))
    whole = task.terms(model, x, jnp.ones((2, C + 1, BATCH)))
    some = task.terms(model, x, jnp.ones((2, C + 1, BATCH)).at[:, C].set(0.5))
    assert_allclose([float(whole.stochastic), float(whole.layerwise)], 0, atol=1e-20)
    assert float(some.stochastic) > 1e-3 and float(some.layerwise) > 1e-3
    assert all(np.isfinite(float(v)) for v in task.loss(model, jax.random.key(1, impl="unsafe_rbg"), 8)[1].values())


WRONG = {
    "delta_component must be true or false, got 1.": {"delta_component": 1},
    "frequency_coefficient must be at least 0 and at most 1e+06, got -1.": {"frequency_coefficient": -1.0},
    "frequency_inputs must be above 0 and at most 1e+09, got 0.": {"frequency_inputs": 0.0},
    "nonnegative_start must be true or false, got None.": {"nonnegative_start": None},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_bad_input_is_one_sentence(sentence, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.sweep(dataclasses.replace(TASK, **WRONG[sentence]), SHORT, sp.Grid(seed=[0]), progress=False)
    assert str(error.value) == sentence


def test_the_number_of_inputs_is_refused_where_frequency_does_not_count(unchecked):
    task = dataclasses.replace(TASK, frequency_coefficient=None)
    with pytest.raises(sp.ConfigError, match="frequency_inputs.*frequency_coefficient is not set"):
        sp.sweep(task, SHORT, sp.Grid(frequency_inputs=[1.0, 2.0]), progress=False)
