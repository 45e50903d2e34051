"""Questions of the notebook on features that travel together: a right answer and a wrong one."""

import numpy as np
import pytest

import superpos as sp

ANGLE = 2 * np.pi * np.arange(12) / 12
RING = np.stack([np.cos(ANGLE), np.sin(ANGLE)]) / np.sqrt(6)
PAIRS = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])  # a tight frame, at the floor
CROWDED = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])

ANSWERS = [
    ("ring_overlaps", (1, 0, -1, RING), (1, 1, -1, RING)),
    ("order_of_directions", (True, False, [0.001, 0.3]), (True, True, [0.001, 0.3])),
    ("relu_share", (0.75, (0.07, 0.1)), (0.5, (0.07, 0.1))),
    ("relu_share", (0.65, (0.07, 0.1)), (0.9, (0.07, 0.1))),
    ("floor_factor", (56 * 8 / (4 * 52), 60, (4, 8)), (2.0, 60, (4, 8))),
    ("near_the_floor", ([0], [PAIRS, CROWDED]), ([0, 1], [PAIRS, CROWDED])),
]


@pytest.mark.parametrize(("name", "right", "wrong"), ANSWERS)
def test_a_right_answer_and_a_wrong_one(name, right, wrong):
    verdict = sp.demos.check(name, *right)
    assert verdict.right, verdict
    verdict = sp.demos.check(name, *wrong)
    assert not verdict.right and "cannot be read" not in verdict.sentence, verdict
