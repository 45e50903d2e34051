"""Masks that hurt as a term of the loss of a decomposition: against a twin in NumPy, by laws, and in sweeps."""

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
RNG = np.random.default_rng(5)
W, B = RNG.standard_normal((M, N)), 0.3 * RNG.standard_normal(N)
TASK = sp.tasks.ParameterDecomposition(
    n_features=N, n_hidden=M, n_subcomponents=C, target_W=W, target_b=B, gate_neurons=2, feature_probability=0.5,
    adversarial_coefficient=0.5, adversarial_steps=3, adversarial_step_size=0.3,
)  # fmt: skip
WEIGHTS = np.arange(1.0, BATCH + 1) / np.sum(np.arange(1.0, BATCH + 1))
MASKS = ("per_input", "shared")


def setting(masks="per_input", **changes):
    """Task, a model with importances between 0 and 1 and beyond, inputs, and where the adversary starts."""
    task = materialize(dataclasses.replace(TASK, adversarial_masks=masks, **changes))
    rng = np.random.default_rng(1)
    leaves, structure = jax.tree.flatten(task.init(jax.random.key(0, impl="unsafe_rbg")))
    model = jax.tree.unflatten(structure, [leaf + 0.5 * rng.standard_normal(leaf.shape) for leaf in leaves])
    x = rng.random((N, BATCH)) * (rng.random((N, BATCH)) < 0.7)
    r = rng.random((2 + task.identity_layers, C, BATCH if masks == "per_input" else 1))
    return task, model, jnp.asarray(x), jnp.asarray(r)


def importances(task, model, x):
    """What masks see of the networks; they are held against a twin in test_parameter_decomposition."""
    gates = np.asarray(model.gate(model.inner_activations(model.of_target(task.target, x).inputs)))
    return np.where(gates < 0, 0.01 * gates, np.minimum(gates, 1))


def twin_error(parameters, x, g, r, weights):
    """The weighted squared error of tied subcomponents with masks g + (1 - g) r, as sums over matrices of rank one."""
    x, U, V = np.asarray(x), parameters["U"], parameters["V"]
    masks = g + (1 - g) * r
    first = np.einsum("cb,hc,cf->bhf", masks[0], U, V)
    last = np.einsum("cb,fc,ch->bfh", masks[1], V.T, U.T)
    output = np.maximum(np.einsum("bfh,bhk,kb->fb", last, first, x) + B[:, None], 0)
    return np.mean((output - np.maximum(W.T @ W @ x + B[:, None], 0)) ** 2, axis=0) @ weights


def twin_ascent(task, parameters, x, g, r):
    """r after the steps of the adversary, with finite differences for the gradient."""
    for _ in range(task.adversarial_steps):
        slope = np.zeros(r.shape)
        for at in np.ndindex(*r.shape):
            ends = []
            for sign in (1, -1):
                moved = r.copy()
                moved[at] += sign * 1e-6
                ends.append(twin_error(parameters, x, g, moved, WEIGHTS))
            slope[at] = ends[0] - ends[1]
        slope[abs(slope) < 1e-14] = 0  # what no input uses
        r = np.clip(r + float(task.adversarial_step_size) * np.sign(slope), 0, 1)
    return r


@pytest.mark.parametrize("masks", MASKS)
def test_the_adversary_climbs_as_the_twin_does(eager, masks):
    task, model, x, r = setting(masks)
    parameters, g = {k: np.asarray(v) for k, v in named_leaves(model)}, importances(task, model, x)
    assert (g == 1).any() and (g < 0).any() and ((g > 0) & (g < 1)).any()
    assert_allclose(
        task.adversarial_error(model, x, r, jnp.asarray(WEIGHTS)),
        twin_error(parameters, x, g, twin_ascent(task, parameters, x, g, np.asarray(r)), WEIGHTS),
        rtol=1e-10,
    )


@pytest.mark.parametrize("masks", MASKS)
def test_no_step_is_stochastic_reconstruction_of_the_same_draw(eager, masks):
    task, model, x, r = setting(masks, adversarial_steps=0, identity_layers=1)
    same = jnp.broadcast_to(r, (*r.shape[:2], BATCH))
    for weights in (None, jnp.asarray(WEIGHTS)):
        stochastic = task.terms(model, x, same, weights).stochastic
        assert_allclose(task.adversarial_error(model, x, r, weights), stochastic, rtol=1e-12)


