"""Laws of magnitudes: draws against moments and quadrature, and the expected loss against enumeration and samples."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, stats

import superpos as sp
from superpos.data import magnitudes
from superpos.landscapes.problem import problem_of
from superpos.theory.expectation import expected_errors

N = 100_000
LAWS = {
    "uniform": {"magnitude": "uniform", "magnitude_low": np.array([-1.0, 0.5, 2.0]), "magnitude_high": 2.5},
    "constant": {"magnitude": "constant", "magnitude_value": np.array([0.5, -2.0, 3.0])},
    "exponential": {"magnitude": "exponential", "magnitude_rate": np.array([0.5, 1.0, 4.0])},
    "folded_normal": {"magnitude": "folded_normal", "magnitude_mean": np.array([0.0, 1.0, -2.0]), "magnitude_std": 0.7},
    "discrete": {
        "magnitude": "discrete",
        "magnitude_values": np.array([[1.0, 2.0, -3.0], [0.5, 1.5, 2.5], [4.0, 1.0, 2.0]]),
        "magnitude_weights": np.array([0.5, 0.3, 0.2]),
    },
    "of_each": {
        "magnitude": ("folded_normal", "discrete", "uniform"),
        "magnitude_std": 2.0,
        "magnitude_values": np.array([1.0, 3.0]),
        "magnitude_high": 4.0,
    },
}


def features_of(n=3, p=0.4, **settings):
    return sp.FeatureDistribution(n_features=n, feature_probability=p, **settings)


@pytest.mark.parametrize("law", LAWS)
def test_draws_have_the_stated_moments_and_probabilities(law):
    features = features_of(**LAWS[law])
    features.check()
    x = np.asarray(jax.jit(lambda f: f.sample(jax.random.key(1), N))(features), np.float64)
    assert np.all(np.abs((x != 0).mean(1) - 0.4) < 4 * np.sqrt(0.24 / N))
    for order in (1, 2, 3):
        error = np.std(x**order, axis=1) / np.sqrt(N)
        assert np.all(np.abs(np.mean(x**order, axis=1) - np.asarray(features.moment(order))) < 4 * error + 1e-5)


@pytest.mark.parametrize("mean", [0.0, 0.8, -3.0])
def test_moments_of_the_folded_normal_are_integrals(mean):
    law = stats.norm(mean, 0.7)
    features = features_of(n=1, p=1.0, magnitude="folded_normal", magnitude_mean=mean, magnitude_std=0.7)
    for order in (1, 2, 3):
        expected = integrate.quad(lambda x, k=order: abs(x) ** k * law.pdf(x), -8, 8, points=[0])[0]
        assert_allclose(features.moment(order)[0], expected, rtol=1e-5)


@pytest.mark.slow
def test_numbers_of_the_usual_laws_give_the_usual_laws():
    v = jnp.linspace(0.001, 0.999, 300).reshape(3, 100)
    for law, numbers in magnitudes.NUMBERS.items():
        usual = {field: value for field, value in numbers.items() if value is not None}
        plain = features_of(magnitude=law, **({"magnitude_values": [1.0]} if law == "discrete" else {}))
        said = dataclasses.replace(plain, **usual)
        assert_allclose(magnitudes.drawn(said, v), magnitudes.drawn(plain, v), rtol=1e-6)
        for order in (1, 2, 3):
            assert_allclose(said.moment(order), plain.moment(order), rtol=1e-6, atol=1e-7)


def test_draws_are_paired_across_every_number_through_the_inverse_distribution_function():
    key = jax.random.key(4)
    v = np.asarray(features_of().sample(key, 2_000))  # uniform on [0, 1] where active
    active = v != 0

    def drawn(**settings):
        return np.asarray(features_of(**settings).sample(key, 2_000))[active]

    assert_allclose(drawn(magnitude_low=2.0, magnitude_high=5.0), 2 + 3 * v[active], rtol=1e-5)
    slow = drawn(magnitude="exponential", magnitude_rate=0.5)
    assert_allclose(slow, stats.expon(scale=2).ppf(v[active]), rtol=1e-3, atol=1e-5)
    normal = stats.norm(1.5, 0.3).ppf(v[active].astype(float))
    folded = drawn(magnitude="folded_normal", magnitude_mean=1.5, magnitude_std=0.3)
    assert_allclose(folded, np.abs(normal), atol=1e-4)
    two = drawn(magnitude="discrete", magnitude_values=[1.0, 2.0], magnitude_weights=[0.25, 0.75])
    assert_array_equal(two, np.where(v[active] < 0.25, 1, 2))


def _enumerated(W, b, p, values, weights):
    """E(x − ReLU(WᵀWx + b))² over every combination of inactive and values, in NumPy."""
    n = len(p)
    total = np.zeros(n)
    for state in itertools.product(range(values.shape[1] + 1), repeat=n):
        chance = np.prod([1 - p[i] if k == 0 else p[i] * weights[i, k - 1] for i, k in enumerate(state)])
        x = np.array([0.0 if k == 0 else values[i, k - 1] for i, k in enumerate(state)])
        total += chance * (x - np.maximum(W.T @ W @ x + b, 0)) ** 2
    return total


@pytest.mark.slow
def test_the_expected_loss_of_discrete_magnitudes_is_the_sum_over_all_inputs(x64):
    rng = np.random.default_rng(0)
    W, b, p = rng.normal(size=(2, 4)), rng.normal(size=4) * 0.2, np.array([0.9, 0.3, 0.1, 0.5])
    values = rng.normal(size=(4, 2)) + 1
    weights = rng.dirichlet([1, 1], 4)
    said = {"magnitude": "discrete", "magnitude_values": values, "magnitude_weights": weights}
    losses = sp.expected_loss(W, b, p, per_feature=True, order=2_048, **said)
    assert_allclose(losses, _enumerated(W, b, p, values, weights), rtol=2e-5)


@pytest.mark.slow
def test_the_expected_loss_of_intervals_is_an_integral(x64):
    """Two features, whose magnitudes are integrated by Gauss–Legendre on short pieces."""
    W, b, p = np.array([[1.1, -0.7]]), np.array([0.05, -0.1]), np.array([0.6, 0.3])
    low, high = np.array([0.5, -1.0]), np.array([2.0, 1.5])
    nodes, weights = np.polynomial.legendre.leggauss(4)
    pieces = np.arange(400)
    along = ((pieces[:, None] + (nodes + 1) / 2) / 400).ravel()
    share = np.tile(weights / 2 / 400, 400)
    G, expected = W.T @ W, np.zeros(2)
    for first, second in itertools.product((0, 1), repeat=2):
        chance = np.prod(np.where([first, second], p, 1 - p))
        u, v = np.meshgrid(*(low[:, None] + (high - low)[:, None] * along), indexing="ij")
        x = np.stack([first * u, second * v])
        error = (x - np.maximum(np.tensordot(G, x, 1) + b[:, None, None], 0)) ** 2
        expected += chance * np.einsum("nij,i,j->n", error, share, share)
    said = {"magnitude_low": low, "magnitude_high": high}
    assert_allclose(sp.expected_loss(W, b, p, per_feature=True, order=512, **said), expected, rtol=1e-6)


@pytest.mark.slow
def test_terms_of_an_interval_are_those_of_the_plain_laws_where_it_is_theirs():
    rng = np.random.default_rng(2)
    W, b = rng.normal(size=(2, 5)), rng.normal(size=5) * 0.1
    for law, ends in (("uniform", (0.0, 1.0)), ("signed_uniform", (-1.0, 1.0))):
        plain = sp.expected_loss(W, b, 0.2, per_feature=True, magnitude=law)
        said = sp.expected_loss(W, b, 0.2, per_feature=True, magnitude_low=ends[0], magnitude_high=ends[1])
        assert_allclose(said, plain, rtol=2e-4, atol=1e-7)
    narrow = sp.expected_loss(W, b, 0.2, per_feature=True, magnitude_low=0.7, magnitude_high=0.7001, order=512)
    value = sp.expected_loss(W, b, 0.2, per_feature=True, magnitude="constant", magnitude_value=0.7, order=512)
    assert_allclose(narrow, value, rtol=1e-3)


MIXED = {
    "magnitude": ("uniform", "discrete", "signed_uniform", "constant", "uniform"),
    "magnitude_low": 0.2,
    "magnitude_high": np.array([1.5, 1, 1, 1, 0.3]),
    "magnitude_values": [-1.0, 2.0],
    "magnitude_value": 0.7,
}
SETS = {"correlated_sets": ((1, 2),), "anticorrelated_sets": ((0, 4),)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "sets"),
    [
        (200_000, SETS),
        pytest.param(10_000_000, {}, marks=pytest.mark.long),
        pytest.param(10_000_000, SETS, marks=pytest.mark.long),
    ],
)
def test_the_expected_loss_is_that_of_samples_within_four_standard_errors(samples, sets):
    rng = np.random.default_rng(3)
    W, b, p = rng.normal(size=(2, 5)) * 0.7, rng.normal(size=5) * 0.15, np.array([0.3, 0.2, 0.2, 0.1, 0.4])
    features = features_of(5, p, **MIXED, **sets)
    features.check()
    expected = np.asarray(expected_errors(jnp.asarray(W), jnp.asarray(b), features, order=64), np.float64)
    G, batch = np.float32(W.T @ W), min(samples, 500_000)

    @jax.jit
    def sums(key):
        x = features.sample(key, batch)
        error = (x - jnp.maximum(jnp.dot(G, x, precision="highest") + jnp.asarray(b)[:, None], 0)) ** 2
        return error.mean(1), (error**2).mean(1)

    keys = [jax.random.fold_in(jax.random.key(5), k) for k in range(samples // batch)]
    mean, square = np.mean([[np.asarray(part, np.float64) for part in sums(key)] for key in keys], axis=0)
    assert np.all(np.abs(mean - expected) < 4 * np.sqrt((square - mean**2) / samples))


@pytest.mark.slow
def test_a_task_trains_on_the_expected_loss_of_its_magnitudes():
    task = sp.tasks.WorldToy(
        n_features=2, n_hidden=1, world=None, feature_probability=0.1, objective="expected", magnitude="discrete",
        magnitude_values=[1.0, 2.0],
    )  # fmt: skip
    assert task.terms == 128 and dataclasses.replace(task, order=16).terms == 16
    run = sp.train(task, sp.TrainConfig(steps=200), seed=0)
    W, b = np.asarray(run.model.W, float), np.asarray(run.model.b, float)
    values = np.array([[1.0, 2.0]] * 2)
    expected = _enumerated(W, b, np.full(2, 0.1), values, np.full((2, 2), 0.5)).mean()
    assert_allclose(run.loss, expected, rtol=2e-3)
    assert run.loss < 0.6 * 0.1 * 2.5  # of one feature and more, E x² = 0.25


@pytest.mark.parametrize("law", ["exponential", "folded_normal"])
def test_laws_without_a_largest_magnitude_have_an_expected_loss_of_linear_models_alone(law):
    task = sp.tasks.WorldToy(n_features=3, n_hidden=2, world=None, magnitude=law, objective="expected")
    with pytest.raises(sp.ConfigError, match=r"magnitude must be one of uniform, signed_uniform .*or discrete"):
        task.check()
    dataclasses.replace(task, activation="identity").check()
    dataclasses.replace(task, objective="auto").check()


def test_tasks_without_numbers_of_laws_name_the_laws_that_they_know():
    with pytest.raises(sp.ConfigError, match="magnitude must be one of uniform, signed_uniform, constant, exponential"):
        sp.tasks.Toy(n_features=3, n_hidden=2, magnitude="folded_normal").check()
    task = sp.tasks.WorldToy(n_features=3, n_hidden=2, world=None, magnitude_high=2.0)
    with pytest.raises(sp.ConfigError, match="without numbers of its own for a landscape"):
        problem_of(task)
