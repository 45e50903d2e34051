r"""Several steps of gradient descent on the examples of a sequence, plain and preconditioned, and what they leave.

With $S = \frac1N \sum_i x_i x_i^\top$ of N standard normal inputs in d dimensions, k steps leave the error
$w - \hat w = R(S) w$, with a polynomial R of R(0) = 1. So all that matters of the data is the mean spectrum of S.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.theory.in_context_regression import MOST, check_sizes

MAX_STEPS = 4  # a preconditioned step multiplies degrees by three
STARTS = 30  # of the search for preconditioned steps, which has several minima


@dataclass(frozen=True)
class Descent:
    r"""Rates $a_1, \dots, a_k$ of k steps, curvatures $c_1, \dots, c_k$ of preconditioned ones, and the expected loss.

    In a layer of attention a token (x, y) becomes $(x - c\, S'x,\; y - a\, \hat w' \cdot x)$ with S' and $\hat w' =
    \frac1N \sum_i y_i x_i$ of the tokens before it. With c = 0 this is gradient descent.
    """

    rates: tuple[float, ...]
    curvatures: tuple[float, ...]
    loss: float


def spectral_moments(n_dims: int, n_examples: int, highest: int) -> list[Fraction]:
    r"""$E \operatorname{tr} S^k$ for k = 0 … `highest`, exactly.

    Of $W = N S$ and $p_k = \operatorname{tr} W^k$, integration by parts over one factor of $p_k$ gives, for any product F of
    other traces,

    $$E\,p_k F = (N + k - 1)\, E\,p_{k-1} F + \sum_{l=0}^{k-2} E\,p_{l+1} p_{k-2-l} F + \sum_{p_m \text{ in } F} 2m\,
      E\,p_{k+m-1} F / p_m.$$

    >>> [str(m) for m in sp.theory.spectral_moments(2, 4, 2)]
    ['2', '2', '7/2']

    Raises:
        ConfigError: a size is no whole number above 0, or `highest` none of 0 or more.
    """
    check_sizes(n_dims, n_examples)
    check.integer("highest", highest, at_least=0, at_most=100)
    d, n = int(n_dims), int(n_examples)

    @cache
    def mean(traces: tuple[int, ...]) -> int:
        """Of a product of traces p_k, with k in falling order."""
        if not traces:
            return 1
        k, rest = traces[-1], traces[:-1]
        if k == 0:
            return d * mean(rest)

        def of(*more: int, without: int | None = None) -> int:
            others = [m for place, m in enumerate(rest) if place != without]
            return mean(tuple(sorted((*others, *more), reverse=True)))

        total = (n + k - 1) * of(k - 1)
        total += sum(of(place + 1, k - 2 - place) for place in range(k - 1))
        return total + sum(2 * m * of(k + m - 1, without=place) for place, m in enumerate(rest))

    return [Fraction(mean((k,)), n**k) for k in range(highest + 1)]


@cache
def spectrum(n_dims: int, n_examples: int, n_points: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Points λ and weights of the Gauss rule $\sum_i g_i f(\lambda_i) = E \operatorname{tr} f(S)$.

    It is exact for polynomials of degree up to 2 `n_points` − 1. The recurrence of the orthogonal polynomials follows from
    `spectral_moments` by Chebyshev's algorithm, in fractions, as it loses all digits of floats.

    Gautschi 2004, "Orthogonal Polynomials: Computation and Approximation", section 2.1.7.

    Raises:
        ConfigError: a size is no whole number above 0.
    """
    check.integer("n_points", n_points, at_least=1, at_most=50)
    moments = spectral_moments(n_dims, n_examples, 2 * n_points - 1)
    before, row = [Fraction(0)] * len(moments), moments
    alpha, beta = [moments[1] / moments[0]], [moments[0]]
    for k in range(1, n_points):
        new = [Fraction(0)] * len(moments)
        for j in range(k, 2 * n_points - k):
            new[j] = row[j + 1] - alpha[-1] * row[j] - beta[-1] * before[j] * (k > 1)
        alpha.append(new[k + 1] / new[k] - row[k] / row[k - 1])
        beta.append(new[k] / row[k - 1])
        before, row = row, new
    off = np.sqrt([float(b) for b in beta[1:]])
    points, vectors = np.linalg.eigh(np.diag([float(a) for a in alpha]) + np.diag(off, 1) + np.diag(off, -1))
    return points, float(beta[0]) * vectors[0] ** 2


def descent_loss(
    rates: Sequence[float],
    curvatures: Sequence[float] | None = None,
    *,
    n_dims: int,
    n_examples: int,
    noise: float = 0.0,
    weight_scale: float = 1.0,
    input_scale: float = 1.0,
) -> float:
    r"""The expected loss after steps of gradient descent on the examples of `tasks.InContextRegression`:

    $$E\,(\hat y - w \cdot x_q)^2 = s^2 \sum_i g_i \Big(\omega^2 R(s^2 \lambda_i)^2
      + \frac{\sigma^2}{N}\, \frac{(1 - R(s^2 \lambda_i))^2}{s^2 \lambda_i}\Big),$$

    with points and weights of `spectrum`, ω = `weight_scale` and s = `input_scale`. Of steps with rates a and curvatures c
    (0 where they are not given; that of the last step has no effect)

    $$R \leftarrow R\, (1 - a \lambda A^2), \qquad A \leftarrow A\, (1 - c \lambda A^2), \qquad R = A = 1 \text{ at first}.$$

    von Oswald et al. 2022, section 3, call steps with one curvature for all layers GD++.

    Raises:
        ConfigError: there is no rate or more than four, there are not as many curvatures, or a size is not allowed.
    """
    a, c = _steps(rates, curvatures)
    check_sizes(n_dims, n_examples, noise)
    weight_scale = check.number("weight_scale", weight_scale, at_least=0, at_most=MOST)
    input_scale = check.number("input_scale", input_scale, above=1 / MOST, at_most=MOST)
    points, weights = spectrum(n_dims, n_examples, _n_points(len(a), c))
    points = input_scale**2 * points
    left = remainder(a, c, points)
    error = weight_scale**2 * left**2
    if noise:
        error = error + noise**2 / n_examples * (1 - left) ** 2 / points
    return float(input_scale**2 * weights @ error)


