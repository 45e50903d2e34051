"""Features that are manifolds: laws of draws, subspaces, dictionaries on the circle in closed form, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.data import directions, random_subspaces, unit_uniform
from superpos.data.manifolds import points, slices
from superpos.data.turns import cosine_of_turns
from superpos.models.sae import SAE

N_SAMPLES = 100_000
MIXED = ("sphere", "circle", "torus", "circle")
PROBABILITIES = np.repeat([0.3, 0.5, 0.2, 1.0], [3, 2, 4, 2])
WORLD = {"n_features": 11, "manifolds": MIXED, "feature_probability": PROBABILITIES}


def twin(u, manifolds, p):
    """Points from uniform numbers, manifold by manifold; magnitudes are uniform on [0, 1]."""
    columns = []
    for n in range(u.shape[1]):
        x, k = [], 0
        for name in manifolds:
            first, a, b, d = (
                u[k, n],
                2 * np.pi * u[k + 1, n],
                u[(k + 2) % len(u), n],
                {"circle": 2, "sphere": 3, "torus": 4}[name],
            )
            if name == "circle":
                point = [np.cos(a), np.sin(a)]
            elif name == "sphere":
                height = 2 * u[k + 1, n] - 1
                point = [np.sqrt(1 - height**2) * f(2 * np.pi * b) for f in (np.cos, np.sin)] + [height]
            else:
                point = np.array([np.cos(a), np.sin(a), np.cos(2 * np.pi * b), np.sin(2 * np.pi * b)]) / np.sqrt(2)
            x.extend(first / p[k] * np.array(point) if first < p[k] else np.zeros(d))
            k += d
        columns.append(x)
    return np.array(columns).T


@pytest.mark.slow
def test_draws_are_those_of_a_loop_over_manifolds():
    features = sp.FeatureDistribution(**WORLD)
    x = features.sample(jax.random.key(3), 50)
    u = np.asarray(unit_uniform(jax.random.key(3), (11, 50)), np.float64)
    assert_allclose(x, twin(u, MIXED, PROBABILITIES), atol=2e-6)


def test_cosines_of_turns_are_as_exact_as_single_precision_and_quarters_are_exact():
    t = np.concatenate([np.linspace(-3, 3, 50_001), np.geomspace(1e-9, 0.5, 1_000)]).astype(np.float32)
    exact = np.cos(2 * np.pi * t.astype(np.float64))
    assert_allclose(cosine_of_turns(jnp.asarray(t)), exact, rtol=0, atol=3e-7)
    assert_allclose(cosine_of_turns(jnp.array([0, 0.5, 1], jnp.float32)), [1, -1, 1], rtol=0, atol=1.2e-7)
    assert_array_equal(cosine_of_turns(jnp.array([0.25, 0.75], jnp.float32)), 0)
    with jax.enable_x64(True):
        assert_allclose(cosine_of_turns(jnp.asarray(t, jnp.float64)), exact, rtol=0, atol=1e-14)


def test_points_of_a_hypersphere_are_those_of_two_planes_between_others():
    u = np.random.default_rng(0).uniform(size=(9, 40)).astype(np.float32)
    _, share, a, b = u[3:7].astype(np.float64)
    planes = [np.sqrt(s) * f(2 * np.pi * t) for s, t in ((share, a), (1 - share, b)) for f in (np.cos, np.sin)]
    x = points(("sphere", "hypersphere", "circle"), jnp.asarray(u))
    assert_allclose(x[3:7], planes, atol=1e-6)
    assert_allclose(np.sum(np.square(x), axis=0), 3, atol=2e-6)


@pytest.mark.slow
def test_draws_have_the_moments_pairs_and_fourth_moments_of_uniform_points():
    features = sp.FeatureDistribution(**WORLD)
    x = np.asarray(jax.jit(lambda key: features.sample(key, N_SAMPLES))(jax.random.key(0)), np.float64)
    active = (x != 0).astype(float)
    both, second = (np.asarray(a, np.float64) for a in (features.co_activation(), features.second_moments()))
    assert np.all(np.abs(active @ active.T / N_SAMPLES - both) < 4.5 * np.sqrt(both * (1 - both) / N_SAMPLES) + 1e-6)
    products = x[:, None] * x[None]
    assert np.all(np.abs(products.mean(axis=2) - second) < 4.5 * products.std(axis=2) / np.sqrt(N_SAMPLES))
    for order in (1, 2, 3):
        powers = x**order
        error = powers.std(axis=1) / np.sqrt(N_SAMPLES)
        assert np.all(np.abs(powers.mean(axis=1) - np.asarray(features.moment(order))) < 4.5 * error)
    fourth = np.repeat([1 / 5, 3 / 8, 3 / 32, 3 / 8], [3, 2, 4, 2]) * PROBABILITIES / 5  # E m⁴ = 1/5
    assert np.all(np.abs((x**4).mean(axis=1) - fourth) < 4.5 * (x**4).std(axis=1) / np.sqrt(N_SAMPLES))


@pytest.mark.slow
def test_points_have_the_length_of_one_magnitude():
    features = sp.FeatureDistribution(
        **WORLD | {"magnitude": "constant", "magnitude_value": np.repeat([1, 2, 3, 1.0], [3, 2, 4, 2])}
    )
    x = np.asarray(features.sample(jax.random.key(1), 300))
    for part, length in zip(slices(MIXED), (1, 2, 3, 1), strict=True):
        sizes = np.linalg.norm(x[part], axis=0)
        assert_allclose(sizes[sizes > 0], length, rtol=1e-5)
    assert_array_equal(features.moment(3), 0)


ONE_OF = {
    "n_features": 9,
    "manifolds": ("circle", "hypersphere", "sphere"),
    "anticorrelated_sets": (tuple(range(6)),),
    "feature_probability": np.repeat([0.3, 0.5, 0.4], [2, 4, 3]),
    "magnitude": "constant",
}


@pytest.mark.slow
def test_of_an_anticorrelated_set_of_manifolds_one_at_most_is_active():
    """And points of a hypersphere are uniform on it: E s² = 1/4, E s⁴ = 3 E s² s′² = 1/8."""
    features = sp.FeatureDistribution(**ONE_OF)
    x = np.asarray(jax.jit(lambda key: features.sample(key, N_SAMPLES))(jax.random.key(0)), np.float64)
    circle, hypersphere, sphere = (np.any(x[part] != 0, axis=0) for part in slices(features.manifolds))
    assert not np.any(circle & hypersphere)
    for active, p in ((circle, 0.3), (hypersphere, 0.5), (sphere, 0.4), (circle & sphere, 0.12)):
        assert abs(active.mean() - p) < 4.5 * np.sqrt(p * (1 - p) / N_SAMPLES)
    points = x[2:6, hypersphere]
    assert_allclose(np.linalg.norm(points, axis=0), 1, atol=1e-5)
    error = 4.5 / np.sqrt(points.shape[1])
    fourth = (points**2) @ (points**2).T / points.shape[1]
    assert_allclose(points @ points.T / points.shape[1], np.eye(4) / 4, atol=error / 4)
    assert_allclose(fourth, (1 + 2 * np.eye(4)) / 24, atol=error / 8)
    both = np.asarray(features.co_activation())
    assert_allclose(both[:6, :6], np.kron([[1, 0, 0], [0, 1, 1], [0, 1, 1]], np.ones((2, 2))) * ONE_OF["feature_probability"][:6], atol=1e-6)  # fmt: skip
    assert_allclose(both[:6, 6:], 0.4 * np.repeat(ONE_OF["feature_probability"][:6, None], 3, axis=1), rtol=1e-5)
    assert_allclose(np.diag(np.asarray(features.second_moments())), np.repeat([0.15, 0.125, 0.4 / 3], [2, 4, 3]), rtol=1e-5)  # fmt: skip


@pytest.mark.slow
def test_random_subspaces_are_orthonormal_within_and_turned_at_random():
    D = np.asarray(
        jax.vmap(lambda k: random_subspaces(k, 8, ("circle", "sphere")))(jax.random.split(jax.random.key(0), 400))
    )
    for part in slices(("circle", "sphere")):
        gram = np.einsum("kma,kmb->kab", D[:, :, part], D[:, :, part])
        assert_allclose(gram, np.broadcast_to(np.eye(gram.shape[1]), gram.shape), atol=2e-6)
    assert np.all(np.abs(D.mean(axis=0)) < 4.5 / np.sqrt(8 * 400))  # each coordinate has variance 1/8
    shared = np.sum(np.einsum("kma,kmb->kab", D[:, :, :2], D[:, :, 2:]) ** 2, axis=(1, 2))
    assert abs(shared.mean() - 2 * 3 / 8) < 4.5 * shared.std() / 20  # E ‖AᵀB‖² = d d′ / m


def test_subspaces_are_orthonormal_where_directions_are_equal_and_call_no_lapack(monkeypatch):
    """Programs that call it are trained one after another: on two cores 256 autoencoders took 1.5 times as much of them."""
    drawn = jax.jit(lambda key: random_subspaces(key, 4, ("hypersphere", "circle")))
    assert "lapack" not in drawn.lower(jax.random.key(0)).as_text().lower()
    equal = jnp.full((4, 6), 0.5)
    monkeypatch.setattr(directions, "random_directions", lambda *arguments: equal)
    D = np.asarray(random_subspaces(jax.random.key(0), 4, ("hypersphere", "circle")))
    for part in (slice(0, 4), slice(4, 6)):
        assert_allclose(D[:, part].T @ D[:, part], np.eye(part.stop - part.start), atol=1e-6)


# --- autoencoders ----------------------------------------------------------------------------------------------------


def circle_task(k=1.0, n=8, **more):
    return sp.tasks.SparseAutoencoder(
        n_features=2, n_hidden=2, n_latents=n, manifolds=("circle",), feature_probability=1.0, magnitude="constant",
        architecture="topk", k=k, **more,
    )  # fmt: skip


def polygon(K, n=8):
    angle = 2 * np.pi * np.arange(K) / K
    D = np.zeros((2, n))
    D[:, :K] = np.cos(angle), np.sin(angle)
    return D


def error_of(task, model, n=1 << 16):
    return float(jax.jit(lambda m: task.broadcast().precompute().loss(m, jax.random.key(5), n)[1]["error"])(model))


def test_evenly_spread_latents_explain_what_the_closed_form_says():
    """½ (1 + sin(2π/K) / (2π/K)) of the unit circle with one latent at a time, and all with two of four."""
    for K in (2, 3, 4, 8):
        turn = 2 * np.pi / K
        D = jnp.asarray(polygon(K), jnp.float32)
        explained = 1 - error_of(circle_task(), SAE(D, D.T, architecture="topk", k=1.0, unit_columns=True))
        assert abs(explained - (1 + np.sin(turn) / turn) / 2) < 4 * 0.36 / 256  # standard deviation of cos² at most
    D = jnp.asarray(polygon(4), jnp.float32)
    assert error_of(circle_task(2.0), SAE(D, D.T, architecture="topk", k=2.0, unit_columns=True)) < 1e-12


def test_a_free_bias_brings_two_latents_towards_but_never_to_half_and_four_over_pi_squared():
    """Two rays from b = (0, −B), at the best angle: ½ + B²/2 (√(1 + 16 / π²B²) − 1), which tends to ½ + 4/π² = .905."""

    def law(B):
        return 0.5 + B**2 / 2 * (np.sqrt(1 + 16 / (np.pi * B) ** 2) - 1)

    for B in (1.0, 4.0):
        tilt = np.arctan2(4 / (np.pi * B), 1) / 2
        D = np.stack([[np.sin(tilt), -np.sin(tilt)], [np.cos(tilt)] * 2])
        model = SAE(jnp.asarray(D, jnp.float32), jnp.asarray(D.T, jnp.float32), b_dec=[0.0, -B], architecture="topk", k=1.0, unit_columns=True)  # fmt: skip
        explained = 1 - error_of(circle_task(n=2, decoder_bias=True), model)
        assert abs(explained - law(B)) < 4 * 0.3 / 256
    sizes = np.geomspace(0.1, 300, 50)
    assert np.all(np.diff(law(sizes)) > 0) and law(300) < 0.5 + 4 / np.pi**2 < law(300) + 1e-4
    # No other cut of the circle in two arcs leaves less beside the best two lines.
    half = np.linspace(0.01, np.pi - 0.01, 999)

    def beside(w):
        across = 0.5 + np.sin(2 * w) / (4 * w) - (np.sin(w) / w) ** 2
        return w / np.pi * np.minimum(across, 0.5 - np.sin(2 * w) / (4 * w))

    assert abs((beside(half) + beside(np.pi - half)).min() - (0.5 - 4 / np.pi**2)) < 1e-5


def scored(K, k, turn=0.0, n=8):
    """`score_manifolds` of a circle in three dimensions with K latents, k at a time, the plane turned by an angle."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 4_000)
    x = np.stack([np.cos(angle), np.sin(angle)])
    directions = np.eye(3)[:, :2]
    D = np.concatenate([polygon(K, n), np.zeros((1, n))])
    z = np.maximum(D.T @ directions @ x, 0)
    z = np.where(z >= np.sort(z, axis=0)[-k], z, 0)
    c, s = np.cos(turn), np.sin(turn)
    D = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) @ D
    return sp.analysis.score_manifolds(directions, ("circle",), D, x, directions @ x, z, D @ z), (directions, D, x, z)


