"""The figure of compressed computation taken apart: claims that fail where they should, and what is measured."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.analysis.decompositions import evaluation_inputs
from superpos.experiments import Claims, one_block
from superpos.experiments import decomposition_of_computation as experiment
from superpos.tasks.base import materialize

COEFFICIENTS = (1e-4, 3e-4, 1e-3)
SIZE = experiment.SIZES.laptop


def tables():
    """Of perfect decompositions: the best coefficient is the middle one."""
    dims, shape = ("source", "minimality_coefficient", "seed"), (2, 3, 5)
    numbers = {"mmcs": 1.0, "ml2r": 1.0, "live_first": 20.0, "live_second": 10.0, "second_error": 0.0, "together": 1.0}
    numbers |= {"always": 10.0, "relative": 0.01, "adversarial": 0.02, "without": 1.0, "one_each_alone": 1.0}
    numbers |= {
        "excited": 0.5,
        "neuron_cosine": 1.0,
        "neurons_read": 10.0,
        "objective": 0.4,
        "objective_block": 1.0,
        "objective_neurons": 0.6,
    }
    table = xr.Dataset(
        {name: (dims, np.full(shape, value)) for name, value in numbers.items()},
        {"source": [0, 1], "minimality_coefficient": list(COEFFICIENTS), "seed": np.arange(5)},
    )
    table["one_each_alone"][:, [0, 2]] = 0.0
    targets = xr.Dataset(
        {"response": (("seed", "feature", "input"), np.full((2, 20, 3), 0.5)), "relative": ("seed", [0.7, 0.8])},
        {"input": [-1.0, 0.0, 0.75]},
    )
    return targets, table, table.isel(source=0).assign(one_each_alone=0 * table["one_each_alone"].isel(source=0))


def failed(targets, table, controls, left=0.5):
    claims = Claims("")
    from_block = table.isel(source=0).assign(together=0 * table["together"].isel(source=0) + left)
    experiment.evaluate(targets, table, controls, from_block, SIZE, claims)
    assert len(claims.claims) == 8
    return [claims.claims.index(claim) for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    targets, table, controls = tables()
    assert experiment.best_coefficient(table) == 3e-4
    assert failed(targets, table, controls) == []
    assert failed(targets.assign(relative=targets["relative"] + 0.3), table, controls) == [0]
    assert failed(targets.assign(response=0.3 * targets["response"]), table, controls) == [0]
    few = (table["seed"] < 4) | (table["source"] == 0)
    assert failed(targets, table.assign(one_each_alone=table["one_each_alone"] * few), controls) == []  # 9 of 10
    few = table["seed"] < 4
    assert failed(targets, table.assign(one_each_alone=table["one_each_alone"] * few), controls) == [1]
    for name, factor, index in (("mmcs", 0.98, 2), ("ml2r", 1.1, 2), ("live_second", 2, 3), ("together", 0.5, 4)):
        assert failed(targets, table.assign({name: factor * table[name]}), controls) == [index]
    for name, factor in (("_neurons", 2), ("", 3), ("_block", 0.3)):
        assert failed(targets, table.assign({f"objective{name}": factor * table[f"objective{name}"]}), controls) == [5]
    assert failed(targets, table, controls, left=0.61) == [5]
    assert failed(targets, table.assign(relative=10 * table["relative"]), controls) == [6]
    assert failed(targets, table, controls.assign(one_each_alone=controls["one_each_alone"] + 1)) == [7]


def test_one_block_is_exact_and_costs_what_the_closed_form_says():
    """Importances 1 for every input make the block's part of the minimality loss m (1 + κ log₂(1 + N)), whatever p is."""
    n, m, inputs = 5, 3, 512
    network = sp.models.ResidualMLP(
        *(0.3 * np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(((m, 8), (8, m)))),
        n_features=n, n_residual=8,
    )  # fmt: skip
    settings = {"delta_component": True, "frequency_coefficient": 0.5, "frequency_inputs": 20.0, "p_norm": 1.5}
    settings |= {"magnitude": "signed_uniform", "feature_probability": 0.2, "minimality_coefficient": 1e-3}
    task = sp.tasks.NetworkDecomposition.of_model(network, n_subcomponents=9, **settings)
    start = {name: jnp.asarray(value, jnp.float32) for name, value in one_block.block_start(task).items()}
    model = sp.models.Decomposition(**start, reads="residual")
    x = evaluation_inputs(task, inputs)
    full, prices = materialize(task.broadcast()), one_block.objectives(task, model, inputs)
    terms = full.terms(model, x, jnp.full((2, 10, inputs), 0.25))
    assert float(terms.faithfulness) < 1e-12 and float(terms.stochastic) < 1e-6 * float(jnp.mean(jnp.square(x)))
    assert_allclose(model.importances(full.target, x)[1, :m], 1)
    block = 1e-3 * m * (1 + 0.5 * np.log2(21))
    assert_allclose(one_block.minimality(task, np.ones(m)), block, rtol=1e-6)
    of_functions = np.mean(np.where(x != 0, 1, 0), axis=1)
    functions = 1e-3 * float(np.sum(of_functions * (1 + 0.5 * np.log2(1 + 20 * of_functions))))
    assert prices.objective == pytest.approx(block + functions, rel=0.05)  # gates of small activities are not quite 1
    anything = float(np.any(np.asarray(x) != 0, axis=0).mean())
    assert_allclose(
        prices.objective_block, functions + 1e-3 * m * anything * (1 + 0.5 * np.log2(1 + 20 * anything)), rtol=1e-6
    )
    hidden = np.asarray(network.W_in[...]) @ np.asarray(network.embedding()) @ np.asarray(x)
    often = np.mean(hidden > 0, axis=1)
    neurons = 1e-3 * float(np.sum(often * (1 + 0.5 * np.log2(1 + 20 * often))))
    assert_allclose(prices.objective_neurons, functions + neurons, rtol=1e-6)
    for changed, message in (
        ({"gate": "shared"}, "gate must be mlp"),
        ({"n_subcomponents": 4}, "n_subcomponents must"),
    ):
        with pytest.raises(sp.ConfigError, match=message):
            one_block.block_start(replace(task, **changed))


