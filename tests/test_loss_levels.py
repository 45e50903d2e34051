"""One feature active at a time: the loss against a sum over a grid, the published levels, and claims that can fail."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments.loss_levels import PUBLISHED, evaluate, landed, loss_on_levels, nearest, starts
from superpos.theory.single_active import at_level, polygon_levels, single_active_loss

LEVELS = polygon_levels(6)
NAMES = [level.name for level in LEVELS]


def by_midpoints(W, b, points=20_000):
    """The same loss, one active feature after another, as a sum over midpoints."""
    u, total = (np.arange(points) + 0.5) / points, 0.0
    for i in range(W.shape[1]):
        x = np.zeros((W.shape[1], points))
        x[i] = u
        total += np.mean(np.sum((x - np.maximum(W.T @ (W @ x) + b[:, None], 0)) ** 2, axis=0))
    return total / W.shape[1]


def test_the_loss_is_that_of_a_sum_over_a_grid(rng):
    for k in range(6):
        W, b = rng.normal(size=(3, 5)) * (k > 0), rng.normal(size=5) * 0.4
        b[k % 5] *= k % 2  # also a bias of 0, and no weights at all
        assert single_active_loss(W, b) == pytest.approx(by_midpoints(W, b), rel=1e-6)


@pytest.mark.slow
def test_it_is_the_loss_of_the_task_whose_features_exclude_each_other(rng):
    """An anticorrelated set of all features with densities that add up to 1: the law that the figure trains."""
    W, b = 0.8 * rng.normal(size=(2, 4)), 0.2 * rng.normal(size=4)
    series = 4 * float(sp.expected_loss(W, b, 0.25, order=256, anticorrelated_sets=((0, 1, 2, 3),)))
    assert series == pytest.approx(single_active_loss(W, b), rel=2e-5)


def test_levels_are_the_published_ones_and_critical_points():
    assert {level.name: round(level.loss, 5) for level in LEVELS} == PUBLISHED
    for level in LEVELS:
        W, b = at_level(level)
        for k in np.ndindex(W.shape):
            step = np.zeros_like(W)
            step[k] = 1e-5
            assert abs(single_active_loss(W + step, b) - single_active_loss(W - step, b)) < 1e-9, level.name
        shifts = [single_active_loss(W, b + s * (np.arange(6) < level.sides)) for s in (-1e-3, 1e-3)]
        assert min(shifts) > level.loss  # a minimum in the bias: of a square it has a kink there


def test_a_feature_without_length_costs_what_can_be_worked_out_by_hand():
    """(1/3 − 1/(4n))/n with the best constant, 1/(3n) without; a square costs nothing."""
    found = {level.name: level.loss for level in polygon_levels(5)}
    assert found["4⁺"] == pytest.approx((1 / 3 - 1 / 20) / 5) and found["4⁻"] == pytest.approx(1 / 15)
    for n in (3, 9):
        with pytest.raises(sp.ConfigError, match="n_features"):
            polygon_levels(n)
    with pytest.raises(sp.ConfigError, match="b must have shape"):
        single_active_loss(np.eye(2), np.zeros(3))


def table(names, **changed):
    levels = {level.name: level for level in LEVELS}
    rows = [levels.get(name, LEVELS[0]) for name in names]
    columns = {"level": names, "sides": [r.sides for r in rows]}
    columns |= {"length": [r.length for r in rows], "bias": [r.bias for r in rows]} | changed
    return xr.Dataset({n: ("seed", v) for n, v in columns.items()}, {"seed": range(len(names))})


def failed(free, placed, begun, levels=LEVELS):
    claims = Claims("a paper")
    evaluate(levels, free, placed, begun, claims)
    return [claim.statement for claim in claims.failed]


def test_each_claim_can_fail():
    good, begun = table(["6", "5⁺"]), ["6", "5⁺"]
    assert failed(good, good, begun) == []
    assert "ends on a published level" in failed(table(["6", ""]), good, begun)[0]
    assert "rests on it" in failed(good, table(["6", "6"]), begun)[0]
    assert "polygons" in failed(good, table(["6", "5⁺"], sides=[6, 4]), begun)[0]
    assert "polygons" in failed(good, table(["6", "5⁺"], bias=[-0.62, -0.1]), begun)[0]
    assert "dead feature" in failed(table(["5⁻", "4⁻⁻"]), good, begun)[0]
    moved = [level._replace(loss=level.loss + 2e-5) for level in LEVELS]
    assert "closed forms" in failed(good, good, begun, moved)[0]


def test_where_models_end():
    begun = starts(LEVELS, 2, noise=0.0)
    losses = [single_active_loss(W, b) for W, b in zip(begun["W"], begun["b"], strict=True)]
    found = landed(losses, begun["W"], begun["b"], LEVELS)
    assert found["level"].values.tolist() == [name for name in NAMES for _ in range(2)]
    assert found["sides"].values[::2].tolist() == [6, 5, 5, 4, 4, 4]
    np.testing.assert_allclose(found["length"].values[::2], [level.length for level in LEVELS])
    assert nearest(0.05, LEVELS) is None


def test_losses_have_the_colours_of_their_levels():
    ax = loss_on_levels(
        [[0.3, 0.05], [0.3, 0.07]], [1, 10], [0.05, 0.06], ["6", "5"], plt.figure().gca(), chosen=[0, -1]
    )
    lines = {tuple(line.get_ydata()): line.get_color() for line in ax.lines}
    assert lines[0.3, 0.05] == lines[0.05, 0.05] == sp.plot.PALETTE["blue"] and lines[0.3, 0.07] == "black"
    assert [t.get_text().strip() for t in ax.texts] == ["6", "5"]
