r"""One feature active at a time: the loss as a polynomial, and the levels of its critical points.

Of n features exactly one is active, each as often, with a magnitude uniform on [0, 1]. Every output is then linear in one
number, so the loss needs no series. This is the toy model of Chen et al. 2023, "Dynamical versus Bayesian Phase Transitions
in a Toy Model of Superposition" (section 3), whose critical points in two dimensions are regular polygons of k features
while the others have no length; their losses are the levels on which training rests.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError


class Level(NamedTuple):
    r"""A critical point: `sides` features on a regular polygon, `biased` ones of no length with bias 1/(2n), `dead` ones.

    A biased feature answers with the best constant; a dead one, of bias below 0, with nothing. `loss` is the sum over
    features. `length` is $\|W_i\|$ on the polygon and `bias` is $b_i$ there.
    """

    sides: int
    biased: int
    dead: int
    length: float
    bias: float
    loss: float

    @property
    def name(self) -> str:
        """As in the paper: 5⁺ is a pentagon and one biased feature, 4⁺⁻ a square, a biased and a dead feature."""
        return f"{self.sides}{'⁺' * self.biased}{'⁻' * self.dead}"


def single_active_loss(W: Any, b: Any) -> float:
    r"""The population loss (sum over features) of $\mathrm{ReLU}(W^\top W x + b)$ where one of n features is active.

    With $G = W^\top W$ it is $\frac1n \sum_i \big[ \int_0^1 (u - (G_{ii}u + b_i)_+)^2 du + \sum_{j \ne i} \int_0^1
    (G_{ji} u + b_j)_+^2 du \big]$. `W` is (n_hidden, n_features), `b` (n_features,).

    Two antipodal pairs cost nothing; a feature without length costs 1/3 of the times it is active, with bias 0:

    >>> W = np.array([[1.0, -1, 0, 0, 0], [0, 0, 1, -1, 0]])
    >>> round(single_active_loss(W, np.zeros(5)), 6)  # 1/15
    0.066667

    Raises:
        ConfigError: a shape or number is not allowed.
    """
    W = arrays.as_numpy("W", W, ndim=2, largest=arrays.MAX_WEIGHT).astype(np.float64)
    b = arrays.as_numpy("b", b, ndim=1, largest=arrays.MAX_WEIGHT).astype(np.float64)
    n = W.shape[1]
    if b.shape != (n,):
        raise ConfigError(f"b must have shape ({n},), got {b.shape}.")
    slope, diagonal = W.T @ W, np.eye(n, dtype=bool)
    offset = np.broadcast_to(b[:, None], (n, n))
    squared, with_input = _moments(slope, offset)
    return float((np.sum(squared) + np.sum(1 / 3 - 2 * with_input[diagonal])) / n)


def _moments(slope: np.ndarray, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The integrals over u in [0, 1] of r² and u r, where r is slope · u + offset or 0, whichever is larger."""
    flat = np.abs(slope) < 1e-12
    root = np.clip(-offset / np.where(flat, 1, slope), 0, 1)
    start = np.where(flat, np.where(offset > 0, 0.0, 1.0), np.where(slope > 0, root, 0.0))
    stop = np.where(flat | (slope > 0), 1.0, root)
    powers = [(stop**k - start**k) / k for k in (1, 2, 3)]
    squared = slope**2 * powers[2] + 2 * slope * offset * powers[1] + offset**2 * powers[0]
    return squared, slope * powers[2] + offset * powers[1]


def at_level(level: Level) -> tuple[np.ndarray, np.ndarray]:
    """W (2, n_features) and b (n_features,) of a critical point: the polygon first, then biased features, then dead ones."""
    n, angle = level.sides + level.biased + level.dead, 2 * np.pi * np.arange(level.sides) / level.sides
    W = np.zeros((2, n))
    W[:, : level.sides] = level.length * np.array([np.cos(angle), np.sin(angle)])
    b = np.repeat([level.bias, 0.5 / n, -1.0], [level.sides, level.biased, level.dead])
    return W, b


def polygon_levels(n_features: int) -> list[Level]:
    """The levels of `n_features` in two dimensions, from the lowest loss: polygons of four sides or more.

    A square is two antipodal pairs, of length 1 and bias 0, and costs nothing itself; of larger polygons length and bias are
    optimised. A dead feature has bias -1.

    Raises:
        ConfigError: `n_features` is no whole number from 4 to 8.
    """
    check.integer("n_features", n_features, at_least=4, at_most=8)
    n = n_features
    levels = []
    for sides in range(4, n + 1):
        length, bias = (1.0, 0.0) if sides == 4 else _best_polygon(sides, n)
        for biased in range(n - sides + 1):
            level = Level(sides, biased, n - sides - biased, length, bias, 0.0)
            levels.append(level._replace(loss=single_active_loss(*at_level(level))))
    return sorted(levels, key=lambda level: level.loss)


@cache
def _best_polygon(sides: int, n: int) -> tuple[float, float]:
    """Length and bias of the regular polygon of least loss."""
    from scipy.optimize import minimize  # late, as in `superpos.theory.naive`

    angle = 2 * np.pi * np.arange(sides) / sides
    directions = np.array([np.cos(angle), np.sin(angle)])

    def loss(at: np.ndarray) -> float:
        return single_active_loss(at[0] * directions, np.full(sides, at[1]))

    best = minimize(loss, [1.2, -0.3], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 2_000})
    return float(best.x[0]), float(best.x[1])
