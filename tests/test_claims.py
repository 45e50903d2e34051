"""Claims that were restated: each holds where it should and can fail, on hand-made results."""

import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments.basic_results import ARRANGEMENTS, PAIRS, evaluate_audit, evaluate_scaling
from superpos.experiments.claims import tally
from superpos.experiments.correlated_features import collapse_crossings, evaluate_three, follow_collapse
from superpos.sweeping import SweepResult
from superpos.theory.polytopes import polygon

THREE = ((0, 1), (2, 3), (4, 5))


def verdicts(claims):
    return [claim.verdict for claim in claims.claims]


def test_a_tally_counts_identities_apart():
    assert tally(["identity", "pass"]) == "1 claim: 1 pass; 1 identity"
    assert tally(["FAIL", "identity VIOLATED", "identity"]) == "1 claim: 1 FAIL; 2 identities, 1 VIOLATED"
    assert tally([]) == "0 claims"


def counted(n_hidden, counts):
    """Models with so many features of norm 1 at 1 − S = 1, .03 and .001."""
    W = np.zeros((3, n_hidden, 4 * n_hidden))
    for row, count in zip(W, counts, strict=True):
        row[0, :count] = 1
    over = {"feature_probability": [1.0, 0.03, 0.001]}
    data = {"W": (("feature_probability", "hidden", "feature"), W), "loss": (tuple(over), np.ones(3))}
    result = xr.Dataset(data, over)
    return SweepResult(result.assign_attrs(task={"n_hidden": n_hidden}))


@pytest.mark.parametrize(
    ("large", "found"),
    [
        ((20, 43, 70), ["pass", "pass"]),
        ((20, 53, 70), ["FAIL", "pass"]),  # 2.65 against 2.2 at .03
        ((20, 43, 52), ["pass", "FAIL"]),  # no more per dimension than the small ones, 2.6
    ],
)
def test_large_models_are_copies_of_small_ones_while_blocks_are_small(large, found):
    claims = Claims("")
    evaluate_scaling(counted(5, (5, 11, 13)), counted(20, large), claims)
    assert verdicts(claims) == found


def arranged(name):
    W = np.zeros((5, 20))
    at = 0
    for group in ARRANGEMENTS[name]:
        rows = np.array([[1.0, -1.0]]) if len(group) == 2 else polygon(5).T
        W[at : at + len(rows), group] = rows
        at += len(rows)
    return W


@pytest.mark.parametrize(
    ("pairs", "trained", "loss", "found"),
    [
        ("five pairs", "pentagon and three pairs", 1.004, ["pass", "pass"]),
        (
            "pentagon and three pairs",
            "pentagon and three pairs",
            1.004,
            ["FAIL", "pass"],
        ),  # descent left the five pairs
        ("five pairs", "five pairs", 1.04, ["pass", "FAIL"]),  # training stays there
        ("five pairs", "pentagon and three pairs", 1.02, ["pass", "FAIL"]),
    ],
)
def test_five_pairs_are_a_local_minimum(pairs, trained, loss, found):
    W = np.array([arranged(pairs), arranged("pentagon and three pairs")])
    audited = xr.Dataset(
        {"W": (("arrangement", "hidden", "feature"), W), "loss": ("arrangement", [1.04, 1.0])},
        {"arrangement": [*ARRANGEMENTS]},
    )
    over = {"feature_probability": [0.03]}
    best = {
        "W": (("feature_probability", "hidden", "feature"), arranged(trained)[None]),
        "loss": (tuple(over), [loss]),
    }
    claims = Claims("")
    evaluate_audit(SweepResult(xr.Dataset(best, over)), audited, claims)
    assert verdicts(claims) == found and sorted(sum(PAIRS, ())) == list(range(10))


# Norms and angles of three pairs in the plane, near minima at these densities: a hexagon, then one and two collapsed pairs,
# and all three, two of them opposite.
NEAR = {
    0.05: ([0.95] * 6, [0, 60, 120, 180, 240, 300]),
    0.1: ([0.99, 0.92, 0.71, 0.71, 0.99, 0.92], [0, 70, 282, 282, 204, 134]),
    0.2: ([0.97, 0.97, 0.72, 0.72, 0.72, 0.72], [0, 273, 89, 89, 184, 184]),
    0.4: ([0.7] * 6, [0, 0, 180, 180, 270, 270]),
    0.6: ([0.65] * 6, [0, 0, 120, 120, 240, 240]),
}


@pytest.fixture(scope="module")
def three():
    rows = [norms * np.array([np.cos(np.radians(a)), np.sin(np.radians(a))]) for norms, a in NEAR.values()]
    over = {"feature_probability": list(NEAR), "seed": [0]}
    data = {
        "W": ((*over, "hidden", "feature"), np.array(rows)[:, None]),
        "b": ((*over, "feature"), np.zeros((len(rows), 1, 6))),
        "loss": (tuple(over), np.ones((len(rows), 1))),
        "diverged_step": (tuple(over), np.full((len(rows), 1), -1)),
    }
    return SweepResult(xr.Dataset(data, over).assign_attrs(task={"correlated_sets": THREE}))


@pytest.mark.slow
def test_pairs_collapse_one_after_another_where_exact_losses_cross(three):
    """Followed from hand-made starts, they cross where 31 densities and a series of 32 terms put it."""
    followed = follow_collapse(three, [0.05, 0.068, 0.074, 0.1, 0.13, 0.137, 0.143, 0.2, 0.38, 0.4, 0.42], order=16)
    ends = collapse_crossings(followed)
    np.testing.assert_allclose(ends, [0.0711, 0.1405, 0.393], rtol=0.02)
    claims = Claims("")
    evaluate_three(three, followed, claims)
    assert verdicts(claims)[:3] == ["pass"] * 3
    moved = three.dataset.assign_coords(
        feature_probability=[0.05, 0.15, 0.2, 0.41, 0.6]
    )  # one collapsed where two should be
    claims = Claims("")
    evaluate_three(SweepResult(moved), followed, claims)
    assert verdicts(claims)[:3] == ["pass", "FAIL", "pass"]
    wrong = followed.copy(deep=True)
    wrong["loss"][1] = np.nan  # one collapsed is never the cheapest
    assert collapse_crossings(wrong) == []
    claims = Claims("")
    evaluate_three(three, wrong, claims)
    assert verdicts(claims)[:3] == ["FAIL"] * 3


@pytest.mark.slow
def test_solutions_of_sets_are_minima_of_their_expected_loss():
    """Two correlated pairs, crossed: 4p²/6 with norm 1 and no bias, and a little less at the minimum."""
    sets, W = ((0, 1), (2, 3)), np.array([[1.0, 0, -1, 0], [0, 1, 0, -1]])
    end = sp.theory.follow(W, np.zeros(4), [0.3], 0.3, order=16, correlated_sets=sets)
    assert 0.9 * 0.3**2 / 6 < end.loss[0] <= 0.3**2 / 6  # opposed, as if they were independent, they cost p/6
    with pytest.raises(sp.ConfigError, match="correlated_sets"):
        sp.theory.follow(W, np.zeros(4), [0.3], 0.3, correlated_sets=((0, 7),))
