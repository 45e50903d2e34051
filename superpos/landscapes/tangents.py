"""Directions in which a toy model can move and stay the same model: rotations of its hidden space, and dead features."""

from itertools import combinations
from typing import Any

import numpy as np

from superpos import arrays

# Shorter columns are those of features that are not represented.
SHORT = 1e-4


def rotation_tangents(W: Any, b: Any = None) -> np.ndarray:
    r"""Tangents of the rotations of the hidden space at W (m, n): $A W$ for every antisymmetric A, flattened, b at rest.

    $W^\top W$, and with it the loss, stays as it is under $W \to QW$. Returns (m (m − 1) / 2, m n), or with `b` (n,) n more
    entries per row, 0, so that rows match the flattened pair (W, b). They are independent where W has at least rank m − 1.
    """
    W = np.asarray(arrays.as_numpy("W", W, ndim=2), float)
    after = 0 if b is None else np.size(b)
    rows = []
    for i, j in combinations(range(len(W)), 2):
        moved = np.zeros_like(W)
        moved[i], moved[j] = -W[j], W[i]
        rows.append(np.concatenate([moved.ravel(), np.zeros(after)]))
    return np.array(rows).reshape(-1, W.size + after)


def dead_features(W: Any, b: Any, *, shorter_than: float = SHORT) -> np.ndarray:
    """Which features are dead, (n,): no length, and a bias of at most 0, so that their output is 0 whatever is active."""
    W, b = np.asarray(arrays.as_numpy("W", W, ndim=2), float), np.asarray(arrays.as_numpy("b", b, ndim=1), float)
    return (np.linalg.norm(W, axis=0) < shorter_than) & (b <= shorter_than)


def dead_tangents(W: Any, b: Any) -> np.ndarray:
    """Directions of the parameters of dead features, (k (m + 1), m n + n), in the order of the flattened pair (W, b).

    They need not all be flat: what a dead feature sends to the outputs of others may cost something.
    """
    W = np.asarray(arrays.as_numpy("W", W, ndim=2), float)
    m, n = W.shape
    rows = np.eye(m * n + n).reshape(m + 1, n, m * n + n)  # parameter (hidden unit or bias, feature)
    return rows[:, dead_features(W, b)].reshape(-1, m * n + n)
