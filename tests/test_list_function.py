"""Functions of lists: answers against plain Python, lists that never train, and the loss against NumPy."""

import itertools
from dataclasses import replace

import jax
import numpy as np
import pytest
from scipy.special import logsumexp

import superpos as sp
from superpos.analysis.lists import all_lists, held_out_lists
from superpos.data.list_functions import LIST_FUNCTIONS, balanced_words, is_held_out

TASK = sp.tasks.ListFunction(length=4, d_vocab=5, d_model=8, d_mlp=6, n_heads=2)


def balanced(tokens):
    """The definition by taking pairs away."""
    word = "".join("()"[t] for t in tokens)
    while "()" in word:
        word = word.replace("()", "")
    return [int(not word)]


PYTHON = {
    "maximum": lambda t: [max(t)],
    "minimum": lambda t: [min(t)],
    "parity": lambda t: [sum(t) % 2],
    "balanced": balanced,
    "sorted": sorted,
    "reversed": lambda t: t[::-1],
}


@pytest.mark.parametrize("function", LIST_FUNCTIONS)
def test_answers_are_those_of_plain_python(function):
    d_vocab = LIST_FUNCTIONS[function].d_vocab or 3
    lists = all_lists(6 if d_vocab == 2 else 4, d_vocab)
    assert set(map(tuple, lists)) == set(itertools.product(range(d_vocab), repeat=lists.shape[1]))
    answers = jax.jit(jax.vmap(LIST_FUNCTIONS[function].answer))(lists)
    np.testing.assert_array_equal(answers, [PYTHON[function](row) for row in lists.tolist()])


def test_balanced_words_are_all_there_are():
    for length, catalan in ((2, 1), (8, 14), (16, 1_430)):
        words = balanced_words(length)
        assert words.shape == (catalan, length) == np.unique(words, axis=0).shape
        assert all(balanced(word) == [1] for word in words[:100].tolist())
    assert len(balanced_words(5)) == 0
    assert {tuple(w) for w in all_lists(8, 2).tolist() if balanced(w) == [1]} == set(map(tuple, balanced_words(8)))


def hashed(tokens):
    """FNV-1a and MurmurHash3's finaliser with Python's whole numbers."""
    h = 2_166_136_261
    for t in tokens:
        h = (h ^ t) * 16_777_619 % 2**32
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        h = (h ^ (h >> shift)) * factor % 2**32
    return h


def test_a_hash_says_which_lists_are_held_out():
    lists = all_lists(4, 8)
    held = np.asarray(jax.jit(jax.vmap(lambda t: is_held_out(t, 0.25)))(lists))
    np.testing.assert_array_equal(held, [hashed(row) < 0.25 * 2**32 for row in lists.tolist()])
    assert abs(held.mean() - 0.25) < 3 * (0.25 * 0.75 / len(lists)) ** 0.5
    for place, token in itertools.product(range(4), range(8)):  # no token and no place says it
        chosen = held[lists[:, place] == token]
        assert abs(chosen.mean() - 0.25) < 4 * (0.25 * 0.75 / len(chosen)) ** 0.5


def all_of(task):
    """Lists, all logits of a model, and its loss, in one program."""
    model, key = task.init(jax.random.key(0)), jax.random.key(1)
    data = task.sample(key, 32)
    return data, jax.vmap(model)(data.tokens), *task.loss(model, key, 32)


