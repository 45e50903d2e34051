"""Claims of the two figures on hand-made circuits and tables, and what their pictures hold."""

import matplotlib.colors as colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis.circuits import Circuit
from superpos.analysis.motifs import asymmetric_motifs
from superpos.experiments import Claims
from superpos.experiments.absolute_value import (
    evaluate_few,
    evaluate_many,
    neuron_shares,
    one_of_each_sign,
    panels,
    reading,
    relative_loss_by_density,
)
from superpos.experiments.neuron_circuits import evaluate_all_seeds, evaluate_motif, shuffled_motifs

P = [1.0, 0.1, 0.03, 0.01, 0.001]
BOTH = Circuit(np.concatenate([np.eye(3), -np.eye(3)]), np.concatenate([np.eye(3)] * 2, axis=1), np.zeros(3))
W1 = np.array([[2, -0.5], [1, 0], [-1, 0], [0, 1]])
W2 = np.array([[0.5, 0, 1, 0], [2, -4, 0, 1]])


def table(**changed):
    rows = {
        "monosemantic": [40, 30, 20, 2, 0], "polysemantic": [0, 10, 20, 38, 40], "idle": [0] * 5,
        "spearman": [np.nan, 0.3, 0.1, 0.2, -0.1], "relative_loss": [1.1, 0.9, 1.0, 1.2, 0.7],
        "alone": [20, 9, 5, 1, 0], "features": [np.nan, 2, 3, 3, 5], "second": [np.nan, 0.3, 0.4, 0.4, 0.6],
    }  # fmt: skip
    return xr.Dataset({k: ("feature_probability", v) for k, v in (rows | changed).items()}, {"feature_probability": P})


def verdicts(judge, *arguments):
    claims = Claims("test")
    judge(*arguments, claims)
    return [claim.verdict == "pass" for claim in claims.claims]


def begun(*numbers):
    return xr.DataArray([*numbers], {"feature_probability": P}, ("feature_probability",))


STARTS = begun(20, 15, 15, 15, 10)


def test_each_claim_across_density_can_fail():
    def failed(starts=STARTS, random=None, **changed):
        judged = verdicts(evaluate_many, table(**changed), table() if random is None else random, starts)
        return [k for k, holds in enumerate(judged) if not holds]

    assert failed() == [] and verdicts(evaluate_many, table(), table(), STARTS) == [True] * 8
    backwards = [t.isel(feature_probability=slice(None, None, -1)) for t in (table(), table(), STARTS)]
    assert verdicts(evaluate_many, *backwards) == [True] * 8
    assert failed(polysemantic=[0, 20, 10, 38, 40], monosemantic=[40, 20, 30, 2, 0]) == [0]  # the share falls
    assert failed(monosemantic=[39, 30, 20, 2, 0], idle=[1, 0, 0, 0, 0]) == [1]
    assert failed(monosemantic=[40, 30, 20, 0, 0], polysemantic=[0, 10, 20, 40, 40]) == [2]  # one kind
    assert failed(alone=[20, 9, 5, 0, 0]) == [3]
    assert failed(alone=[20, 9, 5, 15, 0]) == [3]  # no more than what the start held
    assert failed(alone=[20, 9, 5, 15, 0], starts=begun(20, 15, 15, 0, 10)) == []
    assert failed(second=[np.nan, 0.3, 0.4, 0.5, 0.6]) == failed(features=[np.nan, 2, 3, 2, 5]) == [4]
    for spearman in (-0.1, np.nan):
        assert failed(spearman=[np.nan, 0.3, spearman, 0.2, -0.1]) == [5]
    assert failed(relative_loss=[1.1, 1, 1, 1, 1]) == [6]
    assert failed(random=table(relative_loss=[9, 2, 1.5, 1.2, 1])) == [7]


def test_motifs_are_counted_over_all_seeds():
    def holds(motifs, shuffled):
        counts = xr.Dataset({"motifs": ("seed", motifs), "shuffled": ("seed", shuffled), "loss": ("seed", range(8))})
        return verdicts(evaluate_all_seeds, counts) == [True]

    few = [0.1] * 8
    assert holds([1, 0, 2, 1, 0, 0, 0, 1], few)
    assert not holds([0, 0, 2, 1, 1, 1, 1, 1], few)  # in none of the best two
    assert not holds([1, 0, 2, 1, 0, 0, 0, 1], [0.4] * 8)  # chance finds nearly as many


