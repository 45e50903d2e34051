"""Skip trigrams: data against plain Python, heads made by hand, and a figure whose every claim can fail."""

import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.special import logsumexp, xlogy

import superpos as sp
from superpos.experiments import Claims
from superpos.experiments.skip_trigrams import all_trigrams, by_head, evaluate, groups_served, naive_loss, spread
from superpos.models import Transformer

S, N_CONTEXTS = 4, 4
TASK = sp.tasks.SkipTrigrams(
    n_sources=S, n_destinations=S, n_fillers=3, length=3, n_heads=2, d_head=6, d_model=16, n_groups=2
)


def test_sequences_are_what_plain_python_makes_of_them():
    data = jax.tree.map(np.asarray, jax.jit(TASK.sample, static_argnums=1)(jax.random.key(0), 2_000))
    for tokens, source, destination, answer in zip(*(field.tolist() for field in data), strict=True):
        *before, last = tokens
        assert [t for t in before if t < S] == [source] and last == S + destination
        assert all(t == source or 2 * S <= t < TASK.d_vocab for t in before)
        assert answer == (source + destination % 2) % S
    for field, n in ((data.source, S), (data.destination, S), (np.argmax(data.tokens < S, axis=1), 3)):
        counts = np.bincount(field, minlength=n)
        assert len(counts) == n and np.abs(counts - 2_000 / n).max() < 4 * (2_000 / n) ** 0.5


def test_neither_token_alone_says_the_answer():
    for n_groups in (2, 4):
        data = jax.jit(lambda t: all_trigrams(t, 1))(replace(TASK, n_groups=n_groups).broadcast())
        answers = np.asarray(data.answer)[..., 0]
        np.testing.assert_array_equal(np.sort(answers, axis=0), np.tile(np.arange(S)[:, None], S))
        assert [len(set(row)) for row in answers.tolist()] == [n_groups] * S


def all_of(task):
    model, key = task.init(jax.random.key(0)), jax.random.key(1)
    data = task.sample(key, 32)
    return data, jax.vmap(model)(data.tokens), *task.loss(model, key, 32)


def test_the_loss_is_what_numpy_makes_of_the_logits():
    data, logits, loss, metrics = jax.tree.map(np.asarray, jax.jit(all_of)(TASK.broadcast()))
    logits = logits[:, -1].astype(float)
    log_p = logits - logsumexp(logits, axis=-1, keepdims=True)
    assert float(loss) == pytest.approx(-log_p[np.arange(32), data.answer].mean(), rel=1e-5)
    assert float(metrics["accuracy"]) == pytest.approx((logits.argmax(-1) == data.answer).mean())


def by_hand(writes, weights):
    """Two heads: head h writes `writes[h]` (source, answer), and destination d attends to a source by `weights[h][d]`.

    Tokens and positions are on axes of their own, but answers share those of sources. All else has the score 0.
    """
    d, V = TASK.d_model, TASK.d_vocab
    W_Q, W_K, W_V, W_O = (np.zeros((1, 2, *shape)) for shape in ((d, 6), (d, 6), (d, 6), (6, d)))
    others = TASK.length  # positions beside the source
    for h in range(2):
        w = np.asarray(weights[h])
        W_Q[0, h, S : 2 * S, 0], W_K[0, h, :S, 0] = np.log(others * w / (1 - w)) * 6**0.5, 1
        W_V[0, h, :S, :S], W_O[0, h, :S, :S] = np.eye(S), writes[h]
    W_E = np.eye(V, d)
    W_E[:, V] = 1e-3 * np.arange(V)  # no use, but tokens differ
    W_U = 20 * np.eye(d, V)
    W_U[:S, :S] = 20 * np.eye(S)
    W_U[S:] = 0  # the residual stream itself says nothing
    arrays = (W_E, np.zeros((4, d)), W_Q, W_K, W_V, W_O, W_U)
    return Transformer(*(jnp.asarray(W, jnp.float32) for W in arrays))


def moved(values):
    """What a head writes for each source if it raises the answer of group g by `values[g]`."""
    return np.stack([np.roll(np.pad(values, (0, S - len(values))), s) for s in range(S)])


@pytest.fixture(scope="module")
def measured():
    """What `by_head` says of heads for a group each, and of two heads that share four groups by their attention."""
    separate = by_hand([moved([1.0]), moved([0.0, 1.0])], [[0.97, 0.03, 0.97, 0.03], [0.03, 0.97, 0.03, 0.97]])
    turn = np.linspace(0, np.pi / 2, 4)
    attention = [np.clip(0.9 * f(turn), 0.02, None) for f in (np.cos, np.sin)]
    shared = by_hand([moved(np.cos(turn)), moved(np.sin(turn))], attention)
    models = jax.tree.map(lambda *leaves: jnp.stack(leaves), separate, shared)
    tasks = [replace(TASK, n_groups=n).broadcast() for n in (2, 4)]
    tasks = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tasks)
    found = jax.jit(jax.vmap(lambda m, t: by_head(m, t, N_CONTEXTS)))(models, tasks)
    trigram = ("source", "destination")
    dims = {name: ("n_groups", *(("head",) if value.ndim == 4 else ()), *trigram) for name, value in found.items()}
    variables = {name: (dims[name], np.asarray(value)) for name, value in found.items()}
    return xr.Dataset(variables, {"n_groups": [2, 4], "destination": range(S)}), np.stack(attention)