@pytest.mark.parametrize("function", ["maximum", "sorted", pytest.param("balanced", marks=pytest.mark.slow)])
def test_the_loss_is_what_numpy_makes_of_the_logits(function):
    task = replace(TASK, function=function, d_vocab=2 if function == "balanced" else 5, held_out=0.4)
    data, logits, loss, metrics = jax.tree.map(np.asarray, jax.jit(all_of)(task))
    lists, n_answers = data.tokens[:, :4], task.n_answers
    assert data.tokens.shape == (32, 4 + n_answers) and (data.tokens[:, 4] == task.d_vocab).all()
    expected = [PYTHON[function](row) for row in lists.tolist()]
    np.testing.assert_array_equal(data.answer, expected)
    np.testing.assert_array_equal(data.tokens[:, 5:], np.reshape(expected, (32, n_answers))[:, :-1])
    np.testing.assert_array_equal(data.held_out, [hashed(row) < 0.4 * 2**32 for row in lists.tolist()])
    logits = logits.astype(float)[:, 4:]
    log_p = logits - logsumexp(logits, axis=-1, keepdims=True)
    lost = -np.take_along_axis(log_p, data.answer[..., None], -1)[..., 0].mean(axis=1)
    right = (logits.argmax(-1) == data.answer).all(axis=1)
    assert float(loss) == pytest.approx(lost[~data.held_out].mean(), rel=1e-5)
    assert float(metrics["accuracy"]) == pytest.approx(right[~data.held_out].mean())
    assert float(metrics["test_accuracy"]) == pytest.approx(right[data.held_out].mean())


def test_half_of_the_lists_of_parentheses_are_balanced_at_least():
    task = sp.tasks.ListFunction(function="balanced", d_vocab=2, length=8)
    data = jax.jit(task.sample, static_argnums=1)(jax.random.key(0), 4_096)
    p = 0.5 + 0.5 * 14 / 256
    assert abs(float(np.mean(data.answer)) - p) < 3 * (p * (1 - p) / 4_096) ** 0.5
    words, counts = np.unique(np.asarray(data.tokens)[np.asarray(data.answer)[:, 0] == 1], axis=0, return_counts=True)
    assert len(words) == 14 and counts.min() > counts.mean() - 4 * counts.mean() ** 0.5


def test_held_out_lists_never_train():
    task = replace(TASK, held_out=0.1)
    data = held_out_lists(task, 50)
    assert data.tokens.shape == (50, 5) and data.held_out.all()
    assert all(hashed(row) < 0.1 * 2**32 for row in data.tokens[:, :4].tolist())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"function": "median"}, "function must be one of maximum, minimum, parity, balanced, sorted, reversed"),
        ({"length": 1}, "length must be"),
        ({"length": 17}, "length must be"),
        ({"d_vocab": 1}, "d_vocab must be"),
        ({"function": "parity"}, 'd_vocab must be 2 for "parity", got 5'),
        ({"function": "balanced", "d_vocab": 2, "length": 5}, 'length must be even for "balanced", got 5'),
        ({"n_layers": 0}, "n_layers must be"),
        ({"n_heads": 3}, "d_model must be a multiple of n_heads = 3, got 8"),
        ({"d_mlp": -1}, "d_mlp must be"),
        ({"positions": "none"}, "positions must be one of"),
        ({"held_out": 0.0}, "held_out must"),
        ({"held_out": 1.0}, "held_out must"),
        ({"held_out": [0.1, 0.2]}, "held_out must"),
        ({"held_out": float("nan")}, "held_out"),
        ({"init_scale": -1.0}, "init_scale must"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(sp.ConfigError, match=sentence) as caught:
        sp.train(replace(TASK, **wrong), sp.TrainConfig(steps=1))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_cells_keep_their_bytes_and_learn():
    task = replace(TASK, n_heads=1, d_mlp=0)
    config = sp.TrainConfig(steps=60, batch_size=32, history=3, evaluation_samples=256)
    several = sp.sweep(task, config, sp.Grid(held_out=[0.1, 0.5], seed=range(2)), block_size=2, progress=False)
    alone = sp.sweep(task, config, sp.Grid(held_out=[0.5], seed=[1]), block_size=2, progress=False)
    one = several.sel(held_out=[0.5], seed=[1])
    for name in ("W_E", "W_U", "loss", "test_accuracy_history"):
        assert alone[name].values.tobytes() == one[name].values.tobytes()
    assert (several["loss"] < np.log(6)).all()