@pytest.mark.parametrize(
    ("K", "k", "word", "active"),
    [(4, 2, "capture", 2), (8, 1, "shattering", 1), (8, 3, "dilution", 3), (4, 1, "shattering", 1)],
)
def test_regimes_of_dictionaries_by_hand(K, k, word, active):
    scores, _ = scored(K, k)
    assert scores.regime.tolist() == [word]
    assert_allclose(
        [scores.latents[0], scores.active[0], scores.receptive_field[0]], [K, active, active / K], rtol=1e-2
    )
    assert_allclose(scores.subspace_recovery, 1)
    assert scores.mixed == 0 and scores.manifold_of_latent.tolist() == [0] * K + [-1] * (8 - K)
    if K == 4:
        assert_allclose(scores.explained_variance, [1 if k == 2 else 0.818], atol=0.02)
    assert repr(scores).startswith(f"1 manifolds: 1 {word}")


def test_a_plane_turned_by_an_angle_is_recovered_by_its_cosines_and_rotations_change_nothing():
    scores, (directions, D, x, z) = scored(4, 2, turn=0.3)
    assert_allclose(scores.subspace_recovery, (1 + np.cos(0.3) ** 2) / 2)
    Q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    order = np.random.default_rng(2).permutation(8)
    turned = sp.analysis.score_manifolds(
        Q @ directions, ("circle",), Q @ D[:, order], x, Q @ directions @ x, z[order], Q @ D @ z
    )
    for name in ("subspace_recovery", "explained_variance", "active", "latents"):
        assert_allclose(getattr(turned, name), getattr(scores, name), rtol=1e-6)
    assert_array_equal(turned.manifold_of_latent, scores.manifold_of_latent[order])


