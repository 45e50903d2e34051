"""The sampled posterior of the toy model with one feature active: against weighted draws from the prior."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.landscapes import posterior_shares
from superpos.landscapes.posterior import REPRESENTED, half_way, one_active_loss
from superpos.theory.single_active import single_active_loss


@pytest.mark.slow
def test_the_loss_of_many_points_is_that_of_each(rng):
    m, n = 2, 4
    x = rng.normal(size=(3, 5, m * n + n))
    x[0, 0], x[0, 1, m * n :] = 0, 0
    each = [[single_active_loss(p[: m * n].reshape(m, n), p[m * n :]) for p in row] for row in x]
    np.testing.assert_allclose(one_active_loss(jnp.asarray(x), (m, n)), each, rtol=1e-5)


@pytest.mark.slow
def test_shares_and_losses_are_those_of_weighted_draws_from_the_prior(rng):
    n, data, spread = 2, np.array([4.0, 12.0, 36.0]), 0.8
    sampled = posterior_shares(n, data, n_hidden=1, beta=1.5, prior_std=spread, ladders=64, steps=4_000)
    draws = spread * rng.normal(size=(400_000, 2 * n))
    loss = np.asarray(one_active_loss(jnp.asarray(draws), (1, n)), float)
    represented = np.sum(draws[:, :n] ** 2 + draws[:, n:] > REPRESENTED, axis=1)
    for k, number in enumerate(data):
        weight = np.exp(-1.5 * number * (loss - loss.min()))
        weight /= weight.sum()
        size = 1 / np.sum(weight**2)  # effective
        for count in range(n + 1):
            share = np.sum(weight * (represented == count))
            error = np.hypot(float(sampled["error"][k, count]), np.sqrt(share * (1 - share) / size))
            assert abs(float(sampled["share"][k, count]) - share) < 4 * error + 1e-3
        mean = np.sum(weight * loss)
        assert float(sampled["loss"][k]) == pytest.approx(mean, rel=0.03)
    assert np.all(np.abs(sampled["accepted"].values - 0.6) < 0.1)
    assert np.all(sampled["exchanged"].values[:-1] > 0.1)


def test_half_way_is_between_the_numbers_of_data_where_the_odds_turn():
    share = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]])
    table = xr.Dataset(
        {"share": (("n_data", "represented"), share)}, {"n_data": [10.0, 100, 400], "represented": [5, 6]}
    )
    assert half_way(table, 6) == pytest.approx(200.0)
    assert np.isnan(half_way(table.isel(n_data=slice(2)), 6))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"n_features": 1}, "n_features"),
        ({"n_data": [10, 5]}, "n_data"),
        ({"n_data": [0.5, 5]}, "n_data"),
        ({"beta": 0}, "beta"),
        ({"prior_std": -1.0}, "prior_std"),
        ({"ladders": 1}, "ladders"),
        ({"steps": 2}, "steps"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(settings, field):
    with pytest.raises(sp.ConfigError, match=field):
        posterior_shares(**{"n_features": 2, "n_data": [5, 10], **settings})
