"""One feature's density apart from the others': branches, their crossing, and the figure's parts."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.table import geometry_table
from superpos.experiments import Claims
from superpos.experiments.nonuniform_density import (
    BASE,
    evaluate,
    follow_both,
    loop,
    nearest_angle,
    one_feature_apart,
    pointing_up,
)
from superpos.theory import follow
from superpos.theory.polytopes import polygon


@pytest.fixture(scope="module")
def ways():
    """Coarse in ρ and in the series: 2.5 … 0.08, crossing and both ends of the pentagon included."""
    return loop(follow_both(2.0 ** -(np.arange(-4, 12) / 3), order=16))


def fits(ways, every=3):
    """What a perfect sweep would return: the lower branch, as (best, table)."""
    lower = np.argmin([ways.down.loss, ways.pairs.loss], axis=0)
    pick = slice(None, None, every)
    W = np.where(lower[:, None, None] == 0, ways.down.W, ways.pairs.W)[pick]
    over = {"density": BASE * ways.factors[pick]}
    best = xr.Dataset(
        {
            "W": (("density", "hidden", "feature"), W),
            "loss": ("density", np.minimum(ways.down.loss, ways.pairs.loss)[pick]),
        },
        over,
    ).sortby("density")
    return best, geometry_table(best["W"], 2)


@pytest.mark.slow
def test_every_claim_holds_on_the_branches_themselves(ways):
    claims = Claims("")
    evaluate(ways, *fits(ways), claims)
    assert [claim.statement for claim in claims.claims if claim.verdict != "pass"] == []
    assert len(claims.claims) == 9
    assert ways.crossing == pytest.approx([0.2691], abs=3e-4) and ways.slopes[0] < ways.slopes[1]


@pytest.mark.slow
def test_claims_fail_where_they_should(ways):
    """Fits 5 % too costly, and pentagons below the crossing."""
    best, table = fits(ways)
    claims = Claims("")
    evaluate(ways, best.assign(loss=1.05 * best["loss"]), table, claims)
    assert [c.statement for c in claims.failed] == ["the best of many fits is on the lower branch"]
    claims = Claims("")
    near = [k for k in range(len(ways.factors)) if ways.factors[k] > ways.crossing[0]][-1]
    evaluate(ways._replace(first=near), best, table, claims)  # pairs that end just above the crossing
    assert [c.statement for c in claims.failed] == ["hysteresis: each outlives the crossing"]
    claims = Claims("")
    W = best["W"].copy(data=np.broadcast_to(polygon(5).T, best["W"].shape))
    evaluate(ways, best.assign(W=W), geometry_table(W, 2), claims)
    assert [c.statement for c in claims.failed] == ["below the crossing: two pairs, the sparse feature at 0"]


@pytest.mark.slow
def test_a_nudge_leaves_a_saddle_and_nothing_else():
    """At W = 0 the gradient is exactly 0; the minimum of one sparse feature is W = 1, with or without a nudge."""
    zero = np.zeros((1, 1))
    assert follow(zero, [0.05], [1.0], 0.2, order=8).W.item() == 0
    found = follow(zero, [0.05], [1.0], 0.2, order=8, nudge=1e-3)
    assert abs(found.W.item()) == pytest.approx(1, abs=1e-3)
    assert follow(np.ones((1, 1)), [0.0], [1.0], 0.2, order=8).W.item() == pytest.approx(1, abs=1e-3)
    with pytest.raises(sp.ConfigError, match="nudge must be at least 0"):
        follow(zero, [0.0], [1.0], 0.2, nudge=-1.0)


def test_turning_is_a_rotation_that_puts_a_feature_on_top(rng):
    W = rng.normal(size=(2, 5))
    turned = pointing_up(W, 3)
    np.testing.assert_allclose(turned.T @ turned, W.T @ W, atol=1e-12)
    np.testing.assert_allclose(turned[:, 3], [0, np.linalg.norm(W[:, 3])], atol=1e-12)
    pairs = pointing_up(np.array([[0, 1.0, -1, 0, 0], [0, 0, 0, 1, -1]]))
    np.testing.assert_allclose(np.abs(pairs[:, 1:]), np.sqrt(0.5))


def test_angles_to_the_neighbours_by_hand():
    assert nearest_angle(polygon(5).T, 2) == pytest.approx(72)
    turn = np.radians([170, -160, 140, 0])  # neighbours 30° away on either side, across ±180°
    assert nearest_angle(np.array([np.cos(turn), np.sin(turn)])) == pytest.approx(30)


def test_pictures_show_what_they_are_given():
    W = 1.1 * polygon(5).T
    ax = one_feature_apart(W, feature=1)
    dots = {line.get_color(): line.get_data() for line in ax.lines if line.get_marker() == "o"}
    np.testing.assert_allclose(np.ravel(dots[sp.plot.PALETTE["red"]]), W[:, 1])
    assert sum(line.get_marker() == "o" for line in ax.lines) == 5
    _, ax = plt.subplots()
    x = np.array([1.0, 2, 4])
    assert sp.plot.branches({"pentagon": (x, x), "2 × antipodal pair": (x, x**2)}, ax, crossing=[1.5]) is ax
    assert [line.get_color() for line in ax.lines[1:]] == [sp.plot.PALETTE["orange"], sp.plot.PALETTE["blue"]]
    np.testing.assert_array_equal(ax.lines[2].get_ydata(), x**2)
    _, ax = plt.subplots()
    sp.plot.hysteresis({"there": (x[::-1], x), "back": (x, x)}, ax, arrows=(2,))
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"] and len(ax.texts) == 2
