"""The analyser must be right, or say that it does not know."""

import time
from itertools import groupby

import jax
import numpy as np
import pytest
from marks import slow
from numpy.testing import assert_allclose
from scipy.linalg import block_diag
from scipy.stats import ortho_group

import superpos as sp
from superpos.analysis import (
    d_star,
    feature_capacity,
    feature_norms,
    interference,
    packing,
    polysemanticity,
    represented,
)
from superpos.analysis.geometries import geometries
from superpos.plot.shape_colors import shape_color
from superpos.plot.sweeps import named_lines
from superpos.theory.polytopes import KnownShape, known_shapes, polygon, prism, simplex

SHAPES = {
    (shape.name, k, len(shape.vertices[0])): shape.vertices
    for k in (*range(1, 13), 14, 16, 20, 24, 27)
    for shape in known_shapes(k)
}
# Under noise a simplex of many vertices cannot be seen: its cosines, -1/(k - 1), drown.
VISIBLE = {key: V for key, V in SHAPES.items() if len(V) <= 24 or V.shape[1] < len(V) - 1}
THOMSON = prism(4, 0.56060, twist=True)
# Structure, n, d, D_i: from the definitions, checked against the Gram spectrum in the test below.
TABLE = [
    ("dedicated", 1, 1, 1),
    ("antipodal pair", 2, 1, 1 / 2),
    ("triangle", 3, 2, 2 / 3),
    ("tetrahedron", 4, 3, 3 / 4),
    ("4-simplex", 5, 4, 4 / 5),
    ("6-simplex", 7, 6, 6 / 7),
    ("pentagon", 5, 2, 2 / 5),
    ("hexagon", 6, 2, 1 / 3),
    ("octagon", 8, 2, 1 / 4),
    ("9-gon", 9, 2, 2 / 9),
    ("square antiprism", 8, 3, 3 / 8),
    ("cube", 8, 3, 3 / 8),
    ("square pyramid", 5, 3, 3 / 5),
    ("triangular prism", 6, 3, 1 / 2),
    ("icosahedron", 12, 3, 1 / 4),
    ("cuboctahedron", 12, 3, 1 / 4),
    ("dodecahedron", 20, 3, 3 / 20),
    ("tesseract", 16, 4, 1 / 4),
    ("24-cell", 24, 4, 1 / 6),
    ("600-cell", 120, 4, 1 / 30),
    ("rectified 5-cell", 10, 4, 2 / 5),
    ("5-demicube", 16, 5, 5 / 16),
    ("2_21", 27, 6, 2 / 9),
    ("3_21", 56, 7, 1 / 8),
    ("4_21", 240, 8, 1 / 30),
]
# Placements of points in space, with the smallest angle in degrees (Sloane's tables) or the energy of charges that are
# published for them (Thomson's problem).
CODES = [
    ("capped octahedron", 7, 77.86954, None),
    ("tricapped triangular prism", 9, None, 25.759987),
    ("gyroelongated square bipyramid", 10, None, 32.716949),
    ("10-point code", 10, 66.14682, None),
    ("edge-contracted icosahedron", 11, None, 40.596450),
    ("gyroelongated hexagonal bipyramid", 14, None, 69.306363),
    ("14-point code", 14, 55.67057, None),
]
# Gosset's k_21: how many others each vertex sees at which cosine.
GOSSET = {
    "rectified 5-cell": {-2 / 3: 3, 1 / 6: 6},
    "5-demicube": {-3 / 5: 5, 1 / 5: 10},
    "2_21": {-1 / 2: 10, 1 / 4: 16},
    "3_21": {-1: 1, -1 / 3: 27, 1 / 3: 27},
    "4_21": {-1: 1, -1 / 2: 56, 0: 126, 1 / 2: 56},
}


def vertices(name, n):
    return next(s.vertices for s in known_shapes(n) if s.name == name)


def rotated(V, rng, m=None):
    """Columns W_i = vertices in a random orientation of m dimensions, in random order."""
    n, d = V.shape
    m = d if m is None else m
    Q = ortho_group.rvs(m, random_state=rng) if m > 1 else np.array([[rng.choice([-1.0, 1.0])]])
    return Q[:, :d] @ V[rng.permutation(n)].T


