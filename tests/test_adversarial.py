"""Attacks on one model, against closed forms, an independent search, and their laws; and training on them."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis import optimised_attack, vulnerability
from superpos.analysis.adversarial import squared_error
from superpos.experiments import Claims
from superpos.experiments.adversarial import (
    evaluate_vulnerability,
    exponents,
    removed_at,
    superposition_by_attack_norm,
    vulnerability_by_density,
)
from superpos.theory import analytic_attack, linear_vulnerability, silent_cost, whole_cost
from superpos.theory.polytopes import polygon, simplex

TOY = {"n_features": 6, "n_hidden": 3, "feature_probability": 0.4}
SHORT = sp.TrainConfig(steps=20, batch_size=32, history=2, evaluation_samples=32)


def model(rng, n=6, m=3, activation="relu"):
    W, b = rng.normal(size=(m, n)) / np.sqrt(m), 0.1 * rng.normal(size=n)
    return sp.ToyModel(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32), activation=activation)


def inputs(rng, n=6, batch=40):
    return jnp.asarray(rng.uniform(size=(n, batch)) * (rng.uniform(size=(n, batch)) < 0.4), jnp.float32)


def test_squared_vulnerability_is_features_per_dimension_at_unit_norm(rng):
    W = rng.normal(size=(4, 9))
    W /= np.linalg.norm(W, axis=0)
    assert_allclose(linear_vulnerability(W) ** 2, 1 / sp.feature_dimensionality(W), rtol=1e-5)
    assert_allclose(linear_vulnerability(polygon(5).T) ** 2, 5 / 2, rtol=1e-5)
    assert_allclose(linear_vulnerability(1.3 * polygon(5).T) ** 2, 1.3**4 * 5 / 2, rtol=1e-5)  # ‖W_i‖⁴ / D_i


@pytest.mark.parametrize(
    ("vertices", "silent", "whole"),
    [
        (simplex(2), 2, 4),
        (simplex(3), 3 / 2, 9 / 4),
        (simplex(4), 4 / 3, 16 / 9),
        (polygon(5), 5 * np.cos(np.pi / 5) ** 2, 25 / 4),
        (polygon(6), 9 / 2, 9),  # of opposite outputs one is off: half of the square
    ],
)
def test_the_cost_of_the_worst_attack_on_a_shape(vertices, silent, whole, rng):
    """Closed forms of single shapes; sums of shapes cost what the worst of them does; the fourth power of the norm."""
    W = 1.2 * np.linalg.qr(rng.normal(size=(len(vertices.T), len(vertices.T))))[0] @ vertices.T
    assert silent_cost(W) == pytest.approx(1.2**4 * silent, rel=1e-6)
    assert whole_cost(W) == pytest.approx(1.2**4 * whole, rel=1e-6)
    both = np.block([[W, np.zeros((len(W), 1))], [np.zeros((1, W.shape[1])), np.ones((1, 1))]])
    assert silent_cost(both) == pytest.approx(silent_cost(W), rel=1e-6)


def test_laws_of_costs(rng):
    """A search at random finds nothing worse; with every feature's opposite there it is half of the whole, exactly."""
    W = rng.normal(size=(3, 6))
    attacks = rng.normal(size=(6, 20_000))
    found = np.maximum(W.T @ (W @ (attacks / np.linalg.norm(attacks, axis=0))), 0)
    assert 0.9 * silent_cost(W) < np.max(np.sum(found**2, axis=0)) <= silent_cost(W) <= whole_cost(W)
    assert silent_cost(np.concatenate([W, -W], axis=1)) == pytest.approx(
        whole_cost(np.concatenate([W, -W], axis=1)) / 2
    )
    assert whole_cost(W) >= (np.sum(W**2) / 3) ** 2


@pytest.mark.slow
def test_the_cost_in_silence_is_what_the_optimised_attack_finds():
    """Of a pentagon without bias, on inputs of zeros."""
    net, x = sp.ToyModel(jnp.asarray(polygon(5).T, jnp.float32), None), jnp.zeros((5, 1), jnp.float32)
    harm = squared_error(net(x + optimised_attack(net, x, 0.2)), x) / 0.2**2
    assert_allclose(harm, silent_cost(polygon(5).T), rtol=1e-3)


