"""What minima are called, so that no two of a table are called the same."""

from string import ascii_lowercase
from typing import Any

import numpy as np

from superpos.landscapes.tangents import dead_features

# Norms: below the first a feature has a bias alone; from the second on its shape's name speaks of it.
SHORT, LONG = 0.1, 0.5


def description(name: str, W: np.ndarray, b: np.ndarray | None, *, rectified: bool = True, **inputs: Any) -> str:
    """A shape's name, and what the features do that have no place in it: "pentagon + 1 dead".

    *Dead* features answer 0, *constant* ones have a bias alone, *short* ones a little length. Settings are as in
    `superpos.landscapes.dead_features`; outputs that are not `rectified` are never dead.
    """
    norms = np.linalg.norm(W, axis=0)
    dead = np.zeros(len(norms), bool) if b is None or not rectified else dead_features(W, b, **inputs)
    counts = {
        "dead": dead,
        "constant": ~dead & (norms < SHORT),
        "short": ~dead & (norms >= SHORT) & (norms <= LONG),
    }
    return " + ".join([name, *(f"{int(mask.sum())} {word}" for word, mask in counts.items() if mask.any())])


def lettered(words: np.ndarray) -> np.ndarray:
    """Descriptions (…, minima), with a letter in brackets where several minima share one: "pentagon (b)".

    The letters follow the order of the minima, which is that of their lowest loss. Along an axis a minimum has the same
    letter wherever it is described alike. "" stays.

    >>> lettered(np.array(["pentagon", "pair", "pentagon"])).tolist()
    ['pentagon (a)', 'pair', 'pentagon (b)']
    """
    labels = words.astype(object)
    for text in {*words.ravel().tolist()} - {""}:
        bearers = np.flatnonzero((words == text).reshape(-1, words.shape[-1]).any(axis=0))
        if len(bearers) > 1:
            for k, minimum in enumerate(bearers):
                here = words[..., minimum] == text
                labels[..., minimum] = np.where(here, f"{text} ({_letter(k)})", labels[..., minimum])
    return labels.astype(str)


def _letter(k: int) -> str:
    """a … z, aa, ab, …"""
    return (_letter(k // 26 - 1) if k >= 26 else "") + ascii_lowercase[k % 26]
