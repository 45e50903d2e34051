"""Moves, falls, growth and stages of training; sets of correlated features; pictures of both."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.dynamics import drops, even_stages, logistic_rate, moves
from superpos.experiments import Claims, publish
from superpos.experiments.correlated_features.arrangements import (
    antipodal_within,
    hexagon_of_pairs,
    n_collapsed,
    orthogonal_within,
    sum_and_difference,
)
from superpos.experiments.correlated_features.drawing import collapse_by_density, set_gram
from superpos.experiments.learning_dynamics import chance, evaluate_levels, octahedron
from superpos.experiments.publishing import index
from superpos.sweeping.attributes import attributes
from superpos.sweeping.compiled import lay_out
from superpos.theory.polytopes import polygon

PAIRS, THREE, TRIPLES = ((0, 1), (2, 3)), ((0, 1), (2, 3), (4, 5)), ((0, 1, 2), (3, 4, 5))
CROSSED = np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]])  # members orthogonal, each opposite to one of the other pair
OPPOSED = np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]])
OCTAHEDRON = np.concatenate([np.eye(3), -np.eye(3)], axis=1)


def rotation(d, rng):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def test_moves_of_a_series_drawn_by_hand():
    """Up over three points with a wiggle, down at once, and a slow drift too small to count."""
    x = [0, 0, 0.1, 0.08, 0.3, 0.5, 0.5, 0.0, 0.0, 0.05, 0.1, 0.15]
    found = moves(x, larger_than=0.2)
    assert [(m.start, m.middle, m.stop) for m in found] == [(1, 3, 5), (6, 6, 7)]
    np.testing.assert_allclose([m.change for m in found], [0.5, -0.5])
    assert [m.change for m in moves([0.5, 0.5, 0.5], larger_than=0.2)] == []
    assert len(moves([0, 1, 0, 1], larger_than=0.2)) == 3


def test_laws_of_moves(rng):
    """Upside down, moves change sign alone; they chain up to the whole; noise below the reversal adds none."""
    x = np.repeat(rng.choice([0, 0.5], size=30), 4)
    found = moves(x, larger_than=0.2)
    assert len(found) == np.sum(np.diff(x) != 0)  # a NumPy twin: every flip of a telegraph signal is a move
    assert [m.middle for m in found] == np.flatnonzero(np.diff(x)).tolist()
    assert sum(m.change for m in found) == pytest.approx(x[-1] - x[0])
    assert [(m.start, m.stop, -m.change) for m in moves(-x, larger_than=0.2)] == [
        (m.start, m.stop, m.change) for m in found
    ]
    noisy = x + rng.uniform(-0.02, 0.02, size=len(x))
    assert [m.middle for m in moves(noisy, larger_than=0.2)] == [m.middle for m in found]


def test_drops_of_a_staircase(rng):
    """Two drops, the second a hundred times smaller, above slopes that are slower still; half-height decides their width."""
    fall = np.array([8, 4, 1, 1, 1, 2, 6, 5, 2, 1, 0.1, 0.04, 0.04, 0.08, 0.1, 0.06, 0.02, 0.02]) / 10
    wanted = np.isin(np.arange(18), [0, 1, 6, 7, 13, 14, 15])
    loss = 5 - np.concatenate([[0], fall.cumsum()])
    assert drops(loss).tolist() == wanted.tolist()
    assert drops(3 * loss + 7).tolist() == wanted.tolist()  # in any unit, from any level
    assert not drops(np.ones(5)).any()


def test_falls_that_are_rounding_are_no_drops(rng):
    loss = np.concatenate([[2.0, 1.5, 1.0], 1 + rng.uniform(-1e-5, 1e-5, size=60)])
    assert drops(loss).tolist() == [True, True] + 60 * [False]


def test_logistic_growth_is_recovered():
    t = np.arange(0, 4000, 25)
    assert logistic_rate(1 / (1 + np.exp(5 - 0.004 * t)), t) == pytest.approx(0.004, rel=1e-9)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: moves([[1.0]], larger_than=1), "values"),
        (lambda: moves([0, 1], larger_than=0.01), "larger_than"),
        (lambda: moves([0, np.nan], larger_than=1), "values"),
        (lambda: drops([1, 0], ratio=1), "ratio"),
        (lambda: logistic_rate([0.5, 0.5], [1, 2, 3]), "one length"),
        (lambda: logistic_rate([0.001, 0.002], [1, 2]), "three points"),
        (lambda: even_stages(np.zeros((3, 4)), 2), "snapshots"),
        (lambda: even_stages(np.zeros((3, 2, 4)), 1), "n_stages"),
        (lambda: sp.plot.feature_directions_3d(np.zeros((2, 5))), "3 hidden"),
        (lambda: sp.plot.feature_directions_3d(np.zeros((3, 5)), plt.subplots()[1]), "projection"),
        (lambda: sp.plot.feature_directions(np.zeros((2, 3)), color=["red"]), "list of 3"),
        (lambda: sp.plot.directions_animation(np.zeros((4, 3, 6)), [1, 2]), "n_frames"),
    ],
)
def test_wrong_series_and_pictures_are_refused(wrong, words, unchecked):
    with pytest.raises(sp.ConfigError, match=words):
        wrong()


def test_stages_divide_the_way_and_see_no_rotation(rng):
    """Of a W that grows evenly in its Gram matrix, then rests, the stages are even and none lies in the rest."""
    W = np.sqrt(np.minimum(np.arange(40), 20))[:, None, None] * np.eye(3)[None]
    turned = np.stack([rotation(3, rng) @ w for w in W])
    for Ws in (W, turned):
        assert even_stages(Ws, 5).tolist() == [0, 5, 10, 15, 39]


@pytest.mark.slow
def test_loss_of_pairs_matches_the_closed_forms():
    """Expected losses of the two ways to place two pairs: 4p²/6 crossed, 4p/6 opposed, nothing if they exclude each other."""
    p, b = 0.3, np.zeros(4)
    crossed, opposed = (
        4 * float(sp.expected_loss(W, b, p, order=256, correlated_sets=PAIRS)) for W in (CROSSED, OPPOSED)
    )
    assert crossed == pytest.approx(4 * p**2 / 6, rel=1e-4)
    assert opposed == pytest.approx(4 * p / 6, rel=1e-4)
    assert abs(4 * float(sp.expected_loss(OPPOSED, b, p, order=256, anticorrelated_sets=PAIRS))) < 1e-5


def test_arrangements_are_told_apart(rng):
    R, turn = rotation(2, rng), rotation(3, rng)
    assert orthogonal_within(R @ CROSSED, PAIRS) and not antipodal_within(R @ CROSSED, PAIRS)
    assert antipodal_within(R @ OPPOSED, PAIRS) and not orthogonal_within(R @ OPPOSED, PAIRS)
    assert octahedron(turn @ OCTAHEDRON, TRIPLES) and not octahedron(turn @ OCTAHEDRON, ((0, 1, 3), (2, 4, 5)))
    assert not octahedron(turn @ (OCTAHEDRON + 0.1 * rng.normal(size=(3, 6))), TRIPLES)
    hexagon = polygon(6).T
    assert hexagon_of_pairs(R @ hexagon, THREE) and not hexagon_of_pairs(R @ hexagon, ((0, 2), (1, 3), (4, 5)))
    assert not hexagon_of_pairs(polygon(7).T[:, :6], THREE)
    collapsed = hexagon[:, [0, 0, 2, 3, 4, 4]]
    assert n_collapsed(R @ collapsed, THREE) == 2 and n_collapsed(R @ hexagon, THREE) == 0


def test_principal_components_keep_the_sum_and_drop_the_difference(rng):
    kept, dropped = sum_and_difference(rotation(2, rng) @ np.array([[1.0, 1, 0, 0], [0, 0, 1, -1]]), PAIRS)
    np.testing.assert_allclose([kept, dropped], [[np.sqrt(2), 0], [0, np.sqrt(2)]], atol=1e-12)


def levels_table(final, drop, moving, active):
    """Two features of one seed that end on `final`; masks and numbers of moves by interval."""
    D = np.zeros((len(drop), 2))
    D[-1] = final
    over = {"drop": drop, "moving": moving, "active": active}
    table = xr.Dataset({"dimensionality": (("snapshot", "feature"), D)} | {n: ("snapshot", v) for n, v in over.items()})
    return table.expand_dims(seed=[0])


def test_moves_must_meet_the_falls_of_the_loss():
    """The claim fails where drops hold the moves no oftener than elsewhere, and where a feature ends between the levels."""

    def verdicts(final, drop):
        moving = np.zeros(101, int)
        moving[30:32] = 2
        claims = Claims("x")
        evaluate_levels(levels_table(final, drop, moving, np.arange(101) < 100), claims)
        return [claim.verdict for claim in claims.claims]

    at = np.zeros(101, bool)
    at[30:33] = True
    assert verdicts([0.5, 0], at) == ["pass", "pass"]
    assert verdicts([0.5, 0], np.roll(at, 40)) == ["pass", "FAIL"]
    assert verdicts([0.5, 0], np.arange(101) < 90) == [
        "pass",
        "FAIL",
    ]  # all moves are inside, and so is most of the time
    assert verdicts([0.46, 0], at) == ["FAIL", "pass"] and verdicts([0, 0], at)[0] == "FAIL"


def test_chance_is_what_shifts_in_a_circle_hold():
    """Of ten intervals, two with a move each, and a drop of three: counted by hand, .6 moves, two of ten shifts hold both."""
    drop, moving = np.arange(12) < 3, np.isin(np.arange(12), [1, 2]).astype(int)
    expected, luck = chance(levels_table([0.5, 0], drop, moving, np.arange(12) < 10))
    assert expected == pytest.approx(0.6, abs=0.03) and luck == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("bias", [False, True])
def test_a_lone_linear_feature_follows_its_numpy_twin(bias):
    """Plain gradient descent on I(1−a)²σ², the gradient by hand; the slope is the one of gradient flow."""
    p, eta, importance, steps = 0.2, 0.1, 0.7, 600
    task = sp.tasks.Toy(
        n_features=1, n_hidden=1, feature_probability=p, importance=importance, init_scale=0.1, bias=bias,
        activation="identity", objective="expected",
    )  # fmt: skip
    at = tuple(range(0, steps + 1, 10))
    run = sp.train(
        task, sp.TrainConfig(steps=steps, learning_rate=eta, optimizer="sgd", schedule="constant", snapshots=at)
    )
    w, b, twin = float(run.snapshots.W[0, 0, 0]), 0.0, []
    for _ in range(steps + 1):
        twin.append(w**2)
        left = 1 - w**2  # the error is left · x − b
        slope_w, slope_b = (
            importance * (2 * left * p / 3 - 2 * b * p / 2) * -2 * w,
            importance * (2 * b - 2 * left * p / 2),
        )
        w, b = w - eta * slope_w, b - eta * slope_b * bias
    share = np.asarray(run.snapshots.W[:, 0, 0]) ** 2
    np.testing.assert_allclose(share, np.array(twin)[list(at)], rtol=1e-3, atol=1e-5)
    variance = p / 3 - p**2 / 4 * bias
    assert logistic_rate(share, at) == pytest.approx(8 * eta * importance * variance, rel=0.1)


def test_directions_in_space():
    ax = sp.plot.feature_directions_3d(OCTAHEDRON, color=sp.plot.set_colors(6, TRIPLES), faces=TRIPLES)
    ends = np.array([line.get_data_3d() for line in ax.lines[4::2]])[
        ..., 0
    ]  # three circles; line and dot of every feature
    np.testing.assert_allclose(ends, OCTAHEDRON.T)
    assert len(ax.lines) == 3 + 2 * 6 and len(ax.collections) == 2


def test_members_of_a_set_share_a_color():
    colors = sp.plot.set_colors(5, PAIRS)
    assert colors[0] == colors[1] != colors[2] == colors[3] and colors[4] == sp.plot.PALETTE["grey"]
    ax = sp.plot.feature_directions(CROSSED, color=colors[:4])
    assert [line.get_color() for line in ax.lines[1::2]] == colors[:4]


@pytest.mark.slow
def test_loss_and_levels_through_training():
    _, (above, below) = plt.subplots(2)
    D = np.array([[0.1, 0.2], [0.5, 0.1], [0.5, 0.0]])
    sp.plot.dimensionality_levels(D, [0, 5, 10], above)
    assert [line.get_label() for line in above.lines[2:]] == ["not represented in the end", "represented in the end"]
    np.testing.assert_array_equal(above.lines[3].get_ydata(), D[:, 0])
    sp.plot.loss_steps([3.0, 1, 1], [0, 5, 10], below, windows=[True, False])
    assert len(below.patches) == 1 and below.lines[0].get_ydata()[1] == 1
    steps = np.arange(0, 2000, 10)
    a = 1 / (1 + np.exp(4 - 0.01 * steps))
    ax = sp.plot.logistic_growth(a[None], [0.01], steps, ["one"], plt.figure().add_subplot())
    dashed = ax.lines[1].get_data()
    assert np.diff(dashed[1])[0] / np.diff(dashed[0])[0] == pytest.approx(0.01) and np.mean(dashed[0]) == pytest.approx(
        400
    )


def test_collapse_and_gram_of_sets():
    table = xr.Dataset(
        {
            "collapsed": ("feature_probability", [0, 1]),
            "mean_collapsed": ("feature_probability", [0.2, 0.9]),
            "cosine": (("feature_probability", "pair"), [[0.5, 0.4], [1.0, 0.3]]),
        },
        {"feature_probability": [0.1, 0.2]},
    )
    _, (count, cosine) = plt.subplots(2)
    collapse_by_density(table, count, cosine)
    assert count.lines[1].get_ydata().tolist() == [0, 1] and cosine.lines[1].get_ydata().tolist() == [0.5, 1.0]
    swapped = set_gram(OPPOSED[:, [0, 2, 1, 3]], ((0, 2), (1, 3)), plt.figure().add_subplot())
    np.testing.assert_array_equal(swapped.images[0].get_array(), OPPOSED.T @ OPPOSED)


def test_an_animation_is_published_beside_the_figure(tmp_path):
    Ws = np.stack([s * OCTAHEDRON for s in (0.1, 0.5, 1.0)])
    moving = sp.plot.directions_animation(Ws, [0, 10, 20], color=sp.plot.set_colors(6, TRIPLES), faces=TRIPLES)
    claims = Claims("A 2022")
    claims.check("it moves", "yes", "yes", True)
    files = publish(plt.figure(), "c", claims, path=tmp_path / "f_0.05", animation=moving).files
    assert {f.name for f in files} == {f"f_0.05{s}" for s in (".svg", ".png", ".pdf", ".txt", ".json", ".gif")}
    gif = (tmp_path / "f_0.05.gif").read_bytes()
    assert gif[:6] == b"GIF89a" and len(gif) < 2_000_000
    assert json.loads((tmp_path / "f_0.05.json").read_text())["extra"] == ["f_0.05.gif"]
    assert 'src="f_0.05.gif"' in index(tmp_path, [("f_0.05", None)]).read_text()


def test_captions_name_sets_and_initial_weights():
    task = sp.tasks.Toy(n_features=6, n_hidden=3, correlated_sets=TRIPLES, init_scale=0.1, activation="identity")
    config, grid = sp.TrainConfig(steps=1), sp.Grid(seed=[0])
    text = sp.plot.caption(attributes(task, config, grid, lay_out(task, config, grid)))
    assert "2 correlated sets of 3" in text and "initial weights × 0.1" in text
