"""Features that depend on one another: trees, exclusive children, and the one-factor Gaussian copula."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal, norm
from test_data import SIGMAS, within

import superpos as sp
from superpos.data import FeatureDistribution
from superpos.theory import linear_loss, optimal_linear_loss
from superpos.theory.expectation import check_expected, expected_errors

N = 100_000

# Two trees and a lone feature, children named before their parents: 4 → {0, 6 → {1, 3 → 5}}, 7 → 2, and 8.
PARENTS = (4, 6, 7, 6, -1, 3, 4, -1, -1)
P = np.array([0.15, 0.05, 0.1, 0.2, 0.6, 0.08, 0.3, 0.4, 0.25])
TREE = FeatureDistribution(n_features=9, feature_probability=P, parents=PARENTS)
EXCLUSIVE = dataclasses.replace(TREE, exclusive_children=True)
COPULA = FeatureDistribution(
    n_features=5,
    feature_probability=np.array([0.5, 0.2, 0.01, 1.0, 0.2]),
    correlation=np.array([0.3, 0.8, 0.5, 0.4, 0.0]),
)
ALL = {"tree": TREE, "exclusive": EXCLUSIVE, "copula": COPULA}


# Compiled whole: operation by operation, the quantiles and the quadrature take seconds.
sample = jax.jit(FeatureDistribution.sample, static_argnames="batch_size")
co_activation = jax.jit(FeatureDistribution.co_activation)
second_moments = jax.jit(FeatureDistribution.second_moments)


def inputs(features, key=20, n=N):
    return np.asarray(sample(features, jax.random.key(key), batch_size=n), np.float64)


def active(features, key=20, n=N):
    return inputs(features, key, n) != 0


def check_pairs(features):
    """Joint probabilities and second moments of samples, to 4 standard errors."""
    x = inputs(features)
    on, expected = (x != 0).astype(np.float64), np.asarray(co_activation(features), np.float64)
    within(on @ on.T / N, expected, np.sqrt(np.maximum(expected * (1 - expected), 1e-12) / N))
    mean, mean_square = x @ x.T / N, x**2 @ (x**2).T / N
    within(mean, np.asarray(second_moments(features)), np.sqrt(np.maximum(mean_square - mean**2, 0) / N))


def ancestors(i):
    return [] if PARENTS[i] < 0 else [PARENTS[i], *ancestors(PARENTS[i])]


def by_hand(i, j, exclusive):
    """P(i and j active), by multiplying conditional probabilities along the two paths from the roots."""
    above = {*ancestors(i), *ancestors(j), i, j}
    both = np.prod([P[k] / P[PARENTS[k]] if PARENTS[k] >= 0 else P[k] for k in above])
    siblings = [PARENTS[k] for k in above if PARENTS[k] >= 0]
    return 0.0 if exclusive and len(set(siblings)) < len(siblings) else both


@pytest.mark.parametrize("features", ALL.values(), ids=ALL)
def test_feature_probability_stays_the_marginal(features):
    p = np.asarray(features.feature_probability)
    within(active(features).mean(axis=1), p, np.sqrt(p * (1 - p) / N))


@pytest.mark.parametrize("features", ALL.values(), ids=ALL)
def test_joint_probabilities_and_second_moments_are_those_of_samples(features):
    check_pairs(features)


@pytest.mark.parametrize("exclusive", [False, True])
def test_joint_probabilities_are_products_along_the_paths(exclusive, x64):
    both = co_activation(dataclasses.replace(TREE, exclusive_children=exclusive))
    assert_allclose(both, [[by_hand(i, j, exclusive) for j in range(9)] for i in range(9)], rtol=1e-14)


@pytest.mark.parametrize("features", [TREE, EXCLUSIVE], ids=["tree", "exclusive"])
@pytest.mark.parametrize("magnitude", ["uniform", "exponential"])
def test_a_child_is_never_active_without_its_parent(features, magnitude):
    on = active(dataclasses.replace(features, magnitude=magnitude), key=21)
    for i, parent in enumerate(PARENTS):
        assert parent < 0 or not np.any(on[i] & ~on[parent])


def test_at_most_one_exclusive_child_is_active():
    on = active(EXCLUSIVE, key=22)
    for children in ((0, 6), (1, 3)):
        assert on[list(children)].sum(axis=0).max() == 1
    assert active(TREE)[[0, 6]].sum(axis=0).max() == 2


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_children_that_add_up_to_their_parent_split_it(scale):
    """One of five always is active with the parent, however small it is."""
    shares = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    p = scale * np.array([1.0, *shares])
    features = FeatureDistribution(
        n_features=6, feature_probability=p, parents=(-1, 0, 0, 0, 0, 0), exclusive_children=True
    )
    on = active(features, n=400_000)
    together, parent = on[1:].sum(axis=0), on[0]
    assert together.max() == 1 and (together[parent] == 1).mean() > 0.9999
    within(on.mean(axis=1), p, np.sqrt(p * (1 - p) / 400_000))


@pytest.mark.parametrize("features", ALL.values(), ids=ALL)
@pytest.mark.parametrize("magnitude", ["uniform", "exponential"])
def test_magnitudes_are_independent_of_who_else_is_active(features, magnitude):
    """The mean and mean square of an active feature, when another one is active and when it is not."""
    x = inputs(dataclasses.replace(features, magnitude=magnitude), key=23)
    m1, m2, _ = sp.data.MAGNITUDE_MOMENTS[magnitude]
    on = (x != 0).astype(np.float64)
    for others in (on, 1 - on):
        counts = on @ others.T
        enough = counts > 200
        for power, mean in ((1, m1), (2, m2)):
            found, square = (x**k @ others.T / np.maximum(counts, 1) for k in (power, 2 * power))
            error = np.sqrt(np.maximum(square - found**2, 0) / np.maximum(counts, 1))
            # 5 standard errors: some 2,000 pairs are looked at.
            assert np.all((np.abs(found - mean) <= (SIGMAS + 1) * error + 1e-7)[enough])


@pytest.mark.slow
def test_a_tree_may_be_deep():
    """A chain of 40, each three quarters as likely as the one before, in random order."""
    place = np.random.default_rng(0).permutation(40)
    parents, p = np.full(40, -1), np.empty(40)
    parents[place[1:]], p[place] = place[:-1], 0.75 ** np.arange(40)
    features = FeatureDistribution(n_features=40, feature_probability=p, parents=tuple(parents.tolist()))
    on = active(features, n=50_000)[place]
    assert not np.any(on[1:] & ~on[:-1])
    within(on.mean(axis=1), p[place], np.sqrt(p[place] * (1 - p[place]) / 50_000))
    assert_allclose(co_activation(features), np.minimum(p[:, None], p[None]), rtol=1e-5)


def test_sets_and_trees_may_stand_side_by_side():
    features = FeatureDistribution(
        n_features=7, feature_probability=np.array([0.1, *[0.2] * 6]), parents=(1, -1, -1, -1, -1, -1, -1),
        correlated_sets=((2, 3),), anticorrelated_sets=((4, 6),),
    )  # fmt: skip
    check_pairs(features)
    on = active(dataclasses.replace(features, feature_probability=np.full(7, 0.2)))
    assert_array_equal(on[0], on[1])  # as likely as its parent: always with it


def test_no_feature_has_a_parent_is_no_tree():
    p = np.array([0.5, 0.1, 0.9])
    plain = FeatureDistribution(n_features=3, feature_probability=p)
    orphans = dataclasses.replace(plain, parents=(-1, -1, -1))
    assert_array_equal(inputs(plain, n=500), inputs(orphans, n=500))
    assert_array_equal(co_activation(plain), co_activation(orphans))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9, 0.999])
def test_co_activation_of_the_copula_is_the_bivariate_normal(rho, x64):
    p = np.array([0.001, 0.0011, 0.02, 0.3, 0.5, 0.95])
    both = np.asarray(co_activation(FeatureDistribution(n_features=6, feature_probability=p, correlation=rho)))
    for i, j in ((0, 1), (0, 3), (2, 3), (3, 4), (4, 5), (1, 5)):
        expected = multivariate_normal.cdf(norm.ppf(p[[i, j]]), cov=[[1, rho], [rho, 1]])
        assert both[i, j] == pytest.approx(expected, rel=1e-6)
    # Integrated over the factor instead, given which features are independent.
    g = np.linspace(-10, 10, 40_001)
    given = norm.cdf((norm.ppf(p)[:, None] - np.sqrt(rho) * g) / np.sqrt(1 - rho))
    expected = (given * norm.pdf(g) * (g[1] - g[0])) @ given.T
    np.fill_diagonal(expected, p)
    assert_allclose(both, expected, rtol=1e-6)


def test_co_activation_of_the_copula_has_its_closed_forms():
    """Sheppard's 1/4 + arcsin ρ / 2π at p = 1/2; independence at ρ = 0; min(p_i, p_j) as ρ tends to 1."""
    half = FeatureDistribution(n_features=2, feature_probability=0.5, correlation=0.6)
    assert_allclose(co_activation(half)[0, 1], 1 / 4 + np.arcsin(0.6) / (2 * np.pi), rtol=1e-6)
    p = np.array([0.1, 0.3, 1.0])
    apart = FeatureDistribution(n_features=3, feature_probability=p, correlation=0.0)
    assert_allclose(co_activation(apart), np.where(np.eye(3), p, p[:, None] * p), rtol=1e-6)
    close = co_activation(dataclasses.replace(apart, correlation=0.9999))
    assert_allclose(close, np.minimum(p[:, None], p[None]), rtol=1e-4)