def names(W):
    return sorted(c.name for c in sp.geometry(W).components)


@pytest.mark.parametrize("case", TABLE, ids=lambda c: c[0])
def test_exact_shapes_have_their_name_and_dimensionality_in_any_rotation(case, rng):
    name, n, d, D = case
    for m in (d, d + 3):
        g = sp.geometry(rotated(vertices(name, n), rng, m))
        assert [c.name for c in g.components] == [name]
        assert g.components[0].dimensions == d
        assert g.components[0].residual < 1e-6
        assert_allclose(g.dimensionality, D, rtol=1e-5)
        assert g.packing == pytest.approx(d / m, rel=1e-5)
        if n > 1:  # a tight frame: all non-zero eigenvalues are n/d
            eigenvalues = np.linalg.eigvalsh(vertices(name, n) @ vertices(name, n).T)[-d:]
            assert_allclose(eigenvalues, n / d, rtol=1e-9)


@pytest.mark.parametrize("case", TABLE, ids=lambda c: c[0])
def test_shapes_keep_their_name_under_two_percent_of_noise(case, rng):
    name, n, d, _ = case
    for _ in range(25 if n < 50 else 2):
        W = rotated(vertices(name, n), rng, d + int(rng.integers(3)))
        assert names(W + 0.02 * rng.standard_normal(W.shape)) == [name]


@pytest.mark.parametrize("case", CODES, ids=lambda c: c[0])
def test_the_best_placements_in_space_have_their_published_angle_or_energy_and_their_name(case, rng):
    name, n, angle, energy = case
    V = vertices(name, n)
    assert_allclose(np.linalg.norm(V, axis=1), 1, atol=1e-9)
    if angle is not None:
        assert np.degrees(np.arccos(np.max((V @ V.T)[np.triu_indices(n, 1)]))) == pytest.approx(angle, abs=2e-4)
    else:
        distances = np.linalg.norm(V[:, None] - V[None], axis=2)[np.triu_indices(n, 1)]
        assert np.sum(1 / distances) == pytest.approx(energy, abs=1e-5)
    for noise in (0, 0.02, 0.02, 0.02):
        W = rotated(V, rng, 3 + int(rng.integers(3)))
        g = sp.geometry(W + noise * rng.standard_normal(W.shape))
        assert [(c.name, c.dimensions) for c in g.components] == [(name, 3)]
        assert noise or g.components[0].residual < 1e-6


@pytest.mark.parametrize("name", GOSSET)
def test_gossets_polytopes_have_their_cosines(name):
    gram = vertices(name, 1 + sum(GOSSET[name].values())) @ vertices(name, 1 + sum(GOSSET[name].values())).T
    for row in gram:
        cosines, counts = np.unique(np.delete(row, row.argmax()).round(9), return_counts=True)
        assert_allclose(cosines, sorted(GOSSET[name]), atol=1e-9)
        assert counts.tolist() == [GOSSET[name][c] for c in sorted(GOSSET[name])]


def test_the_antiprism_of_eight_charges_is_a_square_antiprism_too(rng):
    W = rotated(THOMSON, rng)
    assert names(W) == ["square antiprism"]
    assert_allclose(sp.feature_dimensionality(W), 0.3744, atol=2e-4)
    assert_allclose(np.linalg.eigvalsh(THOMSON.T @ THOMSON), [2.513, 2.744, 2.744], atol=2e-3)
    distances = np.linalg.norm(THOMSON[:, None] - THOMSON[None], axis=2)[np.triu_indices(8, 1)]
    assert np.sum(1 / distances) == pytest.approx(19.675288, abs=1e-5)  # Thomson's energy