def table_of(power):
    """Two seeds whose vulnerability is a power of features per dimension."""
    crowd = np.array([[1.0, 1.1], [2, 2.2], [4, 4.4], [6, 6.6]])
    over = ("feature_probability", "seed")
    both = crowd[:, :, None] ** power * np.array([1, 1.01])
    columns = {"whole": (over, crowd**2), "law": (over, 0 * crowd)}
    columns |= {"features_per_dimension": (over, crowd), "vulnerability": ((*over, "attack"), both)}
    columns |= {"without": ((*over, "attack"), np.ones_like(both))}
    where = {"feature_probability": [1, 0.5, 0.2, 0.1], "seed": [0, 1], "attack": ["analytic", "optimised"]}
    return xr.Dataset(columns, where)


@pytest.mark.parametrize(
    ("power", "fails"),
    [(1.5, []), (0.9, ["faster", "pairs"]), (2.2, ["faster", "pairs"]), (0.5, ["rises", "faster", "pairs"])],
)
def test_claims_about_vulnerability_can_fail(power, fails):
    claims = Claims("a paper")
    evaluate_vulnerability(table_of(power), claims)
    assert len(claims.failed) == len(fails)
    assert all(word in claim.statement for word, claim in zip(fails, claims.failed, strict=True))
    np.testing.assert_allclose(exponents(table_of(power), "analytic"), power)


def test_identities_of_attacks_are_checked():
    for change in ({"law": 1.0}, {"whole": 0.1}, {"without": 1.1}):
        claims = Claims("a paper")
        table = table_of(1.5)
        evaluate_vulnerability(table.assign({n: table[n] * 0 + v for n, v in change.items()}), claims)
        assert [claim.verdict for claim in claims.failed] == ["identity VIOLATED"]


def test_the_analytic_attack_is_the_worst_of_all_candidates(rng):
    """A search by NumPy that knows nothing of shifts: every direction, both signs, every example."""
    net, x = model(rng), np.asarray(inputs(rng), np.float64)
    W, b = np.asarray(net.W[...], np.float64), np.asarray(net.b[...], np.float64)
    found = np.asarray(analytic_attack(net, jnp.asarray(x, jnp.float32), 0.3, squared_error))
    assert_allclose(np.linalg.norm(found, axis=0), 0.3, rtol=1e-5)

    def loss(column, change):
        return np.sum((np.maximum(W.T @ (W @ (column + change)) + b, 0) - column) ** 2)

    rows = W.T @ W
    candidates = [sign * 0.3 * row / np.linalg.norm(row) for row in rows for sign in (1, -1)]
    for k, column in enumerate(x.T):
        assert loss(column, found[:, k]) == pytest.approx(max(loss(column, c) for c in candidates), rel=1e-5)


def test_without_superposition_the_vulnerability_is_one():
    features = sp.FeatureDistribution(n_features=6, feature_probability=0.3)
    W, b = jnp.eye(3, 6), jnp.where(jnp.arange(6) < 3, 0, 0.15)
    for attack in ("analytic", "optimised"):
        assert vulnerability(sp.ToyModel(W, b), features, attack=attack) == pytest.approx(1, rel=1e-3)


def test_the_ascent_finds_the_largest_eigenvalue_of_a_linear_model(rng):
    """At x = 0 and b = 0 the harm is ‖WᵀWδ‖², at most ε² times the square of the largest eigenvalue of WᵀW."""
    W = jnp.asarray(rng.normal(size=(3, 6)), jnp.float32)
    net = sp.ToyModel(W, None, activation="identity")
    x = jnp.zeros((6, 4), jnp.float32)
    found = optimised_attack(net, x, 0.2)
    best = (0.2 * np.linalg.eigvalsh(W.T @ W)[-1]) ** 2
    assert_allclose(squared_error(net(x + found), x), best, rtol=1e-3)
    assert np.all(np.asarray(squared_error(net(x + analytic_attack(net, x, 0.2, squared_error)), x)) <= best * 1.001)


def test_the_optimised_attack_is_inside_the_ball_and_never_weaker(rng):
    net, x = model(rng), inputs(rng)
    weak, strong = analytic_attack(net, x, 0.3, squared_error), optimised_attack(net, x, 0.3)
    assert float(jnp.linalg.norm(strong, axis=0).max()) <= 0.3 * (1 + 1e-5)
    harm = [squared_error(net(x + d), x) for d in (weak, strong)]
    assert bool(jnp.all(harm[1] >= harm[0])) and float(jnp.mean(harm[1])) > 1.001 * float(jnp.mean(harm[0]))


