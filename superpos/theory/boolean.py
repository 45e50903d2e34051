r"""What pairs of bits cost without superposition: AND and OR by constants, by affine readouts, and by a neuron each.

Every error here is of one form. A readout predicts in each state s of the bits, of probability $w_s$, and the one thing it
cannot avoid is that its errors, with fixed signs, add up to 1. Then the least $\sum_s w_s |e_s|^q$ has all $|e_s|$
proportional to $w_s^{-1/(q-1)}$:

$$\min = \Big( \sum_s w_s^{-1/(q-1)} \Big)^{-(q-1)}.$$
"""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.theory.naive import NaiveBaseline, naive_baseline

OPERATIONS = ("and", "or")


class LinearControl(NamedTuple):
    """The best that a layer does when its neurons only pass features on or serve one gate."""

    loss: float  # the mean over gates
    carried: int  # how many features are passed on
    solved: np.ndarray  # (n_pairs,), whether a gate has a neuron of its own


def least_error(weights: Any, exponent: int) -> Any:
    r"""$\min \sum_s w_s |e_s|^q$ over errors of which $\sum_s \pm e_s = 1$, with any fixed signs; s is the last axis.

    With two states of probabilities r and 1 − r it is the error of the best constant for a bit of rate r, where
    $c / (1 - c) = (r / (1 - r))^{1/(q-1)}$: r (1 − r) for q = 2.
    """
    w = np.asarray(weights, float)
    if exponent == 1:
        return w.min(axis=-1)
    with np.errstate(divide="ignore"):  # a state that never occurs takes all the error, at no cost
        return np.sum(w ** (-1 / (exponent - 1)), axis=-1) ** -(exponent - 1.0)


def best_constant(rate: Any, exponent: int) -> Any:
    """The constant that `least_error` speaks of, for an exponent of 2 or more."""
    odds = (np.asarray(rate, float), 1 - np.asarray(rate, float))
    up, down = (share ** (1 / (exponent - 1)) for share in odds)
    return up / (up + down)


def gate_rates(pairs: np.ndarray, probability: Any, operation: str) -> Any:
    """How often each gate is 1, for independent bits: $p_i p_j$ for AND, $1 - (1 - p_i)(1 - p_j)$ for OR.

    `probability` is an array of NumPy or JAX, (n_features,).
    """
    a, b = probability[pairs].T
    return a * b if operation == "and" else 1 - (1 - a) * (1 - b)


def ignored_errors(pairs: np.ndarray, probability: Any, operation: str, exponent: int) -> Any:
    """The error of every gate under its best constant, (n_pairs,)."""
    rate = gate_rates(pairs, np.asarray(probability, float), operation)
    return least_error(np.stack([rate, 1 - rate], -1), exponent)


def affine_errors(
    pairs: np.ndarray, probability: Any, operation: str, exponent: int, carried: np.ndarray
) -> np.ndarray:
    r"""The error of every gate under its best affine readout of the features that are `carried`, a mask: (n_pairs,).

    Features outside the pair do not help, as they are independent of it. With both features carried three of four states
    are free, and what is left is the interaction, $\pm 1$: for q = 2 that is $p_i (1 - p_i) p_j (1 - p_j)$ for both
    operations. With one, the other is guessed where it decides the gate: in the state 1 of the first for AND, 0 for OR.
    """
    p = np.asarray(probability, float)
    a, b = p[pairs].T
    states = np.stack([a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b)], -1)
    both = least_error(states, exponent)
    undecided = p if operation == "and" else 1 - p
    guess = least_error(np.stack([p, 1 - p], -1), exponent)
    first, second = pairs.T
    is_carried = carried[pairs]
    one = np.where(is_carried[:, 0], undecided[first] * guess[second], undecided[second] * guess[first])
    none = ignored_errors(pairs, p, operation, exponent)
    return np.where(is_carried.all(axis=1), both, np.where(is_carried.any(axis=1), one, none))


