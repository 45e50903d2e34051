"""How often each feature occurs: laws of feature frequencies."""

import numpy as np
from jaxtyping import Float

from superpos import check
from superpos.errors import ConfigError

MAX_FEATURES = 1_000_000
EXPONENTS = (1e-3, 100.0)  # of a law between two ends

Probabilities = Float[np.ndarray, " n_features"]


def zipf_probabilities(n_features: int, exponent: float, mean_active: float) -> Probabilities:
    r"""$p_i = \min(1, c\,i^{-a})$ for i = 1 … n and a = `exponent`, with c such that $\sum_i p_i$ = `mean_active`.

    Zipf's law of feature frequencies. `mean_active` is the mean number of active features (the true L0), in (0, n]. Shape
    (n_features,), double precision; the sum is exact to rounding.

    Raises:
        ConfigError: a number is not allowed, or the last features would be too rare for single precision.
    """
    check.integer("n_features", n_features, at_least=1, at_most=MAX_FEATURES)
    check.scalar("exponent", exponent)
    check.in_range("exponent", exponent, at_least=0)
    logarithms = -float(exponent) * np.log(np.arange(1, n_features + 1))
    return _scaled("exponent", exponent, logarithms, mean_active)


def geometric_probabilities(n_features: int, ratio: float, mean_active: float) -> Probabilities:
    r"""$p_i = \min(1, c\,r^i)$ for i = 1 … n and r = `ratio` in (0, 1], with c such that $\sum_i p_i$ = `mean_active`.

    `geometric_probabilities(512, 0.99, 5)` is the data of Sharkey, Braun and Millidge 2022, "Taking features out of
    superposition with sparse autoencoders". Otherwise as `zipf_probabilities`.

    Raises:
        ConfigError: a number is not allowed, or the last features would be too rare for single precision.
    """
    check.integer("n_features", n_features, at_least=1, at_most=MAX_FEATURES)
    check.scalar("ratio", ratio)
    check.in_range("ratio", ratio, above=0, at_most=1)
    return _scaled("ratio", ratio, np.arange(1, n_features + 1) * np.log(float(ratio)), mean_active)


def zipf_between(n_features: int, exponent: float, most: float, least: float) -> Probabilities:
    r"""Zipf's law moved and stretched so that it runs from `most` down to `least` exactly, shape (n_features,).

    $$p_i = \text{least} + (\text{most} - \text{least})\,\frac{i^{-a} - n^{-a}}{1 - n^{-a}}, \qquad i = 1 \ldots n,$$

    with a = `exponent`. So SynthSAEBench states its frequencies, with a = .5 from .4 to .0005 (Chanin and Garriga-Alonso
    2026, arXiv:2602.14687). It is `most` where n = 1.

    Raises:
        ConfigError: a number is not allowed, or `least` is not below `most`.
    """
    check.integer("n_features", n_features, at_least=1, at_most=MAX_FEATURES)
    exponent = check.number("exponent", exponent, at_least=EXPONENTS[0], at_most=EXPONENTS[1])
    most = check.number("most", most, above=0, at_most=1)
    least = check.number("least", least, above=0, below=most)
    ranks = np.arange(1, n_features + 1, dtype=float) ** -exponent
    return least + (most - least) * (ranks - ranks[-1]) / (1 - ranks[-1]) if n_features > 1 else np.array([most])


def _scaled(name: str, value: float, logarithms: np.ndarray, mean_active: float) -> Probabilities:
    """min(1, c exp(l_i)) that add up to `mean_active`, for falling l."""
    n = len(logarithms)
    check.scalar("mean_active", mean_active)
    check.in_range("mean_active", mean_active, above=0, at_most=n)
    weights = np.exp(logarithms - logarithms[0])
    # The first k are always active, and the rest share what is left in proportion to their weights: the least k for which
    # feature k + 1 gets no more than 1.
    tails = np.cumsum(weights[::-1])[::-1]
    left = float(mean_active) - np.arange(n)
    certain = int(np.argmax((left * weights <= tails) | (left <= 0)))
    p = np.ones(n)
    with np.errstate(invalid="ignore"):  # 0 / 0, refused below
        p[certain:] = np.minimum(left[certain] * (weights[certain:] / tails[certain]), 1)
    if not np.all(p >= np.finfo(np.float32).tiny):
        raise ConfigError(f"{name} of {value:g} leaves some of the {n} features with a probability of 0.")
    return p
