r"""What it costs to compute a number of two features with no neuron, with one, or with two: baselines for pairs.

Features x and y are independent, each active with probability p and then uniform on [0, 1]. A pair with k neurons of its
own is answered by $\mathrm{ReLU}(\sum_{j \le k} c_j \mathrm{ReLU}(a_j x + b_j y) + d)$.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from superpos import check

# What is asked of a pair (x, y), by name; arrays of NumPy or JAX.
PAIR_TARGETS: dict[str, Any] = {"max": lambda x, y: (x + y + abs(x - y)) / 2, "product": lambda x, y: x * y}
POINTS = 20  # Gauss-Legendre, along each side
STARTS = 12


class PairBaseline(NamedTuple):
    """The least loss of a layer in which every neuron serves one pair alone, and how it divides the neurons."""

    loss: float  # mean over pairs
    with_two: int  # pairs that have two neurons
    with_one: int  # pairs that have one


def pair_error(target: str, p: float, n_neurons: int) -> float:
    r"""The least $E(f(x, y) - y')^2$ of one pair with `n_neurons` = 0, 1 or 2 neurons of its own, by least squares.

    For `target="max"` two neurons suffice, $\max(x, y) = \mathrm{ReLU}(x - y) + \mathrm{ReLU}(y)$. None at all leaves the
    variance, and where p = 1 that is 1/18; one neuron then reads x + y, which leaves $\mathrm{Var}\,|x - y| / 4 = 1/72$:

    >>> [round(1 / sp.theory.pair_error("max", 1.0, k)) for k in (0, 1)]
    [18, 72]

    For `"product"` the numbers are those of the best of several starts, so upper bounds. Derived here.

    Raises:
        ConfigError: a name or number is not allowed.
    """
    check.one_of("target", target, tuple(PAIR_TARGETS))
    p = check.number("p", p, above=0, at_most=1)
    check.integer("n_neurons", n_neurons, at_most=2)
    return _pair_error(target, p, int(n_neurons))


@cache
def _pair_error(target: str, p: float, n_neurons: int) -> float:
    if target == "max" and n_neurons == 2:
        return 0.0
    from scipy.optimize import least_squares  # here: its import takes as long as that of flax

    x, y, weight = _points(p)
    values, root = PAIR_TARGETS[target](x, y), np.sqrt(weight)

    def residuals(numbers: np.ndarray) -> np.ndarray:
        a, b, c = numbers[:-1].reshape(3, n_neurons, 1)
        return root * (np.maximum(np.sum(c * np.maximum(a * x + b * y, 0), axis=0) + numbers[-1], 0) - values)

    mean = float(np.sum(weight * values))
    best, rng = float(np.sum(weight * (mean - values) ** 2)), np.random.default_rng(0)
    for _ in range(STARTS if n_neurons else 0):
        start = np.append(rng.normal(size=3 * n_neurons), rng.normal() * mean)
        best = min(best, 2 * float(least_squares(residuals, start).cost))
    return best


@cache
def _points(p: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of x and y with probabilities: both silent, one active, both active, in two triangles beside the kink."""
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    u, w = (nodes + 1) / 2, weights / 2
    large, small = (v.ravel() for v in (np.repeat(u[:, None], POINTS, 1), u[:, None] * u[None]))
    area = (w[:, None] * w[None] * u[:, None]).ravel()  # of the triangle small < large
    nothing = np.zeros_like(u)
    x = np.concatenate([[0.0], u, nothing, large, small])
    y = np.concatenate([[0.0], nothing, u, small, large])
    one = p * (1 - p) * w
    return x, y, np.concatenate([[(1 - p) ** 2], one, one, p**2 * area, p**2 * area])


def pair_baseline(target: str, p: float, n_pairs: int, n_hidden: int, *, one_each: bool = True) -> PairBaseline:
    r"""The naive baseline of `n_pairs` equal pairs: neurons are dealt out one or two to a pair, as loses least.

    With `one_each=False` pairs have two neurons or none, so ⌊m / 2⌋ of them are solved. Sparse features are rarely active
    together, and then $\mathrm{ReLU}(x + y)$ alone is nearly the maximum; a model that beats only the second baseline may
    do no more than that.

    >>> sp.theory.pair_baseline("max", 0.1, n_pairs=8, n_hidden=8).with_one
    8

    Raises:
        ConfigError: a name or number is not allowed.
    """
    check.integer("n_pairs", n_pairs, at_least=1)
    check.integer("n_hidden", n_hidden, at_least=0)
    check.boolean("one_each", one_each)
    none, one, two = (pair_error(target, p, k) for k in range(3))
    best = PairBaseline(np.inf, 0, 0)
    for with_two in range(min(n_hidden // 2, n_pairs) + 1):
        with_one = min(n_hidden - 2 * with_two, n_pairs - with_two) if one_each else 0
        total = with_two * two + with_one * one + (n_pairs - with_two - with_one) * none
        if total / n_pairs < best.loss:
            best = PairBaseline(total / n_pairs, with_two, with_one)
    return best
