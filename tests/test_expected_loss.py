"""The population loss: against sampling, closed forms, a series a hundred times longer, and its own derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow

import superpos as sp

P_UNLEARNED = lambda p: p / 3 - p**2 / 4  # noqa: E731


def configurations():
    """Thirty (W, b, p, settings): random ones, and the awkward ones."""
    rng = np.random.default_rng(3)
    sizes = [(1, 1), (2, 1), (3, 2), (5, 2), (20, 5)]
    found = []
    for k in range(18):
        n, m = sizes[k % len(sizes)]
        W = rng.normal(size=(m, n)) * (0.4 + 0.3 * (k % 3))
        p = [1.0, 0.001, 0.05, rng.uniform(0.02, 1, n), 0.3][k % 5]
        found.append((f"random {n}→{m} #{k}", W, rng.normal(size=n) * 0.3, p, {}))
    pair = np.array([[1.0, -1.0]])
    found += [
        ("zero column", np.array([[1.0, 0.0, -0.7], [0.3, 0.0, 0.5]]), np.array([0.1, 0.05, -0.1]), 0.2, {}),
        ("all zero, with bias", np.zeros((2, 4)), np.array([0.1, 0.0, -0.2, 0.3]), 0.3, {}),
        ("all zero", np.zeros((2, 3)), np.zeros(3), 0.5, {}),
        ("equal columns", np.array([[0.8, 0.8, 0.8]]), np.zeros(3), 0.15, {}),
        ("opposite columns", pair, np.zeros(2), 0.4, {}),
        ("signed", rng.normal(size=(2, 5)) * 0.6, rng.normal(size=5) * 0.2, 0.2, {"magnitude": "signed_uniform"}),
        ("signed, dense", pair, np.array([0.1, -0.1]), 1.0, {"magnitude": "signed_uniform"}),
        ("linear", rng.normal(size=(2, 5)) * 0.6, rng.normal(size=5) * 0.2, 0.2, {"activation": "identity"}),
        ("correlated", rng.normal(size=(3, 6)) * 0.6, rng.normal(size=6) * 0.1, 0.2, {"correlated_sets": ((0, 1, 2), (4, 5))}),
        ("anticorrelated", rng.normal(size=(2, 5)) * 0.7, rng.normal(size=5) * 0.1, [0.1, 0.3, 0.2, 0.4, 0.2], {"anticorrelated_sets": ((0, 3), (1, 2, 4))}),
        ("both, signed", rng.normal(size=(3, 7)) * 0.6, rng.normal(size=7) * 0.2, 0.3, {"magnitude": "signed_uniform", "correlated_sets": ((0, 3),), "anticorrelated_sets": ((1, 2, 6),)}),
        ("one set of everything", rng.normal(size=(2, 4)) * 0.7, rng.normal(size=4) * 0.1, 1.0, {"correlated_sets": ((0, 1, 2, 3),)}),
    ]  # fmt: skip
    return found


def sampled(W, b, p, settings, n_samples, seed=5):
    """Monte Carlo: mean and standard error of the squared error of each feature, and of their mean."""
    settings = dict(settings)
    activation = settings.pop("activation", "relu")
    features = sp.FeatureDistribution(n_features=W.shape[1], feature_probability=p, **settings)
    model = sp.ToyModel(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32), activation=activation)
    per_call, calls = 100_000, n_samples // 100_000

    @jax.jit
    def call(key):
        x = features.sample(key, per_call)
        error = (model(x) - x) ** 2
        error = jnp.concatenate([error, error.mean(0, keepdims=True)])
        mean = error.mean(1)
        return mean, ((error - mean[:, None]) ** 2).mean(1)

    means, variances = zip(*(call(jax.random.fold_in(jax.random.key(seed), k)) for k in range(calls)), strict=True)
    mean = np.mean(np.asarray(means, np.float64), 0)
    variance = np.mean(np.asarray(variances, np.float64), 0) + np.var(np.asarray(means, np.float64), 0)
    return mean, np.sqrt(variance / (per_call * calls))


def against_sampling(case, n_samples):
    _, W, b, p, settings = case
    mean, error = sampled(W, b, np.asarray(p), settings, n_samples)
    with jax.enable_x64(True):
        exact = np.asarray(sp.expected_loss(W, b, p, per_feature=True, **settings))
    single = np.asarray(sp.expected_loss(np.float32(W), np.float32(b), p, per_feature=True, **settings))
    np.testing.assert_allclose(single, exact, rtol=3e-4, atol=1e-7)
    # Sampling is done in single precision: rounding of 1e-7 of each error besides the standard error.
    exact = np.append(exact, exact.mean())
    assert np.all(np.abs(exact - mean) <= 4 * error + 2e-6 * exact + 1e-9), np.abs(exact - mean) / error


def divided(cases, default, slow):
    """Every case is a program, and programs compile slowly: few by default, one of every kind in the slow run, all in the long."""
    marks = {name: [] for name in default} | {name: [pytest.mark.slow] for name in slow}
    return [pytest.param(case, id=case[0], marks=marks.get(case[0], [pytest.mark.long])) for case in cases]


SAMPLED = ("random 5→2 #3", "zero column", "opposite columns", "signed", "linear", "anticorrelated")
ALSO_SAMPLED = ("random 2→1 #1", "random 20→5 #4", "random 3→2 #2", "all zero", "correlated", "both, signed")
DERIVATIVES, MORE_DERIVATIVES = ("random 3→2 #2", "zero column"), ("signed", "both, signed")


@pytest.mark.slow
@pytest.mark.parametrize("case", divided(configurations(), SAMPLED, ALSO_SAMPLED))
def test_it_is_what_sampling_estimates(case):
    """Within 4 standard errors of a million samples, every feature and their mean."""
    against_sampling(case, 1_000_000)


@pytest.mark.long
@pytest.mark.parametrize("case", configurations(), ids=lambda c: c[0])
def test_it_is_what_ten_million_samples_estimate(case):
    against_sampling(case, 10_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(2, 1), (3, 2), slow((5, 2)), slow((20, 5))])
def test_the_default_order_is_enough(size, rng, x64):
    """Worst feature below 1e-3 of its error, against order 4,096 in double precision; also in single precision."""
    n, m = size
    value = partial(sp.expected_loss, per_feature=True)
    for p in (1.0, 0.5, 0.1, 0.05, 0.01, 0.001):
        for scale in (0.4, 1.0):
            W, b = rng.normal(size=(m, n)), rng.normal(size=n) * 0.2
            W = scale * W / np.linalg.norm(W, axis=0)
            long = value(W, b, p, order=4_096)
            np.testing.assert_allclose(value(W, b, p), long, rtol=1e-3)
            single = value(np.float32(W), np.float32(b), np.float32(p))
            assert single.dtype == np.float32
            np.testing.assert_allclose(single, long, rtol=1e-3)


@pytest.mark.parametrize(("magnitude", "low"), [("uniform", 0.0), ("signed_uniform", -1.0)])
def test_one_feature_at_a_time_needs_no_series(magnitude, low, rng, x64):
    """Every feature in one anticorrelated set, active or not: integrals of NumPy, to rounding with any number of terms."""
    p = np.array([0.1, 0.3, 0.15, 0.05, 0.2])
    W, b = rng.normal(size=(2, 5)), rng.normal(size=5) * 0.3
    count = 200_000
    u = low + (1 - low) * (np.arange(count) + 0.5) / count
    errors = (1 - p.sum()) * np.maximum(b, 0) ** 2
    for j in range(5):
        x = np.eye(5)[j, :, None] * u
        errors += p[j] * np.mean((x - np.maximum(np.outer(W.T @ W[:, j], u) + b[:, None], 0)) ** 2, axis=1)
    for order in (1, 32):
        computed = sp.expected_loss(
            W, b, p, magnitude=magnitude, anticorrelated_sets=((3, 1, 0, 2, 4),), per_feature=True, order=order
        )
        np.testing.assert_allclose(computed, errors, rtol=1e-8)


@pytest.mark.parametrize("p", [0.9, 0.3, 0.05, 0.01])
@pytest.mark.parametrize("double", [False, True])
def test_closed_forms(p, double):
    """Unlearned, dedicated, antipodal pair, triangle, anticorrelated pair: to 1e-4, in both precisions."""
    with jax.enable_x64(double):
        loss = partial(sp.expected_loss, feature_probability=p)
        assert loss(np.zeros((1, 2)), np.full(2, p / 2)) == pytest.approx(P_UNLEARNED(p), rel=1e-4)
        assert loss(np.zeros((1, 2)), np.zeros(2)) == pytest.approx(p / 3, rel=1e-4)
        assert loss(np.eye(2), np.zeros(2)) == pytest.approx(0, abs=1e-6)
        assert loss(np.array([[1.0, -1.0]]), np.zeros(2)) == pytest.approx(p**2 / 6, rel=1e-4)
        angles = 2 * np.pi * np.arange(3) / 3
        triangle = np.array([np.cos(angles), np.sin(angles)])
        assert loss(triangle, np.zeros(3)) == pytest.approx(p**2 / 8 + p**3 / 24, rel=1e-4)
        pair = sp.expected_loss(np.array([[1.0, -1.0]]), np.zeros(2), p / 2, anticorrelated_sets=((0, 1),))
        assert pair == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("p", [1e-3, 1e-4, 1e-5, 1e-6])
def test_rare_features_keep_their_precision(p):
    """Single precision: an antipodal pair beside a dedicated feature costs p²/6 each, however small p is."""
    W = np.array([[1.0, 0, 0], [0, 1, -1]])
    assert sp.expected_loss(W, np.zeros(3), p) == pytest.approx(p**2 / 9, rel=1e-3)


def test_the_published_pentagon_and_its_rival(x64):
    """p = .05: norms 1.13, b = −.25 give .0089 (the sum); two pairs and a feature left out .0177."""
    angles = 2 * np.pi * np.arange(5) / 5
    pentagon = 1.13 * np.array([np.cos(angles), np.sin(angles)])
    assert 5 * sp.expected_loss(pentagon, np.full(5, -0.25), 0.05) == pytest.approx(0.0089, rel=0.02)
    pairs = np.array([[1.0, -1, 0, 0, 0], [0, 0, 1, -1, 0]])
    assert 5 * sp.expected_loss(pairs, np.array([0, 0, 0, 0, 0.025]), 0.05) == pytest.approx(0.0177, rel=0.02)


@pytest.mark.parametrize("case", divided(configurations(), DERIVATIVES, MORE_DERIVATIVES))
def test_gradient_agrees_with_finite_differences(case, rng, x64):
    """In W, b, p and importance along random directions, to 1e-6 of the gradient's size."""
    _, W, b, p, settings = case
    n = W.shape[1]
    p = np.minimum(np.broadcast_to(np.asarray(p, float), (n,)), 0.97)
    point = (W + 0.01 * rng.normal(size=W.shape), b + 0.01 * rng.normal(size=n), p, rng.uniform(0.5, 1, n))

    def loss(point):
        return sp.expected_loss(
            *point, **settings, order=8
        )  # the derivative of a series of any length: short ones compile faster

    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), point)
    if settings.get("correlated_sets"):  # members share one probability
        direction = (direction[0], direction[1], np.full(n, direction[2][0]), direction[3])
    gradient = jax.jit(jax.grad(loss))(point)
    slope = sum(float(np.sum(g * d)) for g, d in zip(gradient, direction, strict=True))
    h = 1e-5
    ahead, behind = (loss(jax.tree.map(lambda x, d, s=s: x + s * h * d, point, direction)) for s in (1, -1))
    size = sum(float(np.abs(g * d).sum()) for g, d in zip(gradient, direction, strict=True))
    assert abs(slope - float(ahead - behind) / (2 * h)) < 1e-6 * size


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, slow(np.float64)])
def test_no_legal_input_gives_nan(dtype, rng):
    """Value and gradient at zero, tiny, huge, equal and opposite weights, at p from 1e-12 to 1."""
    with jax.enable_x64(dtype is np.float64):
        both = jax.jit(jax.value_and_grad(lambda W, b, p: sp.expected_loss(W, b, p), argnums=(0, 1, 2)))
        for scale in (0.0, 1e-40, 1e-30, 1e-20, 1e-8, 1e-3, 1.0, 1e3, 1e6):
            for W in (rng.uniform(-1, 1, (2, 3)), np.ones((2, 3)), np.array([[1.0, -1, 0], [0, 0, 0]])):
                for b in (0.0, -1.0, 1.0):
                    for p in (1e-12, 1e-4, 0.5, 1.0):
                        b_ = np.full(3, b * scale, dtype)
                        values = both((scale * W).astype(dtype), b_, np.full(3, p, dtype))
                        assert all(np.all(np.isfinite(v)) for v in jax.tree.leaves(values)), (scale, W, b, p)


