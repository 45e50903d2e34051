"""Exact losses of a linear function fitted in context: by one layer of linear attention, and by gradient descent."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError

MOST = 1e6  # of numbers, so that no power of them overflows
MOST_DIMS = 1_000  # and examples: moments are exact fractions, or means over many draws


def linear_attention_loss(
    P: Any, Q: Any, n_examples: Any, *, noise: Any = 0.0, weight_scale: Any = 1.0, input_scale: Any = 1.0
) -> Float[Array, ""]:
    r"""The expected loss of one layer of linear attention, with any weights, on `tasks.InContextRegression`.

    `P` and `Q` have shape (n_heads, D, D), D = d + 1. Of P only the last row p is read, of Q the first d columns B. The
    model says $-\sum_h p_h^\top G B_h x_q$, with the second moments $G = \frac1N \sum_i z_i z_i^\top$ of the examples. Let
    $T_c$, for every coordinate c of x, be the symmetric part of $\sum_h p_h b_{hc}^\top$, with blocks X (d, d), t (d) and u
    (a number), and N = `n_examples`. Given w, the $z_i$ are normal with covariance Σ, so

    $$L = \sum_c E_w \Big[(\operatorname{tr} T_c \Sigma + w_c)^2 + \tfrac2N \operatorname{tr} T_c \Sigma T_c \Sigma\Big],
      \qquad \Sigma = \begin{pmatrix} I & w \\ w^\top & |w|^2 + \sigma^2 \end{pmatrix}.$$

    Both are polynomials of degree 4 in w, whose mean over $w \sim N(0, \rho^2 I)$ is

    $$E(\operatorname{tr} T\Sigma)^2 = k^2 + 4\rho^2 |t|^2 + 2 k u \rho^2 d + u^2 q, \qquad
      E\,w_c \operatorname{tr} T_c \Sigma = 2 \rho^2 t_c,$$
    $$E \operatorname{tr} T\Sigma T\Sigma = \operatorname{tr} X^2 + 2 |t|^2 (\rho^2 (d + 1) + \sigma^2)
      + 2 u \rho^2 \operatorname{tr} X + u^2 (q + 2 \sigma^2 \rho^2 d + \sigma^4),$$

    with $k = \operatorname{tr} X + \sigma^2 u$ and $q = \rho^4 d (d + 2)$. Inputs of another size s are the same thing with
    the first d rows of p and B, and all of B once more, times s, and ρ = s ω.

    Raises:
        ConfigError: P or Q is no array of square matrices, they are of different shapes, or a number is not allowed.
    """
    P = arrays.as_array("P", P, ndim=3)
    if P.shape[1] != P.shape[2] or P.shape[1] < 2:
        raise ConfigError(f"P must be of shape (n_heads, D, D) with D of 2 or more, got {P.shape}.")
    Q = arrays.as_array("Q", Q, shape=P.shape)
    numbers = {"n_examples": n_examples, "noise": noise, "weight_scale": weight_scale, "input_scale": input_scale}
    for name, value in numbers.items():
        check.scalar(name, value)
        check.in_range(name, value, at_least=1 if name == "n_examples" else 0, at_most=MOST)
    P, Q, d = jnp.asarray(P), jnp.asarray(Q), P.shape[1] - 1
    sizes = jnp.append(input_scale * jnp.ones(d), 1.0)
    T = jnp.sum(P[:, -1, :, None, None] * Q[:, None, :, :d], axis=0)  # (D, D, d)
    T = input_scale * sizes[:, None, None] * sizes[None, :, None] * (T + jnp.swapaxes(T, 0, 1)) / 2
    X, t, u = T[:d, :d], T[:d, d], T[d, d]
    trace, length = jnp.trace(X), jnp.sum(t**2, axis=0)  # of every coordinate c
    rho, sigma = (input_scale * weight_scale) ** 2, noise**2
    k, q = trace + sigma * u, rho**2 * d * (d + 2)
    mean = k**2 + 4 * rho * length + 2 * k * u * rho * d + u**2 * q + 4 * rho * jnp.diagonal(t) + rho
    spread = jnp.sum(X**2, axis=(0, 1)) + 2 * length * (rho * (d + 1) + sigma) + 2 * u * rho * trace
    spread = spread + u**2 * (q + 2 * sigma * rho * d + sigma**2)
    return jnp.sum(mean + 2 / n_examples * spread)


class OneStep(NamedTuple):
    """A step of gradient descent from w = 0, and the expected loss after it."""

    rate: float
    loss: float


def one_step(n_dims: int, n_examples: int, *, noise: float = 0.0) -> OneStep:
    r"""The best single step of gradient descent, $\hat w = \frac aN \sum_i y_i x_i$, on standard normal inputs and weights:

    $$L(a) = d\Big(1 - 2a + a^2\, \frac{N + d + 1 + \sigma^2}{N}\Big), \qquad a = \frac{N}{N + d + 1 + \sigma^2}, \qquad
      L = d (1 - a).$$

    With $S = \frac1N \sum_i x_i x_i^\top$ this is $E \operatorname{tr} (I - aS)^2 + a^2 \sigma^2 d / N$, as
    $E\,S^2 = \frac{N + d + 1}{N} I$. One layer of linear attention does no better (Ahn et al. 2023, theorem 1; Mahankali,
    Hashimoto and Ma 2023). Isotropic inputs are the special case here.

    >>> sp.theory.one_step(4, 15)
    OneStep(rate=0.75, loss=1.0)

    Raises:
        ConfigError: a size is no whole number above 0, or the noise is below 0.
    """
    check_sizes(n_dims, n_examples, noise)
    rate = int(n_examples) / (int(n_examples) + int(n_dims) + 1 + float(noise) ** 2)
    return OneStep(rate, int(n_dims) * (1 - rate))


def posterior_floor(n_dims: int, n_examples: int, *, noise: float = 0.0, draws: int = 20_000) -> float:
    r"""The loss of the best predictor of all, the posterior mean (ridge regression with penalty σ²):

    $$E \operatorname{tr} (I + X^\top X / \sigma^2)^{-1},$$

    and $\max(d - N, 0)$ without noise, where examples leave d − N directions of w open. With noise it is a mean over `draws`
    of X, always the same ones.

    Raises:
        ConfigError: a size or `draws` is no whole number above 0, or the noise is below 0.
    """
    check_sizes(n_dims, n_examples, noise)
    check.integer("draws", draws, at_least=1, at_most=10**6)
    if draws * n_dims * max(n_dims, n_examples) > 10**8:
        raise ConfigError(f"draws must be at most {10**8 // (n_dims * max(n_dims, n_examples)):,} for these sizes.")
    noise = float(noise)
    if noise == 0:
        return float(max(n_dims - n_examples, 0))
    x = np.random.default_rng(0).standard_normal((int(draws), int(n_examples), int(n_dims)))
    eigenvalues = np.linalg.eigvalsh(np.swapaxes(x, 1, 2) @ x)
    return float(np.mean(np.sum(noise**2 / (noise**2 + np.maximum(eigenvalues, 0)), axis=1)))


def check_sizes(n_dims: int, n_examples: int, noise: float = 0.0) -> None:
    """Raise `ConfigError`, naming the field, for sizes that closed forms are not made for."""
    check.integer("n_dims", n_dims, at_least=1, at_most=MOST_DIMS)
    check.integer("n_examples", n_examples, at_least=1, at_most=MOST_DIMS)
    check.number("noise", noise, at_least=0, at_most=MOST)