def rank_bound(n_hidden: int, pairs: np.ndarray, probability: Any, operation: str) -> float:
    r"""$\frac1N \sum_{k > m} \lambda_k$, the least mean squared error of any m numbers read affinely.

    λ are the eigenvalues of the covariance of the N gates, largest first: N outputs that are affine in m hidden values
    explain m directions of the gates at most, whatever the hidden values are. Where p is small, gates AND are almost
    uncorrelated and alike, and the bound comes down to the naive baseline, $(1 - m/N)\, r (1 - r)$: a squared error then
    leaves nothing to be gained by superposition. OR is AND of the negated bits, with the same covariance.
    """
    p = np.asarray(probability, float)
    logs = np.log(np.maximum(p if operation == "and" else 1 - p, 1e-100))
    inside = np.zeros((len(pairs), len(p)))
    inside[np.arange(len(pairs))[:, None], pairs] = 1
    each = inside @ logs
    together = each[:, None] + each[None] - (inside * logs) @ inside.T  # log P(both gates), the union of their bits
    values = np.linalg.eigvalsh(np.exp(together) - np.exp(each[:, None] + each[None]))
    return float(np.maximum(values[: max(len(pairs) - n_hidden, 0)], 0).sum() / len(pairs))


def boolean_baseline(n_hidden: int, pairs: Any, probability: Any, operation: str, exponent: int) -> NaiveBaseline:
    r"""The naive baseline: a neuron for each of the gates that are dearest to ignore, the best constant for the others.

    One neuron solves a gate exactly, $\mathrm{AND} = \mathrm{ReLU}(x_i + x_j - 1)$ and
    $\mathrm{OR} = 1 - \mathrm{ReLU}(1 - x_i - x_j)$. With one rate r and q = 2 it loses $(1 - m/N)\, r (1 - r)$ in the mean
    over N gates.

    Raises:
        ConfigError: a number, word or shape is not allowed.
    """
    pairs, probability = _checked(n_hidden, pairs, probability, operation, exponent)
    return naive_baseline(n_hidden, ignored_errors(pairs, probability, operation, exponent))


def linear_control(n_hidden: int, pairs: Any, probability: Any, operation: str, exponent: int) -> LinearControl:
    """The best of: k neurons pass a feature on, the others solve a gate each, the rest is read off affinely; k from 0 to n.

    Never above the naive baseline, which is k = 0. A network that does not lose less shows no computation in superposition:
    it may read gates off features. Features of most gates' gain are passed on first. Mixtures of features, fewer than n of
    them, are not tried, so below n hidden neurons it is a weaker control.

    Raises:
        ConfigError: a number, word or shape is not allowed.
    """
    pairs, probability = _checked(n_hidden, pairs, probability, operation, exponent)
    n = len(probability)
    none, everything = np.zeros(n, bool), np.ones(n, bool)
    how = (pairs, probability, operation, exponent)
    gain = affine_errors(*how, none) - affine_errors(*how, everything)
    order = np.argsort(-sum(np.bincount(side, gain, n) for side in pairs.T), kind="stable")
    tried = []
    for k in range(min(n, n_hidden) + 1):
        baseline = naive_baseline(n_hidden - k, affine_errors(*how, np.isin(np.arange(n), order[:k])))
        tried.append(LinearControl(baseline.loss, k, baseline.solved))
    return min(tried, key=lambda control: control.loss)


def _checked(
    n_hidden: int, pairs: Any, probability: Any, operation: str, exponent: int
) -> tuple[np.ndarray, np.ndarray]:
    check.integer("n_hidden", n_hidden)
    p = arrays.as_numpy("probability", probability, ndim=1)
    check.in_range("probability", p, at_least=0, at_most=1)
    numbers = arrays.as_numpy("pairs", pairs, shape=(None, 2))
    if np.any(numbers % 1) or numbers.min() < 0 or numbers.max() >= len(p):
        raise ConfigError(f"pairs must be pairs of feature numbers from 0 to {len(p) - 1}.")
    check.one_of("operation", operation, OPERATIONS)
    check.integer("exponent", exponent, at_least=1, at_most=64)
    return numbers.astype(int), p