def test_a_feature_that_starts_at_zero_still_feels_the_others(x64):
    """The gradient at a zero column is the limit of gradients beside it."""
    W = np.array([[0.9, 0.0, -0.3], [0.2, 0.0, 0.8]])
    nudge = np.array([[0, 1e-7, 0], [0, -1e-7, 0]])
    # Feature 1 says b_1 whatever happens: the series is long because it is evaluated at one point, near its end.
    gradient = jax.grad(lambda W: sp.expected_loss(W, np.full(3, 0.02), 0.2, order=1_024))
    np.testing.assert_allclose(gradient(W), gradient(W + nudge), atol=2e-6)
    assert np.abs(gradient(W)[:, 1]).max() > 1e-3


def test_vmap_is_the_loop(rng):
    W, b, p = rng.normal(size=(4, 2, 5)), rng.normal(size=(4, 5)), rng.uniform(0.01, 1, 4)
    together = jax.vmap(sp.expected_loss)(W, b, p)
    apart = [sp.expected_loss(*each) for each in zip(W, b, p, strict=True)]
    np.testing.assert_allclose(together, apart, rtol=1e-5)


def test_laws(rng, x64):
    """Rotation changes nothing; features may be renumbered; orthogonal groups add up; importance weighs."""
    W, b, p = rng.normal(size=(3, 6)) * 0.6, rng.normal(size=6) * 0.1, rng.uniform(0.05, 0.5, 6)
    per_feature = partial(sp.expected_loss, per_feature=True, order=256)
    errors = np.asarray(per_feature(W, b, p))
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(per_feature(Q @ W, b, p), errors, rtol=1e-9)
    order = rng.permutation(6)
    renumbered = per_feature(W[:, order], b[order], p[order])
    np.testing.assert_allclose(renumbered, errors[order], rtol=1e-9)
    blocks = np.block([[W, np.zeros((3, 6))], [np.zeros((3, 6)), W]])
    double = per_feature(blocks, np.tile(b, 2), np.tile(p, 2))
    np.testing.assert_allclose(double, np.tile(errors, 2), rtol=1e-5)
    importance = rng.uniform(0, 2, 6)
    assert sp.expected_loss(W, b, p, importance, order=256) == pytest.approx(np.mean(importance * errors))
    np.testing.assert_array_equal(per_feature(W, None, p), per_feature(W, np.zeros(6), p))


@pytest.mark.slow
def test_singleton_groups_agree_with_sets_that_cannot_matter(x64, rng):
    """A pair that is always active is correlated and independent at once; so is a pair of which one almost never is."""
    W, b = rng.normal(size=(2, 4)) * 0.6, rng.normal(size=4) * 0.1
    p = np.array([1.0, 1.0, 0.3, 0.2])
    apart = sp.expected_loss(W, b, p, per_feature=True, order=256)
    together = sp.expected_loss(W, b, p, per_feature=True, order=256, correlated_sets=((0, 1),))
    np.testing.assert_allclose(together, apart, rtol=1e-5)
    p = np.array([1e-9, 0.4, 0.3, 0.2])
    apart = sp.expected_loss(W, b, p, per_feature=True)
    np.testing.assert_allclose(
        sp.expected_loss(W, b, p, per_feature=True, anticorrelated_sets=((0, 1),))[1:], apart[1:], rtol=1e-5
    )
