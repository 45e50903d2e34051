"""Weights of one hidden layer of squares that add modulo p."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from superpos import check
from superpos.errors import ConfigError


class FourierMLP(NamedTuple):
    """The weights of `models.PairMLP`: A and B (n_hidden, p), W_out (p, n_hidden)."""

    A: np.ndarray
    B: np.ndarray
    W_out: np.ndarray


def fourier_mlp(p: int, frequencies: Sequence[int]) -> FourierMLP:
    r"""Six neurons with the square for every frequency k, which answer all pairs right:

    $$\sum_k \sum_{s, d} \big(\cos(w_k a + \tfrac{s + d}{2}) + \cos(w_k b + \tfrac{s - d}{2})\big)^2 \cos(w_k c + s)
      = 3 \sum_k \cos w_k (a + b - c), \qquad w_k = 2\pi k / p,$$

    with $s \in \{0, 2\pi/3, 4\pi/3\}$ and $d \in \{0, \pi\}$. Of the square the product 2 cos cos is what adds:
    $\cos(w_k(a + b) + s) + \cos(w_k(a - b) + d)$. The sum over d removes the difference a − b and the squares of the
    cosines; the sum over s removes the constant and the answer −(a + b). One frequency is enough where k and p have no
    common divisor, as the right answer has the largest cosine, by 3 (1 − cos 2π/p) at least.

    Gromov 2023, "Grokking modular arithmetic", section 3, has random phases, whose unwanted terms vanish only as the number
    of neurons grows.

    Raises:
        ConfigError: p is below 3, or a frequency is not from 1 to (p − 1)/2.
    """
    check.integer("p", p, at_least=3)
    k = check.finite_array("frequencies", frequencies)
    k = np.zeros(0) if k is None else np.atleast_1d(k)
    if k.ndim != 1 or not k.size or (k % 1 != 0).any() or k.min() < 1 or k.max() > (p - 1) // 2:
        raise ConfigError(f"frequencies must be whole numbers from 1 to (p − 1)/2 = {(p - 1) // 2}.")
    w, s, d = (
        x.ravel() for x in np.meshgrid(2 * np.pi * k / p, np.arange(3) * 2 * np.pi / 3, [0, np.pi], indexing="ij")
    )
    turns = np.outer(w, np.arange(p))
    return FourierMLP(
        np.cos(turns + ((s + d) / 2)[:, None]), np.cos(turns + ((s - d) / 2)[:, None]), np.cos(turns + s[:, None]).T
    )