def test_a_factor_spreads_the_number_of_active_features():
    """Its variance is the sum over pairs of P(both) − p_i p_j, larger than that of independent features."""
    count, p = active(COPULA).sum(axis=0), np.asarray(COPULA.feature_probability)
    expected = float(np.sum(np.asarray(co_activation(COPULA)) - p[:, None] * p))
    assert expected > 1.2 * np.sum(p * (1 - p))
    squares = (count - p.sum()) ** 2
    within(squares.mean(), expected, squares.std() / np.sqrt(N))


def rho_or_p(features, value):
    if features.correlation is None:
        return dataclasses.replace(features, feature_probability=value * P)
    return dataclasses.replace(features, correlation=value)


@pytest.mark.slow
@pytest.mark.parametrize("features", [EXCLUSIVE, COPULA], ids=["exclusive", "copula"])
def test_new_values_never_recompile_and_vmap_agrees_with_one_at_a_time(features, compilations):
    values = jnp.array([0.2, 0.5, 0.9])

    def draw(value):
        return rho_or_p(features, value).sample(jax.random.key(3), 300)

    one = jax.jit(draw)
    single = [np.asarray(one(v)) for v in values]
    assert compilations["draw"] == 1
    assert_allclose(jax.jit(jax.vmap(draw))(values), single, rtol=1e-5)
    pairs = [co_activation(rho_or_p(features, v)) for v in values]
    mapped = jax.jit(jax.vmap(lambda v: rho_or_p(features, v).co_activation()))(values)
    assert_allclose(mapped, pairs, rtol=1e-5, atol=1e-9)