def test_more_steps_hurt_more_and_an_adversary_of_one_mask_less(eager):
    reached = {}
    for masks in MASKS:
        errors = []
        for steps in (0, 2, 5, 12):
            task, model, x, r = setting(masks, adversarial_steps=steps, adversarial_step_size=0.1)
            errors.append(float(task.adversarial_error(model, x, r)))
        assert errors == sorted(errors) and errors[-1] > 1.2 * errors[0]
        reached[masks] = errors[-1]
    assert reached["shared"] < reached["per_input"]


def test_the_gradient_is_that_of_the_error_at_the_last_masks(eager):
    task, model, x, r = setting()
    parameters, g = {k: np.asarray(v) for k, v in named_leaves(model)}, importances(task, model, x)
    last = twin_ascent(task, parameters, x, g, np.asarray(r))
    gradient = dict(named_leaves(jax.grad(lambda m: task.adversarial_error(m, x, r, jnp.asarray(WEIGHTS)))(model)))
    direction = {name: np.random.default_rng(3).standard_normal(v.shape) for name, v in parameters.items()}
    ends = []
    for sign in (1, -1):
        moved = jax.tree.map(lambda leaf: leaf, model)
        for name, value in parameters.items():
            getattr(moved, name)[...] = jnp.asarray(value + sign * 1e-6 * direction[name])
        of_moved = {k: np.asarray(v) for k, v in named_leaves(moved)}
        ends.append(twin_error(of_moved, x, importances(task, moved, x), last, WEIGHTS))
    along = sum(np.sum(np.asarray(gradient[name]) * direction[name]) for name in parameters)
    assert_allclose(along, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)
    assert np.any(np.asarray(gradient["gate_out_bias"]))  # importances learn from it, too


@pytest.mark.slow
def test_the_loss_adds_the_term_and_reports_it(eager):
    task, model, _, _ = setting("shared", stratified=True)
    key = jax.random.key(1, impl="unsafe_rbg")
    loss, metrics = task.loss(model, key, 16)
    without, plain = dataclasses.replace(task, adversarial_coefficient=None).loss(model, key, 16)
    assert list(metrics) == [*plain, "adversarial"] and float(metrics["adversarial"]) > float(plain["stochastic"])
    assert_allclose(float(loss), float(without) + 0.5 * float(metrics["adversarial"]), rtol=1e-12)


SHORT = sp.TrainConfig(steps=3, batch_size=8, evaluation_samples=8, history=3)


@pytest.mark.slow
def test_coefficients_are_swept_and_a_cell_alone_has_the_same_bytes():
    grid = sp.Grid(adversarial_coefficient=[0.0, 0.5], adversarial_step_size=[0.1, 1.0])
    together = sp.sweep(TASK, SHORT, grid, block_size=2, progress=False)
    one = sp.Grid(adversarial_coefficient=[0.5], adversarial_step_size=[1.0])
    alone = sp.sweep(TASK, SHORT, one, block_size=2, progress=False)
    cell = together.sel(adversarial_coefficient=0.5, adversarial_step_size=1.0)
    for name in ("U", "V", "gate_in", "loss", "adversarial_history"):
        assert_array_equal(np.asarray(cell[name]), np.asarray(alone[name]).squeeze())
    off = together.sel(adversarial_coefficient=0.0)
    small, large = (np.asarray(off["U"].sel(adversarial_step_size=size)) for size in (0.1, 1.0))
    assert_array_equal(small, large)
    assert np.any(np.asarray(cell["U"]) != large)
    assert "adversarial steps 3" in sp.plot.caption(together.attrs, "")


WRONG = {
    "adversarial_coefficient must be at least 0 and at most 1e+06, got -1.": {"adversarial_coefficient": -1.0},
    "adversarial_step_size must be at least 0 and at most 1, got 2.": {"adversarial_step_size": 2.0},
    "adversarial_steps must be at least 0, got -1.": {"adversarial_steps": -1},
    "adversarial_masks must be one of per_input, shared, got 'share'. Did you mean shared?": {
        "adversarial_masks": "share"
    },
}


@pytest.mark.parametrize("sentence", WRONG)
def test_bad_input_is_one_sentence(sentence, unchecked):
    with pytest.raises(sp.ConfigError) as error:
        sp.sweep(dataclasses.replace(TASK, **WRONG[sentence]), SHORT, sp.Grid(seed=[0]), progress=False)
    assert str(error.value) == sentence


def test_settings_of_an_adversary_that_is_not_there_are_refused(unchecked):
    task = dataclasses.replace(TASK, adversarial_coefficient=None)
    with pytest.raises(sp.ConfigError, match="adversarial_step_size.*adversarial_coefficient is not set"):
        sp.sweep(task, SHORT, sp.Grid(adversarial_step_size=[0.1, 0.2]), progress=False)
