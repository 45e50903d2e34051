"""Minima of the expected loss: which there are, which are one, how wide their basins, how they move along an axis."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.errors import ConfigError
from superpos.experiments import Claims
from superpos.experiments.landscape.basins import TRIES, are_listed, chance_of, evaluate_further, evaluate_shares
from superpos.landscapes import crossings_of, dead_features
from superpos.landscapes.bottoms import bottom_below, newton, quasi_newton
from superpos.landscapes.candidates import arrangements, moved_features
from superpos.landscapes.curvature import rank_at
from superpos.landscapes.labels import description, lettered
from superpos.landscapes.merging import canonical, classes, grouped, invariants, permutation
from superpos.landscapes.problem import problem_of


def turned(W, b, rng, order):
    """The same model, rotated or reflected, its features in another order."""
    Q = np.linalg.qr(rng.normal(size=(len(W), len(W))))[0]
    return (Q @ W)[:, order], b[order]


def test_rotations_and_permutations_of_equal_features_change_no_invariant(rng):
    label, order = np.array([0, 0, 0, 1, 1]), np.array([2, 0, 1, 4, 3])
    W, b = rng.normal(size=(3, 5)), rng.normal(size=5)
    one, two = canonical(W, b), canonical(*turned(W, b, rng, order))
    np.testing.assert_allclose(invariants(*one, label), invariants(*two, label), atol=1e-12)
    mapping = permutation(two, one, label)
    assert mapping is not None and mapping.tolist() == order.tolist()
    assert permutation(two, one, np.arange(5)) is None  # unequal features do not change places


def test_a_symmetric_shape_is_matched_in_any_order(rng):
    """All features of a polygon look alike, so only a search finds an order that fits."""
    angle = 2 * np.pi * np.arange(7) / 7
    W, b = np.array([np.cos(angle), np.sin(angle)]), np.full(7, -0.2)
    shuffled = canonical(*turned(W, b, rng, rng.permutation(7)))
    assert permutation(canonical(W, b), shuffled, np.zeros(7, int)) is not None
    star = canonical(W[:, [0, 2, 4, 6, 1, 3, 5]] * np.array([[1], [0.999]]), b)
    assert permutation(canonical(W, b), star, np.zeros(7, int)) is None


def test_invariants_tell_arrangements_of_unequal_features_apart():
    pairs = np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]])
    others = pairs[:, [0, 2, 1, 3]]
    apart = [invariants(*canonical(W, np.zeros(4)), np.arange(4)) for W in (pairs, others)]
    assert np.abs(apart[0] - apart[1]).max() > 0.5
    alike = [invariants(*canonical(W, np.zeros(4)), np.zeros(4, int)) for W in (pairs, others)]
    np.testing.assert_allclose(alike[0], alike[1])


def test_the_bias_of_a_silent_feature_is_of_no_account():
    W = np.array([[1.0, -1, 0]])
    np.testing.assert_array_equal(canonical(W, np.array([0, 0, -1.0]))[1], canonical(W, np.array([0, 0, -9.0]))[1])
    assert canonical(W, np.array([0, 0, 0.1]))[1][2] == 0.1


def test_what_no_output_shows_does_not_tell_minima_apart():
    """The depth of a dead feature's bias, and what dead features would send to each other."""
    W, b = np.array([[1.0, -1, 0, 0], [0, 0, 0.5, -0.5]]), np.array([0, 0, -0.3, -0.4])
    one, two = canonical(W, b), canonical(W * [[1], [0.5]], b - [0, 0, 0.7, 0.1])
    for x, y in zip(one, two, strict=True):
        np.testing.assert_array_equal(x, y)
    assert one[0][2:, 2:].tolist() == [[0, 0], [0, 0]] and one[0][0, 1] == -1
    np.testing.assert_array_equal(canonical(W, b, activation="identity")[1], b)  # a linear output is never dead
    np.testing.assert_array_equal(canonical(W, b, signed=True)[1], b)  # the other one may be active at −1
    assert canonical(W, np.array([0, 0, -0.2, -0.4]))[1][2] == -0.2  # alive


