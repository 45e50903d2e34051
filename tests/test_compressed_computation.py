"""The figure of compressed computation: its claims fail when they should, and its panels hold what they are given."""

import numpy as np
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.claims import Claims
from superpos.claims.compressed_computation import judge


def relative(square, square_noisy, quartic):
    values = np.array([[square, square_noisy], [quartic, quartic]])[..., None] * [1.0, 1.01]
    where = {"loss_exponent": [2, 4], "label_noise": [0.0, 0.03], "seed": [0, 1]}
    return xr.DataArray(values, where, ("loss_exponent", "label_noise", "seed"))


def failed(*values):
    claims = Claims("s")
    judge(relative(*values), claims)
    return [claim.statement for claim in claims.failed]


def test_claims_hold_and_fail():
    assert failed(1.02, 0.7, 0.05) == []
    assert failed(1.02, 0.7, 0.995) == ["L4, clean labels: beats the naive baseline"]  # one of two seeds does not
    assert failed(0.99, 0.7, 0.05) == ["L2, clean labels: does not beat the naive baseline"]
    assert failed(1.02, 1.1, 0.05) == ["L2: label noise is what helps"]


def test_panels():
    ax = sp.plot.loss_over_naive(relative(1.02, 0.7, 0.05))
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "L2\nclean",
        "L2\nnoise 0.03",
        "L4\nclean",
        "L4\nnoise 0.03",
    ]
    assert_allclose(ax.lines[1].get_ydata(), [0.7, 0.707])
    x = np.linspace(-1, 1, 5)
    given = xr.DataArray(np.outer([0.5, 1], x), {"input": x}, ("feature", "input"))
    ax = sp.plot.responses(given)
    assert_allclose([line.get_ydata() for line in ax.lines[-3:]], [0.5 * x, x, np.maximum(x, 0)])
