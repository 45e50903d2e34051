"""Directions in which a toy model can move and stay the same model: rotations of its hidden space, and dead features."""

from itertools import combinations
from typing import Any

import numpy as np

from superpos import arrays
from superpos.data import Sets


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


def dead_features(W: Any, b: Any, *, signed: bool = False, anticorrelated_sets: Sets = ()) -> np.ndarray:
    """Which features are dead, (n,): their output is 0 whatever is active, since the bias is below all that can reach it.

    Inputs lie in [0, 1], or with `signed` in [−1, 1]; of an anticorrelated set one is active at a time. A feature without
    length and with a bias of at most 0 is dead.
    """
    W, b = np.asarray(arrays.as_numpy("W", W, ndim=2), float), np.asarray(arrays.as_numpy("b", b, ndim=1), float)
    return b + sum(sent(W.T @ W, signed, anticorrelated_sets)) <= 0


def sent(gram: np.ndarray, signed: bool, anticorrelated_sets: Sets) -> list[np.ndarray]:
    """The most that each independent group of features can add to every output, (…, n) each; `gram` is WᵀW, (…, n, n).

    A group is an anticorrelated set, in the order given, or one feature of the others.
    """
    most = np.abs(gram) if signed else np.maximum(gram, 0)
    inside = {i for members in anticorrelated_sets for i in members}
    alone = [[i] for i in range(gram.shape[-1]) if i not in inside]
    return [most[..., list(members)].max(-1) for members in (*anticorrelated_sets, *alone)]


def dead_tangents(W: Any, b: Any, *, signed: bool = False, anticorrelated_sets: Sets = ()) -> np.ndarray:
    """Directions of the parameters of dead features, (k (m + 1), m n + n), in the order of the flattened pair (W, b).

    They need not all be flat. The bias is: the output stays 0. Length costs something if the feature then disturbs others.
    """
    W = np.asarray(arrays.as_numpy("W", W, ndim=2), float)
    m, n = W.shape
    rows = np.eye(m * n + n).reshape(m + 1, n, m * n + n)  # parameter (hidden unit or bias, feature)
    return rows[:, dead_features(W, b, signed=signed, anticorrelated_sets=anticorrelated_sets)].reshape(-1, m * n + n)