@pytest.mark.parametrize("a", [1, slow(2), slow(3), 5, slow(8)])
@pytest.mark.parametrize("noise", [0, 0.02])
def test_direct_sums_of_two_and_three_shapes_come_apart(a, noise, rng):
    pool = [(key, V) for key, V in SHAPES.items() if not noise or V.shape[1] <= 7]
    for trial in range(30):
        parts = [pool[i] for i in rng.integers(len(pool), size=2 + trial % 2)]
        d = sum(V.shape[1] for _, V in parts)
        if d > 30:
            continue
        W = rotated(block_diag(*[V for _, V in parts]), rng, int(rng.integers(d, min(30, d + 2 * a) + 1)))
        expected = sorted(name for (name, *_), _ in parts)
        assert names(W + noise * rng.standard_normal(W.shape)) == expected


@pytest.mark.slow
def test_a_shape_without_a_vertex_has_no_name():
    """Except a polygon, which is nearly the next smaller one, and a pair, of which one dedicated feature is left."""
    for (name, k, d), V in SHAPES.items():
        if (d == 2 and k > 3) or k < 3:
            continue
        for shape in geometries(np.stack([np.delete(V, v, axis=0).T for v in range(k)])):
            assert [(c.name, len(c.features)) for c in shape.components] == [("irregular", k - 1)], name


def test_every_shape_is_found_by_its_name_and_has_the_dimensionality_of_the_table():
    for name, n, d, D in TABLE:
        shape = sp.theory.known_shape(name)
        assert (len(shape.vertices), shape.dimensions) == (n, d) and shape.dimensionality == pytest.approx(D)
    assert sp.theory.known_shape("3-gon").name == "triangle" and sp.theory.known_shape("11-gon").is_plane


def test_the_lines_of_figures_are_those_of_the_paper():
    """Elhage et al. 2022, "The Geometry of Superposition"; one colour each, and highest first."""
    levels = {1: "dedicated", 3 / 4: "tetrahedron", 2 / 3: "triangle", 1 / 2: "antipodal pair", 2 / 5: "pentagon"}
    assert list(named_lines().items()) == list((levels | {3 / 8: "square antiprism"}).items())
    assert len({shape_color(name) for name in named_lines().values()}) == len(named_lines())


def test_a_shape_whose_vertices_see_the_same_and_are_not_alike_is_refused():
    """Four vertices that see each other, beside two threes that see the other three: every vertex sees three."""
    edges = block_diag(1 - np.eye(4), np.kron(1 - np.eye(2), np.ones((3, 3))))
    with pytest.raises(sp.ConfigError, match="vertices of ten see the same cosines, so they must be alike"):
        KnownShape("ten", np.linalg.cholesky(np.eye(10) + 0.1 * edges))


def damaged(V, rng):
    """A shape with one or two vertices fewer, one vertex elsewhere, or all of them shaken, as columns."""
    k, d = V.shape
    kind = rng.integers(3)
    if kind == 0 and k > 3:
        V = np.delete(V, rng.choice(k, size=rng.integers(1, 3), replace=False), axis=0)
    elif kind == 1:
        V = np.where(np.arange(k)[:, None] == rng.integers(k), rng.standard_normal(d), V)
    else:
        V = V + rng.uniform(0, 0.3) * rng.standard_normal(V.shape)
    return rng.uniform(0.6, 1.5) * V.T


@pytest.mark.slow
def test_a_named_shape_has_as_many_dimensions_as_its_directions(rng):
    """10,000 damaged shapes and sets of random directions: the name's dimensions are the numerical rank of the cosines."""
    n_named = 0
    for V in SHAPES.values():
        for size, same in groupby(sorted((damaged(V, rng) for _ in range(165)), key=np.size), key=np.shape):
            Ws = np.stack(list(same))
            for W, g in zip(Ws, geometries(Ws), strict=True):
                for c in g.components:
                    if c.name == "irregular":
                        continue
                    n_named += 1
                    unit = W[:, c.features] / np.linalg.norm(W[:, c.features], axis=0)
                    eigenvalues = np.linalg.eigvalsh(unit.T @ unit)[::-1]
                    # Half of what a simplex without a vertex has, in units of the last eigenvalue that counts.
                    limit = eigenvalues[c.dimensions - 1] / (2 * (len(c.features) + 1))
                    assert np.sum(eigenvalues > limit) == c.dimensions, (c.name, size, eigenvalues)
    assert n_named > 2_000


