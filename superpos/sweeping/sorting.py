"""Distinct values of many numbers: `np.unique` takes half a minute for ten million whole ones, and sorting less than one."""

import numpy as np


def distinct(values: np.ndarray) -> np.ndarray:
    """The different numbers or words in an array, in order: (n,) -> (number of different ones,).

    >>> from superpos.sweeping.sorting import distinct
    >>> distinct(np.array([3, 1, 3]))
    array([1, 3])
    """
    ordered = np.sort(values, axis=None)
    return ordered[firsts(ordered)]


def firsts(ordered: np.ndarray) -> np.ndarray:
    """Where a new value begins in a sorted array: (n,) of truth values."""
    return np.append(np.ones(min(len(ordered), 1), bool), ordered[1:] != ordered[:-1])