def test_a_feature_that_nobody_sees_is_without_length_where_one_is_active_at_a_time():
    """Of one anticorrelated set: the fourth feature is dead, and the biases of the triangle hide it from the others."""
    angle = 2 * np.pi * np.arange(3) / 3
    triangle, b = np.array([np.cos(angle), np.sin(angle)]), np.array([-0.1, -0.1, -0.1, -0.2])
    sets = ((0, 1, 2, 3),)
    columns = ([0, 0.08], [0.08, 0], [0, 0])
    grams = [canonical(np.c_[triangle, column], b, anticorrelated_sets=sets)[0] for column in columns]
    for gram in grams:
        np.testing.assert_array_equal(gram[3], 0)
    assert canonical(np.c_[triangle, [0.15, 0]], b, anticorrelated_sets=sets)[0][3].any()  # beyond the first one's bias
    assert canonical(np.c_[triangle, [0.08, 0]], b)[0][3].any()  # independent features are active together


def test_features_are_moved_one_at_a_time():
    """Of a pentagon, whose features are alike, one is silenced, twice, and laid along each of the others, either way."""
    angle = 2 * np.pi * np.arange(5) / 5
    problem = problem_of(sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.1))
    pentagon = problem.flat(np.array([np.cos(angle), np.sin(angle)]), np.full(5, -0.05))
    points = moved_features(problem, pentagon, np.zeros(5, int))
    assert len(points) == 2 + 4  # a neighbour or a feature farther away; the mirror images are the same
    lengths = np.linalg.norm(points[:, :10].reshape(-1, 2, 5), axis=1)
    assert np.all(np.sum(np.abs(lengths - 1) < 0.02, axis=1) == 4)
    dead = problem.flat(np.eye(5)[:2], np.array([0.0, 0, 0.05, 0.05, -0.1]))
    n_dead = np.sum(moved_features(problem, dead, np.zeros(5, int))[:, 10:] < -0.05, axis=1)
    assert set(n_dead.tolist()) == {0, 1, 2}  # the dead one moves, another one does, or dies, too


def test_equal_features_have_one_density_importance_and_set():
    task = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.1, importance=[1, 1, 2, 1, 1])
    assert len({*classes(task).tolist()}) == 2
    sets = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.1, correlated_sets=((0, 1), (2, 3)))
    label = classes(sets)
    assert label[0] == label[1] != label[2] == label[3] != label[4]


def test_groups_hold_what_is_near():
    groups = grouped(np.array([[0.0], [1.0], [0.05], [1.02]]), 0.1)
    assert [group.tolist() for group in groups] == [[0, 2], [1, 3]]


def test_candidates_are_the_shapes_that_fit():
    names = arrangements(3, 2)
    assert ["triangle"] in names and ["antipodal pair", "dedicated"] in names
    assert ["tetrahedron"] not in names


def test_dead_features_answer_nothing():
    W = np.array([[1.0, 0.5, 0.0]])
    assert dead_features(W, np.array([0.0, -0.76, -0.1])).tolist() == [False, True, True]
    assert dead_features(-W, np.array([0.0, -0.7, 0.1])).tolist() == [False, False, False]


def test_a_label_says_what_features_without_a_place_do():
    """Dead: silent whatever is active; constant: a bias alone; short: a little length."""
    W, b = np.array([[1.0, -1, 0, 0, 0.3]]), np.array([0.0, 0, -0.2, 0.1, 0])
    assert description("pair", W, b) == "pair + 1 dead + 1 constant + 1 short"
    assert description("pair", W, b, rectified=False) == "pair + 2 constant + 1 short"
    assert description("pair", W[:, :2], None) == "pair"
    far = np.array([0.0, 0, 0, 0, -0.4])  # beyond what reaches it
    assert description("pair", W, far) == "pair + 3 dead"
    assert description("pair", W, far, signed=True) == "pair + 2 dead + 1 short"


