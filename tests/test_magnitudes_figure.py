"""The figure of magnitudes: its measures against closed forms, and claims that fail where they should."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments import magnitudes as experiment

DENSITIES = np.geomspace(0.001, 0.5, 5)


@pytest.mark.parametrize("n", [5, 8, 13])
def test_a_regular_polygon_gives_every_binary_feature_back(n):
    """From the threshold of its length on, every single feature is reconstructed; below it, neighbours answer, too."""
    angle, threshold = 2 * np.pi * np.arange(n) / n, experiment.ring_threshold(n)
    for squared, exact in ((threshold, True), (1.5 * threshold, True), (0.9 * threshold, False)):
        W = np.sqrt(squared) * np.stack([np.cos(angle), np.sin(angle)])
        outputs = np.maximum(W.T @ W + 1 - squared, 0)
        assert np.allclose(outputs, np.eye(n), atol=1e-9) == exact


@pytest.mark.slow
def test_the_expected_loss_of_that_polygon_is_of_order_p_squared():
    angle, squared = 2 * np.pi * np.arange(8) / 8, 1.2 * experiment.ring_threshold(8)
    W = np.sqrt(squared) * np.stack([np.cos(angle), np.sin(angle)])
    model = sp.ToyModel(W, np.full(8, 1 - squared))
    task = experiment.build(experiment.SIZES.laptop, "1")[0]
    losses = [float(replace(task, feature_probability=p).broadcast().expected_loss(model)) for p in (0.01, 0.001)]
    assert abs(np.log10(losses[0] / losses[1]) - 2) < 0.1


def _tables(**changes) -> dict[str, xr.Dataset]:
    """Perfect models: binary features lose p², others p; the share lost rises with the unevenness of magnitudes."""
    tables = {}
    for law, (power, factor, count) in {
        "1": (2, 1.0, 8), "½ to 1": (1, 1.0, 6), "1, 2 or 3": (1, 1.4, 5), "0 to 1": (1, 1.3, 6),
    }.items():  # fmt: skip
        over = {"feature_probability": DENSITIES}
        loss = factor * DENSITIES**power
        rows = {"loss": loss, "share": loss / DENSITIES, "represented": np.full(5, count)}
        shapes = np.full(5, "octagon" if law == "1" else "hexagon")
        tables[law] = xr.Dataset(
            {name: ("feature_probability", row) for name, row in (rows | {"shape": shapes}).items()}, over
        )
    return tables | changes


def _failed(tables) -> list[str]:
    claims = Claims("")
    experiment.evaluate(tables, claims)
    return [claim.statement.split(":")[0] for claim in claims.failed]


def test_every_claim_holds_on_perfect_models_and_fails_where_it_should():
    tables = _tables()
    assert _failed(tables) == []
    binary, half = tables["1"], tables["½ to 1"]
    assert _failed(_tables(**{"1": binary.assign(loss=half["loss"])})) == ["binary"]
    assert _failed(_tables(**{"0 to 1": tables["0 to 1"].assign(loss=binary["loss"])})) == ["other laws"]
    assert _failed(_tables(**{"1": binary.assign(shape=half["shape"])})) == ["binary, sparsest"]
    assert _failed(_tables(**{"½ to 1": half.assign(represented=binary["represented"])})) == ["sparsest"]
    assert _failed(_tables(**{"½ to 1": half.assign(share=2 * half["share"])})) == ["sparsest"]


@pytest.mark.slow
def test_what_is_measured_is_that_of_the_best_models():
    task, config, grid = experiment.build(experiment.SIZES.quick, "½ to 1")
    result = sp.sweep(task, config, grid, block_size=3, progress=False)
    table = experiment.measure(result)
    assert_allclose(table["loss"], result["loss"].min("seed"))
    p = result["feature_probability"].values  # ½ to 1: mean ¾, mean square 7/12
    assert_allclose(table["share"], result["loss"].min("seed") / (p * 7 / 12 - (p * 0.75) ** 2), rtol=1e-5)