def test_latents_between_two_circles_belong_to_neither_and_one_that_nobody_reads_is_missing():
    directions = np.eye(4)
    x = np.random.default_rng(0).normal(size=(4, 200))
    D = np.zeros((4, 3))
    D[0, 0], D[1, 1], D[[0, 1, 2], 2] = 1, 1, 1  # the third has 2/3 in the first plane
    scores = sp.analysis.score_manifolds(directions, ("circle",) * 2, D, x, x, np.ones((3, 200)), D @ np.ones((3, 200)))
    assert scores.regime.tolist() == ["dilution", "missing"] and scores.latents.tolist() == [3, 0]
    assert_allclose(scores.share_of_latent, [1, 1, 2 / 3])
    spread = np.concatenate([np.full((4, 3), 0.5), [[1.0] * 3]])
    none = sp.analysis.score_manifolds(np.eye(5)[:, :4], ("circle",) * 2, spread, x, np.zeros((5, 200)), np.ones((3, 200)), np.zeros((5, 200)))  # fmt: skip
    assert none.mixed == 3 and np.isnan(none.explained_variance).all()


@pytest.mark.optimized
@pytest.mark.slow
def test_a_cell_alone_has_the_bytes_it_has_in_a_sweep_over_subspaces(one_device):
    task = sp.tasks.SparseAutoencoder(
        n_features=5, n_hidden=4, n_latents=6, manifolds=("circle", "sphere"), feature_probability=0.5, architecture="topk", k=2.0
    )  # fmt: skip
    config = sp.TrainConfig(steps=20, batch_size=33, evaluation_samples=33, history=2)
    options = {"block_size": 2, "devices": one_device, "progress": False}
    many = sp.sweep(task, config, sp.Grid(source=[0, 1], dictionary_size=[4, 6], seed=[1, 2]), **options)
    alone = sp.sweep(task, config, sp.Grid(source=[1], dictionary_size=[4], seed=[2]), **options)
    for name in ("W_dec", "W_enc", "loss", "frequency"):
        cell = [r[name].sel(source=1, dictionary_size=4, seed=2).values.tobytes() for r in (many, alone)]
        assert cell[0] == cell[1], name
    said = many.sel(source=1, dictionary_size=4, seed=2)
    scores = sp.analysis.manifolds_of(said.task(), said.model(), n_inputs=500)
    assert scores.manifolds == ("circle", "sphere") and len(scores.manifold_of_latent) == 6
    assert not np.array_equal(many["loss"].sel(source=0), many["loss"].sel(source=1))
    with pytest.raises(sp.ConfigError, match="MCC matches latents to directions, and a manifold has none"):
        many.sae_scores()
    one = sp.tasks.SparseAutoencoder(n_features=4, n_hidden=4, n_latents=6)
    with pytest.raises(sp.ConfigError, match="task must have features that are points of manifolds"):
        sp.analysis.manifolds_of(one, said.model())