def drawn(features, value):
    """Shapes of all random bits in the program that samples three values of p or ρ at once."""
    program = jax.make_jaxpr(jax.vmap(lambda v: rho_or_p(features, v).sample(jax.random.key(0), 30)))(value)
    return [e.outvars[0].aval.shape for e in jaxpr_lines(program.jaxpr) if e.primitive.name == "random_bits"]


def jaxpr_lines(jaxpr):
    for line in jaxpr.eqns:
        yield line
        for value in line.params.values():
            if hasattr(value, "jaxpr"):  # of a function called inside
                yield from jaxpr_lines(value.jaxpr)


def test_draws_happen_once_for_all_values():
    """One uniform per feature and input, and one more per input for a factor; no axis of models among the bits."""
    values = jnp.array([0.2, 0.5, 0.9])
    assert drawn(TREE, values) == drawn(EXCLUSIVE, values) == [(9, 30)]
    assert sorted(drawn(COPULA, values)) == [(1, 30), (5, 30)]


def test_sparser_trees_see_the_same_draws():
    """Common random numbers: with every probability halved the roots alone are rarer, so a subset stays active."""
    dense, sparse = (active(rho_or_p(TREE, scale), n=4_096) for scale in (1.0, 0.5))
    assert not np.any(sparse & ~dense)
    given_root = sparse[[4, 7, 8]]
    assert_array_equal(sparse[6], dense[6] & given_root[0])


@pytest.mark.parametrize("features", [EXCLUSIVE, COPULA], ids=["exclusive", "copula"])
def test_both_precisions_get_the_same_draws(features):
    single = np.asarray(sample(features, jax.random.key(11), batch_size=2_000))
    with jax.enable_x64(True):
        double = np.asarray(sample(features, jax.random.key(11), batch_size=2_000))
    assert double.dtype == np.float64
    assert_allclose(single, double, atol=3e-5)


