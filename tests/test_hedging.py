"""Hedging: closed forms against the errors they minimise, claims of hand-made results, and what the panels hold."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from superpos.experiments import Claims
from superpos.experiments import hedging as experiment

SIZE = experiment.Size(weights=(0.3, 3), family_weights=(0, 1, 10), seeds=2, sources=2)


@pytest.mark.parametrize(("q", "weight"), [(0.1, np.inf), (0.5, np.inf), (0.3, 1.0), (0.3, 0.2), (0.9, 5.0)])
def test_the_closed_form_is_where_the_error_is_least(q, weight):
    """The error of a best code of the first latent, and of the best second latent, averaged over both kinds of inputs."""

    def left_over(theta):
        d = np.array([np.cos(theta), np.sin(theta)])
        alone = sum(
            share * np.sum((h - max(d @ h, 0) * d) ** 2)
            for share, h in ((1 - q, np.array([1.0, 0])), (q, np.array([1.0, 1])))
        )
        return alone if np.isinf(weight) else weight * alone + (1 - q) * np.sin(theta) ** 2

    best = minimize_scalar(left_over, bounds=(0, np.pi / 2), method="bounded", options={"xatol": 1e-10}).x
    assert_allclose(experiment.hedged(q, weight), np.sin(best), atol=1e-6)


def test_published_cosines():
    assert_allclose(experiment.hedged([0.1, 0.2, 0.3, 0.5]), [0.109, 0.230, 0.347, 0.526], atol=5e-4)
    assert experiment.hedged(0.3, 0.0) == 0


def circle_of(result_values, dim, **more):
    """A result as far as the claims read it: one latent's column at an angle to the parent."""
    theta = np.arcsin(np.asarray(result_values, float))
    columns = np.stack([np.cos(theta), np.sin(theta)], axis=-1)[:, :, :, None]
    losses = np.zeros((*theta.shape, 4)) + np.asarray(more.get("loss", 0.0))[..., None]
    dims = (dim, "seed")
    return xr.Dataset({"W_dec": ((*dims, "hidden", "latent"), columns), "loss_history": ((*dims, "record"), losses)})


def results(**changed):
    alone = np.repeat(experiment.hedged(np.array(experiment.CHILDREN))[:, None], 2, axis=1)
    balanced = np.stack(
        [experiment.hedged(0.3, np.array(SIZE.weights)), [0.7, 0.7]], axis=1
    )  # the second seed is elsewhere
    table = {"absorption": [0.6, 0.2, 0.1], "hedging": [0.0, 0.1, 0.3], "mcc": [0.7, 0.9, 0.8]} | changed
    spread = np.array([-0.01, 0.01])
    rows = {name: (("weight", "source"), np.array(values)[:, None] + spread) for name, values in table.items()}
    loss = np.array([[0.0, 1.0], [0.0, 1.0]])
    return circle_of(alone, "child"), circle_of(balanced, "weight", loss=loss), xr.Dataset(rows)


def verdicts(alone, balanced, table):
    claims = Claims("test")
    experiment.evaluate(alone, balanced, table, SIZE, claims)
    return [claim.verdict for claim in claims.claims]


def test_what_is_published_passes_and_each_claim_can_fail():
    alone, balanced, table = results()
    assert verdicts(alone, balanced, table) == ["pass"] * 5
    off = alone.isel(child=[0, 0, 2, 3])
    assert verdicts(off, balanced, table)[0] == "FAIL"
    assert verdicts(alone, balanced.isel(seed=[1, 1]), table)[1] == "FAIL"
    for place, changed in (
        (2, {"absorption": [0.1, 0.1, 0.1]}),
        (3, {"hedging": [0.1, 0.0, 0.1]}),
        (4, {"mcc": [0.7, 0.8, 0.9]}),
    ):
        assert verdicts(*results(**changed))[place] == "FAIL"


def test_panels_hold_a_law_its_models_and_both_kinds_of_wrong():
    ax = experiment.law_and_models([0, 1], np.array([0.0, 1]), [0.5], np.array([[0.4, 0.6]]))
    assert np.asarray(ax.lines[1].get_ydata()).tolist() == [0.4, 0.6]
    ax = experiment.hedging_and_absorption(results()[2], SIZE.family_weights, ax.figure.add_subplot())
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "10"] and len(ax.containers) == 2


def test_hedging_of_families_counts_cosines_beyond_those_of_the_directions(rng):
    """A dictionary of the true directions hedges nothing; orthogonal parents mixed with one child by a third of its cosine."""
    D = rng.normal(size=(48, 16))
    assert abs(experiment.children_in_parents(D, D[:, ::-1])) < 1e-12
    for directions in (np.eye(48)[:, :16], D):
        columns = directions / np.linalg.norm(directions, axis=0)
        mixed = columns.copy()
        mixed[:, ::4] += 0.5 * columns[:, 1::4]
        mixed /= np.linalg.norm(mixed, axis=0)
        gained = [np.mean((mixed[:, i] - columns[:, i]) @ columns[:, i + 1 : i + 4]) for i in (0, 4, 8, 12)]
        found = experiment.children_in_parents(directions, mixed)
        assert_allclose(found, np.mean(gained))
        assert directions is D or np.isclose(found, 1 / np.sqrt(5) / 3)
