"""Free energies of minima: what is held, and where two change places, against a search on a fine grid."""

import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.landscapes import bayesian_phases, free_energy, preferred, transition

PENTAGON, HEXAGON = (0.0687438, 7.0), (0.0481924, 8.5)  # loss and learning coefficient, six features


def last_change(loss, coefficient, constant, beta=1.0):
    """The same crossing, as the last change of sign on a grid; NaN where there is none."""
    n = np.geomspace(1, 1e7, 200_001)
    gap = beta * n * (loss[0] - loss[1]) + (coefficient[0] - coefficient[1]) * np.log(n) + constant[0] - constant[1]
    changes = np.flatnonzero(np.diff(np.sign(gap)) != 0)
    return n[changes[-1]] if len(changes) else np.nan


def test_a_crossing_is_where_the_free_energies_are_equal(rng):
    for _ in range(60):
        loss, coefficient = rng.uniform(0, 0.3, 2), rng.uniform(0, 12, 2)
        constant, beta = rng.normal(0, 3, 2), rng.uniform(0.3, 3)
        at = float(transition(loss, coefficient, constant=constant, beta=beta))
        reference = last_change(loss, coefficient, constant, beta)
        assert at == pytest.approx(reference, rel=2e-4, nan_ok=True)
        if np.isfinite(at):
            one, other = free_energy(loss, coefficient, at, constant=constant, beta=beta)
            assert one == pytest.approx(other, rel=1e-9)


def test_five_gives_way_to_six_where_the_paper_says_with_its_constants():
    loss, coefficient = np.transpose([PENTAGON, HEXAGON])
    assert float(transition(loss, coefficient, constant=[0, 2.7535])) == pytest.approx(601, abs=1)
    assert float(transition(loss, coefficient)) == pytest.approx(445.1, abs=0.1)
    assert float(transition(loss, coefficient, beta=0.5)) > 2 * 445.1


def test_crossings_of_whole_arrays_are_those_one_by_one():
    loss = np.array([[0.3, 0.2, 0.1], [0.1, 0.1, 0.1]])
    coefficient = np.array([[1.0, 5.0, 2.0], [4.0, 2.0, 2.0]])
    together = transition(loss, coefficient)
    alone = [float(transition(loss[:, k], coefficient[:, k])) for k in range(3)]
    np.testing.assert_array_equal(together, alone)
    assert np.isfinite(together[0]) and np.isnan(together[1:]).all()  # lower and no costlier; equal


def test_an_equal_learning_coefficient_leaves_the_constants_alone_to_decide():
    assert float(transition((0.3, 0.1), (2.0, 2.0), constant=(0.0, 4.0))) == pytest.approx(20.0)
    assert np.isnan(transition((0.3, 0.1), (2.0, 2.0), constant=(4.0, 0.0)))


def test_what_is_preferred_has_the_least_free_energy_and_unknown_minima_do_not_compete():
    loss, coefficient = [0.01, *(x[0] for x in (PENTAGON, HEXAGON))], [np.nan, 7.0, 8.5]
    n = np.array([[1, 100], [445, 446]])
    assert preferred(loss, coefficient, n).tolist() == [[2, 1], [1, 2]]  # of one datum, the loss alone
    assert preferred([0.1], [np.nan], [1, 2]).tolist() == [-1, -1]
    assert preferred([0.5, 0.1], [0.0, 0.0], 7).tolist() == 1


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: free_energy(0.1, 1.0, 0.5), "n_data"),
        (lambda: free_energy([0.1, 0.2], [1.0, 2.0, 3.0], 10), "loss"),
        (lambda: free_energy(np.nan, 1.0, 10), "loss"),
        (lambda: free_energy(0.1, "one", 10), "learning_coefficient"),
        (lambda: free_energy(0.1, 1.0, 10, beta=0.0), "beta"),
        (lambda: transition((0.1, 0.2, 0.3), (1.0, 2.0, 3.0)), "loss"),
        (lambda: transition((0.1, 0.2), 1.0), "learning_coefficient"),
        (lambda: preferred(0.1, 1.0, 10), "loss"),
        (lambda: preferred([0.1, 0.2], [[1.0, 2.0]], 10), "learning_coefficient"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(call, field):
    with pytest.raises(sp.ConfigError, match=field):
        call()


def landscape_table(loss, coefficient, names, axis=()):
    """What `sp.landscape` returns, as far as phases need it: six features, the mean over them."""
    dims = (*axis, "minimum")
    columns = {"loss": (dims, loss), "learning_coefficient": (dims, coefficient), "name": (dims, names)}
    return xr.Dataset(columns | {"b": (("feature",), np.zeros(6))}, {name: [0.1, 0.2] for name in axis})


def test_phases_of_a_table_are_those_of_the_sum_over_features():
    loss, coefficient = np.transpose([PENTAGON, HEXAGON, (0.01, np.nan)])
    table = landscape_table(loss / 6, coefficient, ["five", "six", "kink"])
    phases = bayesian_phases(table, [100, 445, 446])
    assert phases["name"].values.tolist() == ["five", "five", "six"]
    labelled = table.assign(label=("minimum", ["five (a)", "five (b)", "kink"]))  # of one shape
    assert bayesian_phases(labelled, [100, 446])["name"].values.tolist() == ["five (a)", "five (b)"]
    one, other = free_energy(loss[:2], coefficient[:2], 100)
    assert float(phases["lead"][0]) == pytest.approx(other - one)


def test_phases_along_an_axis_are_those_of_each_setting():
    loss, coefficient = np.array([[0.06, 0.01], [0.01, 0.06]]), np.array([[2.0, 7.0], [2.0, 7.0]])
    names = np.array([["pair", "pentagon"], ["pair", "pentagon"]])
    phases = bayesian_phases(landscape_table(loss, coefficient, names, ("feature_probability",)), [10, 1_000])
    assert phases["name"].values.tolist() == [["pair", "pentagon"], ["pair", "pair"]]
    assert phases["feature_probability"].values.tolist() == [0.1, 0.2]
    alone = bayesian_phases(landscape_table(loss[0], coefficient[0], names[0]), [10, 1_000])
    assert alone["preferred"].values.tolist() == phases["preferred"].values[0].tolist()


def test_phases_want_a_table_of_minima_and_a_vector_of_data():
    table = landscape_table([0.1], [1.0], ["pair"])
    for arguments, field in (
        ((table.drop_vars("name"), [1]), "table"),
        ((table, 10), "n_data"),
        ((table, [0]), "n_data"),
    ):
        with pytest.raises(sp.ConfigError, match=field):
            bayesian_phases(*arguments)
    assert np.isnan(bayesian_phases(table, [10])["lead"].values).all()
