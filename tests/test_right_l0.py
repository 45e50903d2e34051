"""Numbers that tell the right L0: overlaps and projections of decoders, agreement of two, FISTA, and the claims of the figure."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose

import superpos as sp
from superpos.analysis import agreement, decoder_overlap, decoder_projection, fista
from superpos.experiments import Claims
from superpos.experiments import right_l0 as experiment

MULTIPLES = (0.25, 0.5, 1, 1.5, 2)
SIZE = experiment.Size(multiples=MULTIPLES, seeds=2)


def test_the_overlap_is_the_mean_over_pairs(rng):
    D = rng.normal(size=(3, 5)) * [[1, 2, 3, 4, 0]]  # the last does not exist
    pairs = [
        abs(D[:, i] @ D[:, j]) / np.linalg.norm(D[:, i]) / np.linalg.norm(D[:, j]) for i in range(4) for j in range(i)
    ]
    assert_allclose(decoder_overlap(D), np.mean(pairs))
    assert decoder_overlap(np.eye(4)) == 0 and decoder_overlap(np.ones((2, 1))) == 0
    angle = 2 * np.pi * np.arange(3) / 3
    assert_allclose(decoder_overlap(np.stack([np.cos(angle), np.sin(angle)])), 0.5)


def test_the_projection_is_the_entry_of_a_sorted_list(rng):
    D, h, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 7)), rng.normal(size=3)
    listed = sorted(
        (float(D[:, j] @ (h[:, i] - b) / np.linalg.norm(D[:, j])) for j in range(4) for i in range(7)), reverse=True
    )
    for n in (1, 2, 4):
        assert_allclose(decoder_projection(D, h, n, b), listed[7 * n - 1])


def test_copies_agree_and_constant_latents_do_not(rng):
    D, z = rng.normal(size=(6, 4)), np.abs(rng.normal(size=(4, 50)))
    order = [2, 0, 3, 1]
    assert_allclose(agreement(D, 3 * D[:, order], z, 2 * z[order]), (1, 1))
    assert_allclose(agreement(np.eye(4), -np.eye(4)).dictionary, 0)
    flat = z[order].copy()
    flat[order.index(1)] = 0.5
    assert_allclose(agreement(D, D[:, order], z, flat).codes, 3 / 4)
    other = np.abs(rng.normal(size=(4, 50)))
    each = [np.corrcoef(z[j], other[order.index(j)])[0, 1] for j in range(4)]
    assert_allclose(agreement(D, D[:, order], z, other).codes, np.mean(each))
    assert_allclose(agreement(D, D[:, :2], z, z[:2]), (0.5, 0.5))
    with pytest.raises(sp.ConfigError, match="latents must be given of both dictionaries"):
        agreement(D, D, z)


def coordinate_descent(D, h, coefficient, rounds=400):
    """The same codes, one coefficient after another, in double precision."""
    z = np.zeros((D.shape[1], h.shape[1]))
    sizes = np.sum(D**2, axis=0)
    for _ in range(rounds):
        for j in range(D.shape[1]):
            if sizes[j]:
                left = h - D @ z + np.outer(D[:, j], z[j])
                z[j] = np.maximum(D[:, j] @ left - coefficient / 2, 0) / sizes[j]
    return z


def test_fista_is_coordinate_descent(rng):
    D, h = rng.normal(size=(6, 5)), rng.normal(size=(6, 8))
    D[:, 3] = 0
    for coefficient in (0.0, 0.4, 3.0):
        z = np.asarray(fista(D, h, coefficient, steps=2_000))
        assert_allclose(z, coordinate_descent(D, h, coefficient), atol=2e-4)
        assert not z[3].any() and np.all(z >= 0)
        slope = 2 * D.T @ (D @ z - h) + coefficient  # the conditions of Karush, Kuhn and Tucker
        assert np.all(slope[[0, 1, 2, 4]] > -2e-3) and np.all(np.abs(slope[z > 1e-3]) < 2e-3)


def test_fista_of_orthonormal_columns_thresholds_softly(rng):
    Q = np.linalg.qr(rng.normal(size=(6, 5)))[0]
    h = rng.normal(size=(6, 8))
    assert_allclose(fista(Q, h, 0.6, steps=2_000), np.maximum(Q.T @ h - 0.3, 0), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fista(np.eye(2), np.eye(3), 0.1), "h must have 2 rows like the dictionary"),
        (lambda: fista(np.eye(2), np.eye(2), -0.1), "coefficient must be at least 0"),
        (lambda: fista(np.eye(2), np.eye(2), [0.1, 0.2]), "coefficient must be one number"),
        (lambda: fista(np.eye(2), np.eye(2), 0.1, steps=0), "steps must be at least 1"),
        (lambda: fista(np.eye(2) * np.nan, np.eye(2), 0.1), "dictionary must be finite"),
        (lambda: decoder_overlap(np.ones(3)), "decoder must be a matrix"),
        (lambda: decoder_projection(np.eye(2), np.eye(2), 3), "n must be at most 2"),
        (lambda: decoder_projection(np.eye(2), np.eye(3), 1), "h must have shape (2, any)"),
        (lambda: agreement(np.eye(2), np.eye(3)), "other must have shape (2, any)"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_arguments_are_refused_by_name(call, words):
    with pytest.raises(sp.ConfigError) as error:
        call()
    assert words in str(error.value)


def table(**changed):
    best = np.array([0.5, 0.8, 1, 0.9, 0.7])
    rows = {
        "mcc": best, "dictionaries": best, "codes": best, "overlap": 1 - 0.9 * best, "projection": 1 - 0.8 * best,
        "f1": 0.7 * best, "oracle_f1": 0.7 * best, "true_f1": 0.9 * best, "explained_variance": [0.6, 0.7, 0.9, 0.9, 0.9],
        "true_variance": [0.4, 0.6, 1, 1, 1],
    }  # fmt: skip
    rows |= changed
    values = {name: (("k", "seed"), np.repeat(np.array(row, float)[:, None], 2, axis=1)) for name, row in rows.items()}
    return xr.Dataset(values, {"k": np.array(MULTIPLES) * experiment.TRUE_L0, "seed": [0, 1]})


def verdicts(one, other):
    claims = Claims("test")
    experiment.evaluate({"orthogonal": one, "in superposition": other}, SIZE, claims)
    return [claim.verdict for claim in claims.claims]


def test_what_is_published_passes_and_each_claim_can_fail():
    assert verdicts(table(), table()) == ["pass"] * 12
    early, late = [1, 0.8, 0.7, 0.7, 0.7], [0.9, 0.9, 0.9, 0.9, 0.1]
    wrong = [
        {"mcc": early}, {"overlap": late}, {"projection": late}, {"dictionaries": early}, {"codes": early},
        {"true_variance": [0.4, 0.71, 1, 1, 1]}, {"true_f1": 0.7 * np.ones(5)},
    ]  # fmt: skip
    for place, changed in zip((1, 3, 5, 7, 9, 10, 11), wrong, strict=True):
        assert verdicts(table(), table(**changed))[place] == "FAIL", place
        assert verdicts(table(**changed), table()).count("FAIL") == (place != 11)


def test_codes_of_the_oracle_are_as_many_as_asked_for(rng):
    D = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    h = D @ np.maximum(rng.normal(size=(8, 200)) + 0.3, 0)
    z = experiment.matched_codes(D, jnp.asarray(h), 2.5, 10)
    assert abs(np.mean(np.sum(z > 0, axis=0)) - 2.5) < 0.05
    assert_allclose(experiment.refitted(D, h, z), np.maximum(D.T @ h, 0) * (z > 0), atol=1e-6)
