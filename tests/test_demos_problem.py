"""Questions of the notebook on taking a problem: a right answer and a wrong one."""

import numpy as np
import pytest

import superpos as sp

TEST, CONTROL = np.arange(16) < 10, np.arange(16) < 15
EVERY = np.ones(16, bool)

ANSWERS = [
    ("seeds_needed", (12, 16), (9, 16)),
    ("seeds_needed", (12, 16), (13, 16)),
    ("seeds_needed", (12, 16), (20, 16)),
    ("shares_of_seeds", (0.6, 0.92, (10, 15), 16), (0.9, 0.92, (10, 15), 16)),
    ("may_say", ([0, 1, 3], TEST, CONTROL), ([0, 1, 2, 3], TEST, CONTROL)),
    ("may_say", ([0, 1], TEST, TEST), ([0, 1, 3], TEST, TEST)),
    ("may_say", ([], EVERY, EVERY), ([2], EVERY, EVERY)),
]


@pytest.mark.parametrize(("name", "right", "wrong"), ANSWERS)
def test_a_right_answer_and_a_wrong_one(name, right, wrong):
    verdict = sp.demos.check(name, *right)
    assert verdict.right, verdict
    verdict = sp.demos.check(name, *wrong)
    assert not verdict.right and "cannot be read" not in verdict.sentence, verdict
