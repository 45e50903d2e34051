"""Questions of the notebook on taking parameters apart: a right answer and a wrong one."""

import numpy as np
import pytest

import superpos as sp

ANGLE = 2 * np.pi * np.arange(5) / 5
W = np.stack([np.cos(ANGLE), np.sin(ANGLE)])


def columns(W):
    return W, np.eye(W.shape[1])


def halves(W):
    return np.hstack([W, W]) / 2, np.vstack([np.eye(W.shape[1])] * 2)


def singular(W):
    left, s, right = np.linalg.svd(W, full_matrices=False)
    return left * s, right


def missing(g, n):
    """By the mean and the variance of the masks on a grid of r, so that the closed form is held against its meaning."""
    r = (np.arange(2_000) + 0.5) / 2_000
    return np.mean((1 - g) * (1 - r)) ** 2 + np.var((1 - g) * (1 - r)) / n


SHARED = (3 + 2 * np.cos(np.radians(18))) / 5
MEASURED = np.array([1.0, SHARED])
ANSWERS = [
    ("columns_apart", (columns, W), (singular, W)),
    ("columns_apart", (columns, W), (halves, W)),
    ("columns_apart", (lambda W: (-2 * W, -np.eye(W.shape[1]) / 2), W), (lambda W: (W, 2 * np.eye(W.shape[1])), W)),
    ("columns_apart", (columns, W), (lambda W: (W.T, np.eye(W.shape[0])), W)),
    ("error_of_masks", (missing,), (lambda g, n: (1 - g) ** 2,)),
    ("error_of_masks", (missing,), (lambda g, n: (1 - g) ** 2 / 3,)),
    ("error_of_masks", (missing,), (lambda g, n: (1 - g) ** 2 / 4,)),
    ("error_of_masks", (missing,), (lambda g, n: 1 - g,)),
    ("five_live", (5, 5.0), (2, 5.0)),
    ("five_live", (5, 5.0), (10, 5.0)),
    ("shared_mmcs", (0.98, MEASURED), (np.cos(np.radians(18)), MEASURED)),
    ("shared_mmcs", (0.98, MEASURED), (0.8, MEASURED)),
    ("fewest_for_pairs", (2, 1.0, [4, 4]), (4, 1.0, [4, 4])),
    ("fewest_for_pairs", (2, 1, [4, 3]), (2, 0.5, [4, 4])),
    ("fewest_for_pairs", (2, 1.0, [4, 4]), (1, 1.0, [4, 4])),
    ("identity_in_chance", (False, [10, 14]), (True, [10, 14])),
]


@pytest.mark.parametrize(("name", "right", "wrong"), ANSWERS)
def test_a_right_answer_and_a_wrong_one(name, right, wrong):
    verdict = sp.demos.check(name, *right)
    assert verdict.right, verdict
    verdict = sp.demos.check(name, *wrong)
    assert not verdict.right and "cannot be read" not in verdict.sentence, verdict
