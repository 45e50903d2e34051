"""Repeated tokens, heads built by hand that solve them, and what the analysers say of those."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import superpos as sp
from superpos.analysis.attention import (
    ablation,
    composition,
    copying_score,
    in_context_score,
    prefix_matching_score,
    previous_token_score,
    rise,
)
from superpos.analysis.heads import circuit_scores
from superpos.data.sequences import repeated_tokens
from superpos.models import Transformer
from superpos.tasks.induction import next_token_losses

V, P = 9, 14
SHARP = 60.0


def circuit(copies=1):
    """A previous-token head in layer 0 and an induction head in layer 1, head 1 of either; the others write nothing.

    The residual stream has a block for the token, one for the token before, one for what comes out; the last, for positions,
    is only ever seen by queries and keys. With `copies` = −1 the last head lowers what it attends to.
    """
    d_head, d_model = max(V, P), 3 * V + P
    token, before, out, place = (np.arange(n) + s for n, s in ((V, 0), (V, V), (V, 2 * V), (P, 3 * V)))
    v, p = np.arange(V), np.arange(P)
    W_E, W_pos, W_U = np.zeros((V, d_model)), np.zeros((P, d_model)), np.zeros((d_model, V))
    W_E[v, token], W_pos[p, place], W_U[out, v] = 1, 1, SHARP
    W_Q, W_K, W_V = np.zeros((3, 2, 2, d_model, d_head))
    W_O = np.zeros((2, 2, d_head, d_model))
    W_Q[0, 1, place, p], W_K[0, 1, place[:-1], p[1:]] = SHARP, SHARP
    W_V[0, 1, token, v], W_O[0, 1, v, before] = 1, 1
    W_Q[1, 1, token, v], W_K[1, 1, before, v] = SHARP, SHARP
    W_K[1, 1, place[0], v] = -SHARP  # the first token has none before it, and stands in for its own
    W_V[1, 1, token, v], W_O[1, 1, v, out] = 1, copies
    return Transformer(
        *(jnp.asarray(W, float) for W in (W_E, W_pos, W_Q, W_K, W_V, W_O, W_U)), positions="queries_keys"
    )


TOKENS = np.array([3, 1, 4, 0, 5, 3, 1, 4, 0, 5, 3, 1, 4, 0])


@jax.jit
def run(model, off):
    """Losses as it is, without some heads, and without what they write but with all patterns; and the patterns."""
    logits, cache = model.run_with_cache(TOKENS)
    zeros = jnp.zeros((2, 2, P))
    without = [model(TOKENS, ablation(off, zeros, patterns)) for patterns in (None, cache)]
    losses = [next_token_losses(z[:-1], TOKENS[1:]) for z in (logits, *without)]
    return losses, [cache[f"blocks.{layer}.attn.pattern"] for layer in (0, 1)]


def test_heads_built_by_hand_solve_the_task_and_score_one():
    (losses, *_), patterns = run(circuit(), np.zeros((2, 2), bool))
    assert losses[5:].max() < 1e-3 and losses[:4].mean() > 1
    assert in_context_score(losses, early=2, late=10) < -1
    assert_allclose(previous_token_score(patterns[0])[1], 1, atol=1e-4)
    assert_allclose(prefix_matching_score(patterns[1], TOKENS)[1], 1, atol=1e-4)
    K = circuit_scores(circuit())["k_composition"]
    assert K[1, 1] > 0.1 and K[0, 1] != K[0, 1]  # a head of zeros composes with nothing: 0 / 0


def test_a_head_that_copies_scores_one_and_one_that_does_the_opposite_minus_one():
    for copies in (1, -1):
        found = circuit_scores(circuit(copies))
        assert_allclose(found["copying"][1], [-1, copies], atol=1e-4)  # the other head writes nothing
        assert_allclose(found["ov_eigenvalues"][1, 1], copies, atol=1e-6)
        assert np.isnan(found["ov_eigenvalues"][1, 0])


@pytest.mark.slow
def test_copying_is_the_share_of_the_attended_token_among_those_of_the_sequence(rng):
    model = circuit()
    model.W_V[...] = jnp.asarray(rng.standard_normal(model.W_V.shape), float)
    model.W_O[...] = jnp.asarray(rng.standard_normal(model.W_O.shape), float)
    tokens = np.array([3, 1, 4, 0, 5])
    found = copying_score(model, tokens)
    W_E, W_V, W_O, W_U = (np.asarray(W[...], np.float64) for W in (model.W_E, model.W_V, model.W_O, model.W_U))
    for head in range(2):  # of layer 0, which sees the tokens alone
        shares = []
        for t in tokens:
            z = W_E[t] @ W_V[0, head] @ W_O[0, head] @ W_U
            raised = np.maximum(z - z.mean(), 0)
            shares.append(raised[t] / raised[tokens].sum())
        assert_allclose(found[0, head], 2 * np.mean(shares) - 1, rtol=1e-4)


def test_scores_of_uniform_attention_are_counted_by_hand():
    uniform = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
    assert_allclose(previous_token_score(uniform), np.mean([1 / 2, 1 / 3, 1 / 4]), rtol=1e-6)
    # 7 8 7 7: query 2 looks for position 1; query 3 for positions 1 and 3, itself, which followed the 7 at 2
    assert_allclose(prefix_matching_score(uniform, np.array([7, 8, 7, 7])), np.mean([1 / 3, 2 / 4]), rtol=1e-6)
    preceded = np.zeros((4, 4))
    preceded[[0, 1, 2, 3], [0, 0, 0, 2]] = 1  # the occurrence itself, one place too early
    assert prefix_matching_score(preceded, np.array([7, 8, 7, 9])) == 0


def test_composition_is_one_where_all_that_is_written_is_read(rng):
    u, v, w = rng.standard_normal((3, 6))
    assert_allclose(composition(jnp.asarray(np.outer(u, v), float), jnp.asarray(np.outer(v, w), float)), 1, rtol=1e-5)
    w -= (w @ v) / (v @ v) * v
    assert composition(jnp.asarray(np.outer(u, v), float), jnp.asarray(np.outer(w, u), float)) < 1e-6


def test_ablating_either_head_of_the_circuit_breaks_it_but_the_pattern_may_be_kept():
    def losses(*heads):
        off = np.zeros((2, 2), bool)
        off[tuple(zip(*heads, strict=True))] = True
        return [float(loss[5:].mean()) for loss in run(circuit(), off)[0][1:]]

    (idle, _), (previous, previous_kept), (induction, induction_kept) = (
        losses(*heads) for heads in ([(0, 0), (1, 0)], [(0, 1)], [(1, 1)])
    )
    assert idle < 1e-3 < 1 < min(previous, induction)
    # the previous-token head works through the pattern alone; the induction head through what it writes
    assert previous_kept < 1e-3 and induction_kept > 1


def test_rise_interpolates_and_reads_falling_curves_alike():
    steps, values = np.array([0, 100, 200, 300]), np.array([0.0, 0.0, 1.0, 1.0])
    assert_allclose(rise(steps, values), (110, 150, 190))
    assert_allclose(rise(steps, 3 - values), (110, 150, 190))
    assert np.isnan(rise(steps, 0 * values)).all()


@jax.jit
def sequences(gap):
    return jax.vmap(lambda key: repeated_tokens(key, 50, 24, 4.0, 8.0, gap))(jax.random.split(jax.random.key(0), 400))


@pytest.mark.parametrize("gap", [0, 3])
def test_every_scored_token_is_the_one_of_a_period_ago(gap):
    data = sequences(float(gap))
    tokens, period, scored = np.asarray(data.tokens), np.asarray(data.period).astype(int), np.asarray(data.scored)
    assert set(period) == set(range(4 + gap, 9 + gap))  # drawn per sequence
    counts = np.bincount(period - 4 - gap, minlength=5)
    assert np.abs(counts - 80).max() < 4 * np.sqrt(400 * 0.2 * 0.8)
    for row, T, which in zip(tokens, period, scored, strict=True):
        wanted = [i for i in range(23) if i >= T and (gap == 0 or i % T + 1 < T - gap)]
        assert_array_equal(np.flatnonzero(which), wanted)
        for i in wanted:
            assert row[i] == row[i - T] and row[i + 1] == row[i + 1 - T]


# All parameters are of one size, and so come out of one draw, which is most of what there is to compile.
SMALL = sp.tasks.RepeatedTokens(
    d_vocab=8, n_positions=8, n_layers=1, n_heads=1, d_model=8, shortest_period=3, longest_period=5
)
SHORT = sp.TrainConfig(steps=5, batch_size=4, history=1, snapshots=(0, 5), evaluation_samples=4)


def test_loss_is_the_mean_over_scored_positions():
    @jax.jit
    def everything(task):
        model, key = task.init(jax.random.key(1)), jax.random.key(2)
        data = task.sample(key, 6)
        return task.loss(model, key, 6)[0], data, jax.vmap(model)(data.tokens)

    loss, data, logits = everything(SMALL.broadcast())
    logits = np.asarray(logits, np.float64)
    wanted = []
    for k in range(6):
        for i in range(int(data.period[k]), 7):
            wanted.append(np.log(np.exp(logits[k, i]).sum()) - logits[k, i, data.tokens[k, i + 1]])
    assert_allclose(loss, np.mean(wanted), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.optimized
def test_a_cell_is_what_it_is_alone():
    both = sp.sweep(SMALL, SHORT, sp.Grid(shortest_period=[3, 5]), block_size=2)
    alone = sp.sweep(SMALL, SHORT, sp.Grid(shortest_period=[5]), block_size=2)
    for name in ("W_E", "W_Q"):
        a, b = (getattr(r.model(shortest_period=5), name)[...] for r in (both, alone))
        assert_array_equal(a, b)
    kept = both.snapshots(shortest_period=5)
    assert_array_equal(kept.W_Q[1], alone.model(shortest_period=5).W_Q[...])  # after the last step
    assert np.abs(kept.W_Q[0] - kept.W_Q[1]).max() > 1e-3
    with pytest.raises(sp.ConfigError, match="result has no snapshots"):
        sp.SweepResult(both.dataset.drop_dims("snapshot")).snapshots(shortest_period=5)


@pytest.mark.long
def test_depths_share_a_result():
    both = sp.sweep(SMALL, SHORT, sp.Grid(n_layers=[1, 2]), block_size=1)
    assert both["W_Q_snapshots"].sizes["layer"] == 2
    assert both.model(n_layers=1).W_Q.shape[0] == 1 and both.snapshots(n_layers=1).W_Q.shape[:2] == (2, 1)
    assert both.model(n_layers=2).W_Q.shape[0] == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shortest_period": 9, "longest_period": 8}, "shortest_period must be at most longest_period"),
        ({"longest_period": 60, "gap": 10}, r"longest_period \+ gap must be at most n_positions - 2 = 62"),
        ({"shortest_period": 16.5}, "shortest_period must be a whole number of tokens, got 16.5"),
        ({"n_heads": 5}, "d_model must be a multiple of n_heads = 5"),
        ({"positions": "rotary"}, "positions must be one of"),
    ],
)
def test_settings_that_make_no_sense_get_one_sentence(fields, words):
    with pytest.raises(sp.ConfigError, match=words):
        sp.tasks.RepeatedTokens(**fields).check()
