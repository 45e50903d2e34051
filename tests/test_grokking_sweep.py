"""Times of generalisation: found in histories, drawn with the censored ones, and judged."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.generalisation import steps_to
from superpos.experiments import Claims
from superpos.experiments.grokking_sweep import evaluate_circuits, evaluate_times, panels

NAN = np.nan
STEPS = 6_000


def made_up(axis, values, generalised, memorised=200.0, accuracy=0.5):
    generalised = np.asarray(generalised, float)
    dims = (axis, "seed")
    times = {"generalised": generalised, "memorised": np.full_like(generalised, memorised)}
    times["test_accuracy"] = np.full_like(generalised, accuracy)
    coordinates = {axis: values, "seed": np.arange(generalised.shape[1])}
    attributes = {"level": 0.99, "steps": STEPS, "weight_decay": 1.0}
    return xr.Dataset({n: (dims, v) for n, v in times.items()}, coordinates, attributes)


def decays(**changed):
    cells = [[NAN, NAN, NAN], [NAN, 4_000, 3_000], [1_500, NAN, NAN]]
    return made_up(**{"axis": "weight_decay", "values": [0, 1, 2], "generalised": cells} | changed)


def data(generalised=((NAN, NAN), (NAN, 5_000), (3_000, 3_500), (800, 900)), values=(0.2, 0.5, 0.7, 0.9)):
    return made_up("train_fraction", list(values), generalised)


def failed(times, fractions):
    claims = Claims("a paper")
    evaluate_times(times, fractions, claims)
    return [claim.statement for claim in claims.failed]


def test_times_are_the_first_ones():
    values = np.array([[0.2, 0.99, 0.5, 1], [0, 0, 0, 0.98], [1, 0, 0, 0]])
    np.testing.assert_array_equal(steps_to([10, 20, 30, 40], values, 0.99), [20, NAN, 10])
    with pytest.raises(sp.ConfigError, match="must end with the 3 steps"):
        steps_to([1, 2, 3], values, 0.5)


def test_everything_holds():
    assert failed(decays(), data()) == []


@pytest.mark.parametrize(
    ("times", "fractions", "what"),
    [
        (
            decays(generalised=[[NAN, NAN, 5_000], [NAN, 4_000, 3_000], [1_500, NAN, NAN]]),
            data(),
            "no seed generalises",
        ),
        (decays(values=[0.1, 1, 2]), data(), "no seed generalises"),
        (decays(memorised=NAN), data(), "every seed memorises"),
        (decays(generalised=[[NAN] * 3, [NAN, NAN, 3_000], [1_500, NAN, NAN]]), data(), "most seeds generalise"),
        (decays(memorised=2_900), data(), "long after memorising"),
        (decays(), data(values=(0.3, 0.5, 0.7, 0.9)), "too little data"),
        (decays(), data(((NAN, 4_000), (NAN, 5_000), (3_000, 3_500), (800, 900))), "too little data"),
        (decays(), data(((NAN, NAN), (500, 600), (3_000, 3_500), (800, 900))), "more data"),
        (decays(), data(((NAN, NAN),) * 4), "more data"),
    ],
)
def test_each_claim_can_fail(times, fractions, what):
    assert any(what in statement for statement in failed(times, fractions))


def test_the_formula_must_explain_the_logits_of_those_that_generalise():
    def holds(explained, steps):
        table = xr.Dataset({"trig_explained": ("seed", explained), "n_keys": ("seed", [4, 5, 6])})
        claims = Claims("a paper")
        evaluate_circuits(table, xr.DataArray(steps, dims="seed"), claims)
        return not claims.failed

    assert holds([0.96, 0.94, 0.99], [1_000.0, 2_000, 3_000])
    assert holds([0.96, 0.3, 0.99], [1_000.0, NAN, 3_000])  # it did not generalise
    assert not holds([0.94, 0.94, 0.99], [1_000.0, 2_000, 3_000])
    assert not holds([0.96, 0.97, 0.99], [1_000.0, NAN, 3_000])  # one that only memorised is explained as well
    assert not holds([0.96, 0.97, 0.99], [NAN, NAN, NAN])


def test_the_figure_shows_every_seed_also_those_that_never_did():
    steps = np.arange(100, STEPS + 1, 100)
    curves = [xr.DataArray(np.ones((3, len(steps))), {"seed": range(3), "step": steps}, ("seed", "step"))] * 2
    figure, text = panels(decays(), data(), curves, 1.0)
    stairs = {line.get_label(): line.get_xydata() for line in figure.axes[1].lines}
    assert list(stairs) == ["0: 0 of 3", "1: 2 of 3", "2: 1 of 3"]
    np.testing.assert_allclose(stairs["1: 2 of 3"], [[0, 0], [3_000, 1 / 3], [4_000, 2 / 3], [STEPS, 2 / 3]])
    dots = [line.get_ydata() for line in figure.axes[2].lines]
    assert sorted(np.concatenate(dots[1::3])[np.isfinite(np.concatenate(dots[1::3]))]) == [1_500, 3_000, 4_000]
    assert [len(d) for d in dots[2::3]] == [3, 1, 2]  # triangles, above the last step
    assert min(d.min() for d in dots[2::3] if len(d)) > STEPS
    assert [t.get_text() for t in figure.axes[2].texts] == ["3", "1", "2"]
    assert len(figure.axes[3].lines) == 3 * 4 and "did not generalise in 6,000 steps" in text
    plt.close(figure)