@pytest.mark.slow
def test_heads_for_a_group_each_are_told_from_heads_that_share(measured):
    table, attention = measured
    assert (table["right"] == 1).all()
    np.testing.assert_allclose(spread(table), [0, 0.5])  # in the middle of the turn both are needed
    assert groups_served(table.sel(n_groups=2)).values.tolist() == [1, 1]
    alone = table["alone"].sel(n_groups=2)
    for h in range(2):
        assert (alone[h, :, h::2] == 1).all() and (table["without"].sel(n_groups=2)[h, :, 1 - h :: 2] == 1).all()
    shared = table.sel(n_groups=4)
    assert (shared["alone"][0, :, 0] == 1).all() and (shared["alone"][1, :, 3] == 1).all()
    assert groups_served(shared).values.tolist() == [3, 3]
    np.testing.assert_allclose(shared["attention"], np.tile(attention[:, None], (1, S, 1)), atol=1e-5)


def test_attention_alike_from_all_destinations_gives_a_source_one_answer(measured):
    table, _ = measured
    even = table["even"].sum("destination")
    assert (even.sel(n_groups=4) == 1).all() and (even.sel(n_groups=2) <= 2).all()


def test_the_naive_loss_is_the_least_of_all_ways_to_serve():
    for n_heads, n_groups in ((1, 2), (1, 8), (2, 4), (2, 8), (3, 8), (4, 4), (4, 2)):
        ways = np.array(list(itertools.product(range(n_groups + 1), repeat=n_heads)))
        ways = ways[ways.sum(axis=1) <= n_groups]
        nats = xlogy(ways, ways).sum(axis=1) + (n_groups - ways.sum(axis=1)) * np.log(8)
        assert naive_loss(n_heads, n_groups, 8) == pytest.approx(nats.min() / n_groups, abs=1e-12)
    assert naive_loss(1, 2, 8) == pytest.approx(np.log(2)) and naive_loss(2, 2, 8) == 0


def table(**changed):
    """Models that pass: 8 sources, destinations and groups."""
    settings = {"right": 1.0, "even": 0.2, "loss": 0.01, "alone": 0.0, "few_alone": 1.0, "without": 0.0} | changed
    over = {"n_heads": [1, 4], "n_groups": [1, 4, 8], "seed": range(8), "head": range(4)}
    over |= {"source": range(8), "destination": range(8)}
    noise = 1e-3 * np.arange(8)
    ones = xr.DataArray(np.ones([len(v) for v in over.values()]), over, tuple(over))
    model, trigram = ones.isel(head=0), xr.DataArray(noise, {"seed": range(8)}, "seed")
    alone = settings["alone"] + 0 * ones
    alone = alone.where(alone["n_groups"] == 8, settings["few_alone"])
    cell = model.isel(source=0, destination=0)
    right = settings["right"] * model
    right = right.where((right["n_heads"] > 1) | (right["n_groups"] < 8), right * settings.get("one", 0.6) - trigram)
    right = right.where(right["n_groups"] > 1, settings.get("coherent", 1.0))
    return xr.Dataset(
        {"right": right, "even": settings["even"] * model - trigram, "loss": settings["loss"] * cell + trigram,
         "alone": alone, "without": settings["without"] * ones}
    ).drop_vars("head")  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, []),
        ({"coherent": 0.9}, [0]),
        ({"right": 0.9}, [1]),
        ({"loss": 3.0}, [2]),
        ({"one": 0.2}, [3]),
        ({"without": 1.0}, [4]),
        ({"alone": 1.0}, [5, 6]),
        ({"few_alone": 0.0}, [6]),
        ({"even": 0.6}, [7]),
    ],
)
def test_each_claim_can_fail(changed, failed):
    claims = Claims("test")
    evaluate(table(**changed), claims)
    assert [k for k, claim in enumerate(claims.claims) if claim.verdict == "FAIL"] == failed


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"n_sources": 1}, "n_sources must be at least 2"),
        ({"n_destinations": 0}, "n_destinations must be at least 1"),
        ({"n_fillers": 0}, "n_fillers must be at least 1"),
        ({"length": 0}, "length must be at least 1"),
        ({"n_heads": 0}, "n_heads must be at least 1"),
        ({"d_head": 0}, "d_head must be at least 1"),
        ({"d_model": True}, "d_model must be a whole number"),
        ({"n_groups": 0}, "n_groups must be at least 1 and at most 4, got 0"),
        ({"n_groups": 5}, "n_groups must be at least 1 and at most 4, got 5"),
        ({"n_destinations": 3, "n_groups": 4}, "n_groups must be at least 1 and at most 3"),
        ({"n_groups": 1.5}, "n_groups must be a whole number"),
        ({"n_groups": [1, 2]}, "n_groups must be one number"),
        ({"n_groups": float("nan")}, "n_groups"),
        ({"init_scale": -1.0}, "init_scale must"),
        ({"init_scale": "large"}, "init_scale"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(sp.ConfigError, match=sentence) as caught:
        replace(TASK, **wrong).check()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_cells_keep_their_bytes_and_learn():
    config = sp.TrainConfig(steps=200, batch_size=32, history=3, evaluation_samples=256)
    several = sp.sweep(TASK, config, sp.Grid(n_groups=[1, 4], seed=range(2)), block_size=2, progress=False)
    alone = sp.sweep(TASK, config, sp.Grid(n_groups=[4], seed=[1]), block_size=2, progress=False)
    one = several.sel(n_groups=[4], seed=[1])
    for name in ("W_E", "W_U", "loss", "accuracy_history"):
        assert alone[name].values.tobytes() == one[name].values.tobytes()
    assert (several["loss"].sel(n_groups=1) < np.log(S)).all()