def test_minima_of_one_description_have_letters_by_their_order_along_the_whole_axis():
    """The second pair is (b) wherever it exists, also where the first does not; what is unlike has no letter."""
    words = np.array([["pair", "pair", "pentagon"], ["", "pair", "pair"], ["pentagon", "triangle", ""]])
    assert lettered(words).tolist() == [
        ["pair (a)", "pair (b)", "pentagon (b)"],
        ["", "pair (b)", "pair (c)"],
        ["pentagon (a)", "triangle", ""],
    ]
    many = lettered(np.array(["irregular"] * 54)).tolist()
    assert many[25:28] == ["irregular (z)", "irregular (aa)", "irregular (ab)"] and many[53] == "irregular (bb)"
    assert len({*many}) == 54


def crossing_table(values=(1.0, 0.1, 0.01)):
    losses = [[3.0, 4.0, np.nan], [2.0, 2.0, 9.0], [1.5, 1.0, 1.2]]
    data = {"loss": (("feature_probability", "minimum"), losses)}
    return xr.Dataset(data, {"feature_probability": list(values), "minimum": [0, 1, 2]})


def test_crossings_lie_where_losses_are_equal():
    crossings = crossings_of(crossing_table())
    lowest = crossings.isel(crossing=np.flatnonzero(crossings["lowest"].values))
    np.testing.assert_allclose(lowest["feature_probability"], [0.1])
    assert crossings.sizes["crossing"] == 2
    other = crossings.isel(crossing=1)
    assert not other["lowest"] and (int(other["first"]), int(other["second"])) == (0, 2)
    assert 0.01 < float(other["feature_probability"]) < 0.1


def test_a_table_without_an_axis_has_no_crossings():
    with pytest.raises(ConfigError, match="^table must be"):
        crossings_of(crossing_table().isel(feature_probability=0, drop=True))


@pytest.mark.parametrize(
    ("change", "options", "field"),
    [
        ({}, {"starts": 0}, "starts"),
        ({"importance": np.nan}, {}, "importance"),
        ({"importance": 0.0}, {}, "importance"),
        ({"magnitude": "exponential"}, {}, "magnitude"),
        ({"loss_exponent": 4}, {}, "loss_exponent"),
        ({}, {"along": {"n_hidden": [1, 2]}}, "along"),
        ({}, {"along": {"feature_probability": [0.5, np.nan]}}, "feature_probability"),
        ({}, {"along": {"feature_probability": [[0.5, 0.2, 0.1]]}}, "feature_probability"),
        ({}, {"along": {"feature_probability": [2.0]}}, "feature_probability"),
        ({}, {"along": {}}, "along"),
        ({}, {"order": 0}, "order"),
        ({}, {"seed": -1}, "seed"),
    ],
)
def test_wrong_input_is_one_sentence_that_names_the_field(change, options, field):
    task = sp.tasks.Toy(**{"n_features": 2, "n_hidden": 1, "feature_probability": 0.1, **change})
    with pytest.raises(ConfigError, match=f"^{field} must") as refused:
        sp.landscape(task, **{"starts": 8, **options})
    assert str(refused.value).count(". ") <= 1


def test_a_task_without_expected_loss_is_refused():
    with pytest.raises(ConfigError, match="^task must"):
        sp.landscape(sp.tasks.ModularAddition(), 8)


@pytest.fixture(scope="module")
def linear():
    task = sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=0.5, importance=[1.0, 0.5], activation="identity")
    return sp.landscape(task, 16)


