"""Questions of the notebooks 05 to 08: a right answer, a wrong one, and one that only looks right."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.analysis import fourier
from superpos.analysis.circuits import Circuit
from superpos.analysis.motifs import asymmetric_motifs
from superpos.models.transformer import Transformer

PENTAGON = np.stack([f(2 * np.pi * np.arange(5) / 5) for f in (np.cos, np.sin)])
TOKENS = np.array([5, 2, 7, 9, 5, 2, 7, 9])
AHEAD, SAME = np.eye(8), np.eye(8)
for query in range(4, 8):
    AHEAD[query] = np.eye(8)[query - 3]  # what followed
    SAME[query] = np.eye(8)[query - 4]  # the token itself
P = 7
PAIRS = np.add.outer(np.arange(P), np.arange(P)).ravel()
WAVES = np.cos(2 * np.pi * 3 * (PAIRS[:, None] - np.arange(P)) / P)
TURNING = fourier.fourier_basis(P)[[3, 4]].T  # frequency 2 alone
# Feature 1 through neuron 1 disturbs output 2 by 4; neuron 2 takes it away (the numbers of Elhage et al. 2022).
FOUND = Circuit(
    np.array([[1.0, 0.25], [1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0, 0.0], [4.0, -4.0, 0.0]]), np.zeros(2)
)
(MOTIF,) = asymmetric_motifs(FOUND)
TEN = sp.tasks.Computation(
    n_features=10, n_hidden=6, feature_probability=0.1, target="absolute", tied=False, magnitude="signed_uniform"
)


def table(**columns) -> xr.Dataset:
    """Numbers along `step`."""
    return xr.Dataset({name: ("step", values) for name, values in columns.items()}, {"step": [0, 100, 1_000, 2_000]})


SCORES = table(explained_variance=[0.5, 0.8, 0.9, 0.99], f1=[0.6, 0.7, 0.3, 0.2])
GROKKED = table(train_accuracy=[0.1, 1, 1, 1], test_accuracy=[0.1, 0.3, 0.6, 1]).assign_attrs(removed_loss=5.0, p=P)
LOSSES = xr.Dataset(
    {
        "relative": (("loss_exponent", "label_noise"), [[1.01, 0.70], [0.1, 0.09]]),
        "linear": (("loss_exponent", "label_noise"), [[1.0, 0.7], [0.25, 0.24]]),
    },
    {"loss_exponent": [2, 4], "label_noise": [0.0, 0.05]},
)
DEPTHS = xr.Dataset(
    {"loss": (("n_layers", "seed"), [[2.8], [0.1]])}, {"n_layers": [1, 2], "seed": [0]}, {"task": {"d_vocab": 64}}
)
HEADS = {"previous_token": np.array([[0.1, 0.9], [0.1, 0.1]]), "prefix_matching": np.array([[0.1, 0.1], [0.8, 0.2]])}


def x_of_four(n: int = 400) -> np.ndarray:
    """Inputs of four features, a fifth of them active."""
    rng = np.random.default_rng(0)
    return (rng.random((4, n)) < 0.2) * rng.random((4, n))


X = x_of_four()
LEAKS = X + 0.1 * (np.roll(X, 1, axis=0) > 0.5)  # fires for a neighbour, too

ANSWERS = [
    ("random_cosine", (0.80, PENTAGON), (0.5, PENTAGON)),
    ("all_found", (PENTAGON[:, ::-1], PENTAGON), (PENTAGON[:, [0, 0, 1, 2, 3]], PENTAGON)),
    ("best_reconstruction", (False, SCORES), (True, SCORES)),
    ("detector", (X, np.eye(4), np.eye(4), X), (LEAKS, np.eye(4), np.eye(4), X)),
    ("absolute_by_hand", ([[2.0], [-0.5]], [[0.5, 2.0]]), ([[1.0], [1.0]], [[0.5, 0.5]])),
    ("solved_naively", (3, TEN), (6, TEN)),
    ("inhibitor", (2, MOTIF, FOUND), (3, MOTIF, FOUND)),
    ("inhibitor", (2, MOTIF, FOUND), (1, MOTIF, FOUND)),
    ("computes", ([(4, 0.0), (4, 0.05)], LOSSES), ([(4, 0.0), (2, 0.05)], LOSSES)),
    ("grokking_delay", (15, GROKKED), (1, GROKKED)),
    ("key_frequencies", ([2], TURNING), ([1, 2], TURNING)),
    ("neighbour", (5, 3, P), (3, 3, P)),  # 3 · 5 = 15 is 1 modulo 7
    ("neighbour", (2, 3, P), (1, 3, P)),  # 3 · 2 = 6 is −1
    ("sums_by_hand", (WAVES, P), (-WAVES, P)),
    ("worse_than_chance", (True, GROKKED), (False, GROKKED)),
    ("ideal_pattern", (AHEAD, TOKENS), (SAME, TOKENS)),
    ("ideal_pattern", (AHEAD, TOKENS), (np.eye(8), TOKENS)),
    ("depths", ([2], DEPTHS), ([1, 2], DEPTHS)),
    ("two_heads", ((0, 1), (1, 0), HEADS), ((0, 0), (1, 0), HEADS)),
    ("two_heads", ((0, 1), (1, 0), HEADS), ((1, 0), (0, 1), HEADS)),
    ("other_period", (0.02, {"accuracy": 0.05}), (0.9, {"accuracy": 0.05})),
]


@pytest.mark.parametrize(("name", "right", "wrong"), ANSWERS)
def test_a_right_answer_and_a_wrong_one(name, right, wrong):
    verdict = sp.demos.check(name, *right)
    assert verdict.right, verdict
    verdict = sp.demos.check(name, *wrong)
    assert not verdict.right and "cannot be read" not in verdict.sentence, verdict


def test_the_random_cosine_is_that_of_the_closed_form():
    """E cos of the least of five uniform angles; the check accepts 0.08 to both sides of it, and no more."""
    exact = 20 / np.pi**2 - 120 / np.pi**4
    for shift, right in ((0.07, True), (-0.07, True), (0.09, False), (-0.09, False)):
        assert sp.demos.check("random_cosine", exact + shift, PENTAGON).right == right


def copying_model(n_positions: int = 12, d_vocab: int = 8, period: int = 4) -> Transformer:
    """One layer whose head 0 copies from a fixed distance and whose head 1 writes nothing."""
    d = d_vocab + n_positions
    tokens, places = np.eye(d)[:d_vocab], np.eye(d)[d_vocab:]
    W_Q, W_K, W_V = (np.zeros((1, 2, d, n_positions)) for _ in range(3))
    W_Q[0, 0, d_vocab:] = 50 * np.eye(n_positions, k=1 - period)  # position i asks for i + 1 − period
    W_K[0, 0, d_vocab:] = np.eye(n_positions)
    W_V[0, 0, :d_vocab, :d_vocab] = np.eye(d_vocab)
    W_O = 10 * np.swapaxes(W_V, 2, 3)
    weights = (tokens, places, W_Q, W_K, W_V, W_O, tokens.T)
    return Transformer(*(jnp.asarray(w, float) for w in weights), positions="queries_keys")


@pytest.mark.slow
def test_only_a_head_that_does_something_can_be_cut_out():
    task = sp.tasks.RepeatedTokens(
        d_vocab=8, n_positions=12, n_layers=1, n_heads=2, d_model=20, shortest_period=4, longest_period=4
    )
    model = copying_model()
    assert sp.demos.check("cut", [(0, 0)], (task, model)).right
    idle = sp.demos.check("cut", [(0, 1)], (task, model))
    assert not idle.right and " 0 % of the gain" in idle.sentence
    assert "at most 2" in sp.demos.check("cut", [], (task, model)).sentence
