"""Subtraction and multiplication are addition in another order: of tables, of written weights and of whole trainings."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.data.modular import as_addition, modular_table
from superpos.experiments import Claims
from superpos.experiments.modular_operations import (
    Size,
    evaluate,
    in_order,
    learned_at,
    ratio,
    strongest_neuron,
    written_accuracy,
)

OPERATIONS = ("addition", "subtraction", "multiplication")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("p", [3, 7, 23, 41])
def test_in_its_order_every_operation_is_addition(operation, p):
    a, b, c = as_addition(p, operation)
    n = len(a)
    assert n == p - (operation == "multiplication")
    numbers = np.arange(p)[operation == "multiplication" :]
    assert all(np.array_equal(np.sort(order), numbers) for order in (a, b, c))
    i, j = np.divmod(np.arange(n * n), n)
    np.testing.assert_array_equal(modular_table(p, operation)[2][a[i] * p + b[j]], c[(i + j) % n])


def test_six_written_neurons_do_all_three():
    assert [written_accuracy(11, operation) for operation in OPERATIONS] == [1, 1, 1]


@pytest.mark.slow
def test_subtraction_is_trained_as_addition_of_what_b_is_subtracted_from():
    """The same start with the numbers of b reversed, and the same pairs: every step is the same but for rounding."""
    p = 7
    subtract = sp.tasks.ModularMLP(p=p, n_hidden=12, train_fraction=0.5, operation="subtraction", init_scale=0.5)
    order = np.random.default_rng(0).permutation(p * p)
    a, b = np.divmod(order, p)
    add = replace(subtract, operation="addition", order=a * p + -b % p)
    subtract = replace(subtract, order=order)
    model = subtract.init(jax.random.key(2))
    turned = in_order(model, p, "subtraction")
    (loss, metrics), (other, others) = (
        jax.jit(task.broadcast().precompute().loss, static_argnums=2)(m, jax.random.key(0), 1)
        for task, m in ((subtract, model), (add, turned))
    )
    np.testing.assert_allclose([loss, *metrics.values()], [other, *others.values()], rtol=1e-5)
    gradient, expected = (
        jax.jit(jax.grad(lambda m, task=task: task.broadcast().precompute().loss(m, jax.random.key(0), 1)[0]))(m)
        for task, m in ((subtract, model), (add, turned))
    )
    for name in ("A", "B", "W_out"):
        np.testing.assert_allclose(
            getattr(in_order(gradient, p, "subtraction"), name), getattr(expected, name), atol=1e-6
        )


def test_when_it_is_learned():
    steps = np.array([10, 20, 30, 40])
    assert learned_at(steps, [0.1, 1, 0.98, 1]) == 40
    assert learned_at(steps, [1, 1, 1, 1]) == 10 and learned_at(steps, [0, 0.99, 1, 1]) == 20
    assert np.isnan(learned_at(steps, [1, 1, 1, 0.9]))


def table(times, **changed):
    n = 8
    rng = np.random.default_rng(0)
    names = ["addition", "subtraction"]
    columns = {"right": np.ones((2, n)), "single": np.ones((2, n)), "phase": np.ones((2, n)), "trig": np.ones((2, n))}
    columns["learned"] = 300 * np.array([[1], [times]]) * np.exp(0.1 * rng.standard_normal((2, n)))
    columns |= {name: np.broadcast_to(value, (2, n)).copy() for name, value in changed.items()}
    return xr.Dataset({name: (("operation", "seed"), values) for name, values in columns.items()}, {"operation": names})


def test_ratios_are_of_geometric_means_with_welchs_interval():
    data = table(1.2)
    times, low, high = ratio(data["learned"], "subtraction")
    logs = np.log(data["learned"].values)
    error = np.sqrt(logs.var(axis=1, ddof=1).sum() / 8)
    assert times == pytest.approx(np.exp(logs[1].mean() - logs[0].mean()))
    assert low < times < high and np.log(high / low) / 2 == pytest.approx(2.15 * error, rel=0.02)  # t of 13 to 14


def test_each_claim_can_fail():
    def failed(perceptrons, transformers):
        claims = Claims("test")
        evaluate(perceptrons, transformers, Size(p=5), claims)
        return [k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"]

    good, worse = table(1.0), table(1.0)
    for key in ("right", "trig"):
        worse[key][1] -= 0.1 + 0.05 * np.random.default_rng(1).random(8)
    assert failed(good, worse) == []
    assert failed(table(1.0, right=0.5), worse) == [1, 3] and failed(table(2.0), worse) == [5]
    assert failed(table(1.0, phase=0.5), worse) == failed(table(1.0, single=0.5), worse) == [2, 4]
    assert failed(good, good) == [6, 7] and failed(good, worse.assign(trig=good["trig"])) == [7]
    one = table(1.0).sel(operation=["subtraction"])  # a quick look has nothing to compare
    assert failed(one, one) == []


def test_a_neuron_is_drawn_in_both_orders():
    A, B, W_out = sp.theory.fourier_mlp(10, [1])
    order = as_addition(11, "multiplication").a
    full = [np.zeros((6, 11)), np.zeros((6, 11)), np.zeros((11, 6))]
    full[0][:, order], full[1][:, order], full[2][order] = A, B, W_out
    full[2][:, 0] *= 2  # the strongest
    ax = strongest_neuron(sp.models.PairMLP(*full), 11, "multiplication")
    numbers, powers = (line.get_xydata() for line in ax.lines)
    np.testing.assert_allclose(powers, np.stack([np.arange(10), A[0]], axis=1), atol=1e-6)
    np.testing.assert_allclose(numbers[:, 1], A[0][np.argsort(order)], atol=1e-6)


@pytest.mark.parametrize(
    ("p", "operation", "sentence"),
    [
        (9, "addition", "p must be an odd prime"),
        (7, "sum_of_squares", "operation must be one of addition, subtraction"),
    ],
)
def test_wrong_orders_are_refused(p, operation, sentence):
    with pytest.raises(sp.ConfigError, match=sentence):
        as_addition(p, operation)
