"""The figure of Bayesian phases: names of trained models, what is held, and claims that can fail."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments.bayesian_phases import (
    SIZES,
    Size,
    build,
    changes,
    coefficients,
    corners,
    draw,
    end_bars,
    evaluate,
    free_energies,
    learned,
    phase_bars,
    posterior_area,
)

MINIMA = {n: sp.landscapes.polygon_minima(n) for n in (5, 6, 7, 8)}
ENDS = {
    5: ["5"] * 6 + ["4⁺"] * 4,
    6: ["5⁺"] * 8 + ["4⁺⁺", "6"],
    7: ["5⁺⁺"] * 9 + ["6*"],
    8: ["5⁺⁺⁺"] * 9 + ["6⁺⁺"],
}


def posterior(change=300.0):
    """Shares of six features that go from five to six represented at `change` data."""
    n = np.geomspace(40, 1_000, 12)
    six = 1 / (1 + (change / n) ** 6)
    shares = np.zeros((12, 7))
    shares[:, 6], shares[:, 5] = six, 1 - six
    return xr.Dataset(
        {"share": (("n_data", "represented"), shares)}, {"n_data": n, "represented": range(7)}, {"n_features": 6}
    )


def by_sampling(off=0.0):
    exact = np.array([7.0, 8.5])
    columns = {"features": [5, 6], "exact": exact, "estimate": exact + off, "error": [0.1, 0.1]}
    variables = {key: ("minimum", np.asarray(values)) for key, values in columns.items()}
    return xr.Dataset(variables, {"minimum": ["5", "6"]})


def verdicts(**changed):
    claims = Claims("a paper")
    evaluate(
        changed.get("minima", MINIMA),
        changed.get("ends", ENDS),
        changed.get("posterior", posterior()),
        changed.get("by_sampling", by_sampling()),
        claims,
    )
    return {claim.statement: claim.verdict for claim in claims.claims}


def test_all_claims_hold_of_what_was_measured_and_each_can_fail():
    assert set(verdicts().values()) == {"pass", "identity"}
    worse = {n: table.assign(learning_coefficient=table["learning_coefficient"] + 1) for n, table in MINIMA.items()}
    assert list(verdicts(minima=worse).values()).count("identity VIOLATED") == 2  # the difference of two stays
    shallow = {**MINIMA, 6: MINIMA[6].assign(loss=1.1 * MINIMA[6]["loss"])}
    assert verdicts(minima=shallow)["from five to six sides, by free energy"] == "identity VIOLATED"
    assert list(verdicts(by_sampling=by_sampling(0.4)).values()).count("FAIL") == 1
    assert list(verdicts(posterior=posterior(950.0)).values()).count("FAIL") == 2
    assert list(verdicts(ends={**ENDS, 6: ["6"] * 10}).values()).count("FAIL") == 2
    assert list(verdicts(ends={**ENDS, 8: ["other"] * 10}).values()).count("FAIL") == 1


def test_what_is_held_changes_where_free_energies_cross():
    steps = changes(MINIMA[6])
    assert [name for _, name in steps] == ["0⁻⁻⁻⁻⁻⁻", "2⁻⁻⁻⁻", "5⁻", "6"]
    assert steps[-1][0] == pytest.approx(445.1, abs=0.1)
    assert [name for _, name in changes(MINIMA[8])][-1] == "7⁺"


def test_trained_models_have_the_names_of_their_polygons():
    names = ["6", "5⁺", "4⁺⁻", "5⁻"]
    rows = MINIMA[6].set_index(minimum="name").sel(minimum=names)
    shared = rows["W"].values.copy()
    shared[1, :, 5], shared[2] = 0.9 * shared[1, :, 0], 0.3 * shared[2]
    loss = rows["loss"].values / 6
    result = xr.Dataset(
        {
            "W": (("seed", "hidden", "feature"), rows["W"].values),
            "b": (("seed", "feature"), rows["b"].values),
            "loss": ("seed", loss),
        }
    )
    assert learned(result, MINIMA[6]) == names
    changed = result.assign(W=(("seed", "hidden", "feature"), shared))
    assert learned(changed, MINIMA[6]) == ["6", "5*", "other", "5⁻"]
    assert learned(result.assign(loss=1.1 * result["loss"]), MINIMA[6]) == ["other"] * 4


def test_directions_closer_than_ten_degrees_are_one_corner():
    angles = np.deg2rad([0, 1, 60, 179, -179, -90])
    assert corners(np.array([np.cos(angles), np.sin(angles)])) == 4
    assert [corners(np.zeros((2, k))) for k in (0, 1)] == [0, 1]


def test_panels_show_what_they_are_given():
    figure, axes = plt.subplots(2, 2)
    free_energies(MINIMA[6], axes[0, 0])
    assert [text.get_text() for text in axes[0, 0].texts] == ["445 … 601"]
    assert not free_energies(MINIMA[6], plt.figure().add_subplot(), mark=False).texts
    assert [text.get_text() for text in posterior_area(posterior(), axes[0, 1]).texts] == ["5", "6"]
    assert [text.get_text() for text in phase_bars({6: changes(MINIMA[6])}, axes[1, 0]).texts] == ["0", "2", "5", "6"]
    assert [text.get_text() for text in end_bars({6: ENDS[6]}, axes[1, 1]).texts] == ["4⁺⁺", "5⁺", "6"]
    figure, text = draw(MINIMA, ENDS, posterior(), {"task": {"kind": "toy"}, "train": {}})
    assert "half has six at 300 data" in text and len(figure.axes) == 4


@pytest.mark.slow
def test_learning_coefficients_by_sampling_are_the_exact_ones():
    table = coefficients(replace(SIZES.quick, draws=Size.draws, warmup=Size.warmup))
    assert table["minimum"].values.tolist() == ["6", "5⁻", "5⁺", "4⁻⁻"]
    assert np.all(np.abs(table["estimate"] - table["exact"]) < 4 * table["error"] + 0.1)


def test_every_size_trains_six_features_with_one_active():
    for size in (SIZES.quick, SIZES.laptop, SIZES.full):
        task, config, _ = build(size)[6]
        task.check()
        assert (task.n_hidden, task.features.dependent_through) == (2, "anticorrelated_sets")
        assert (config.optimizer, config.steps) == ("sgd", size.steps)