@pytest.mark.slow
def test_a_linear_model_has_one_minimum_and_a_regular_one(linear):
    """Without ReLU the only minimum is the best linear map; W and −W are one."""
    assert linear.sizes["minimum"] == 1
    row = linear.isel(minimum=0)
    assert (int(row["starts"]), float(row["share"]), int(row.attrs["lost"])) == (16, 1.0, 0)
    assert float(row["share_low"]) == pytest.approx(16 / (16 + 1.959964**2), rel=1e-6)  # Wilson's interval
    assert (int(row["rank"]), float(row["learning_coefficient"]), str(row["flags"].item())) == (4, 2.0, "")
    assert float(row["gradient"]) < 1e-13
    features = sp.FeatureDistribution(n_features=2, feature_probability=0.5)
    assert float(row["loss"]) == pytest.approx(float(sp.theory.optimal_linear_loss(features, [1.0, 0.5], 1)), rel=1e-6)
    assert str(row["name"].item()) == "dedicated"


@pytest.mark.slow
def test_an_axis_of_densities_needs_no_allowed_density_beside_it():
    """At most one of three features is active, so a task's own density of 1 is refused; those of the axis are not."""
    task = sp.tasks.Toy(n_features=3, n_hidden=1, anticorrelated_sets=((0, 1, 2),))
    with pytest.raises(ConfigError, match="^feature_probability must add up"):
        sp.landscape(task, 16)
    along = sp.landscape(task, 16, along={"feature_probability": [0.3, 0.1]})
    alone = sp.landscape(replace(task, feature_probability=0.1), 16)
    np.testing.assert_allclose(along["loss"].sel(feature_probability=0.1).min(), alone["loss"].min(), rtol=1e-9)


@pytest.fixture(scope="module")
def pairs():
    task = sp.tasks.Toy(n_features=3, n_hidden=1)
    return sp.landscape(task, 64, along={"feature_probability": [0.2, 0.1, 0.05]})


@pytest.mark.slow
def test_three_features_in_one_dimension(pairs):
    """Minima keep their number along the axis; each has a gradient of 0, a clear rank, and λ where nothing forbids it."""
    assert pairs["loss"].dims == ("feature_probability", "minimum")
    best = np.nanargmin(pairs["loss"].values, axis=1)
    assert pairs["name"].values[np.arange(3), best].tolist() == ["antipodal pair"] * 3
    exists = np.isfinite(pairs["loss"].values)
    assert np.all(pairs["gradient"].values[exists] < 1e-12)
    assert np.all(pairs["starts"].values[exists].sum() <= 3 * 64)
    shares = np.where(exists, pairs["share"].values, 0).sum(axis=1)
    np.testing.assert_allclose(shares, 1)
    for k, row in enumerate(pairs["eigenvalues"].values[exists]):
        rank = int(pairs["rank"].values[exists][k])
        assert {rank_at(row, t) for t in 10.0 ** np.arange(-10.0, -5)} == {rank}
    dead = np.char.find(pairs["flags"].values.astype(str), "dead") >= 0
    assert dead.any()  # an antipodal pair whose third feature is dead
    assert np.all(pairs["learning_coefficient"].values[dead & exists] < np.nanmax(pairs["learning_coefficient"].values))


@pytest.mark.slow
def test_minima_with_dead_features_are_those_of_fewer_features(pairs):
    """A dead feature adds E[x²] = p/3 to the sum of squared errors, and changes nothing else."""
    p = 0.1
    here = pairs.sel(feature_probability=p).dropna("minimum", subset=["loss"])
    some = np.char.find(here["flags"].values.astype(str), "dead") >= 0
    fewer = sp.landscape(sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=p), 16)
    expected = (2 * fewer["loss"].values + p / 3) / 3
    np.testing.assert_allclose(np.sort(here["loss"].values[some]), np.sort(expected), rtol=1e-6)


@pytest.mark.slow
def test_the_loss_is_that_of_another_solver(pairs):
    for p in pairs["feature_probability"].values:
        task = sp.tasks.Toy(n_features=3, n_hidden=1, feature_probability=float(p), objective="expected")
        here = pairs.sel(feature_probability=p)
        row = here.isel(minimum=int(here["loss"].argmin("minimum")))
        noise = np.random.default_rng(0).normal(size=4)
        second = sp.theory.polish(
            row["W"].values + 0.01 * noise[:3], row["b"].values + 0.01 * noise[3], task, order=1_024
        )
        assert float(second.loss) == pytest.approx(float(row["loss"]), rel=2e-8)