@pytest.mark.slow
def test_random_directions_are_named_in_less_than_one_of_a_thousand(rng):
    n_features, n_named = 0, 0
    for m, n in ((2, 5), (3, 5), (3, 8), (4, 10), (5, 16), (6, 27), (5, 5), (8, 8), (30, 40)):
        for g in geometries(np.stack([random_directions(m, n, rng) for _ in range(200)])):
            n_features += n
            n_named += sum(len(c.features) for c in g.components if c.name != "irregular")
    assert n_named < 1e-3 * n_features


def test_what_was_called_a_wrong_name_before(rng):
    """Three vertices of a tetrahedron, noise about an identity, a cube without two corners, and a feature that shares."""
    three = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1]]).T / 3**0.5
    assert sp.geometry(three).name == "irregular (3 features, 3 dimensions)"
    assert sp.geometry(np.eye(100) + 0.012 * rng.standard_normal((100, 100))).name == "100 × dedicated"
    cube = vertices("cube", 8)
    opposite = int(np.argmin(cube @ cube[0]))
    assert sp.geometry(np.delete(cube, [0, opposite], axis=0).T).name == "irregular (6 features, 3 dimensions)"
    g = sp.geometry(np.array([[1, 0.49, 0.49, -0.49]]))
    assert g.name == "shared feature" and g.components[0].name == "irregular"
    assert g.dimensionality[0] == pytest.approx(1 / (1 + 3 * 0.49**2), rel=1e-6)


def test_no_amount_of_noise_makes_a_wrong_name(rng):
    """A sum of shapes may stop being recognised, but no part of it is called something else."""
    pool = list(VISIBLE.items())
    for trial in range(150):
        parts = [pool[i] for i in rng.integers(len(pool), size=1 + trial % 3)]
        W = rotated(block_diag(*[V for _, V in parts]), rng, sum(V.shape[1] for _, V in parts))
        W += rng.uniform(0, 0.15) * rng.standard_normal(W.shape)
        assert set(names(W)) <= {name for (name, *_), _ in parts} | {"irregular"}


def test_sums_are_named_by_their_factors(rng):
    square = rotated(np.vstack([np.eye(2), -np.eye(2)]), rng)
    assert sp.geometry(square).name == "2 × antipodal pair"
    octahedron = rotated(np.vstack([np.eye(3), -np.eye(3)]), rng)
    assert sp.geometry(octahedron).name == "3 × antipodal pair"
    bipyramid = rotated(block_diag(simplex(3), simplex(2)), rng)
    g = sp.geometry(bipyramid)
    assert g.name == "triangle + antipodal pair"
    assert_allclose(np.sort(g.dimensionality), [1 / 2, 1 / 2, 2 / 3, 2 / 3, 2 / 3], rtol=1e-5)
    pentagonal = rotated(block_diag(polygon(5), simplex(2)), rng)
    assert sp.geometry(pentagonal).name == "pentagon + antipodal pair"


def test_the_five_cases_angle_histograms_get_wrong(rng):
    assert names(rotated(np.eye(5), rng)) == ["dedicated"] * 5  # not a square
    assert names(rotated(polygon(6), rng)) == ["hexagon"]  # not a triangle
    assert names(rotated(simplex(4), rng)) == ["tetrahedron"]  # not a triangle
    assert names(rotated(block_diag(polygon(5), polygon(5)), rng)) == ["pentagon", "pentagon"]
    for m, n in ((20, 40), (20, 12), (100, 200), (100, 60)):
        assert set(names(random_directions(m, n, rng))) == {"irregular"}


def random_directions(m, n, rng):
    V = rng.standard_normal((m, n))
    return V / np.linalg.norm(V, axis=0)


@pytest.mark.parametrize(
    ("m", "n"),
    [
        (20, 25),
        (20, 80),
        (100, 25),
        (100, 120),
        pytest.param(100, 400, marks=pytest.mark.slow),
        (5, 20),
        (3, 9),
        (2, 24),
        (2, 400),
    ],
)
def test_random_directions_earn_no_shape(m, n, rng):
    for _ in range(5):
        assert set(names(random_directions(m, n, rng))) <= {"irregular"}


