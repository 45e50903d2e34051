"""Fixed data sets: gradients, masking, dimensionality of points."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from marks import slow
from numpy.testing import assert_allclose, assert_array_equal
from twin import train_twin

import superpos as sp
from superpos.analysis import point_dimensionality, point_leverage
from superpos.config import to_dict
from superpos.experiments import Claims
from superpos.experiments.double_descent import DIMS, bump, draw, evaluate, hidden_vectors, measure, outliers, two_radii
from superpos.models.points_loss import points_loss
from superpos.tasks.base import materialize
from superpos.theory.polytopes import polygon

TASK = sp.tasks.DoubleDescent(n_features=30, n_hidden=2, most_points=40, feature_probability=0.1)
CONFIG = sp.TrainConfig(
    steps=30, learning_rate=0.01, weight_decay=0.01, warmup_steps=5, evaluation_samples=64, history=30
)


def plain(W, b, X):
    return jnp.sum((jax.nn.relu(X @ W.T @ W + b) - X) ** 2) / len(X)


@pytest.mark.slow
@pytest.mark.parametrize("m", [2, slow(9)])  # hidden units one by one, and as a matrix
def test_gradients_are_those_of_the_plain_loss(rng, x64, m):
    T = 43  # a large tile, a small one, and a part of one
    X, W, b = rng.normal(size=(48, 7)), rng.normal(size=(m, 7)), rng.normal(size=7)
    with jax.numpy_rank_promotion("allow"):
        wanted = jax.value_and_grad(plain, (0, 1))(jnp.asarray(W), jnp.asarray(b), jnp.asarray(X[:T]))
    loss, gradients = jax.value_and_grad(points_loss, (0, 1))(
        jnp.asarray(W), jnp.asarray(b), jnp.asarray(X), jnp.asarray(float(T))
    )
    assert_allclose(loss, wanted[0], rtol=1e-12)
    for got, want in zip(gradients, wanted[1], strict=True):
        assert_allclose(got, want, rtol=1e-10, atol=1e-12)
    W, b, X = jnp.asarray(W), jnp.asarray(b), jnp.asarray(X)
    step, direction = 1e-6, rng.normal(size=W.shape)
    up, down = (points_loss(W + s * step * direction, b, X, jnp.asarray(float(T))) for s in (1, -1))
    assert_allclose((up - down) / (2 * step), np.sum(gradients[0] * direction), rtol=1e-6)
    # In a block every model has its own set and size.
    block = jax.vmap(points_loss, in_axes=(None, None, 0, 0))(W, b, jnp.stack([X, X[::-1]]), jnp.array([43.0, 5.0]))
    with jax.numpy_rank_promotion("allow"):
        assert_allclose(block, [plain(W, b, X[:43]), plain(W, b, X[::-1][:5])], rtol=1e-12)


def test_masked_training_is_training_of_the_smaller_set():
    masked = sp.train(replace(TASK, n_points=5), CONFIG, seed=3)
    own = sp.train(replace(TASK, most_points=5), CONFIG, seed=3)
    for a, b in ((masked.model.W, own.model.W), (masked.model.b, own.model.b)):
        assert_allclose(a[...], b[...], atol=1e-6)
    assert_allclose(masked.history.loss, own.history.loss, atol=1e-6)
    assert_allclose(masked.loss, own.loss, atol=1e-6)
    other = sp.train(replace(TASK, n_points=6), CONFIG, seed=3)  # the mask decides something
    assert np.abs(other.model.W[...] - own.model.W[...]).max() > 1e-3


@pytest.mark.slow
def test_the_twin_trains_the_same_model():
    task = replace(TASK, n_points=21)
    X = np.asarray(materialize(task).points)[:21]
    start: Any = task.init(jax.random.fold_in(jax.random.key(jnp.uint32(0)), jnp.uint32(2**32 - 1)))
    rates = [float(np.asarray(CONFIG.learning_rate_schedule()(t))) for t in range(CONFIG.steps)]
    # The twin's loss is the mean over features; Adam's step does not depend on that factor, but for ε.
    W, b, losses = train_twin(
        np.asarray(start.W[...]), np.asarray(start.b[...]), [X.T] * CONFIG.steps, np.full(30, 30.0), rates,
        weight_decay=0.01,
    )  # fmt: skip
    run = sp.train(task, CONFIG)
    assert_allclose(run.model.W[...], W, atol=2e-5)
    assert_allclose(run.model.b[...], b, atol=2e-5)
    assert_allclose(run.history.loss, losses, rtol=2e-5)


@pytest.mark.slow
@pytest.mark.optimized
def test_all_sizes_and_seeds_are_one_program_and_cells_keep_their_bits(no_programs, compilations, one_device):
    grid = sp.Grid(n_points=[3, 20, 40], weight_decay=[0.01, 1.0], seed=range(2))
    result = sp.sweep(TASK, CONFIG, grid, block_size=1, devices=one_device)
    assert compilations["_advance"] == 1
    alone = sp.sweep(
        TASK, CONFIG, sp.Grid(n_points=[20], weight_decay=[1.0], seed=[1]), block_size=1, devices=one_device
    )
    assert compilations["_advance"] == 1  # new values, old program
    cell = result.sel(n_points=20, weight_decay=1.0, seed=1)
    assert_array_equal(cell["W"].values.ravel(), alone["W"].values.ravel())
    assert_array_equal(cell["loss_history"].values.ravel(), alone["loss_history"].values.ravel())
    check_measured(result)


def check_measured(result):
    """The table is that of the seed of least training loss, and agrees with the analysers."""
    table, points = measure(result), np.asarray(materialize(TASK).points)
    train = result["loss_history"].isel(record=-1).transpose(*DIMS, "seed").values
    assert_array_equal(table["best"], train.argmin(axis=-1))
    assert_array_equal(table["test_loss"], result["loss"].transpose(*DIMS, "seed"))
    for i, T in enumerate(result["n_points"].values):
        one = result.isel(weight_decay=1, n_points=i, seed=int(train[1, i].argmin()))
        W = one["W"].transpose("hidden", "feature").values
        gram = (H := W @ points[:T].T).T @ H
        own, total = np.diag(gram), np.sum(gram**2, axis=1)
        D = np.divide(own**2, total, out=0 * own, where=own > 0.05**2 * own.max())  # too short to have a direction
        row = table.isel(weight_decay=1, n_points=i)
        assert_allclose([row["point_share"], row["least_point_share"]], [D.mean(), D.min()], rtol=1e-4)
        assert_allclose(row["norm"], np.sqrt(np.sum(W**2)), rtol=1e-6)


def test_points_have_norm_one_and_smaller_sets_are_their_beginning():
    X = np.asarray(materialize(TASK).points)
    norms = np.linalg.norm(X[:40], axis=1)
    assert_allclose(norms[norms > 0], 1, rtol=1e-6)
    assert_array_equal(X[:16], np.asarray(materialize(replace(TASK, most_points=7)).points))
    assert not np.array_equal(X, np.asarray(materialize(replace(TASK, data_seed=1)).points))
    assert (X > 0)[:40].mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 1200))  # four standard errors
    rare = replace(TASK, feature_probability=1e-6)  # nothing active: such a point stays 0, its loss is finite
    assert not np.asarray(materialize(rare).points).any()
    assert np.isfinite(sp.train(rare, CONFIG).loss)


@pytest.mark.slow
def test_test_loss_is_that_of_fresh_points():
    run = sp.train(TASK, CONFIG)
    silent = jax.tree.map(jnp.zeros_like, run.model)
    loss = float(TASK.broadcast().loss(silent, jax.random.key(0), 4_096)[0])
    empty = 0.9**30  # a silent model's error is 1 for every point that is not empty
    assert loss == pytest.approx(1 - empty, abs=4 * np.sqrt(empty * (1 - empty) / 4_096))
    assert float(run.loss) > float(run.history.loss[-1])


def test_dimensionality_of_points():
    assert_allclose(point_dimensionality(polygon(8).T), 2 / 8, rtol=1e-5)
    assert_allclose(point_leverage(polygon(8).T), 2 / 8, rtol=1e-5)
    assert_allclose(point_leverage(np.zeros((2, 8))), 0)


def test_leverage_bounds_dimensionality_and_is_what_the_best_direction_gives(rng, x64):
    H = rng.normal(size=(2, 9))
    leverage = np.asarray(point_leverage(H))
    assert leverage.sum() == pytest.approx(2) and np.all(point_dimensionality(H) <= leverage + 1e-9)
    angles = np.linspace(0, np.pi, 20_001)
    along = (np.stack([np.cos(angles), np.sin(angles)]).T @ H) ** 2
    assert_allclose((along / along.sum(axis=1, keepdims=True)).max(axis=0), leverage, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_points", 0), ("n_points", 41), ("n_points", 2.5), ("data_seed", -1), ("most_points", 0), ("init_scale", -1),
     ("points", np.zeros((3, 30)))],
)  # fmt: skip
def test_settings_that_are_not_allowed_name_their_field(field, value):
    settings: dict[str, Any] = {field: value}
    with pytest.raises(sp.ConfigError, match=field):
        sp.train(replace(TASK, **settings), CONFIG)


@pytest.mark.parametrize(
    ("lengths", "two"),
    [([1.0] * 8, False), ([1, 1.01, 0.99, 0.5, 0.49, 0.51], True), ([1, 1, 0.5], False), ([1, 1, 1, 0.5], False),
     (np.linspace(0, 1, 9), False), ([1, 1, 1, 0.9, 0.9], False), ([1, 1.3, 0.7, 0.71], False)],
)  # fmt: skip
def test_two_circles_have_two_radii(lengths, two):
    assert two_radii(lengths) is two


def hand_made(*, test=(1, 1.1, 0.99), spread=0.0, shape="pentagon", norm=5**0.5, few=0.05, **own):
    """What was published, by (weight_decay, n_points), with three seeds about the mean test loss."""
    one = {"norm": (2.0, 6.0, norm), "bias": (1, 3, 1), "point_share": (0.4, 0.07, 0), "rings": (0, 0, 0)}
    one |= {"least_point_share": (0.39, 0.05, 0), "feature_share": (few, 0.1, 0.39), "n_features_learned": (9, 9, 5)}
    one |= {"shape": ("irregular", "irregular", shape), "point_shape": ("pentagon", "irregular", "irregular")} | own
    found = {name: (DIMS, np.array([row])) for name, row in one.items()}
    return by_size([test], spread, m=2).assign(found)


def by_size(test, spread=0.0, m=4):
    """Losses of three sizes by weight decay, about their means."""
    loss = np.asarray(test)[:, :, None] + spread * np.array([-1, 0, 1])
    found: Any = dict.fromkeys(("test_loss", "train_loss"), ((*DIMS, "seed"), loss))
    found["best"] = (DIMS, np.ones(loss.shape[:2], int))
    decays = [0.01, 1.0][: len(loss)]
    return xr.Dataset(found, {"n_points": [5, 30, 1_000], "weight_decay": decays, "seed": range(3)}, {"m": m})


FOUR = ((1.02, 1.4, 0.99), (1.05, 1.0, 0.99))
POLYGONS, FEW, BUMP, PENTAGON, DECAY, ENTIRELY, NORM = range(7)


@pytest.mark.parametrize(
    ("changed", "four", "failed"),
    [
        ({}, FOUR, set()),
        ({"least_point_share": (0.35, 0.05, 0)}, FOUR, {POLYGONS}),
        ({"few": 0.4}, FOUR, {FEW}),
        ({"test": (1.1, 1, 0.99)}, FOUR, {BUMP}),  # it falls from the start
        ({"test": (0.9, 0.99, 0.9)}, FOUR, {BUMP}),  # largest inside, but better than nothing
        ({"spread": 0.2}, FOUR, {BUMP}),  # seeds differ by more
        ({"shape": "square"}, FOUR, {PENTAGON}),
        ({"norm": 3.0}, FOUR, {PENTAGON}),
        ({}, (FOUR[0], (0.99, 1.05, 0.98)), {ENTIRELY, DECAY}),  # 0.06 of 0.38 left
        ({}, (FOUR[0], (0.99, 1.02, 0.98)), {ENTIRELY}),  # less than a tenth, but more than seeds differ by
        ({}, (FOUR[0], (1.1, 1.05, 0.98)), set()),  # an end is no bump
        ({}, (FOUR[1], FOUR[1]), {DECAY, ENTIRELY}),  # nothing to remove
        ({"norm": 7.0}, FOUR, {PENTAGON, NORM}),
    ],
)
def test_claims_can_fail_one_by_one(changed, four, failed):
    claims = Claims("")
    evaluate(hand_made(**changed), by_size(four), claims, full=True)
    small = Claims("")
    evaluate(hand_made(**changed), by_size(four), small)
    assert [claim.verdict for claim in small.claims][ENTIRELY] == "needs --full"
    assert {k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"} == failed


def test_only_the_seed_of_least_training_loss_is_judged():
    four = by_size(FOUR)
    four["test_loss"].values[1, 1, 0] = 5.0
    for best, failed in ((1, []), (0, [DECAY, ENTIRELY])):
        four["best"][:] = best
        claims = Claims("")
        evaluate(hand_made(), four, claims, full=True)
        assert [k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"] == failed


@pytest.mark.parametrize(
    ("loss", "found"),
    [((1, 2, 1.5), (1, 0.5)), ((3, 1, 1.2, 0.9), (2, pytest.approx(0.2))), ((3, 2, 1), (0, 0)), ((1, 2, 3), (0, 0))],
)
def test_a_bump_is_what_is_above_the_lowest_on_both_sides(loss, found):
    assert bump(loss) == found


def test_seeds_far_above_the_line_are_named_with_their_training_loss():
    four = by_size(FOUR)
    assert outliers(four) == []
    four["train_loss"] = four["train_loss"] * 0
    four["test_loss"].values[0, 1, 2], four["train_loss"].values[0, 1, 2] = 5.0, 0.25
    four["test_loss"].values[0, 0, 0] = np.nan  # a seed that diverged
    assert outliers(four) == ["m = 4, T = 30: test loss 5.00, training loss 0.250 (line 0.000)"]


def test_the_figure_shows_the_table():
    table = hand_made(spread=0.01)
    axes = [{"field": name} for name in (*DIMS, "seed")]
    attrs = {"task": to_dict(TASK), "train": to_dict(CONFIG.with_defaults(TASK)), "grid": {"axes": axes}}
    attrs |= {"superpos": "1", "versions": {"jax": "1"}}
    shown = [(5, polygon(7).T, polygon(5).T), (30, polygon(5).T, 3 * polygon(8).T)]
    figure, text = draw(SimpleNamespace(attrs=attrs), table, by_size(FOUR), shown)
    two, four, share, *vectors = figure.axes
    assert_allclose(np.asarray(two.lines[0].get_ydata()), [1, 1.1, 0.99])
    curves = {line.get_label(): np.asarray(line.get_ydata()) for line in (*four.lines, *share.lines)}
    assert_allclose(curves["weight decay 0.01"], FOUR[0])
    assert_allclose(curves["weight decay 1"], FOUR[1])
    assert_allclose(curves["2/T"], [2 / 5, 2 / 30, 2 / 1_000])
    assert_allclose(curves["points, mean $D_X$"], [0.4, 0.07, 0])
    assert_allclose(curves["features, largest $D_f$"], [0.05, 0.1, 0.39])
    assert len(vectors) == 4 and "least training loss" in text
    dots = np.stack([np.asarray(data) for data in hidden_vectors(3 * polygon(8).T).lines[-1].get_data()])
    assert_allclose(dots, polygon(8).T, atol=1e-6)  # in units of the longest