REFUSED = [
    ({"manifolds": ["circle"]}, "manifolds must be a tuple of names"),
    ({"manifolds": ("circle", "sfere")}, "manifolds must be one of circle, sphere, torus, hypersphere"),
    ({"manifolds": ("circle",)}, "manifolds must have n_features = 4 coordinates in all, got 2"),
    ({"feature_probability": [0.1, 0.1, 0.1, 0.2]}, "feature_probability must be equal for all coordinates of a manifold"),
    ({"magnitude_high": [1.0, 2.0, 1.0, 1.0]}, "magnitude_high must be equal for all coordinates of a manifold"),
    ({"magnitude": ("uniform", "constant", "uniform", "uniform")}, "magnitude must be one law for all coordinates"),
    ({"parents": (-1, 0, 0, 0)}, "parents must be () where manifolds is not ()"),
    ({"anticorrelated_sets": ((0, 2),)}, "anticorrelated_sets must hold two manifolds or more, each with all its coordinates"),
    ({"anticorrelated_sets": ((0, 1),)}, "anticorrelated_sets must hold two manifolds or more"),
    ({"anticorrelated_sets": ((1, 0, 2, 3),)}, "in order, where manifolds is not (), got [1, 0, 2, 3]"),
    ({"anticorrelated_sets": ((0, 1, 2, 3),), "feature_probability": 0.6}, "add up to at most 1 within the anticorrelated"),
    ({"correlated_sets": ((0, 1),)}, "correlated_sets must be () where manifolds is not ()"),
    ({"correlation": 0.5}, "correlation must be None where manifolds is not ()"),
]  # fmt: skip


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("settings", "words"), REFUSED, ids=range(len(REFUSED)))
def test_manifolds_that_cannot_be_are_refused_by_name(settings, words):
    task = sp.tasks.SparseAutoencoder(
        n_features=4, n_hidden=4, n_latents=6, **{"manifolds": ("circle",) * 2, **settings}
    )
    with pytest.raises(sp.ConfigError) as error:
        task.check()
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.usefixtures("unchecked")
def test_subspaces_must_fit_and_worlds_with_positions_are_others():
    with pytest.raises(sp.ConfigError, match="n_hidden must be at least 3 for a sphere, got 2"):
        sp.tasks.SparseAutoencoder(n_features=3, n_hidden=2, n_latents=6, manifolds=("sphere",)).check()
    with pytest.raises(sp.ConfigError, match="manifolds must name one at least"):
        random_subspaces(jax.random.key(0), 3, ())
    world = {"world": "circle", "sharpness": 1.0, "log_odds": 0.0}
    with pytest.raises(sp.ConfigError, match=r"world must be None where manifolds is not \(\)"):
        sp.FeatureDistribution(n_features=2, manifolds=("circle",), **world).check()
    with pytest.raises(sp.ConfigError, match="directions of a circle must span 2 dimensions"):
        sp.analysis.score_manifolds(np.ones((2, 2)), ("circle",), *[np.ones((2, 2))] * 5)
    with pytest.raises(sp.ConfigError, match="manifolds must not be set: the optimal linear loss"):
        sp.theory.optimal_linear_loss(sp.FeatureDistribution(n_features=2, manifolds=("circle",)), 1.0, 1)
