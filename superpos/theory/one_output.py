r"""The exact loss of one output, from its row of the Gram matrix alone: cheap where many outputs are alike.

Output i of $x' = \mathrm{ReLU}(W^\top W x + b)$ sees $a_i = \nu_i (y - \tau)$ with $y = \sum_j c_j x_j$, where
$\nu_i = \|W_i\|$, $c_j = W_i \cdot W_j / \nu_i$ and $\tau = -b_i/\nu_i$. Then

$$E(x_i - x'_i)^2 = \tfrac p3 - 2 \nu_i A + \nu_i^2 B, \qquad A = E\,x_i (y - \tau)_+, \quad B = E\,(y - \tau)_+^2,$$

in double precision, by the Fourier series that `superpos.theory.expected_loss` derives.
"""

from typing import Any, NamedTuple

import numpy as np

# Coefficients nearer to 0 than this send nothing.
NOTHING = 1e-9
SHORTEST = 1e-6  # features shorter than this are not represented at all


class Outputs(NamedTuple):
    """What outputs see at one density, ready for any thresholds: arrays that lead with the axes of the outputs."""

    own: Any  # (…,) coefficient of the output's own feature
    others: Any  # (…, m) of the other features
    active: Any  # (…, m) how many of each there are, times P(active) / P(inactive)
    none: Any  # (…,) P(no other feature is active)
    probability: float
    bound: float  # all |y − τ| stay below it
    rest: Any  # (…, order) E exp(iπk y / bound), on what is not integrated exactly
    own_rest: Any  # (…, order) the same times x_i
    moments: Any  # (4, …) of y, on the same part: 1, y, y², y³
    own_moments: Any  # (3, …): x_i, x_i y, x_i y²

    def both(self, tau: Any) -> tuple[Any, Any]:
        """A and B at thresholds within the reach, of a shape that broadcasts with that of the outputs."""
        t = np.asarray(tau, float)
        p, L, k = self.probability, self.bound, np.arange(1, self.rest.shape[-1] + 1)
        m0, m1, m2, m3 = self.moments
        a1, a2, a3 = m1 - t * m0, m2 - 2 * t * m1 + t**2 * m0, m3 - 3 * t * m2 + 3 * t**2 * m1 - t**3 * m0
        x0, x1, x2 = self.own_moments
        xa1, xa2 = x1 - t * x0, x2 - 2 * t * x1 + t**2 * x0
        turned = np.exp(-1j * np.pi / L * t[..., None] * k)
        odd = np.sum((turned * self.rest).imag / k**3, axis=-1)
        even = np.sum((turned * self.own_rest).real / k**2, axis=-1)
        square = (a2 + 2 * L / 3 * a1 + a3 / (3 * L) - 4 * L**2 / np.pi**3 * odd) / 2
        cross = (xa1 + xa2 / (2 * L) + L / 3 * x0 - 2 * L / np.pi**2 * even) / 2
        lone = np.sum(self.active * _ramp(self.others, t[..., None]), axis=-1)
        exact = (1 - p) * (np.maximum(-t, 0) ** 2 + lone) + p * _ramp(self.own, t)
        return cross + p * self.none * _weighted_ramp(self.own, t), square + self.none * exact


def exact_errors(W: Any, b: Any, feature_probability: float, *, order: int = 64) -> np.ndarray:
    """$E(x_i - x'_i)^2$ of every feature of any ReLU toy model, (n_features,), in double precision, one output at a time.

    All features have one density. Hundreds of them take seconds, where `superpos.expected_loss` needs much memory.
    """
    W, b, p = np.asarray(W, float), np.asarray(b, float), feature_probability
    gram, errors = W.T @ W, np.zeros(W.shape[1])
    for i, offset in enumerate(b):
        length = np.sqrt(gram[i, i])
        if length < SHORTEST:  # says the same always
            constant = max(offset, 0.0)
            errors[i] = p / 3 - p * constant + constant**2
            continue
        tau = -offset / length
        row = np.delete(gram[i], i) / length
        seen = outputs(length, row, np.ones(len(row)), p, order=order, reach=max(1.0, abs(tau)))
        A, B = seen.both(tau)
        errors[i] = p / 3 - 2 * length * A + length**2 * B
    return errors


