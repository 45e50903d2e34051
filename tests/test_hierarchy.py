"""Features that depend on one another: trees, exclusive children, and the one-factor Gaussian copula."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal, norm
from test_data import SIGMAS, check_co_activation, within

import superpos as sp
from superpos.data import MAGNITUDES, FeatureDistribution
from superpos.theory import linear_loss, optimal_linear_loss
from superpos.theory.expected_loss import check_expected, expected_errors

N = 200_000

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


def active(features, key=20, n=N):
    return np.asarray(features.sample(jax.random.key(key), n)) != 0


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
    check_co_activation(features)


@pytest.mark.parametrize("exclusive", [False, True])
def test_joint_probabilities_are_products_along_the_paths(exclusive, x64):
    both = dataclasses.replace(TREE, exclusive_children=exclusive).co_activation()
    assert_allclose(both, [[by_hand(i, j, exclusive) for j in range(9)] for i in range(9)], rtol=1e-14)


@pytest.mark.parametrize("features", [TREE, EXCLUSIVE], ids=["tree", "exclusive"])
@pytest.mark.parametrize("magnitude", ["uniform", "constant", "exponential"])
def test_a_child_is_never_active_without_its_parent(features, magnitude):
    on = active(dataclasses.replace(features, magnitude=magnitude), key=21)
    for i, parent in enumerate(PARENTS):
        assert parent < 0 or not np.any(on[i] & ~on[parent])


def test_at_most_one_exclusive_child_is_active():
    on = active(EXCLUSIVE, key=22, n=500_000)
    for children in ((0, 6), (1, 3)):
        assert on[list(children)].sum(axis=0).max() == 1
    assert active(TREE)[[0, 6]].sum(axis=0).max() == 2


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_children_that_add_up_to_their_parent_split_it(scale):
    """One of five always is active with the parent, however small it is."""
    shares = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    p = scale * np.array([1.0, *shares])
    features = FeatureDistribution(
        n_features=6, feature_probability=p, parents=(-1, 0, 0, 0, 0, 0), exclusive_children=True
    )
    on = active(features, n=1_000_000)
    together, parent = on[1:].sum(axis=0), on[0]
    assert together.max() == 1 and (together[parent] == 1).mean() > 0.9999
    within(on.mean(axis=1), p, np.sqrt(p * (1 - p) / 1_000_000))


@pytest.mark.parametrize("features", ALL.values(), ids=ALL)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_magnitudes_are_independent_of_who_else_is_active(features, magnitude):
    """The mean and mean square of an active feature, when another one is active and when it is not."""
    x = np.asarray(dataclasses.replace(features, magnitude=magnitude).sample(jax.random.key(23), N), np.float64)
    m1, m2, _ = sp.data.MAGNITUDE_MOMENTS[magnitude]
    for i in range(len(x)):
        for j in range(len(x)):
            for other in (x[j] != 0, x[j] == 0):
                values = x[i][(x[i] != 0) & other]
                if len(values) > 200:
                    for power, mean in ((values, m1), (values**2, m2)):
                        assert abs(power.mean() - mean) <= (SIGMAS + 1) * power.std() / np.sqrt(len(values)) + 1e-7


def test_a_tree_may_be_deep():
    """A chain of 40, each three quarters as likely as the one before, in random order."""
    place = np.random.default_rng(0).permutation(40)
    parents, p = np.full(40, -1), np.empty(40)
    parents[place[1:]], p[place] = place[:-1], 0.75 ** np.arange(40)
    features = FeatureDistribution(n_features=40, feature_probability=p, parents=tuple(parents.tolist()))
    on = active(features, n=50_000)[place]
    assert not np.any(on[1:] & ~on[:-1])
    within(on.mean(axis=1), p[place], np.sqrt(p[place] * (1 - p[place]) / 50_000))
    assert_allclose(features.co_activation(), np.minimum(p[:, None], p[None]), rtol=1e-5)


def test_sets_and_trees_may_stand_side_by_side():
    features = FeatureDistribution(
        n_features=7, feature_probability=0.2, parents=(1, -1, -1, -1, -1, -1, -1),
        correlated_sets=((2, 3),), anticorrelated_sets=((4, 6),),
    )  # fmt: skip
    check_co_activation(dataclasses.replace(features, feature_probability=np.array([0.1, *[0.2] * 6])))
    on = active(features)
    assert_array_equal(on[0], on[1])  # as likely as its parent: always with it


def test_no_feature_has_a_parent_is_no_tree():
    p = np.array([0.5, 0.1, 0.9])
    plain = FeatureDistribution(n_features=3, feature_probability=p)
    orphans = dataclasses.replace(plain, parents=(-1, -1, -1))
    assert_array_equal(plain.sample(jax.random.key(1), 500), orphans.sample(jax.random.key(1), 500))
    assert_array_equal(plain.co_activation(), orphans.co_activation())


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9, 0.999])
def test_co_activation_of_the_copula_is_the_bivariate_normal(rho, x64):
    p = np.array([0.001, 0.0011, 0.02, 0.3, 0.5, 0.95])
    both = np.asarray(
        FeatureDistribution(n_features=6, feature_probability=p, correlation=rho).co_activation(), np.float64
    )
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
    assert_allclose(half.co_activation()[0, 1], 1 / 4 + np.arcsin(0.6) / (2 * np.pi), rtol=1e-6)
    p = np.array([0.1, 0.3, 1.0])
    apart = FeatureDistribution(n_features=3, feature_probability=p, correlation=0.0)
    assert_allclose(apart.co_activation(), FeatureDistribution(n_features=3, feature_probability=p).co_activation())
    close = dataclasses.replace(apart, correlation=0.9999).co_activation()
    assert_allclose(close, np.minimum(p[:, None], p[None]), rtol=1e-4)


def test_a_factor_spreads_the_number_of_active_features():
    """Its variance is that of 64 exchangeable switches: n p (1 − p) + n (n − 1) (P(both) − p²)."""
    features = FeatureDistribution(n_features=64, feature_probability=0.1, correlation=0.4)
    count = active(features).sum(axis=0)
    both = float(features.co_activation()[0, 1])
    expected = 64 * 0.09 + 64 * 63 * (both - 0.01)
    assert expected > 20
    squares = (count - 6.4) ** 2
    within(squares.mean(), expected, squares.std() / np.sqrt(N))


def rho_or_p(features, value):
    if features.correlation is None:
        return dataclasses.replace(features, feature_probability=value * P)
    return dataclasses.replace(features, correlation=value)


@pytest.mark.parametrize("features", ALL.values(), ids=ALL)
def test_new_values_never_recompile_and_vmap_agrees_with_one_at_a_time(features, compilations):
    values = jnp.array([0.2, 0.5, 0.9])

    def draw(value):
        return rho_or_p(features, value).sample(jax.random.key(3), 300)

    one = jax.jit(draw)
    single = [np.asarray(one(v)) for v in values]
    assert compilations["draw"] == 1
    assert_allclose(jax.vmap(draw)(values), single, rtol=1e-5)
    assert_allclose(draw(values[1]), single[1], rtol=1e-5)
    eager = rho_or_p(features, 0.5).co_activation()
    assert_allclose(jax.jit(lambda v: rho_or_p(features, v).co_activation())(0.5), eager, rtol=1e-5, atol=1e-9)


def drawn(features, value):
    """Shapes of all random bits in the program that samples three values of p or ρ at once."""
    program = jax.make_jaxpr(jax.vmap(lambda v: rho_or_p(features, v).sample(jax.random.key(0), 30)))(value)
    return [e.outvars[0].aval.shape for e in jaxpr_lines(program.jaxpr) if e.primitive.name == "random_bits"]


def jaxpr_lines(jaxpr):
    for line in jaxpr.eqns:
        yield line
        for inner in jax.core.jaxprs_in_params(line.params) if hasattr(jax.core, "jaxprs_in_params") else ():
            yield from jaxpr_lines(inner)
        for value in line.params.values():
            if hasattr(value, "jaxpr"):
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


@pytest.mark.parametrize("features", ALL.values(), ids=ALL)
def test_both_precisions_get_the_same_draws(features):
    single = np.asarray(features.sample(jax.random.key(11), 2_000))
    with jax.enable_x64(True):
        double = np.asarray(features.sample(jax.random.key(11), 2_000))
        joint = np.asarray(features.co_activation())
    assert double.dtype == np.float64
    assert_allclose(single, double, atol=3e-5)
    assert_allclose(features.co_activation(), joint, rtol=2e-5)


@pytest.mark.parametrize("features", [*ALL.values(), dataclasses.replace(COPULA, correlation=0.9999999999)])
def test_nothing_is_infinite_or_not_a_number(features):
    for magnitude in MAGNITUDES:
        rare = dataclasses.replace(features, magnitude=magnitude, feature_probability=1e-6)
        assert np.all(np.isfinite(rare.sample(jax.random.key(1), 20_000)))
        assert np.all(np.isfinite(rare.co_activation()))


def test_the_linear_model_knows_its_loss_under_dependence(rng):
    for features in ALL.values():
        n = features.n_features
        W, b = rng.standard_normal((2, n)) * 0.5, rng.standard_normal(n) * 0.2
        x = np.asarray(features.sample(jax.random.key(3), N), np.float64)
        error = ((x - (W.T @ W @ x + b[:, None])) ** 2).mean(axis=0)
        assert abs(error.mean() - float(linear_loss(W, b, features))) < SIGMAS * error.std() / np.sqrt(N)


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
    ({"correlation": 0.1, "parents": (-1, 0, 0)}, "correlation must be None where parents"),
    ({"correlation": 0.1, "correlated_sets": ((0, 1),)}, "correlation must be None where correlated_sets"),
    ({"correlation": 0.1, "anticorrelated_sets": ((0, 1),)}, "correlation must be None where anticorrelated_sets"),
]  # fmt: skip


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("settings", "sentence"), BAD, ids=range(len(BAD)))
def test_bad_settings_are_refused_in_a_sentence(settings, sentence):
    with pytest.raises(sp.ConfigError) as error:
        FeatureDistribution(**{"n_features": 3, "feature_probability": 0.3} | settings).check()
    assert sentence in str(error.value)
