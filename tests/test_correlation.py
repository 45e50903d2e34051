"""The Gaussian copula with any correlation matrix, and together with trees: laws, oracles and draws."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal, norm
from test_hierarchy import co_activation, jaxpr_lines, sample

import superpos as sp
from superpos.data import correlation, dependence

N = 100_000
P = np.array([0.6, 0.3, 0.25, 0.2, 0.1, 0.6, 0.15])
PARENTS = (-1, 0, 0, 1, 1, -1, 5)


def _loadings():
    F = np.random.default_rng(0).normal(size=(7, 2))
    return F / np.linalg.norm(F, axis=1, keepdims=True) * np.linspace(0.5, 0.9, 7)[:, None]


F = _loadings()
R = F @ F.T + np.diag(1 - np.sum(F**2, axis=1))
PLAIN = sp.FeatureDistribution(n_features=7, feature_probability=P)
FACTOR = dataclasses.replace(PLAIN, correlation_factor=F)
MATRIX = dataclasses.replace(PLAIN, correlation_matrix=R)
TREE = dataclasses.replace(FACTOR, parents=PARENTS)
EXCLUSIVE = dataclasses.replace(MATRIX, parents=PARENTS, exclusive_children=True)
SCALED = dataclasses.replace(
    EXCLUSIVE, scale_by_parent=True, magnitude="folded_normal", magnitude_mean=1.0, magnitude_std=0.5
)
ALL = {"factor": FACTOR, "matrix": MATRIX, "tree": TREE, "exclusive": EXCLUSIVE, "scaled": SCALED}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factor", slow("matrix"), slow("tree"), slow("exclusive"), "scaled"])
def test_marginals_pairs_and_moments_are_those_of_draws(name):
    features = ALL[name]
    features.check()
    x = np.asarray(sample(features, jax.random.key(1), batch_size=N), np.float64)
    on, both = (x != 0).astype(float), np.asarray(co_activation(features), np.float64)
    assert_allclose(np.diagonal(both), P, rtol=1e-6)
    error = np.sqrt(np.maximum(both * (1 - both), 0) / N)
    assert np.all(np.abs(on @ on.T / N - both) < 4.5 * error + 1e-7)  # 28 numbers
    second = np.asarray(jax.jit(sp.FeatureDistribution.second_moments)(features), np.float64)
    mean = x @ x.T / N
    spread = np.sqrt(np.maximum((x**2) @ (x**2).T / N - mean**2, 0) / N)
    assert np.all(np.abs(mean - second) < 4.5 * spread + 1e-7)
    cubes = x**3
    assert np.all(np.abs(cubes.mean(1) - np.asarray(features.moment(3))) < 4.5 * cubes.std(1) / np.sqrt(N))


def test_pairs_are_the_bivariate_normal_whatever_the_sign(x64):
    assert R.min() < -0.3
    both = np.asarray(co_activation(MATRIX))
    for i, j in ((0, 1), (2, 3), (4, 6), (1, 5), (0, 4)):
        expected = multivariate_normal.cdf(norm.ppf(P[[i, j]]), cov=[[1, R[i, j]], [R[i, j], 1]])
        assert both[i, j] == pytest.approx(expected, rel=1e-7)
    assert_allclose(co_activation(FACTOR), both, rtol=1e-12)


@pytest.mark.parametrize("r", [-0.999, -0.9, 0.9])
def test_pairs_of_rare_and_frequent_features_are_exact_in_single_precision_at_strong_correlations(r):
    p = np.array([0.01, 0.02, 0.5, 0.98])
    for i, j in ((0, 3), (1, 3), (0, 2), (2, 3)):
        matrix = np.array([[1.0, r], [r, 1.0]])
        both = co_activation(
            sp.FeatureDistribution(n_features=2, feature_probability=p[[i, j]], correlation_matrix=matrix)
        )
        expected = multivariate_normal.cdf(norm.ppf(p[[i, j]]), cov=matrix)
        assert both[0, 1] == pytest.approx(expected, rel=1e-3, abs=2e-6)


@pytest.mark.parametrize("r", [-0.99, -0.5, 0.0, 0.5, 0.99])
def test_pairs_at_one_half_are_sheppards(r, x64):
    matrix = np.array([[1.0, r], [r, 1.0]])
    both = co_activation(sp.FeatureDistribution(n_features=2, feature_probability=0.5, correlation_matrix=matrix))
    assert_allclose(both[0, 1], 1 / 4 + np.arcsin(r) / (2 * np.pi), rtol=1e-9)


@pytest.mark.slow
def test_one_factor_is_the_scalar_correlation_and_a_unit_matrix_is_independence():
    scalar = dataclasses.replace(PLAIN, correlation=0.4)
    factor = dataclasses.replace(PLAIN, correlation_factor=np.full((7, 1), np.sqrt(0.4)))
    key = jax.random.key(2)
    draws = [sample(features, key, batch_size=500) for features in (factor, scalar)]
    assert_allclose(*draws, rtol=1e-4, atol=1e-6)
    assert_allclose(co_activation(factor), co_activation(scalar), rtol=1e-5)
    apart = dataclasses.replace(PLAIN, correlation_matrix=np.eye(7))
    assert_allclose(co_activation(apart), co_activation(PLAIN), rtol=1e-5)


@pytest.mark.parametrize("exclusive", [False, True])
def test_what_is_left_of_a_variable_is_its_regression_on_those_that_decide_before_it(exclusive, x64):
    """NumPy twin, and independence of them."""
    left = np.asarray(correlation.given_ancestors(jnp.asarray(R), PARENTS, exclusive))
    before = {3: [1, 0], 4: [1, 0], 1: [0], 2: [0], 6: [5]}
    if exclusive:
        before |= {2: [1, 0], 4: [3, 1, 0]}
    rows = np.eye(7)
    for i, others in before.items():
        rows[i, others] = -np.linalg.solve(R[np.ix_(others, others)], R[others, i])
    twin = rows @ R @ rows.T
    twin /= np.sqrt(np.outer(np.diagonal(twin), np.diagonal(twin)))
    assert_allclose(left, twin, atol=2e-6)
    for i, others in before.items():
        assert_allclose(left[i, others], 0, atol=1e-6)


@pytest.mark.slow
def test_pairs_across_trees_are_orthant_probabilities(x64):
    """Child 2 of 0 and child 6 of 5: four variables below their thresholds, by SciPy."""
    left = np.asarray(correlation.switch_matrix(TREE))
    who = [0, 2, 5, 6]
    thresholds = norm.ppf([P[0], P[2] / P[0], P[5], P[6] / P[5]])
    law = multivariate_normal(cov=left[np.ix_(who, who)], abseps=1e-7, releps=1e-7, maxpts=10**6)
    both = np.asarray(co_activation(TREE))
    assert both[2, 6] == pytest.approx(law.cdf(thresholds), rel=5e-4)
    assert_allclose(both[3, [0, 1]], P[3], rtol=1e-3)  # with its ancestors as often as it is
    assert_allclose(np.asarray(co_activation(EXCLUSIVE))[[1, 3, 2], [2, 4, 3]], 0)


@pytest.mark.slow
def test_a_tree_without_correlations_is_the_tree():
    still = dataclasses.replace(PLAIN, parents=PARENTS, correlation=0.0)
    tree = dataclasses.replace(PLAIN, parents=PARENTS)
    assert_allclose(co_activation(still), co_activation(tree), rtol=2e-3)


def test_children_are_as_large_as_their_parents_say():
    """A parent twice its mean doubles its child, and the child its own: magnitudes that are constant stay the scale."""
    features = sp.FeatureDistribution(
        n_features=3, feature_probability=1.0, parents=(-1, 0, 1), scale_by_parent=True,
        magnitude=("uniform", "constant", "uniform"), magnitude_low=1.0, magnitude_high=3.0, magnitude_value=5.0,
    )  # fmt: skip
    features.check()
    unscaled = dataclasses.replace(features, scale_by_parent=False)
    plain, x = (np.asarray(sample(f, jax.random.key(0), batch_size=500)) for f in (unscaled, features))
    assert_allclose(x[0], plain[0])
    assert_allclose(x[1], 5 * x[0] / 2, rtol=1e-5)
    assert_allclose(x[2], plain[2] * x[1] / 5, rtol=1e-5)
    assert_allclose(features.moment(1), [2, 5, 2], rtol=1e-6)
    ratio = (1 + 3 + 9) / 3 / 4  # E m² over (E m)²
    assert_allclose(features.moment(2), [4 * ratio, 25 * ratio, 4 * ratio**2], rtol=1e-6)


def _with(features, value):
    if features.correlation_matrix is not None:
        off = value * (R - np.eye(7))
        return dataclasses.replace(features, correlation_matrix=jnp.eye(7) + off)
    return dataclasses.replace(features, correlation_factor=value * jnp.asarray(F))


@pytest.mark.slow
@pytest.mark.parametrize("features", [FACTOR, EXCLUSIVE], ids=["factor", "exclusive"])
def test_new_correlations_never_recompile_and_see_the_same_numbers(features, compilations):
    def draw(value):
        return _with(features, value).sample(jax.random.key(3), 40)

    one, values = jax.jit(draw), jnp.array([0.0, 0.5, 0.9])
    single = [np.asarray(one(value)) for value in values]
    assert compilations["draw"] == 1
    mapped = np.asarray(jax.jit(jax.vmap(draw))(values))
    assert np.mean(np.isclose(mapped, single, rtol=1e-3, atol=1e-5)) > 0.99
    program = jax.make_jaxpr(jax.vmap(draw))(values)
    bits = [e.outvars[0].aval.shape for e in jaxpr_lines(program.jaxpr) if e.primitive.name == "random_bits"]
    assert sorted(bits) == ([(2, 40), (7, 40)] if features is FACTOR else [(7, 40), (7, 40)])


@pytest.mark.parametrize("features", [FACTOR, MATRIX], ids=["factor", "matrix"])
def test_rarer_features_are_active_on_a_subset_of_the_inputs(features):
    dense, rare = (
        np.asarray(
            sample(dataclasses.replace(features, feature_probability=k * P), jax.random.key(4), batch_size=2_000)
        )
        for k in (1.0, 0.5)
    )
    assert not np.any((rare != 0) & (dense == 0)) and np.sum(rare != 0) < np.sum(dense != 0)


@pytest.mark.parametrize("with_a_tree", [False, slow(True)])
def test_equal_variables_and_rare_features_give_numbers(with_a_tree):
    """A singular matrix: two variables are one."""
    matrix = np.eye(3)
    matrix[0, 1] = matrix[1, 0] = 1.0
    p = np.array([0.3, 0.3, 1e-5])
    features = sp.FeatureDistribution(n_features=3, feature_probability=p, correlation_matrix=matrix)
    features.check()
    if with_a_tree:
        child = dataclasses.replace(features, parents=(-1, 0, -1), feature_probability=np.array([0.5, 0.2, 0.1]))
        assert np.all(np.isfinite(np.asarray(sample(child, jax.random.key(5), batch_size=100))))
        assert np.all(np.isfinite(np.asarray(co_activation(child))))
        return
    x = np.asarray(sample(features, jax.random.key(5), batch_size=2_000))
    assert_array_equal(x[0] != 0, x[1] != 0)
    assert_allclose(co_activation(features)[0, 1], 0.3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.optimized
def test_correlations_and_numbers_of_magnitudes_are_swept_without_compiling_and_cells_keep_their_bytes(compilations):
    task = sp.tasks.WorldToy(
        n_features=4, n_hidden=2, world=None, feature_probability=0.2, correlation=0.3, parents=(-1, 0, -1, -1),
        magnitude="folded_normal", magnitude_mean=1.0, magnitude_std=0.5, scale_by_parent=True,
    )  # fmt: skip
    config = sp.TrainConfig(steps=12, batch_size=16, history=3, evaluation_samples=64)
    grid = {"correlation": [0.1, 0.5], "magnitude_std": [0.2, 1.0], "seed": [0]}
    result = sp.sweep(task, config, sp.Grid(**grid), block_size=4, progress=False)
    compilations.clear()
    grid = {"correlation": [0.3, 0.5], "magnitude_std": [0.4, 1.0], "seed": [0]}
    other = sp.sweep(task, config, sp.Grid(**grid), block_size=4, progress=False)
    assert not compilations
    cell = {"correlation": 0.5, "magnitude_std": 1.0, "seed": 0}
    alone = sp.sweep(task, config, sp.Grid(**{k: [v] for k, v in cell.items()}), block_size=4, progress=False)
    bytes_of = [r.sel(**cell)["W"].values.tobytes() for r in (result, other, alone)]
    assert bytes_of[0] == bytes_of[1] == bytes_of[2]


@pytest.mark.parametrize("trains", [False, slow(True)])
def test_an_autoencoder_reads_correlated_trees_of_scaled_features(trains):
    task = sp.tasks.SparseAutoencoder(
        n_features=7, n_hidden=5, n_latents=6, feature_probability=P, parents=PARENTS, exclusive_children=True,
        correlation_factor=F, scale_by_parent=True, magnitude="folded_normal", magnitude_mean=2.0, magnitude_std=0.3,
    )  # fmt: skip
    task.check()
    expected = dataclasses.replace(
        SCALED, correlation_matrix=None, correlation_factor=F, magnitude_mean=2.0, magnitude_std=0.3
    )
    for field in dataclasses.fields(expected):
        assert getattr(task.features, field.name) is getattr(expected, field.name) or np.array_equal(
            getattr(task.features, field.name), getattr(expected, field.name)
        )
    if trains:
        config = sp.TrainConfig(steps=5, batch_size=16, evaluation_samples=64)
        assert np.isfinite(sp.train(task, config, seed=0).loss)


def test_correlations_are_refused_where_independence_is_needed():
    for features, field in ((FACTOR, "correlation_factor"), (MATRIX, "correlation_matrix")):
        assert features.dependent_through == field
        with pytest.raises(sp.ConfigError, match=field):
            sp.theory.optimal_linear_loss(features, 1.0, 2)
    task = sp.tasks.WorldToy(n_features=7, n_hidden=2, world=None, correlation_matrix=R, objective="expected")
    with pytest.raises(sp.ConfigError, match="correlation_matrix must be None for the expected loss"):
        task.check()
    assert dependence.beyond_product((-1, 0, 1), jnp.array([[2.0], [3.0], [5.0]]))[:, 0].tolist() == [1, 2, 6]


@pytest.mark.slow
def test_programs_with_functions_of_lapack_run_one_after_another():
    """Side by side on two cores and the one device that users have, two calls of such a program waited for each other."""
    code = (
        "import numpy as np, superpos as sp\n"
        "task = sp.tasks.SparseAutoencoder(n_features=64, n_hidden=8, n_latents=8, feature_probability=.1,"
        " correlation_matrix=.8 * np.eye(64) + .2, architecture='topk', k=1)\n"
        "config = sp.TrainConfig(steps=20, batch_size=16, evaluation_samples=64)\n"
        "print(sp.sweep(task, config, sp.Grid(seed=range(2)), progress=False)['loss'].size)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.split()[-1] == "2"
