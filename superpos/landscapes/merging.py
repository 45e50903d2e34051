r"""When two minima are one: equal up to rotation and reflection of the hidden space and permutation of equal features.

Rotations and reflections leave $G = W^\top W$ and b as they are, and nothing else does, so models are compared by (G, b).
Features are equal if density, importance and membership in a set of dependent features are. What a permutation leaves as it
is (`invariants`) tells most minima apart; for the rest a permutation is searched, feature by feature.
"""

from typing import Any

import numpy as np

from superpos.data import Sets
from superpos.landscapes.tangents import sent

# Entries of the same model, with rounding.
SAME = 1e-6
# An output that never exceeds this shows nothing.
UNSEEN = 1e-4
MOST_TRIES = 100_000


def classes(task: Any) -> np.ndarray:
    """Number of the class of equal features, (n_features,); features of one set are equal only to each other."""
    n = int(task.n_features)
    density, importance = (
        np.broadcast_to(np.asarray(x, float), (n,)) for x in (task.feature_probability, task.importance)
    )
    member = np.zeros(n)
    for number, members in enumerate((*task.correlated_sets, *task.anticorrelated_sets), start=1):
        member[list(members)] = number
    _, label = np.unique(np.stack([density, importance, member], axis=1), axis=0, return_inverse=True)
    return label.ravel()


def canonical(
    W: np.ndarray,
    b: np.ndarray | None,
    *,
    activation: str = "relu",
    signed: bool = False,
    anticorrelated_sets: Sets = (),
) -> tuple[np.ndarray, np.ndarray]:
    """G (…, n, n) and b (…, n) of models W (…, m, n), without what no output shows.

    The bias of a dead feature is the highest at which it is dead. Inner products that no output shows are 0: those among
    dead features, and where one feature is active at a time, others. Settings are as in `superpos.landscapes.dead_features`.
    """
    W = np.asarray(W, np.float64)
    gram = np.einsum("...mi,...mj->...ij", W, W)
    bias = np.zeros(gram.shape[:-1]) if b is None else np.asarray(b, np.float64)
    if activation != "relu":
        return gram, bias
    dead = bias + sum(sent(gram, signed, anticorrelated_sets)) <= UNSEEN
    gram = np.where(hidden(gram, bias, signed=signed, anticorrelated_sets=anticorrelated_sets), 0.0, gram)
    return gram, np.where(dead, -sum(sent(gram, signed, anticorrelated_sets)), bias)


def hidden(gram: np.ndarray, bias: np.ndarray, *, signed: bool = False, anticorrelated_sets: Sets = ()) -> np.ndarray:
    """Which inner products no output shows, (…, n, n): whatever is active beside feature i, output j is 0 with it, and so
    is output i with j. Beside a feature of an anticorrelated set all others of it are inactive."""
    n, groups = gram.shape[-1], sent(gram, signed, anticorrelated_sets)
    total, others = sum(groups), np.zeros(gram.shape)  # others: what is sent beside feature i
    inside = [list(members) for members in anticorrelated_sets]
    alone = [[i] for i in range(n) if i not in {k for members in inside for k in members}]
    for members, most in zip((*inside, *alone), groups, strict=True):
        others[..., :, members] = (total - most)[..., None]
    sent_by = np.abs(gram) if signed else np.maximum(gram, 0)
    silent = bias[..., :, None] + others + sent_by <= UNSEEN
    return silent & np.swapaxes(silent, -1, -2)


def invariants(gram: np.ndarray, bias: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Numbers that no permutation of equal features changes, (…, k).

    Sorted within classes: lengths, biases, inner products, and what every feature sees of each class. Sorting moves no number
    by more than the arguments moved.
    """
    kinds = np.unique(label)
    rows = []
    for a in kinds:
        inside = np.flatnonzero(label == a)
        rows += [
            np.sort(np.diagonal(gram, axis1=-2, axis2=-1)[..., inside], axis=-1),
            np.sort(bias[..., inside], axis=-1),
        ]
        upper = np.triu_indices(len(inside), 1)
        rows.append(np.sort(gram[..., inside[upper[0]], inside[upper[1]]], axis=-1))
        for c in kinds:
            others = np.flatnonzero(label == c)
            seen = gram[..., inside[:, None], others[None]]
            if a < c:
                rows.append(np.sort(seen.reshape(*seen.shape[:-2], -1), axis=-1))
            if len(inside) > 1:
                rows.append(np.sort(np.sum(seen**2, axis=-1) / len(others), axis=-1))
    return np.concatenate(rows, axis=-1)


def permutation(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    label: np.ndarray,
    *,
    tolerance: float = SAME,
) -> np.ndarray | None:
    """A permutation π of equal features with G₁[i, j] = G₂[π(i), π(j)] and b₁[i] = b₂[π(i)], or None if there is none.

    Found by depth-first search. A partial choice that does not fit is given up at once, so a shape that is rigid takes few
    tries.
    """
    (G, b), (H, c), n = first, second, len(label)
    chosen: list[int] = []
    waiting = [list(_candidates(chosen, G, b, H, c, label, tolerance))]
    for _ in range(MOST_TRIES):
        if len(chosen) == n:
            return np.array(chosen)
        if waiting[-1]:
            chosen.append(waiting[-1].pop(0))
            waiting.append(list(_candidates(chosen, G, b, H, c, label, tolerance)))
        else:
            waiting.pop()
            if not chosen:
                return None
            chosen.pop()
    return None


def _candidates(chosen: list[int], G: Any, b: Any, H: Any, c: Any, label: np.ndarray, tolerance: float) -> np.ndarray:
    """What the next feature may be mapped to, given where those before it are."""
    i = len(chosen)
    if i == len(label):
        return np.array([], int)
    fits = (label == label[i]) & (np.abs(np.diagonal(H) - G[i, i]) <= tolerance) & (np.abs(c - b[i]) <= tolerance)
    fits[chosen] = False
    return np.flatnonzero(fits & np.all(np.abs(H[:, chosen] - G[i, :i]) <= tolerance, axis=1))


def grouped(points: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Rows of `points` (k, d) in groups: the first row that is in none, and all that are within `tolerance` of it."""
    left, groups = np.arange(len(points)), []
    while len(left):
        near = np.abs(points[left] - points[left[0]]).max(axis=1) <= tolerance
        groups.append(left[near])
        left = left[~near]
    return groups
