"""Free energies of minima: what is held, and where two change places, against a search on a fine grid."""

import numpy as np
import pytest

import superpos as sp
from superpos.landscapes import crossing, free_energy, preferred

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
        at = float(crossing(loss, coefficient, constant=constant, beta=beta))
        reference = last_change(loss, coefficient, constant, beta)
        assert at == pytest.approx(reference, rel=2e-4, nan_ok=True)
        if np.isfinite(at):
            one, other = free_energy(loss, coefficient, at, constant=constant, beta=beta)
            assert one == pytest.approx(other, rel=1e-9)


def test_five_gives_way_to_six_where_the_paper_says_with_its_constants():
    loss, coefficient = np.transpose([PENTAGON, HEXAGON])
    assert float(crossing(loss, coefficient, constant=[0, 2.7535])) == pytest.approx(601, abs=1)
    assert float(crossing(loss, coefficient)) == pytest.approx(445.1, abs=0.1)
    assert float(crossing(loss, coefficient, beta=0.5)) > 2 * 445.1


def test_crossings_of_whole_arrays_are_those_one_by_one():
    loss = np.array([[0.3, 0.2, 0.1], [0.1, 0.1, 0.1]])
    coefficient = np.array([[1.0, 5.0, 2.0], [4.0, 2.0, 2.0]])
    together = crossing(loss, coefficient)
    alone = [float(crossing(loss[:, k], coefficient[:, k])) for k in range(3)]
    np.testing.assert_array_equal(together, alone)
    assert np.isfinite(together[0]) and np.isnan(together[1:]).all()  # lower and no costlier; equal


def test_an_equal_learning_coefficient_leaves_the_constants_alone_to_decide():
    assert float(crossing((0.3, 0.1), (2.0, 2.0), constant=(0.0, 4.0))) == pytest.approx(20.0)
    assert np.isnan(crossing((0.3, 0.1), (2.0, 2.0), constant=(4.0, 0.0)))


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
        (lambda: crossing((0.1, 0.2, 0.3), (1.0, 2.0, 3.0)), "loss"),
        (lambda: crossing((0.1, 0.2), 1.0), "learning_coefficient"),
        (lambda: preferred(0.1, 1.0, 10), "loss"),
        (lambda: preferred([0.1, 0.2], [[1.0, 2.0]], 10), "learning_coefficient"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(call, field):
    with pytest.raises(sp.ConfigError, match=field):
        call()