@pytest.mark.parametrize("features", [*ALL.values(), dataclasses.replace(COPULA, correlation=np.full(5, 0.9999999999))])
def test_nothing_is_infinite_or_not_a_number(features):
    p = np.asarray(features.feature_probability)
    for density in (p, 1e-6 * p):
        rare = dataclasses.replace(features, magnitude="exponential", feature_probability=density)
        assert np.all(np.isfinite(inputs(rare)))
        assert np.all(np.isfinite(co_activation(rare)))


@pytest.mark.slow
def test_the_linear_model_knows_its_loss_under_dependence(rng):
    for features in (EXCLUSIVE, COPULA):
        n = features.n_features
        W, b = rng.standard_normal((2, n)) * 0.5, rng.standard_normal(n) * 0.2
        x = inputs(features)
        error = ((x - (W.T @ W @ x + b[:, None])) ** 2).mean(axis=0)
        assert abs(error.mean() - float(jax.jit(linear_loss)(W, b, features))) < SIGMAS * error.std() / np.sqrt(N)


def test_losses_that_need_independence_refuse_dependence():
    W, b = jnp.ones((2, 9)), jnp.zeros(9)
    for features, field in ((TREE, "parents"), (FeatureDistribution(n_features=9, correlation=0.1), "correlation")):
        for attempt in (
            lambda f=features: check_expected(f, "relu"),
            lambda f=features: expected_errors(W, b, f),
            lambda f=features: optimal_linear_loss(f, 1.0, 3),
        ):
            with pytest.raises(sp.ConfigError, match=field):
                attempt()
        check_expected(features, "identity")


BAD = [
    ({"parents": [-1, 0, 0]}, "parents must be a tuple"),
    ({"parents": (-1, 0)}, "parents must be () or one per feature (3), got 2"),
    ({"parents": (-1, 0, 3)}, "parent of feature 2 must be a feature (at most 2) or -1, got 3"),
    ({"parents": (-1, 0, -2)}, "feature 2"),
    ({"parents": (-1, 0.0, 0)}, "parent of feature 1 must be a whole number"),
    ({"parents": (-1, True, 0)}, "parent of feature 1 must be a whole number"),
    ({"parents": (-1, 1, 0)}, "feature 1 is its own parent"),
    ({"parents": (1, 2, 0)}, "circle: 0 → 1 → 2 → 0"),
    ({"parents": (1, 2, 1)}, "circle: 1 → 2 → 1"),
    ({"parents": (-1, 0, 1), "feature_probability": np.array([0.2, 0.1, 0.15])}, "feature 2 has 0.15, its parent, feature 1, 0.1"),
    ({"parents": (-1, 0, -1), "feature_probability": np.array([[0.5, 0.1, 0.1], [0.1, 0.4, 0.1]])}, "feature 1 has 0.4, its parent, feature 0, 0.1"),
    ({"parents": (-1, 0, 0), "exclusive_children": True}, "exclusive children of feature 0 must add up to at most its own, 0.3, got 0.6"),
    ({"parents": (-1, 0, 0), "exclusive_children": 1}, "exclusive_children must be true or false"),
    ({"exclusive_children": True}, "exclusive_children"),
    ({"parents": (-1, 0, -1), "correlated_sets": ((1, 2),)}, "feature 1 has a parent or children"),
    ({"parents": (-1, 0, -1), "anticorrelated_sets": ((0, 2),)}, "feature 0 has a parent or children"),
    ({"correlation": 1.0}, "correlation must be at least 0 and below 1, got 1"),
    ({"correlation": -0.1}, "correlation must be at least 0"),
    ({"correlation": float("nan")}, "correlation must be finite"),
    ({"correlation": "high"}, "correlation must be a number"),
    ({"correlation": np.full(4, 0.1)}, "correlation must be one number or 3"),
    ({"correlation": 0.1, "correlated_sets": ((0, 1),)}, "correlation must be None where correlated_sets"),
    ({"correlation": 0.1, "anticorrelated_sets": ((0, 1),)}, "correlation must be None where anticorrelated_sets"),
]  # fmt: skip


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("settings", "sentence"), BAD, ids=range(len(BAD)))
def test_bad_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(sp.ConfigError) as error:
        FeatureDistribution(**{"n_features": 3, "feature_probability": 0.3} | settings).check()
    assert sentence in str(error.value)