def test_a_model_of_nothing_cannot_be_attacked():
    net = sp.ToyModel(jnp.zeros((2, 4)), jnp.full(4, 0.1))
    features = sp.FeatureDistribution(n_features=4, feature_probability=0.3)
    assert vulnerability(net, features, attack="optimised") == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_no_gradient_flows_through_the_attack(rng):
    task = sp.tasks.AdversarialToy(**TOY, attack_norm=0.3, importance=0.8 ** np.arange(6)).broadcast()
    net, key = model(rng), jax.random.key(1)
    x = task.features.sample(key, 50)
    norm = 0.3 * jnp.mean(jnp.linalg.norm(x, axis=0))

    def of_examples(outputs, x):
        return jnp.mean(task.importance[:, None] * (outputs - x) ** 2, axis=0)

    fixed = analytic_attack(net, x, norm, of_examples)
    want_loss, want = jax.value_and_grad(lambda n: jnp.mean(of_examples(n(x + fixed), x)))(net)
    loss, gradient = jax.value_and_grad(lambda n: task.loss(n, key, 50)[0])(net)
    assert float(loss) == pytest.approx(float(want_loss), rel=1e-5)
    assert_allclose(gradient.W[...], want.W[...], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_training_without_attack_is_training_the_toy_and_the_loss_is_reported_without_it():
    plain = sp.train(sp.tasks.Toy(**TOY, loss_exponent=4), SHORT)
    none = sp.train(sp.tasks.AdversarialToy(**TOY, loss_exponent=4, attack_norm=0.0), SHORT)
    assert_allclose(none.model.W[...], plain.model.W[...], rtol=1e-4, atol=1e-6)
    assert float(none.loss) == pytest.approx(float(plain.loss), rel=1e-4)
    task = sp.tasks.AdversarialToy(**TOY, loss_exponent=4, attack_norm=0.5, hidden_l1=0.1)
    assert task.evaluation_task() == sp.tasks.Toy(**TOY, loss_exponent=4)
    attacked = sp.train(task, SHORT)
    assert np.abs(attacked.model.W[...] - plain.model.W[...]).max() > 1e-3
    assert float(attacked.history.loss[0]) > 1.05 * float(plain.history.loss[0])


@pytest.mark.slow
def test_attacked_training_is_swept_stored_opened_and_described(tmp_path):
    task = sp.tasks.AdversarialToy(**TOY, magnitude="constant")
    result = sp.sweep(task, SHORT, sp.Grid(attack_norm=[0.0, 0.6], seed=[0]), tmp_path / "r.zarr", block_size=2)
    again = sp.open(tmp_path / "r.zarr")
    assert isinstance(again.task(attack_norm=0.6), sp.tasks.AdversarialToy)
    assert not np.array_equal(*result["W"].values[:, 0])
    assert "attack norm relative to the inputs' swept" in sp.plot.caption(result.attrs)


def test_plots_of_attacks_show_what_they_are_given():
    p, values = [1.0, 0.1], [[1.0, 4.0], [1.5, 6.0]]
    crowd = xr.DataArray([1.0, 3.0], coords={"feature_probability": p})
    found = xr.DataArray(values, coords={"attack": ["analytic", "optimised"], "feature_probability": p})
    ax = vulnerability_by_density(found, crowd)
    assert [list(line.get_ydata()) for line in ax.lines[1:]] == [*values, [1.0, 3.0]]
    assert list(ax.lines[1].get_xdata()) == [1, 10]
    trained = xr.DataArray([[3.0, 2.0], [1.0, 0.0]], coords={"attack_norm": [0.0, 0.8], "seed": [0, 1]})
    _, ax = plt.subplots()
    line = superposition_by_attack_norm(trained, ax, label="mean").lines[-1]
    assert list(line.get_xdata()) == [0, 80] and list(line.get_ydata()) == [2.5, 0.5]
    assert removed_at(trained.mean("seed")) == 0.8 and removed_at(trained.sel(seed=1) + 2) == np.inf


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: sp.tasks.AdversarialToy(**TOY, attack_norm=-0.1).check(), "attack_norm must be at least 0"),
        (lambda: sp.tasks.AdversarialToy(**TOY, attack_norm=[0.1, 0.2]).check(), "attack_norm must be one number"),
        (lambda: sp.tasks.AdversarialToy(**TOY, objective="expected").check(), 'objective must be "sampled"'),
        (lambda: vulnerability(sp.ToyModel(np.ones((1, 2), np.float32)), sp.FeatureDistribution(n_features=3)), "2"),
        (lambda: vulnerability(None, sp.FeatureDistribution(n_features=3), attack="fgsm"), "attack must be one of"),
        (lambda: vulnerability(None, sp.FeatureDistribution(n_features=3), relative_norm=0.0), "relative_norm"),
    ],
    ids=range(6),
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_attacks_are_refused_by_name(attempt, words):
    with pytest.raises(sp.ConfigError) as error:
        attempt()
    assert words in str(error.value)