def remainder(rates: Sequence[float], curvatures: Sequence[float] | None, points: np.ndarray) -> np.ndarray:
    """R of `descent_loss` at some λ: the share of w in a direction of that curvature which is not fitted yet."""
    a, c = _steps(rates, curvatures)
    left, scale = np.ones_like(points, float), np.ones_like(points, float)
    for rate, curvature in zip(a, c, strict=True):
        read = points * scale**2
        left, scale = left * (1 - rate * read), scale * (1 - curvature * read)
    return left


@cache
def best_descent(
    n_dims: int, n_examples: int, n_steps: int, *, noise: float = 0.0, preconditioned: bool = False
) -> Descent:
    r"""The rates of least expected loss, on standard normal inputs and weights, and with `preconditioned` the curvatures.

    Without noise the best plain R is the orthogonal polynomial of the weights $\lambda g$, scaled to R(0) = 1, so the rates
    are one over its roots. Here the minimum is found by a search. With curvatures there are several, and it is the least that
    is reached from 30 starts, which are always the same.

    >>> round(sp.theory.best_descent(4, 15, 1).loss, 6)
    1.0

    Raises:
        ConfigError: a size is no whole number above 0, there are more than four steps, or the noise is below 0.
    """
    from scipy.optimize import minimize

    check.integer("n_steps", n_steps, at_least=1, at_most=MAX_STEPS)
    check_sizes(n_dims, n_examples, noise)
    sizes = {"n_dims": n_dims, "n_examples": n_examples, "noise": noise}
    edge = (1 + (n_dims / n_examples) ** 0.5) ** 2  # of the spectrum, where both are large
    angles = np.pi * (np.arange(n_steps) + 0.5) / n_steps
    start = 2 / (edge * (1 + 0.7 * np.cos(angles)))
    best = minimize(lambda a: descent_loss(a, **sizes), start, tol=1e-12)
    if not preconditioned or n_steps == 1:
        return Descent(tuple(map(float, best.x)), (0.0,) * n_steps, float(best.fun))

    def loss(x: np.ndarray) -> float:
        return descent_loss(x[:n_steps].tolist(), [*x[n_steps:], 0.0], **sizes)

    rng = np.random.default_rng(0)
    for _ in range(STARTS):
        start = np.append(rng.uniform(0, 4, n_steps), rng.uniform(0, 0.8, n_steps - 1))
        end = minimize(loss, start, tol=1e-12)
        best = end if end.fun < best.fun else best
    return Descent(tuple(map(float, best.x[:n_steps])), (*map(float, best.x[n_steps:]), 0.0), float(best.fun))


def descent_weights(
    rates: Sequence[float], curvatures: Sequence[float] | None = None, *, n_dims: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""P and Q of a `models.VectorTransformer` of one head whose layers are these steps, (n_layers, 1, D, D), D = d + 1:

    $$P_l = -\begin{pmatrix} c_l I & 0 \\ 0 & a_l \end{pmatrix}, \qquad Q_l = \begin{pmatrix} I & 0 \\ 0 & 0 \end{pmatrix}.$$

    von Oswald et al. 2022, proposition 1 and section 3.

    Raises:
        ConfigError: there is no rate or more than four, or there are not as many curvatures.
    """
    check_sizes(n_dims, n_examples=1)
    a, c = _steps(rates, curvatures)
    P = np.stack([-np.diag([curvature] * n_dims + [rate]) for rate, curvature in zip(a, c, strict=True)])
    Q = np.tile(np.diag([1.0] * n_dims + [0.0]), (len(a), 1, 1))
    return P[:, None], Q[:, None]


def _steps(rates: Sequence[float], curvatures: Sequence[float] | None) -> tuple[list[float], list[float]]:
    a = _numbers("rates", rates)
    c = [0.0] * len(a) if curvatures is None else _numbers("curvatures", curvatures)
    if not 1 <= len(a) <= MAX_STEPS:
        raise ConfigError(f"rates must be those of 1 to {MAX_STEPS} steps, got {len(a)}.")
    if len(c) != len(a):
        raise ConfigError(f"curvatures must be as many as rates, {len(a)}; got {len(c)}.")
    return a, c


def _numbers(name: str, values: Any) -> list[float]:
    numbers = np.asarray(arrays.as_numpy(name, values, ndim=1), np.float64)
    if not np.all(np.abs(numbers) <= MOST):
        raise ConfigError(f"{name} must be finite numbers of at most {MOST:g} in size, got {check.short(values)}.")
    return numbers.tolist()


def _n_points(n_steps: int, curvatures: Sequence[float]) -> int:
    """Points at which the square of R is exact: its degree doubles, plus one."""
    left, scale = 0, 0
    for curvature in curvatures[:n_steps]:
        left, scale = left + 1 + 2 * scale, scale + (1 + 2 * scale) * (curvature != 0)
    return left + 1