@pytest.mark.slow
def test_the_saddle_between_two_minima_is_above_both(pairs):
    task = sp.tasks.Toy(n_features=3, n_hidden=1, feature_probability=0.1)
    table = pairs.sel(feature_probability=0.1)
    lowest = np.argsort(table["loss"].values)  # NaN, where it does not exist, is last
    first, second = (table.isel(minimum=int(k)) for k in lowest[:2])
    saddle = sp.landscapes.saddle_between(task, first, second)
    assert (saddle.index, saddle.gradient < 1e-9) == (1, True)
    assert saddle.loss > max(float(first["loss"]), float(second["loss"]))
    with pytest.raises(ConfigError, match="^first must be one row"):
        sp.landscapes.saddle_between(task, table, second)


@pytest.fixture(scope="module")
def polygons():
    """Six features in two dimensions, one active at a time, from 32 starts and shapes, and then from 256 starts alone.

    Without a series these programs are a third as large.
    """
    task = sp.tasks.Toy(n_features=6, n_hidden=2, objective="expected", **sp.data.one_active(6))
    return task, sp.landscape(task, 32), sp.landscape(task, 256, seed=1, candidates=False)


@pytest.mark.slow
def test_more_starts_find_no_lower_minimum_and_shares_are_those_of_training(polygons):
    """Those that 32 starts are likely to meet, and all below the fourth."""
    task, few, many = polygons
    losses = many["loss"].values
    likely = (losses < few["loss"].values[3] * (1 - 1e-9)) | (many["share_low"].values > 0.05)
    assert likely.sum() >= 3
    for loss in losses[likely]:
        assert np.abs(few["loss"].values / loss - 1).min() < 1e-6
    first, *others = (
        few["label"].values[few["starts"].values == 0].tolist()
    )  # moving features of the others leads there
    assert first == "2 × antipodal pair + 2 constant"
    shapes = ["triangle + 3", "antipodal pair + 4", "dedicated + 5", "nothing represented + 6"]
    assert others == [f"{shape} dead" for shape in shapes]
    for table in (few, many):
        assert np.all(table["gradient"] < 1e-12) and not np.any(table["index"])
    trained = sp.sweep(task, sp.TrainConfig(), sp.Grid(seed=range(64)), block_size=1)  # a block is of one seed
    pentagons = int(np.sum(trained.geometry()["shape"].values == "pentagon"))
    share = float(many["share"].values[many["name"].values == "pentagon"].sum())
    assert abs(pentagons / 64 - share) < 3 * np.sqrt(share * (1 - share) * (1 / 64 + 1 / 256))
    assert float(trained["loss"].min()) >= float(few["loss"].min()) * (1 - 1e-5)


@pytest.mark.slow
def test_minima_of_one_feature_at_a_time_are_the_polygons_of_chen_et_al(polygons):
    """Loss and λ of the hexagon and of both pentagons; rows of one shape have two labels."""
    _, few, _ = polygons
    known = sp.landscapes.polygon_minima(6).set_index(minimum="name").sel(minimum=["6", "5⁺", "5⁻"])
    assert few["label"].values[:3].tolist() == ["hexagon", "pentagon + 1 constant", "pentagon + 1 dead"]
    np.testing.assert_allclose(6 * few["loss"].values[:3], known["loss"], rtol=1e-9)
    assert few["learning_coefficient"].values[:3].tolist() == known["learning_coefficient"].values.tolist()
    assert few["symmetry_modes"].values.tolist() == [1] * (few.sizes["minimum"] - 1) + [0]  # nothing has no rotation
    assert len({*few["label"].values.tolist()}) == few.sizes["minimum"]
    assert np.all(np.isnan(few["learning_coefficient"].values[3:-1]))  # pairs, and what is left of them, stand at kinks
    dead = few["loss"].values[-5:]  # from two of them to six, each of which adds E[x²] = 1/18
    np.testing.assert_allclose(6 * np.diff(dead), 1 / 18, rtol=1e-9)


