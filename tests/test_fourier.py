"""Fourier analysis on Z_p: closed forms, laws, and phases of made-up curves."""

import numpy as np
import pytest

import superpos as sp
from superpos.analysis import fourier

P = 11
a, b = np.divmod(np.arange(P * P), P)
ANSWERS = (a + b) % P


def test_the_basis_is_orthonormal_and_a_cosine_is_one_row():
    F = fourier.fourier_basis(P)
    np.testing.assert_allclose(F @ F.T, np.eye(P), atol=1e-12)
    np.testing.assert_allclose(F[5], np.sqrt(2 / P) * np.cos(2 * np.pi * 3 * np.arange(P) / P), atol=1e-12)


def test_spectrum_is_parsevals_and_agrees_with_numpys_fft(rng):
    x = rng.normal(size=(P, 3))
    ours, fft = fourier.spectrum(x), np.abs(np.fft.rfft(x, axis=0)) ** 2 / P
    fft[1:] *= 2
    np.testing.assert_allclose(ours, fft.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(ours.sum(), np.sum(x**2))
    np.testing.assert_allclose(fourier.spectrum(np.roll(x, 4, axis=0)), ours)  # a shift moves phases alone


def test_key_frequencies_of_a_map_made_of_two(rng):
    w = 2 * np.pi * np.arange(P) / P
    W_L = np.outer(rng.normal(size=20), np.cos(2 * w)) + np.outer(rng.normal(size=20), np.sin(5 * w))
    assert fourier.key_frequencies(W_L + 0.01 * rng.normal(size=(20, P)) + 3).tolist() == [2, 5]


def test_a_neuron_of_one_frequency_is_explained_by_it_with_its_products():
    w = 2 * np.pi / P
    pure = 1 + np.cos(3 * w * a) * np.sin(3 * w * b) + 0.5 * np.cos(3 * w * b)
    mixed = np.cos(2 * w * a) + np.cos(4 * w * b) * 0.5  # energies 4 : 1
    found = fourier.neuron_frequencies(np.stack([pure, mixed, np.ones(P * P)], axis=1))
    assert found.frequency[:2].tolist() == [3, 2]
    np.testing.assert_allclose(found.explained, [1, 0.8, 0], atol=1e-12)


def test_the_trig_logits_answer_right_and_are_their_own_key_frequencies():
    logits = fourier.trig_logits(P, [1, 4], [30.0, 20.0])
    assert fourier.score(logits, ANSWERS).accuracy == 1
    np.testing.assert_allclose(fourier.kept_frequencies(logits, [1, 4]), logits, atol=1e-10)
    np.testing.assert_allclose(fourier.removed_frequencies(logits, [1, 4]), 0, atol=1e-10)
    np.testing.assert_allclose(fourier.removed_frequencies(logits, [4]), fourier.trig_logits(P, 1, 30), atol=1e-10)
    amplitudes, explained = fourier.trig_fit(logits + 7, [1, 3, 4])
    np.testing.assert_allclose(amplitudes, [30, 0, 20], atol=1e-10)
    assert explained == pytest.approx(1)
    assert fourier.trig_fit(logits, 4)[1] == pytest.approx(400 / 1300)


def test_keeping_and_removing_split_any_logits(rng):
    z = rng.normal(size=(P * P, P))
    both = fourier.kept_frequencies(z, [2, 3]) + fourier.removed_frequencies(z, [2, 3])
    np.testing.assert_allclose(both - z, np.broadcast_to(z.mean(axis=0), z.shape))
    assert np.linalg.matrix_rank(fourier.kept_frequencies(z, [2, 3])) == 5


def test_scores_of_known_logits():
    flat = fourier.score(np.zeros((P * P, P)), ANSWERS)
    assert flat.loss == pytest.approx(np.log(P))
    sure = 40.0 * (np.arange(P) == ANSWERS[:, None])
    assert fourier.score(sure, ANSWERS).loss == pytest.approx((P - 1) * np.exp(-40), rel=1e-9, abs=0)
    assert fourier.score(sure, ANSWERS, a == b) == pytest.approx(((P - 1) * np.exp(-40), 1), rel=1e-9, abs=0)


def test_gini_of_equal_and_of_single_numbers():
    assert fourier.gini(np.full(8, 3.0)) == pytest.approx(0)
    assert fourier.gini(np.eye(8)[2]) == pytest.approx(7 / 8)
    assert fourier.gini([1, 3]) == pytest.approx(1 / 4)


def test_phases_of_made_up_curves():
    t = np.arange(0, 1000, 100)
    test = [4, 9, 10, 10, 10, 9, 3, 1, 0, 0]
    excluded = [4, 1, 0.5, 1, 2, 4, 6, 7, 8, 0]
    accuracy = [0, 0.1, 0.1, 0.1, 0.2, 0.3, 0.8, 0.9, 0.9995, 1]
    assert fourier.phases(t, excluded, test, accuracy) == (200, 600, 800)
    never = fourier.phases(t, excluded, np.full(10, 9.0), np.zeros(10))
    assert never.memorised == 900 and np.isnan([never.circuit, never.clean]).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fourier.fourier_basis(8), "p must be odd, got 8"),
        (lambda: fourier.neuron_frequencies(np.ones((10, 2))), "p² rows"),
        (lambda: fourier.spectrum(np.ones(3)), "x must have 2 axes"),
        (lambda: fourier.spectrum([[np.nan]]), "x must be finite"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(sp.ConfigError, match=said):
        call()


def test_embeddings_that_turn_lie_on_a_circle_in_their_plane(rng):
    directions = np.linalg.qr(rng.normal(size=(6, 4)))[0].T
    angle = 2 * np.pi * 3 * np.arange(P) / P
    x = 2 * np.cos(angle)[:, None] * directions[0] + 2 * np.sin(angle)[:, None] * directions[1] + directions[2]
    x = x + np.cos(2 * np.pi * 2 * np.arange(P) / P)[:, None] * directions[3]  # another frequency, elsewhere
    plane = fourier.key_plane(x, 3)
    np.testing.assert_allclose(np.linalg.norm(plane, axis=1), 2)
    turn = np.diff(np.unwrap(np.arctan2(plane[:, 1], plane[:, 0])))
    np.testing.assert_allclose(np.abs(turn), 2 * np.pi * 3 / P)
    with pytest.raises(sp.ConfigError, match="frequency must be at most"):
        fourier.key_plane(x, P)
