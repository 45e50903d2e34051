r"""One feature active at a time: the slope and the curvature of the loss, in closed form.

Every output is $r(u) = (s u + o)_+$ of one number u, with slope $s = G_{ji}$ and offset $o = b_j$. With $P_k$ the integral of
$u^k$ over the part of [0, 1] where r is positive,

$$f = \int_0^1 r^2, \quad f_s = 2(s P_2 + o P_1), \; f_o = 2(s P_1 + o P_0), \quad
  f_{ss} = 2 P_2, \; f_{so} = 2 P_1, \; f_{oo} = 2 P_0,$$

and of $-2\int_0^1 u\,r$, which the active feature's own output adds, the first derivatives are $-2 P_2$ and $-2 P_1$, the
second ones $-2u_0^3/|s|$, $-2u_0^2/|s|$ and $-2u_0/|s|$ where a root $u_0 = -o/s$ lies inside. The rest is the chain rule
for $G = W^\top W$. The toy model of Chen et al. 2023, [arXiv:2310.06301](https://arxiv.org/abs/2310.06301).

The curvature jumps where an output of another feature has s = 0 and o = 0, or the feature's own output reaches 0 just at
u = 1: the kinks. Squares of bias 0 are such points; polygons of more sides are none.
"""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays
from superpos.errors import ConfigError

# Slopes and offsets below this are 0: the point is taken to be at the kink beside it.
ZERO = 1e-9


class Derivatives(NamedTuple):
    """The loss at W, b, and its derivatives by the flattened pair (W, b), W row by row: d = m n + n numbers."""

    loss: float  # sum over features
    gradient: np.ndarray  # (d,)
    hessian: np.ndarray  # (d, d)
    kinks: int  # outputs at a kink: pairs of an output and an active feature


def single_active_derivatives(W: Any, b: Any) -> Derivatives:
    r"""Loss, gradient and Hessian of `superpos.theory.single_active.single_active_loss`, in double precision.

    `W` is (n_hidden, n_features), `b` (n_features,). At a kink the curvature is that of the side on which the output is 0.

    >>> at = single_active_derivatives(np.zeros((2, 3)), [-0.1, -0.1, -0.1])
    >>> round(at.loss, 6), float(np.abs(at.hessian).max()), at.kinks
    (0.333333, 0.0, 0)

    Raises:
        ConfigError: a shape or number is not allowed.
    """
    W = arrays.as_numpy("W", W, ndim=2, largest=arrays.MAX_WEIGHT).astype(np.float64)
    b = arrays.as_numpy("b", b, ndim=1, largest=arrays.MAX_WEIGHT).astype(np.float64)
    m, n = W.shape
    if b.shape != (n,):
        raise ConfigError(f"b must have shape ({n},), got {b.shape}.")
    s, own = W.T @ W, np.eye(n, dtype=bool)
    o = np.broadcast_to(b[:, None], (n, n))
    low, high, root = _positive(s, o)
    P0, P1, P2 = ((high**k - low**k) / k for k in (1, 2, 3))
    value = s**2 * P2 + 2 * s * o * P1 + o**2 * P0 + np.where(own, 1 / 3 - 2 * (s * P2 + o * P1), 0)
    by_s = 2 * (s * P2 + o * P1) - np.where(own, 2 * P2, 0)
    by_o = 2 * (s * P1 + o * P0) - np.where(own, 2 * P1, 0)
    inside = own & (root > 0) & (root < 1)
    at_root = np.where(inside, 2 / np.where(inside, np.abs(s), 1), 0)
    u = np.where(inside, root, 0)
    by_ss, by_so, by_oo = 2 * P2 - at_root * u**3, 2 * P1 - at_root * u**2, 2 * P0 - at_root * u

    pulls = by_s + by_s.T
    gradient = np.concatenate([(W @ pulls).ravel(), by_o.sum(axis=1)]) / n
    # change[j, i, h, k] = ∂G_ji/∂W_hk
    change = np.zeros((n, n, m, n))
    every = np.arange(n)
    change[every, :, :, every] += W.T[None]
    change[:, every, :, every] += W.T[None].repeat(n, axis=0)
    flat = change.reshape(n, n, m * n)
    by_W = np.einsum("ji,jia,jic->ac", by_ss, flat, flat) + np.kron(np.eye(m), pulls)
    mixed = np.einsum("ji,jia->aj", by_so, flat)
    hessian = np.block([[by_W, mixed], [mixed.T, np.diag(by_oo.sum(axis=1))]]) / n
    flat_at_zero = (np.abs(s) < ZERO) & (np.abs(o) < ZERO)
    just_reached = own & (np.abs(s + o) < ZERO)
    return Derivatives(float(value.sum() / n), gradient, hessian, int(np.sum(flat_at_zero | just_reached)))


def _positive(s: np.ndarray, o: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where in [0, 1] s u + o is positive, from and to, and its root; -1 where it has none."""
    tilted = np.abs(s) > 0
    root = np.where(tilted, -o / np.where(tilted, s, 1), -1.0)
    clipped = np.clip(root, 0, 1)
    low = np.where(s > 0, clipped, np.where(tilted | (o > 0), 0.0, 1.0))
    high = np.where(s < 0, clipped, 1.0)
    return low, high, root