def test_ticks_are_the_coefficients_that_were_trained():
    """Two that are less than a decade apart, as at full size: powers of ten would leave the axis without a number."""
    table = tables()[1].isel(minimality_coefficient=slice(2)).assign_coords(minimality_coefficient=[3e-6, 1.5e-5])
    ax = experiment.shares(table, table.isel(source=0))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3e−6", "1.5e−5"]
    assert_allclose(ax.get_xticks(), [3e-6, 1.5e-5])
    assert not len(ax.get_xticks(minor=True))


def test_what_the_paper_trains_is_its_own_size():
    """Batch 2,048, C = 100, p = 2 and faithfulness, as the docstring of the task has them; the network is the full size's."""
    full, published = experiment.SIZES.full, experiment.PUBLISHED
    assert experiment.build_targets(full)[:2] == experiment.build_targets(published)[:2]
    draw = np.random.default_rng(0).standard_normal
    network = sp.models.ResidualMLP(draw((50, 1_000)), draw((1_000, 50)), n_features=100, n_residual=1_000)
    task, config, _ = experiment._decompositions(published, network, 1, feature_probability=0.01)
    task.check()
    assert (task.n_subcomponents, task.p_norm, task.final_p_norm, task.faithfulness_coefficient) == (
        100,
        2.0,
        None,
        1.0,
    )
    assert (config.batch_size, config.learning_rate, config.steps) == (2_048, 2e-3, 30_000)
    task, config, _ = experiment._decompositions(full, network, 1, feature_probability=0.01)
    assert (task.n_subcomponents, task.final_p_norm, task.delta_component, config.batch_size) == (200, 1.0, True, 256)


@pytest.mark.slow
def test_a_quick_figure_is_measured_from_the_models_of_its_sweeps():
    size = experiment.SIZES.quick
    targets = sp.sweep(*experiment.build_targets(size), progress=False)
    task, config, grid = experiment.build(size, targets)
    task.check()
    assert set(grid.axes) == {"source", "minimality_coefficient", "seed"} and task.target_W.shape == (2, 3, 8)
    network = targets.isel(seed=0).model()
    control = experiment.build_controls(size, targets)[0]
    assert_array_equal(np.sort(np.ravel(control.target_W)), np.sort(np.ravel(network.W_in[...])))
    assert np.any(control.target_W != np.asarray(network.W_in[...]))
    assert_array_equal(np.asarray(network.W_in[...]), task.target_W[0])  # the network itself is as it was
    result = sp.sweep(task, config, grid, block_size=1, progress=False)
    table = experiment.measure(result, size.n_inputs)
    cell = result.isel(source=1, minimality_coefficient=0, seed=0)
    scores = sp.analysis.score_network_decomposition(cell.task(), cell.model(), n_inputs=size.n_inputs)
    measured = table.isel(source=1, minimality_coefficient=0, seed=0)
    assert float(measured["adversarial"]) == scores.adversarial and int(measured["live_first"]) == scores.live_first
    assert_allclose(float(measured["relative"]), scores.stochastic / scores.without)
    assert_allclose(materialize(cell.task()).target(jnp.eye(6)), targets.isel(seed=1).model()(jnp.eye(6)), rtol=1e-5)
    figure, caption = experiment.draw(result, table, table.isel(source=0), table.isel(source=0))
    assert len(figure.axes) == 4 and "parameters of 2 residual MLPs" in caption
