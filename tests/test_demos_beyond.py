"""Questions of the notebook on dictionaries beyond directions: a right answer and a wrong one."""

from types import SimpleNamespace

import numpy as np
import pytest

import superpos as sp
from superpos.experiments.manifolds import tiled

MEASURED = {K: float(tiled(K)) for K in (2, 4, 8)}
SQUARE = np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])
PAIRS = SimpleNamespace(positive=np.ones(3, int), negative=np.ones(3, int), paired=np.ones(3, bool))
PARTS = (2, 3)


def share(D):
    first, second = np.linalg.norm(D[:2], axis=0), np.linalg.norm(D[2:], axis=0)
    return second / (first + second)


ANSWERS = [
    ("tiling_law", (tiled, MEASURED), (lambda K: np.cos(np.pi / K) ** 2, MEASURED)),
    ("tiling_law", (tiled, MEASURED), (lambda K: np.sinc(1 / K), MEASURED)),
    ("hedged_child", (0.526, 0.5, 0.53), (0.0, 0.5, 0.53)),
    ("hedged_child", (0.35, 0.3, 0.35), (0.3 - 0.04, 0.3, 0.35)),
    ("share_of_norms", (share, PARTS), (lambda D: 1 - share(D), PARTS)),
    ("share_of_norms", (share, PARTS), (lambda D: share(D) ** 2, PARTS)),
    ("latents_of_a_feature", (2, PAIRS), (1, PAIRS)),
    ("same_mcc", (False, SQUARE), (True, SQUARE)),
]


@pytest.mark.parametrize(("name", "right", "wrong"), ANSWERS)
def test_a_right_answer_and_a_wrong_one(name, right, wrong):
    verdict = sp.demos.check(name, *right)
    assert verdict.right, verdict
    verdict = sp.demos.check(name, *wrong)
    assert not verdict.right and "cannot be read" not in verdict.sentence, verdict
