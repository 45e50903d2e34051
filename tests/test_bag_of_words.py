"""Features that travel together: what is measured of them, and claims that fail where they should."""

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.data import worlds
from superpos.experiments import Claims
from superpos.experiments import bag_of_words as experiment
from superpos.theory import linear_loss, principal_losses


@pytest.mark.slow
def test_principal_losses_are_those_of_the_projection_on_leading_components():
    features = sp.FeatureDistribution(n_features=6, magnitude="constant", world="circle", sharpness=5.0, log_odds=-2.0)
    losses = np.asarray(principal_losses(features))
    mean, second = np.asarray(features.moment(1), float), np.asarray(features.second_moments(), float)
    values, vectors = np.linalg.eigh(second - np.outer(mean, mean))
    for m in (1, 2, 5):
        W = vectors[:, -m:].T
        assert_allclose(losses[m - 1], values[:-m].sum() / 6, rtol=2e-4)
        assert_allclose(linear_loss(W, mean - W.T @ W @ mean, features), losses[m - 1], rtol=2e-4)
    assert losses[-1] == 0


def _rows(n_seeds: int = 10) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Sweep, table and control of perfect models."""
    over = {"world": ["circle", "line"], "n_used": [2], "weight_decay": [0.0, 1.0], "seed": np.arange(n_seeds)}
    shape = tuple(len(v) for v in over.values())
    dead = np.zeros(shape)
    dead[0, 0, 0, :4] = 1  # four seeds leave a feature out without weight decay
    numbers = {"statistic": 1.0, "p_value": 0.001, "follows": 0.9}
    data = {k: (tuple(over), np.full(shape, v)) for k, v in numbers.items()} | {"dead": (tuple(over), dead)}
    losses = xr.Dataset({"loss": (tuple(over), np.full(shape, 0.05))}, over)
    p_values = np.r_[0.005, 0.005, np.linspace(0.02, 1, 198)]
    control = xr.Dataset({"p_value": (("weight_decay", "seed"), p_values[None])}, {"seed": np.arange(200)})
    return losses, xr.Dataset(data, over), control


def _failed(losses, table, control) -> list[str]:
    claims = Claims("")
    experiment.evaluate(losses, table, control, claims)
    return [claim.statement for claim in claims.failed]


@pytest.mark.slow
def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    losses, table, control = _rows()
    assert _failed(losses, table, control) == []
    assert len(_failed(losses + 1, table, control)) == 1
    disordered = table.assign(p_value=table["p_value"] + 0.1)
    assert [s[:6] for s in _failed(losses, disordered, control)] == ["circle", "line, "]
    assert _failed(losses, table.assign(dead=0 * table["dead"]), control) == [
        "circle, m = 2: weight decay closes the ring"
    ]
    assert len(_failed(losses, table.assign(follows=table["follows"] - 0.6), control)) == 1
    alarmed = control.assign(p_value=control["p_value"] / 10)
    assert _failed(losses, table, alarmed) == ["control: independent features of the same frequency have no order"]


def test_measures_of_a_ring_of_ones_own():
    """Twelve directions in order around the plane: the first harmonic of the circle."""
    angle = 2 * np.pi * np.arange(12) / 12
    W = np.stack([np.cos(angle), np.sin(angle)]) / np.sqrt(6)
    closeness = np.asarray(worlds.similarity("circle", worlds.places("circle", 12), 12))
    assert_allclose(6 * W.T @ W, closeness, atol=1e-6)


@pytest.mark.slow
def test_a_quick_figure_is_measured_from_the_models_of_its_sweep(tmp_path):
    size = experiment.SIZES.quick
    result = sp.sweep(*experiment.build(size), block_size=size.models_of_a_seed)
    table = experiment.measure(result)
    cell = {"world": "line", "n_used": 2, "weight_decay": 1.0, "seed": 1}
    ring = sp.analysis.ring_order(result.sel(cell).model().W, permutations=experiment.PERMUTATIONS, above=0.1)
    assert float(table["p_value"].sel(cell)) == ring.p_value
    control = experiment.build_control(size)[0]
    assert_allclose(control.features.probabilities, experiment.build(size)[0].features.probabilities, rtol=1e-5)
    figure, caption = experiment.draw(result, table)
    assert len(figure.axes) == 4 and "weight decay 1" in caption
