"""The figure on induction heads: its measurements, its claims on tables made by hand, and what its pictures show."""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis.attention import mean_outputs
from superpos.analysis.heads import ablated_losses, fresh_key, measure_heads
from superpos.experiments import Claims
from superpos.experiments.induction_heads.drawing import removed_gain
from superpos.experiments.induction_heads.evaluation import (
    evaluate_ablation,
    evaluate_circuit,
    evaluate_depth,
    evaluate_heads,
    evaluate_periods,
    windows,
)
from superpos.experiments.induction_heads.measures import NETWORKS, head_sets
from superpos.plot.appearance import PALETTE
from superpos.training.optimizers import named_leaves

TASK = sp.tasks.RepeatedTokens(
    d_vocab=8, n_positions=8, n_layers=2, n_heads=2, d_model=4, shortest_period=3, longest_period=5
)
CHANCE = float(np.log(64))


def verdicts(judge, *tables):
    claims = Claims("a paper")
    judge(*tables, claims)
    return [claim.verdict for claim in claims.claims]


@pytest.mark.slow
def test_ablation_of_sets_is_what_numpy_computes_head_by_head():
    sets = np.zeros((3, 2, 2), bool)
    sets[1, 0, 1] = sets[2, 1] = True

    @jax.jit
    def everything(task):
        model, data = task.init(jax.random.key(3)), task.sample(fresh_key(), 6)
        found = ablated_losses(task, model, jnp.asarray(sets), 6)
        return model, data, found, measure_heads(task, model, 6), mean_outputs(model, data.tokens)

    model, data, found, scores, to = everything(TASK.broadcast())
    assert_allclose(found[0], np.full(2, scores["loss"]), rtol=1e-5)
    to = np.asarray(to, np.float64)
    w = {n: np.asarray(getattr(model, n)[...], np.float64) for n in ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")}

    def logits(tokens, off, kept=None):
        x, patterns = w["W_E"][tokens], []
        for layer in range(2):
            place, new = x + w["W_pos"], x.copy()
            for h in range(2):
                s = (place @ w["W_Q"][layer, h]) @ (place @ w["W_K"][layer, h]).T / np.sqrt(2)
                a = np.tril(np.exp(s))
                patterns.append(a / a.sum(1, keepdims=True))
                a = patterns[-1] if kept is None else kept[len(patterns) - 1]
                new += (to[layer, h] if off[layer, h] else a @ x @ w["W_V"][layer, h]) @ w["W_O"][layer, h]
            x = new
        return x @ w["W_U"], patterns

    for k, off in enumerate(sets):
        for mode in (0, 1):
            losses = []
            for tokens, scored in zip(np.asarray(data.tokens), np.asarray(data.scored), strict=True):
                _, clean = logits(tokens, np.zeros((2, 2), bool))
                out, _ = logits(tokens, off, clean if mode else None)
                losses += [np.log(np.exp(out[i]).sum()) - out[i, tokens[i + 1]] for i in np.flatnonzero(scored)]
            assert_allclose(found[k, mode], np.mean(losses), rtol=1e-4)
    assert abs(found[1, 0] - found[1, 1]) > 1e-4  # layer 1 attends otherwise without head 0.1


def test_others_are_drawn_as_many_as_there_are_induction_heads():
    previous, prefix = np.zeros((2, 4)), np.zeros((2, 4))
    previous[0, 2], prefix[1, :2] = 0.7, 0.9
    sets = head_sets(previous, prefix)
    assert sets["induction heads"].tolist() == [[False] * 4, [True, True, False, False]]
    assert np.argwhere(sets["previous-token heads"]).tolist() == [[0, 2]]
    others = [marks for name, marks in sets.items() if name.startswith("other heads")]
    assert len(others) == 4 and all(marks.sum() == 2 for marks in others)
    assert not any((marks & (sets["induction heads"] | sets["previous-token heads"])).any() for marks in others)
    assert len({marks.tobytes() for marks in others}) > 1
    prefix[1] = 0.9  # four of them, but three others: all three, once
    sets = head_sets(previous, prefix)
    assert [int(s.sum()) for name, s in sets.items() if name.startswith("other")] == [3]
    assert sum(name.startswith("head ") for name in sets) == 8


def training(prefix_at=200, loss_at=200, prefix=0.85, previous=0.6, width=15):
    steps = np.arange(0, 1001, 50)
    rise = lambda at: 1 / (1 + np.exp(-(steps - at) / width))  # noqa: E731
    heads = np.zeros((2, 1, len(steps), 2, 2))
    scores = {"prefix_matching": heads + 0.05, "previous_token": heads.copy()}
    scores["prefix_matching"][1, 0, :, 1, 0] = prefix * rise(prefix_at)
    scores["previous_token"][1, 0, :, 0, 1] = previous * rise(150)
    loss = np.stack([np.full(len(steps), 3.2), 4.2 - 4 * rise(loss_at)])[:, None]
    over = ("n_layers", "seed", "snapshot")
    table = {n: ((*over, "layer", "head"), v) for n, v in scores.items()}
    return xr.Dataset(
        table | {"loss": (over, loss), "uniform": (over, 0 * loss + 0.05)},
        {"n_layers": [1, 2], "seed": [0], "step": ("snapshot", steps)},
        {"chance": CHANCE},
    )


def periods(far=0.5, elsewhere=15.0, score=0.75):
    at = [8, 12, 16, 20, 24, 28, 32, 36, 40]
    loss = np.full((3, 2, 9), 3.2)
    loss[0], loss[2] = 0.2, elsewhere
    loss[0, 1, 7], loss[2, :, 4] = far, 1e-5
    return xr.Dataset(
        {
            "loss": (("network", "seed", "period"), loss),
            "accuracy": (("network", "seed", "period"), np.exp(-loss)),
            "prefix_matching": (("network", "seed", "period"), np.full(loss.shape, score)),
        },
        {"network": list(NETWORKS), "seed": [0, 1], "period": at},
        {"shortest": 16, "longest": 32, "fixed": 24, "chance": CHANCE},
    )


def ablations(induction=1.0, other=0.2, copies=0.98, composed=0.3):
    prefix, previous = np.array([[0, 0], [0.9, 0]]), np.array([[0.7, 0], [0, 0]])
    sets = head_sets(previous, prefix)
    removed = np.array(
        [[induction] * 2 if n == "induction heads" else [other, other / 2] for n in sets],
    )
    heads = {"ov_eigenvalues": np.array([[0, 0.2], [copies, 0.1]]), "copying": np.full((2, 2), -0.7)}
    K = np.array([[composed, 0.1], [0.15, 0.1]])  # head 0.0 looks one back, head 1.0 matches
    return xr.Dataset(
        {"removed": (("set", "mode"), removed), "heads": (("set", "layer", "head"), np.stack([*sets.values()]))}
        | {name: (("layer", "head"), values) for name, values in heads.items()}
        | {"k_composition": (("earlier", "later"), K)},
        {"set": [*sets], "mode": ["mean", "pattern-preserving"]},
        {"intact": 0.2, "chance": CHANCE},
    )


def test_claims_hold_where_they_should_and_fail_one_by_one():
    loss = xr.DataArray([[3.1, 3.2], [0.2, 0.3]], {"n_layers": [1, 2], "seed": [0, 1]}, ("n_layers", "seed"))
    assert verdicts(evaluate_depth, loss, CHANCE) == ["pass", "pass"]
    assert verdicts(evaluate_depth, loss + np.array([0, 0.6]), CHANCE) == ["FAIL", "pass"]  # one seed is enough to fail
    assert verdicts(evaluate_depth, loss - np.array([0, 0.8]), CHANCE) == ["pass", "FAIL"]
    assert verdicts(evaluate_heads, training()) == ["pass"] * 4
    assert verdicts(evaluate_heads, training(prefix=0.55)) == ["FAIL", "pass", "pass", "pass"]
    assert verdicts(evaluate_heads, training(previous=0.45)) == ["pass", "FAIL", "pass", "pass"]
    assert verdicts(evaluate_heads, training(prefix_at=700)) == ["pass", "pass", "FAIL", "pass"]
    assert verdicts(evaluate_heads, training(width=60)) == ["pass", "pass", "pass", "FAIL"]
    assert verdicts(evaluate_circuit, [ablations()]) == ["pass", "pass"]
    assert verdicts(evaluate_circuit, [ablations(copies=0.4)]) == ["FAIL", "pass"]
    assert verdicts(evaluate_circuit, [ablations(composed=0.1)]) == ["pass", "FAIL"]
    assert verdicts(evaluate_periods, periods()) == ["pass", "pass"]
    assert verdicts(evaluate_periods, periods(far=0.9)) == ["FAIL", "pass"]
    assert verdicts(evaluate_periods, periods(elsewhere=2.0)) == ["pass", "FAIL"]
    assert verdicts(evaluate_periods, periods(score=0.5)) == ["pass", "FAIL"]
    assert verdicts(evaluate_ablation, [ablations()]) == ["pass", "pass"]
    assert verdicts(evaluate_ablation, [ablations(0.5, 0.7)]) == ["FAIL", "FAIL"]
    # One seed is enough to fail.
    assert verdicts(evaluate_circuit, [ablations(), ablations(copies=0.4)]) == ["FAIL", "pass"]
    assert verdicts(evaluate_circuit, [ablations(composed=0.1), ablations()]) == ["pass", "FAIL"]
    assert verdicts(evaluate_ablation, [ablations(), ablations(0.5, 0.7)]) == ["FAIL", "FAIL"]


def test_windows_are_those_of_the_logistic_curves():
    (a, b), (c, d) = windows(training(prefix_at=200, loss_at=400).sel(n_layers=2, seed=0))
    half = 15 * np.log(9)
    assert_allclose([a, b, c, d], [200 - half, 200 + half, 400 - half, 400 + half], atol=12)  # snapshots every 50


def test_pictures_show_what_they_say():
    _, axes = plt.subplots(5)
    ax = sp.plot.attention_pattern(np.eye(9), axes[0], period=3)
    shown: Any = ax.images[0].get_array()
    assert shown.shape == (9, 9)
    for line, side in zip(ax.lines, (-1.6, 1.6), strict=True):  # around the key that followed: i + 1 − period
        assert_allclose(np.asarray(line.get_xdata()) - line.get_ydata(), -2 + side)
    ax = sp.plot.scores_by_step(training().isel(seed=0), axes[1], window=(1, 2))
    assert [line.get_color() for line in ax.lines[2:6]] == [PALETTE["green"]] * 2 + [PALETTE["blue"]] * 2
    assert np.max(np.asarray(ax.lines[4].get_ydata())) == pytest.approx(0.85)
    ax = sp.plot.repeat_loss_by_step(training().isel(seed=0), axes[2], window=(1, 2))
    assert [line.get_label() for line in ax.lines[1:]] == ["1 layer", "2 layers"]
    ax = removed_gain(ablations(), axes[3])
    words = [label.get_text() for label in ax.get_yticklabels()]
    assert words[:3] == ["1 induction head", "1 previous-token head", "1 other head"] and "head 1.0 (1.0)" in words
    bar: Any = ax.patches[0]
    assert bar.get_width() == 100 and to_hex(bar.get_facecolor()) == PALETTE["blue"].lower()
    ax = sp.plot.accuracy_by_period(periods(), axes[4])
    labels = ax.get_legend_handles_labels()[1]
    assert "2 layers" in labels and "1 layer, period always 24" in labels


def test_decay_spares_biases_that_lie_stacked():
    config = sp.TrainConfig(weight_decay=0.5, steps=1, learning_rate=0.1, beta1=0.9, beta2=0.9, optimizer="sgd")
    model = jax.eval_shape(sp.tasks.RepeatedTokens(d_mlp=4, d_model=4).broadcast().init, jax.random.key(0))
    model = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), model)
    optimizer = config.build_optimizer()
    zeros = jax.tree.map(jnp.zeros_like, model)
    updates, _ = jax.jit(optimizer.update)(zeros, optimizer.init(model), model)
    for name, leaf in named_leaves(updates):
        assert_allclose(leaf, 0 if name.startswith("b") else -0.05, rtol=1e-6, err_msg=name)