def test_cube_and_square_antiprism_are_told_apart(rng):
    for _ in range(20):
        noise = 0.02 * rng.standard_normal((3, 8))
        assert names(rotated(vertices("cube", 8), rng) + noise) == ["cube"]
        assert names(rotated(vertices("square antiprism", 8), rng) + noise) == ["square antiprism"]


def test_dense_equal_features_lose_the_same_in_every_plane_and_the_words_say_so(rng):
    """Two dimensions of five: three times the variance 1/12, over five features, but for the little that the ReLU saves."""
    words = []
    for _ in range(5):
        rows = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
        b = (np.eye(5) - rows.T @ rows) @ np.full(5, 0.5)
        loss = float(sp.expected_loss(rows, b, 1.0))
        assert 0.996 < loss / (3 / 12 / 5) < 1.0001
        g = sp.geometry(rows)
        np.testing.assert_allclose(g.dimensionality, np.diag(rows.T @ rows), rtol=1e-5)
        if "irregular" in g.name or "shared" in g.name:
            lowest, highest = g.dimensionality.min(), g.dimensionality.max()
            words.append(f"5 features fill 2 dimensions in no regular shape: D from {lowest:.2f} to {highest:.2f}")
            assert words[-1] in repr(g)
    assert len(words) >= 3
    assert "no regular shape" not in repr(sp.geometry(np.eye(2, 5)))


def test_what_is_no_shape_is_irregular(rng):
    V = polygon(5).copy()
    V[1] = [np.cos(0.7), np.sin(0.7)]  # one vertex 32° off
    g = sp.geometry(V.T)
    assert str(g.components[0]) == "irregular (5 features, 2 dimensions)"
    assert g.components[0].residual > 0.2
    assert str(sp.geometry(np.array([[1.0, 1.0]])).components[0]) == "irregular (2 features, 1 dimension)"
    lopsided = np.array([[1.0, -0.55 / 1.2]])
    assert names(lopsided / np.abs(lopsided).max() * 1.3) == ["irregular"]  # norms 1.3 and 0.6 are no pair


@pytest.mark.parametrize("speck", [0.0, 1e-30, 1e-8, 1e-3, 0.02])
def test_dead_and_nearly_dead_features_count_nothing(speck, rng):
    W = np.zeros((4, 8))
    W[:2, :5] = polygon(5).T
    W[2, 6] = speck  # alone in an unused dimension, where D would be 1
    W[:, 7] = speck * rng.standard_normal(4)
    g = sp.geometry(W)
    assert g.name == "pentagon"
    assert_allclose(g.dimensionality, [0.4] * 5 + [0] * 3, atol=2e-3)
    for numbers in (g.norms, g.dimensionality, g.interference, g.polysemanticity, [g.packing, g.residual]):
        assert np.all(np.isfinite(numbers))
    assert list(g.represented) == [True] * 5 + [False] * 3


@pytest.mark.parametrize("W", [np.zeros((2, 5)), np.full((2, 5), 1e-20), np.zeros((1, 1))])
def test_a_model_that_learned_nothing_has_no_shape_and_no_nan(W):
    g = sp.geometry(W)
    assert g.name == "nothing represented"
    assert np.all(g.dimensionality == 0) and np.all(np.isfinite(g.interference)) and g.packing == 0
    assert "nothing represented" in repr(g)


@pytest.mark.parametrize(
    "analyser", [feature_norms, interference, sp.feature_dimensionality, packing, polysemanticity, feature_capacity]
)
def test_gradients_are_finite_with_dead_features(analyser, rng):
    W = rng.standard_normal((3, 6)).astype(np.float32)
    W[:, 2] = 0
    for M in (W, np.zeros_like(W)):
        assert np.all(np.isfinite(jax.grad(lambda W: analyser(W).sum())(M)))


