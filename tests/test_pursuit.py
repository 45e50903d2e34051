"""Sparse codes in a fixed dictionary: exact where theory says so, and against a slow twin."""

from itertools import combinations

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import hadamard
from scipy.optimize import nnls
from scipy.stats import ortho_group

import superpos as sp
from superpos.analysis import pursuit, score_autoencoder


def unit(A):
    return A / np.linalg.norm(A, axis=0)


def sparse(rng, n, N, active):
    """Columns with exactly `active` entries between 0.2 and 1.2."""
    order = np.argsort(rng.random((n, N)), axis=0)
    return np.where(order < active, 0.2 + rng.random((n, N)), 0)


def test_orthonormal_atoms_are_read_off(rng):
    Q = ortho_group.rvs(6, random_state=0)
    h = rng.standard_normal((6, 200))
    z = pursuit(Q, h, most_atoms=6, tolerance=0)
    assert_allclose(z, np.maximum(Q.T @ h, 0), atol=2e-6)


def test_incoherent_atoms_are_recovered_exactly_as_tropp_says(rng):
    """Identity beside Hadamard in 64 dimensions: μ = 1/8, so fewer than (1 + 8) / 2 atoms, in whatever combination."""
    D = np.hstack([np.eye(64), hadamard(64) / 8])
    for active in (1, 4):
        x = sparse(rng, 128, 300, active)
        z = np.asarray(pursuit(D, D @ x, most_atoms=8, tolerance=1e-5))
        assert np.all((z > 1e-4) == (x > 0))
        assert_allclose(z, x, atol=1e-5)


def test_below_half_the_spark_there_is_one_code_only(rng):
    """All pairs of 7 generic atoms in 4 dimensions, by exhaustion: where pursuit leaves nothing over, it has the truth."""
    D = unit(rng.standard_normal((4, 7)))
    x = sparse(rng, 7, 60, 2)
    h = D @ x
    z = np.asarray(pursuit(D, h, tolerance=1e-5))
    exact = np.linalg.norm(h - D @ z, axis=0) < 1e-4
    assert exact.mean() > 0.5 and (z > 0).sum(axis=0).max() <= 2
    for t in np.flatnonzero(exact):
        left = {pair: nnls(D[:, list(pair)], h[:, t])[1] for pair in combinations(range(7), 2)}
        assert [pair for pair, rest in left.items() if rest < 1e-6] == [tuple(np.flatnonzero(x[:, t]))]
        assert_allclose(z[:, t], x[:, t], atol=1e-3)


def twin(D, h, most, tolerance):
    """One input after the other, least squares by QR, atoms leave one at a time."""
    D, lengths = unit(D), np.linalg.norm(D, axis=0)
    codes = np.zeros((D.shape[1], h.shape[1]))
    for t in range(h.shape[1]):
        chosen, z = [], np.zeros(D.shape[1])
        while len(chosen) < most and np.linalg.norm(r := h[:, t] - D @ z) > tolerance * np.linalg.norm(h[:, t]):
            along = D.T @ r
            along[chosen] = -np.inf
            if along.max() < 1e-3 * np.linalg.norm(r):
                break
            chosen.append(int(along.argmax()))
            while True:
                aim = np.zeros(D.shape[1])
                aim[chosen] = np.linalg.lstsq(D[:, chosen], h[:, t])[0]
                bad = [j for j in chosen if aim[j] <= 0]
                if not bad:
                    break
                share, gone = min((z[j] / (z[j] - aim[j]), j) for j in bad)
                z += share * (aim - z)
                z[gone] = 0
                chosen.remove(gone)
            z = aim
        codes[:, t] = z / lengths
    return codes


@pytest.mark.parametrize(("most", "tolerance"), [(1, 0.05), (3, 0.05), (5, 0.3)])
def test_many_inputs_at_once_are_as_one_after_the_other(rng, most, tolerance):
    D = rng.standard_normal((5, 12))
    h = np.hstack([D @ sparse(rng, 12, 60, 2), rng.standard_normal((5, 60)), np.zeros((5, 1))])
    assert_allclose(pursuit(D, h, most_atoms=most, tolerance=tolerance), twin(D, h, most, tolerance), atol=2e-4)


def test_with_all_atoms_and_no_tolerance_it_is_non_negative_least_squares(rng):
    D, h = rng.standard_normal((6, 9)), rng.standard_normal((6, 80))
    z = np.asarray(pursuit(D, h, most_atoms=6, tolerance=0))
    assert z.min() >= 0
    assert_allclose(np.linalg.norm(h - D @ z, axis=0), [nnls(D, column)[1] for column in h.T], atol=2e-3)


def test_codes_follow_scale_rotation_and_order(rng):
    D, Q = rng.standard_normal((5, 12)), ortho_group.rvs(5, random_state=1)
    h = D @ sparse(rng, 12, 50, 2)
    z = np.asarray(pursuit(D, h))
    order, scale = rng.permutation(12), rng.uniform(0.5, 2, 12)
    assert_allclose(pursuit(Q @ D, Q @ h * 4), 4 * z, atol=1e-4)
    assert_allclose(pursuit((D * scale)[:, order], h), (z / scale[:, None])[order], atol=1e-4)


def test_atoms_of_no_length_and_twins_do_no_harm(rng):
    D = unit(rng.standard_normal((5, 8)))
    D[:, 3] = 0
    D[:, 6] = D[:, 1]
    z = np.asarray(pursuit(D, D @ sparse(rng, 8, 100, 2), most_atoms=5, tolerance=0))
    assert np.isfinite(z).all() and not z[3].any() and not np.any((z[1] > 0) & (z[6] > 0))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dictionary": np.ones(3)}, "dictionary must be a matrix"), ({"h": np.ones((3, 2))}, "h must have 4 rows"),
        ({"h": np.full((4, 2), np.nan)}, "h must be finite"), ({"most_atoms": 5}, "most_atoms must be at most 4"),
        ({"tolerance": 1}, "tolerance must be"), ({"h": np.ones((4, 0))}, "h must not be empty"),
    ],
)  # fmt: skip
def test_bad_input_is_named(wrong, said):
    with pytest.raises(sp.ConfigError, match=said):
        pursuit(**{"dictionary": np.eye(4), "h": np.ones((4, 2))} | wrong)


@pytest.mark.slow
def test_an_autoencoder_is_scored_by_its_dictionary_instead_of_its_encoder():
    """A true dictionary with a wrong encoder: pursuit does not look at it, and takes the decoder's bias off first."""
    W = unit(np.random.default_rng(2).standard_normal((8, 12)))
    task = sp.tasks.SparseAutoencoder(
        n_features=12, n_hidden=8, n_latents=12, directions=W, feature_probability=0.08, decoder_bias=True
    )
    model = task.broadcast().precompute().init(jax.random.key(0))
    model.W_dec[...] = jax.numpy.asarray(W)
    own, found = (score_autoencoder(task, model, n_inputs=2048, inference=way) for way in ("encoder", "pursuit"))
    assert found.mcc == pytest.approx(1, abs=1e-5) and found.f1 > 0.9 > own.f1 and found.explained_variance > 0.99
    model.b_dec[...] = jax.numpy.full(8, 3.0)
    assert score_autoencoder(task, model, n_inputs=2048, inference="pursuit").f1 < 0.9
    with pytest.raises(sp.ConfigError, match="inference"):
        score_autoencoder(task, model, inference="magic")
