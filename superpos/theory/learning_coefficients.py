r"""Learning coefficients that are known in closed form: what an estimate is calibrated against.

The learning coefficient λ (in algebra the real log canonical threshold) of a loss $K(w) \ge 0$ at one of its zeros says how
fast the volume of $\{K < \epsilon\}$ around it shrinks, as $\epsilon^\lambda (-\log \epsilon)^{m-1}$; m is its multiplicity.
Watanabe 2009, *Algebraic Geometry and Statistical Learning Theory*.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


class LearningCoefficient(NamedTuple):
    """λ and its multiplicity m: with m > 1 estimates at finite nβ are too low by about (m − 1) / log nβ."""

    value: float
    multiplicity: int


def sum_of_powers(exponents: Sequence[int]) -> LearningCoefficient:
    r"""λ of $\sum_i w_i^{k_i}$ at 0, for even $k_i$: $\sum_i 1/k_i$, since every term adds its own.

    >>> sum_of_powers([4, 2])
    LearningCoefficient(value=0.75, multiplicity=1)

    Raises:
        ConfigError: an exponent is not an even number of at least 2, or there is none.
    """
    powers = _even(exponents)
    return LearningCoefficient(float(sum(1 / k for k in powers)), 1)


def product_of_powers(exponents: Sequence[int]) -> LearningCoefficient:
    r"""λ of $\prod_i w_i^{k_i}$ at 0, a normal crossing: $\min_i 1/k_i$, as many times as it is reached.

    >>> product_of_powers([2, 2, 4])
    LearningCoefficient(value=0.25, multiplicity=1)

    Raises:
        ConfigError: an exponent is not an even number of at least 2, or there is none.
    """
    powers = _even(exponents)
    return LearningCoefficient(1 / max(powers), powers.count(max(powers)))


def reduced_rank_regression(n_inputs: int, n_outputs: int, n_hidden: int, rank: int) -> LearningCoefficient:
    r"""λ of $\|BA - B_0A_0\|^2$, A (H, M), B (N, H), where $B_0A_0$ has rank r: a linear network that may be too wide.

    With M inputs, N outputs and H hidden units (Aoyagi & Watanabe 2005, "Stochastic complexities of reduced rank
    regression in Bayesian estimation", [doi:10.1016/j.neunet.2005.03.014](https://doi.org/10.1016/j.neunet.2005.03.014)):

    - $N + r \le M + H$, $M + r \le N + H$ and $H + r \le M + N$:
      $\lambda = \frac18\big[{-(H+r)^2} - M^2 - N^2 + 2(H+r)M + 2(H+r)N + 2MN\big]$ where M + H + N + r is even, and 1/8 more,
      with multiplicity 2, where it is odd;
    - $N + r > M + H$: $\lambda = \frac12(HM - Hr + Nr)$;
    - $M + r > N + H$: $\lambda = \frac12(HN - Hr + Mr)$;
    - $H + r > M + N$: $\lambda = \frac12 MN$.

    It is the least λ on the set of zeros, that of the most singular ones: identity blocks of size r, and zeros elsewhere.

    One hidden unit too many costs less than its parameters would:

    >>> reduced_rank_regression(2, 2, 1, 0)
    LearningCoefficient(value=1.0, multiplicity=1)

    Raises:
        ConfigError: a size is no positive whole number, or the rank is more than the sizes allow.
    """
    for name, size in (("n_inputs", n_inputs), ("n_outputs", n_outputs), ("n_hidden", n_hidden)):
        check.integer(name, size, at_least=1)
    check.integer("rank", rank, at_most=min(n_inputs, n_outputs, n_hidden))
    M, N, H, r = n_inputs, n_outputs, n_hidden, rank
    if N + r > M + H:
        return LearningCoefficient((H * M - H * r + N * r) / 2, 1)
    if M + r > N + H:
        return LearningCoefficient((H * N - H * r + M * r) / 2, 1)
    if H + r > M + N:
        return LearningCoefficient(M * N / 2, 1)
    odd = (M + H + N + r) % 2
    eighths = -((H + r) ** 2) - M**2 - N**2 + 2 * (H + r) * M + 2 * (H + r) * N + 2 * M * N + odd
    return LearningCoefficient(eighths / 8, 1 + odd)


def localised_quadratic(curvatures: Any, nbeta: float, gamma: float) -> float:
    r"""What the estimator gives for $\frac12 \sum_i h_i w_i^2$: $\frac12 \sum_i n\beta h_i / (n\beta h_i + \gamma)$, exactly.

    At γ = 0 it is half the number of curvatures that are not 0. So it tells how much of λ the localisation takes away.

    >>> localised_quadratic([1.0, 1.0, 0.0], nbeta=99.0, gamma=1.0)
    0.99

    Raises:
        ConfigError: a curvature is below 0, or a number is not allowed.
    """
    h = arrays.as_numpy("curvatures", curvatures, ndim=1).astype(np.float64)
    check.in_range("curvatures", h, at_least=0)
    check.number("nbeta", nbeta, above=0)
    check.number("gamma", gamma, at_least=0)
    h = h[h > 0]
    return float(0.5 * np.sum(nbeta * h / (nbeta * h + gamma)))


def _even(exponents: Sequence[int]) -> list[int]:
    powers = arrays.as_numpy("exponents", exponents, ndim=1).tolist()
    for power in powers:
        if power < 2 or power % 2:
            raise ConfigError(f"exponents must be even numbers of at least 2, got {power:g}.")
    return [int(power) for power in powers]