@pytest.mark.slow
def test_minima_that_differ_by_an_order_of_features_are_listed(polygons):
    """Those of further starts are known, whichever feature they leave out; a model that is no minimum is not."""
    task, few, many = polygons
    order = np.array([3, 0, 4, 1, 5, 2])
    other = many.isel(feature=order).assign(W=many["W"].isel(feature=order) * [[1], [-1]])
    assert are_listed(task, few, other).all()
    moved = many.assign(W=many["W"] + 0.02)
    assert not are_listed(task, few, moved).any()
    assert are_listed(task, few.isel(minimum=[1]), few).tolist() == [k == 1 for k in range(few.sizes["minimum"])]


@pytest.mark.slow
def test_a_descent_that_halts_beside_a_kink_goes_on():
    """From this start, where features are dense, Newton's method alone stops on a slope of 5e-6."""
    problem = problem_of(sp.tasks.Toy(n_features=3, n_hidden=1, feature_probability=0.95))
    start = 0.5 * np.random.default_rng(1).normal(size=(40, 6))[26]
    halted, end = newton(problem, quasi_newton(problem, start)), bottom_below(problem, start)
    assert np.abs(halted.slope).max() > 1e-8 * problem.untrained
    assert np.abs(end.slope).max() < 1e-12 * problem.untrained
    assert end.loss < halted.loss and np.linalg.eigvalsh(end.hessian)[0] >= 0


def shares(found, trained):
    dims = ("feature_probability", "shape")
    least = {"lowest": ("feature_probability", [0.1, 0.2]), "lowest_trained": ("feature_probability", [0.1001, 0.2])}
    data = {"found": (dims, np.array(found)), "trained": (dims, np.array(trained)), **least}
    return xr.Dataset(data, {"feature_probability": [0.3, 0.1], "shape": ["a", "b"]})


def test_chance_is_fishers_for_two_shapes_and_even_for_samples_of_one_distribution():
    from scipy.stats import fisher_exact

    counts = np.array([40, 24]), np.array([5, 11])
    exact = float(np.asarray(fisher_exact(np.stack(counts)))[1])
    assert chance_of(*counts) == pytest.approx(exact, abs=4 * np.sqrt(exact / TRIES))
    assert chance_of(np.array([30, 10, 0]), np.array([3, 1, 0])) == 1.0
    assert chance_of(np.array([500, 12]), np.array([4, 12])) == pytest.approx(1 / (1 + TRIES))


def test_shares_and_complete_lists_are_claimed_by_what_was_counted():
    for trained, verdict in (([[12, 4], [5, 11]], "pass"), ([[12, 4], [15, 1]], "FAIL")):
        claims = Claims("a paper")
        evaluate_shares(shares([[380, 132], [100, 412]], trained), claims)
        assert [claim.verdict for claim in claims.claims] == [verdict, "pass"]
    below = shares([[380, 132], [100, 412]], [[12, 4], [5, 11]]).assign(lowest=("feature_probability", [0.1, 0.2001]))
    evaluate_shares(below, claims := Claims("a paper"))
    assert claims.claims[1].verdict == "FAIL"
    look = xr.Dataset({"loss": ("minimum", [1.0, 2.0]), "listed": ("minimum", [True, False]), "known": 3, "tenth": 1.5})
    for tables, verdict in (([look], "pass"), ([look.assign(tenth=np.inf)], "FAIL"), ([], "needs --full")):
        evaluate_further(tables, 100, claims := Claims("a paper"))
        assert claims.claims[0].verdict == verdict