def test_dimensionality_is_the_double_sum(rng):
    W = rng.standard_normal((4, 9))
    hat = W / np.linalg.norm(W, axis=0)
    D = [np.sum(W[:, i] ** 2) / sum((hat[:, i] @ W[:, j]) ** 2 for j in range(9)) for i in range(9)]
    others = [sum((hat[:, i] @ W[:, j]) ** 2 for j in range(9) if j != i) for i in range(9)]
    assert_allclose(sp.feature_dimensionality(W), D, rtol=1e-5)
    assert_allclose(interference(W), others, rtol=1e-5)
    assert float(d_star(W)) == pytest.approx(4 / np.sum(W**2), rel=1e-6)
    assert_allclose(feature_capacity(W), D, rtol=1e-5)
    assert_allclose(polysemanticity(W), (W**2).sum(1) ** 2 / (W**4).sum(1), rtol=1e-5)
    assert_allclose(represented(W), np.linalg.norm(W, axis=0) > 0.5)


def test_laws_of_dimensionality(rng):
    """Invariant under rotation and scale, equivariant under permutation, bounded by leverage and by rank."""
    for m, n in ((2, 5), (5, 20), (20, 12), (6, 6)):
        W = rng.standard_normal((m, n))
        D = np.asarray(sp.feature_dimensionality(W))
        order = rng.permutation(n)
        assert_allclose(sp.feature_dimensionality(ortho_group.rvs(m, random_state=rng) @ W), D, rtol=2e-5)
        assert_allclose(sp.feature_dimensionality(1e-3 * W), D, rtol=2e-5)
        assert_allclose(sp.feature_dimensionality(W[:, order]), D[order], rtol=2e-5)
        leverage = np.einsum("mi,mk,ki->i", W, np.linalg.pinv(W @ W.T), W)
        assert np.all(leverage + 1e-5 >= D)
        assert D.sum() <= np.linalg.matrix_rank(W) + 1e-5
    assert 3.9 < np.mean([sp.feature_dimensionality(rng.standard_normal((5, 20))).sum() for _ in range(50)]) < 4.5


def test_names_follow_a_permutation_of_the_features(rng):
    W = rotated(block_diag(polygon(5), simplex(3), simplex(2)), rng, 8)
    order = rng.permutation(W.shape[1])
    before = {c.name: set(c.features) for c in sp.geometry(W).components}
    after = {c.name: {int(order[f]) for f in c.features} for c in sp.geometry(W[:, order]).components}
    assert before == after


def test_many_models_at_once_are_the_same_as_one_by_one(rng):
    Ws = [rotated(polygon(5), rng) * s for s in (1.0, 0.3, 1.2)] + [rng.standard_normal((2, 5)) for _ in range(60)]
    for W, together in zip(Ws, geometries(np.stack(Ws)), strict=True):
        assert repr(sp.geometry(W)) == repr(together)
        assert sp.geometry(W).components == together.components


@pytest.mark.slow
@pytest.mark.optimized
def test_speed_of_the_analyser(rng):
    """The promise is 5 s for 10,000 models of 5→2 and 1 s for one of 400→30; here with a wide margin for busy machines."""
    Ws = rng.standard_normal((10_000, 2, 5))
    Ws[::2] = polygon(5).T
    big = random_directions(30, 400, rng)
    geometries(Ws[:2]), sp.geometry(big)  # compile
    begin = time.perf_counter()
    assert len(geometries(Ws)) == 10_000
    assert time.perf_counter() - begin < 20
    begin = time.perf_counter()
    sp.geometry(big)
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    "W", [np.zeros(3), np.zeros((2, 3, 4)), [[np.nan, 1.0]], [[np.inf]], np.zeros((0, 3)), "W", None]
)
def test_what_is_no_matrix_is_refused_by_name(W):
    with pytest.raises(sp.ConfigError, match="^W must (not )?be"):
        sp.geometry(W)


def test_a_geometry_prints_itself_in_three_lines():
    text = repr(sp.geometry(polygon(5).T))
    assert text.startswith("pentagon, D = 0.40 ×5\n")
    assert len(text.splitlines()) == 3
