"""The naive baseline: closed forms, hand-built monosemantic networks measured on samples, and the choice of features."""

import numpy as np
import pytest

import superpos as sp
from superpos.analysis import naive_loss, relative_loss
from superpos.theory import naive_baseline
from superpos.theory.naive import ignored_error, line_error, magnitudes

ABSOLUTE = {"target": "absolute", "tied": False, "magnitude": "signed_uniform"}


def test_magnitudes_have_the_moments_they_should():
    wanted = {"uniform": (1 / 2, 1 / 3), "signed_uniform": (0, 1 / 3), "constant": (1, 1), "exponential": (1, 2)}
    for name, (first, second) in wanted.items():
        x, w = magnitudes(name)
        assert (np.sum(w), np.sum(w * x), np.sum(w * x * x)) == pytest.approx((1, first, second), abs=1e-12)


@pytest.mark.parametrize("p", [1.0, 0.3, 0.01])
def test_the_best_constant_in_closed_form(p):
    x, w = magnitudes("uniform")
    assert ignored_error(x, w, p) == pytest.approx(p / 3 - p * p / 4, rel=1e-12)
    assert ignored_error(x, w, p, bias=False) == pytest.approx(p / 3, rel=1e-12)
    assert ignored_error(x * x, w, p) == pytest.approx(p / 5 - p * p / 9, rel=1e-12)
    signed, w2 = magnitudes("signed_uniform")
    assert ignored_error(signed, w2, p) == pytest.approx(p / 3, rel=1e-12)  # the mean is 0
    # q = 1: the median, where 1 − p + pc = 1/2; E|x − c| follows by hand.
    c = max(0.0, (p - 0.5) / p)
    by_hand = (1 - p) * c + p * (c * c + (1 - c) ** 2) / 2
    assert ignored_error(x, w, p, exponent=1) == pytest.approx(by_hand, rel=1e-5)


def test_the_best_line_for_a_square_at_full_density():
    """Least squares x² ≈ x − 1/6 would leave 1/180; the ReLU cuts its start and does better."""
    x, w = magnitudes("uniform")
    t = np.linspace(0, 1, 20_001)[1:] - 0.5 / 20_000
    a, b = np.meshgrid(np.linspace(0.9, 1.4, 51), np.linspace(-0.4, 0, 41), indexing="ij")
    grid = min(
        float(np.mean((t**2 - np.maximum(c * t + d, 0)) ** 2)) for c, d in zip(a.ravel(), b.ravel(), strict=True)
    )
    assert line_error(x, x * x, w, 1.0) <= grid and line_error(x, x * x, w, 1.0) == pytest.approx(grid, rel=0.03)
    assert grid < 1 / 180


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [2, 4])
def test_the_baseline_is_what_its_network_loses_on_samples(exponent):
    """Two neurons for each of the three best features, and the best constant for the two others, on 400,000 inputs."""
    p, importance = 0.3, np.array([0.2, 1, 0.7, 0.5, 0.1])
    task = sp.tasks.Computation(
        n_features=5, n_hidden=7, importance=importance, feature_probability=p, loss_exponent=exponent, **ABSOLUTE
    )
    found = naive_loss(task)
    assert found.solved.tolist() == [False, True, True, True, False]
    rng = np.random.default_rng(1)
    x = np.where(rng.random((5, 400_000)) < p, rng.uniform(-1, 1, (5, 400_000)), 0)
    W1, W2 = np.zeros((7, 5)), np.zeros((5, 7))
    for k, i in enumerate((1, 2, 3)):
        W1[2 * k, i], W1[2 * k + 1, i], W2[i, [2 * k, 2 * k + 1]] = 1, -1, 1
    constants = np.linspace(0, 0.6, 301) if exponent == 4 else [p / 2]
    u = np.where(rng.random(200_000) < p, rng.random(200_000), 0)
    c = min(constants, key=lambda c: np.mean(np.abs(u - c) ** exponent))
    b = c * ~found.solved
    error = importance[:, None] * np.abs(np.maximum(W2 @ np.maximum(W1 @ x, 0) + b[:, None], 0) - np.abs(x)) ** exponent
    losses = error.mean(axis=0)
    assert abs(losses.mean() - found.loss) < 4 * losses.std() / np.sqrt(len(losses))
    if exponent == 2:
        assert found.loss == pytest.approx(0.3 * (p / 3 - p * p / 4) / 5, rel=1e-9)


def test_the_features_of_largest_gain_are_solved():
    found = naive_baseline(2, [0.1, 0.5, 0.4], importance=[3, 1, 1], solved=[0, 0.3, 0])
    assert found.solved.tolist() == [True, False, True]
    assert found.per_feature.tolist() == [0, 0.5, 0] and found.loss == pytest.approx(0.5 / 3)
    assert naive_baseline(3, [0.1] * 4, neurons=2).solved.sum() == 1  # the third neuron idles
    assert not naive_baseline(4, [0.1] * 4, solved=0.2).solved.any()  # ignoring them is better


def test_laws(rng):
    u, importance = rng.random(6), rng.random(6)
    losses = [naive_baseline(m, u, importance=importance).loss for m in range(8)]
    assert np.all(np.diff(losses) <= 0) and losses[6] == losses[7] == 0
    assert losses[0] == pytest.approx(np.mean(u * importance))
    order = rng.permutation(6)
    one, other = naive_baseline(3, u, importance=importance), naive_baseline(3, u[order], importance=importance[order])
    assert one.loss == pytest.approx(other.loss) and np.array_equal(one.solved[order], other.solved)


def test_relative_to_the_baseline():
    few = naive_loss(sp.tasks.Computation(n_features=4, n_hidden=2, **ABSOLUTE))
    assert relative_loss(few.loss, few) == 1 and relative_loss([0.0, 2 * few.loss], few).tolist() == [0, 2]
    enough = naive_loss(sp.tasks.Computation(n_features=2, n_hidden=4, **ABSOLUTE))
    assert enough.loss == 0 and relative_loss(0.0, enough) == np.inf
    square = naive_loss(sp.tasks.Computation(n_features=2, n_hidden=2, target="square"))
    assert 0 < square.loss < naive_loss(sp.tasks.Computation(n_features=2, n_hidden=1, target="square")).loss
    lost = naive_loss(
        sp.tasks.Computation(n_features=1, n_hidden=1, magnitude="signed_uniform", feature_probability=0.3)
    )
    assert lost.loss == pytest.approx(0.3 / 6)  # the negative half of x


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tied": True}, "tied must be false for the naive baseline"),
        ({"hidden_activation": "identity"}, "hidden_activation must be relu for the naive baseline"),
    ],
)
def test_targets_that_neurons_cannot_reach_have_no_baseline(settings, words):
    task = sp.tasks.Computation(**{"n_features": 4, "n_hidden": 2, **ABSOLUTE, **settings})
    with pytest.raises(sp.ConfigError, match=words):
        naive_loss(task)
    with pytest.raises(sp.ConfigError, match="ignored must hold one error per feature"):
        naive_baseline(2, 0.5)
    with pytest.raises(sp.ConfigError, match="solved must be"):
        naive_baseline(2, [0.5], solved=[1, 2])
