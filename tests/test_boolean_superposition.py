"""The figure of Boolean superposition: what it measures, claims that fail when they should, and panels that show it."""

import numpy as np
import xarray as xr
from numpy.testing import assert_allclose

from superpos.experiments import Claims
from superpos.experiments.boolean_superposition import evaluate, gate_losses, gates_per_neuron

OVER = ("operation", "loss_exponent", "feature_probability", "seed")
WHERE = {"operation": ["and", "or"], "loss_exponent": [2, 4], "feature_probability": [0.5, 0.1], "seed": [0, 1]}


def table(relative=0.3, linear=0.5, computed=0.4, served=4.0, bound=0.2):
    def full(value):
        return xr.DataArray(np.full((2, 2, 2, 2), float(value)), WHERE, OVER)

    served = full(served).expand_dims(hidden=3, axis=-1)
    scalars = {"relative": relative, "linear": linear, "computed": computed, "bound": bound}
    scalars["computed"] = full(computed).where(full(0).loss_exponent == 2, 2.0)
    return xr.Dataset({**{name: full(0) + value for name, value in scalars.items()}, "gates_per_neuron": served})


def failed(given):
    claims = Claims("s")
    evaluate(given, claims)
    return [claim.statement for claim in claims.failed]


def test_claims_hold_and_fail():
    assert failed(table()) == []
    one = table()
    one["relative"].loc["or", 4, 0.1] = 0.6
    assert failed(one) == ["OR, L4: beats the linear control"]
    one["relative"].loc["or", 4, 0.1] = 1.1
    assert failed(one) == ["OR, L4: beats the naive baseline", "OR, L4: beats the linear control"]
    one["relative"].loc["or", 4, 0.1, 1] = 0.4  # the best of the seeds counts
    assert failed(one) == []
    assert failed(table(bound=0.31)) == ["L2: no model loses less than its rank allows"]
    one = table()
    one["computed"] = one["computed"].copy()
    one["computed"].loc["or", 4, 0.1] = 1
    assert failed(one) == ["L4, sparsest: gates below half of their affine error"]
    one["computed"].loc["or", 4, 0.1, 1] = one["computed"].loc["and", 2, 0.5, 0] = 1.1
    assert failed(one) == ["L2: gates below half of their affine error"]
    assert failed(table(served=1.2)) == ["a neuron serves several gates"]


def test_panels():
    given = table().sel(loss_exponent=2)
    ax = gate_losses(given["relative"], given["linear"].isel(seed=0), given["bound"].isel(seed=0))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["naive baseline", "AND, trained", "OR, trained", "linear control", "least for the rank"]
    assert_allclose([line.get_ydata()[0] for line in ax.lines[1:6]], [0.3, 0.3, 0.3, 0.5, 0.2], rtol=1e-12)
    ax.clear()
    ax = gates_per_neuron(table()["gates_per_neuron"], ax)
    assert_allclose(ax.lines[0].get_ydata(), 4)
    assert len(ax.get_legend().get_texts()) == 4