def test_what_neurons_read():
    """Features 1 and 2 alone, 3 also read by a neuron of 4; two polysemantic neurons of 2 and 4 features."""
    W1 = np.array([[1, 0, 0, 0, 0, 0], [0, -1, 0, 0.1, 0, 0], [0, 0, 1, -0.5, 0, 0], [0, 0, 0.3, 1, -0.3, 0.25]])
    found = Circuit(W1, np.ones((6, 4)), np.zeros(6))
    spearman, alone, features, second = reading(found)
    assert (alone, features, second) == (2, 3, 0.4) and spearman == pytest.approx(0.949, abs=1e-3)
    assert reading(found._replace(W1=W1[:2], W2=found.W2[:, :2]))[1] == 2 and np.isnan(reading(BOTH)[2:]).all()


def test_one_neuron_of_each_sign():
    assert one_of_each_sign(BOTH) and verdicts(evaluate_few, BOTH, 1e-4, 0.2) == [True, True]
    twice = BOTH._replace(W1=np.abs(BOTH.W1))
    shared = BOTH._replace(W1=BOTH.W1 + np.array([[0, 0.5, 0]] + [[0, 0, 0]] * 5))
    assert not one_of_each_sign(twice) and not one_of_each_sign(shared)
    assert verdicts(evaluate_few, twice, 1e-3, 0.2) == [False, False]


def test_the_motif_is_judged():
    found = Circuit(W1, W2, np.zeros(2))
    motifs, rises = asymmetric_motifs(found), {"neuron": 0.1, "inhibitor": 0.4, "motif": 0.1}
    assert verdicts(evaluate_motif, motifs, 0.1, 0.8, rises, 0.1) == [True] * 5
    assert verdicts(evaluate_motif, motifs, 2.0, 1.1, rises | {"neuron": -0.1}, 0.1) == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert verdicts(evaluate_motif, [], 0.0, 0.8, {}, 0.1) == [True, False]
    assert shuffled_motifs(Circuit(BOTH.W1, BOTH.W2, BOTH.b)) == 0 and 0 <= shuffled_motifs(found) < 1


def test_a_circuit_is_drawn_with_its_weights():
    ax = sp.plot.circuit(W1, W2, marked=[0, 1], features=[0, 1])
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2 and np.ptp(line.get_xdata()) == 1]
    assert len(lines) == np.sum(W1 != 0) + np.sum(W2 != 0)
    incoming = [line for line in lines if line.get_xdata()[0] == 0]
    widths = sorted(line.get_linewidth() for line in incoming)
    np.testing.assert_allclose(widths, np.sort(np.abs(W1[W1 != 0])) * 2)
    red = [line for line in lines if colors.same_color(line.get_color(), sp.plot.PALETTE["red"])]
    assert len(red) == np.sum(W1 < 0) + np.sum(W2 < 0)
    assert [text.get_text() for text in ax.texts if text.get_text().isalpha()] == ["features", "neurons", "outputs"]


def test_bars_and_curves_hold_their_numbers():
    ax = sp.plot.ablations(["neuron 1", "the motif"], [0.2, 0.6], loss=0.2, marked=[1])
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [2, 4])
    lines = neuron_shares(table()["monosemantic"], table()["polysemantic"], plt.figure().subplots()).lines
    np.testing.assert_array_equal(lines[1].get_ydata(), table()["polysemantic"])
    relative = relative_loss_by_density(table()["relative_loss"], plt.figure().subplots())
    np.testing.assert_allclose(
        relative.lines[1].get_xydata(), np.stack([1 / np.array(P), table()["relative_loss"]], axis=1)
    )


def test_the_whole_figure_of_the_absolute_value():
    starts = xr.DataArray(
        np.arange(10.0).reshape(2, 5) + 1, {"dedicated_features": [0, 4]}, ("dedicated_features", "feature_probability")
    )
    large = np.array([[0.1, -0.4, 1, 0.0], [-1, 0.0, 0.0, 0.1]])
    figure = panels((BOTH.W1, BOTH.reads()), (large, np.abs(large) > 0.2), 0.01, table(), starts)
    left, _, right, below = figure.axes
    assert (
        left.get_title() == "3 features in 6 neurons" and below.get_title() == "4 features in 2 neurons, 1 − S = 0.01"
    )
    np.testing.assert_allclose(sorted(bar.get_height() for bar in below.patches if bar.get_height()), [0.4, 1, 1])
    assert [text.get_text() for text in below.texts] == ["1", "2", "3"]  # by the most important feature
    np.testing.assert_array_equal([line.get_ydata() for line in right.lines[2:]], starts)