def outputs(own: Any, others: Any, counts: Any, probability: float, *, order: int = 64, reach: float = 1.0) -> Outputs:
    """Lay out the series for outputs of coefficients `own` (…,) and `others` (…, m), of which there are `counts` (m,) each.

    Features are independent and of one density below 1; own coefficients are positive. What happens often is integrated
    exactly: no other feature active, and one other active while the own one is not. The series has `order` terms for
    every unit of its bound. Thresholds may lie between ± `reach`.
    """
    p, g, c, N = probability, np.asarray(own, float), np.asarray(others, float), np.asarray(counts, float)
    bound = 1.02 * (reach + np.max(np.sum(N * np.abs(c), axis=-1) + g))
    k = np.arange(1, int(np.ceil(order * bound)) + 1)
    q = np.where(np.abs(c) > NOTHING, p, 0.0)
    phi = _phi(c, k, bound)
    factors = 1 + q[..., None] * (phi - 1)
    full = np.prod(factors if np.all(N == 1) else factors ** N[:, None], axis=-2)
    none, active = np.prod((1 - q) ** N, axis=-1), N * q / (1 - q)
    rests = full - none[..., None]
    h = np.pi / bound * g[..., None] * k
    own_psi = (np.exp(1j * h) * (1 - 1j * h) - 1) / h**2
    lone = none[..., None] * np.einsum("...m,...mk->...k", active, phi)
    rest = (1 - p) * (rests - lone) + p * _phi(g, k, bound) * rests
    # Moments of what the others send: all together, and of exactly one.
    m1, m2, m3 = q * c / 2, q * c**2 / 3, q * c**3 / 4
    s1, s2, s3, squares, cubes, mixed = (np.sum(N * x, axis=-1) for x in (m1, m2, m3, m1**2, m1**3, m1 * m2))
    third = s3 + 3 * (s2 * s1 - mixed) + s1**3 - 3 * s1 * squares + 2 * cubes
    T = np.array([1 - none, s1, s2 + s1**2 - squares, third])
    one = none * np.array([np.sum(active * c**r, axis=-1) / (r + 1) for r in range(4)])
    u = [g**r / (r + 1) for r in range(5)]  # E (g x)^r of the own feature while it is active
    with_own = np.array(
        [
            T[0],
            T[1] + u[1] * T[0],
            T[2] + 2 * u[1] * T[1] + u[2] * T[0],
            T[3] + 3 * u[1] * T[2] + 3 * u[2] * T[1] + u[3] * T[0],
        ]
    )
    moments = (1 - p) * (T - one) + p * with_own
    own_moments = p * np.array([T[0] / 2, T[1] / 2 + g * T[0] / 3, T[2] / 2 + 2 * g * T[1] / 3 + g**2 * T[0] / 4])
    return Outputs(g, c, active, none, p, float(bound), rest, p * own_psi * rests, moments, own_moments)


def _phi(slope: Any, k: Any, bound: float) -> Any:
    """E exp(iπk·slope·u / bound) over u uniform on [0, 1], on a new last axis."""
    half = slope[..., None] * k / (2 * bound)
    return np.exp(1j * np.pi * half) * np.sinc(half)


def _ends(slope: Any, t: Any) -> tuple[Any, Any, Any]:
    """A slope that is not 0, and where in [0, 1] slope·u > t: from, to; equal if nowhere."""
    slope = np.where(np.abs(slope) > NOTHING, slope, 1)
    root = np.clip(t / slope, 0, 1)
    return slope, np.where(slope > 0, root, 0), np.where(slope > 0, 1, root)


def _ramp(slope: Any, t: Any) -> Any:
    """∫₀¹ (slope·u − t)₊² du."""
    slope, low, high = _ends(slope, t)
    return ((slope * high - t) ** 3 - (slope * low - t) ** 3) / (3 * slope)


def _weighted_ramp(slope: Any, t: Any) -> Any:
    """∫₀¹ u (slope·u − t)₊ du."""
    slope, low, high = _ends(slope, t)
    return slope * (high**3 - low**3) / 3 - t * (high**2 - low**2) / 2
