"""Claims of the two figures on hand-made circuits and tables, and what their pictures hold."""

import matplotlib.colors as colors
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import superpos as sp
from superpos.analysis.circuits import Circuit
from superpos.analysis.motifs import asymmetric_motifs
from superpos.claims import Claims
from superpos.claims.circuits import judge_large, judge_motif, judge_small, one_of_each_sign, shuffled_motifs

P = [1.0, 0.1, 0.03, 0.01, 0.001]
BOTH = Circuit(np.concatenate([np.eye(3), -np.eye(3)]), np.concatenate([np.eye(3)] * 2, axis=1), np.zeros(3))
W1 = np.array([[2, -0.5], [1, 0], [-1, 0], [0, 1]])
W2 = np.array([[0.5, 0, 1, 0], [2, -4, 0, 1]])


def table(**changed):
    rows = {
        "monosemantic": [40, 30, 20, 2, 0], "polysemantic": [0, 10, 20, 38, 40], "idle": [0] * 5,
        "spearman": [np.nan, 0.3, 0.1, 0.2, -0.1], "relative_loss": [1.1, 0.9, 1.0, 1.2, 0.7],
    }  # fmt: skip
    return xr.Dataset({k: ("feature_probability", v) for k, v in (rows | changed).items()}, {"feature_probability": P})


def verdicts(judge, *arguments):
    claims = Claims("test")
    judge(*arguments, claims)
    return [claim.verdict == "pass" for claim in claims.claims]


def test_each_claim_across_density_can_fail():
    assert verdicts(judge_large, table()) == [True] * 5
    assert verdicts(judge_large, table().isel(feature_probability=slice(None, None, -1))) == [True] * 5
    falls = table(polysemantic=[0, 20, 10, 38, 40], monosemantic=[40, 20, 30, 2, 0])
    assert verdicts(judge_large, falls) == [False, True, True, True, True]
    idle = table(monosemantic=[39, 30, 20, 2, 0], idle=[1, 0, 0, 0, 0])
    assert verdicts(judge_large, idle) == [True, False, True, True, True]
    one_kind = table(monosemantic=[40, 30, 20, 0, 0], polysemantic=[0, 10, 20, 40, 40])
    assert verdicts(judge_large, one_kind) == [True, True, False, True, True]
    for spearman in (-0.1, np.nan):
        row = [np.nan, 0.3, spearman, 0.2, -0.1]
        assert verdicts(judge_large, table(spearman=row)) == [True, True, True, False, True]
    assert verdicts(judge_large, table(relative_loss=[1.1, 1, 1, 1, 1])) == [True, True, True, True, False]


def test_one_neuron_of_each_sign():
    assert one_of_each_sign(BOTH) and verdicts(judge_small, BOTH, 1e-4, 0.2) == [True, True]
    twice = BOTH._replace(W1=np.abs(BOTH.W1))
    shared = BOTH._replace(W1=BOTH.W1 + np.array([[0, 0.5, 0]] + [[0, 0, 0]] * 5))
    assert not one_of_each_sign(twice) and not one_of_each_sign(shared)
    assert verdicts(judge_small, twice, 1e-3, 0.2) == [False, False]


def test_the_motif_is_judged():
    found = Circuit(W1, W2, np.zeros(2))
    motifs, rises = asymmetric_motifs(found), {"neuron": 0.1, "inhibitor": 0.4, "motif": 0.1}
    assert verdicts(judge_motif, motifs, 0.1, 0.8, rises, 0.1) == [True] * 5
    assert verdicts(judge_motif, motifs, 2.0, 1.1, rises | {"neuron": -0.1}, 0.1) == [False, False, True, True, False]
    assert verdicts(judge_motif, [], 0.0, 0.8, {}, 0.1) == [True, False]
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
    lines = sp.plot.neuron_shares(table()["monosemantic"], table()["polysemantic"], plt.figure().subplots()).lines
    np.testing.assert_array_equal(lines[1].get_ydata(), table()["polysemantic"])
    relative = sp.plot.relative_loss_by_density(table()["relative_loss"], plt.figure().subplots())
    np.testing.assert_allclose(
        relative.lines[1].get_xydata(), np.stack([1 / np.array(P), table()["relative_loss"]], axis=1)
    )
