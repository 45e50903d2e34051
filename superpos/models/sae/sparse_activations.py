"""Activation functions that keep few latents: the largest ones of an input or of a batch, or those above a threshold."""

from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Up to so many latents the largest of every column are taken off one by one, k rounds; beyond, bits are searched.
PEELED_UP_TO = 64
# So many parts of a batch are compared side by side, where their number divides its size. XLA:CPU adds up a whole array one
# number after another, and takes eight times as long to count 40 × 1,024.
PARTS = 16


def kth_largest(values: Float[Array, "n batch"], k: Float[Array, ""], axis: int | None = 0) -> Float[Array, "..."]:
    r"""The k-th largest of numbers that are not negative, for every column (`axis=0`) or of all (`axis=None`).

    Returns shape (1, batch) or (1, 1): the largest t such that at least k of the values are ≥ t, or 0 where k exceeds their
    number. k may be traced. No gradient flows.

    Nothing is sorted: on XLA:CPU `lax.top_k` takes ten times as long and more (40 latents, 1,024 inputs).
    """
    values = jax.lax.stop_gradient(values)
    if axis is None:
        return _kth_of_all(values, k)
    return _by_peeling(values, k) if values.shape[0] <= PEELED_UP_TO else _by_bits(values, k)


def _by_peeling(values: Float[Array, "n batch"], k: Float[Array, ""]) -> Float[Array, "1 batch"]:
    """The largest of every column, then the next smaller number, until k are reached or nothing is left."""

    def short(state: tuple[Array, Array]) -> Array:
        t, count = state
        return jnp.any((count < k) & (t > 0))

    def peel(state: tuple[Array, Array]) -> tuple[Array, Array]:
        t, count = state
        lower = jnp.max(jnp.where(values < t, values, 0.0), axis=0, keepdims=True)
        at_least = jnp.sum(values >= lower, axis=0, keepdims=True)
        return jnp.where(count < k, lower, t), jnp.where(count < k, at_least, count)

    start = jnp.full((1, values.shape[1]), jnp.inf, values.dtype)
    return jax.lax.while_loop(short, peel, (start, jnp.zeros(start.shape, jnp.zeros((), int).dtype)))[0]


def _by_bits(values: Float[Array, "n batch"], k: Float[Array, ""]) -> Float[Array, "1 batch"]:
    """Bit by bit with one count each: bits of non-negative floating-point numbers are ordered as the numbers are."""
    bits, n_bits = _bits(values)

    def narrow(i: Array, t: Array) -> Array:
        candidate = t | jnp.left_shift(jnp.ones((), t.dtype), jnp.asarray(n_bits - 2 - i, t.dtype))
        return jnp.where(jnp.sum(bits >= candidate, axis=0, keepdims=True) >= k, candidate, t)

    t = jax.lax.fori_loop(0, n_bits - 1, narrow, jnp.zeros((1, values.shape[1]), bits.dtype))
    return jax.lax.bitcast_convert_type(t, values.dtype)


def _kth_of_all(values: Float[Array, "n batch"], k: Float[Array, ""]) -> Float[Array, "1 1"]:
    """Search among the bits for a number that exactly k values reach, or for the one that ties with others at the k-th place.

    Each turn guesses by how many reach the ends, halves what is left, and looks whether the least number left is the k-th.
    Latents have equal values on all inputs of zeros, and between those numbers guesses would creep.
    """
    parts = values.reshape(next(n for n in range(PARTS, 0, -1) if values.size % n == 0), -1)
    bits, _ = _bits(parts)
    most = jnp.iinfo(bits.dtype).max

    def count(t: Array) -> Array:
        return jnp.sum(sum((part >= t).astype(int) for part in bits))

    def open_(state: tuple[Array, ...]) -> Array:
        low, n_low, high, _ = state
        return (high - low > 1) & (n_low > k)

    def tried(state: tuple[Array, ...], guess: Array) -> tuple[Array, ...]:
        low, n_low, high, n_high = state
        n = count(guess)
        up, down = open_(state) & (n >= k), open_(state) & (n < k)
        return (
            jnp.where(up, guess, low),
            jnp.where(up, n, n_low),
            jnp.where(down, guess, high),
            jnp.where(down, n, n_high),
        )

    def between(state: tuple[Array, ...], share: Any) -> tuple[Array, ...]:
        low, _, high, _ = state
        guess = low + jnp.asarray((high - low).astype(values.dtype) * share, bits.dtype)
        return tried(state, jnp.clip(guess, low + 1, high - 1))

    def narrow(state: tuple[Array, ...]) -> tuple[Array, ...]:
        _, n_low, _, n_high = state
        state = between(state, (n_low - k) / jnp.maximum(n_low - n_high, 1))
        low, n_low, high, n_high = state = between(state, 0.5)
        least = jnp.min(reduce(jnp.minimum, [jnp.where(part >= low, part, most) for part in bits]))
        low = jnp.where(open_(state), least, low)
        return tried((low, n_low, high, n_high), low + 1)

    low, high = jnp.ones((), bits.dtype), jnp.max(bits) + 1  # 1: the least number above 0
    positive = count(low)
    low = jax.lax.while_loop(open_, narrow, (low, positive, high, jnp.zeros((), positive.dtype)))[0]
    smallest = jnp.min(jnp.where(bits >= low, parts, jnp.inf))
    return jnp.where(positive >= k, smallest, 0.0)[None, None]


def _bits(values: Array) -> tuple[Array, int]:
    n_bits = 8 * values.dtype.itemsize
    return jax.lax.bitcast_convert_type(values, jnp.int32 if n_bits == 32 else jnp.int64), n_bits


def ceiling(factor: Float[Array, ""], n: Float[Array, ""] | int) -> Float[Array, ""]:
    """⌈factor × n⌉; a product that is whole but for rounding counts as whole (0.6 × 25 is 15, which float32 exceeds)."""
    return jnp.ceil(factor * (n * (1 - 2.0**-22)))


def top_k(values: Float[Array, "n batch"], k: Float[Array, ""]) -> Float[Array, "n batch"]:
    """Keep the k largest of every column and set the others to 0; equal ones stay together.

    Values must not be negative. Gao et al. 2024, "Scaling and evaluating sparse autoencoders", section 2.3.
    """
    return jnp.where(values >= kth_largest(values, k), values, 0.0)


def batch_top_k(
    values: Float[Array, "n batch"], k: Float[Array, ""]
) -> tuple[Float[Array, "n batch"], Float[Array, ""]]:
    """Keep the k × batch largest of the whole batch, k an average per column; also the smallest value that was kept.

    k × batch is rounded up, and the smallest is 0 where fewer than that are above 0. Values must not be negative.
    Bussmann et al. 2024, "BatchTopK Sparse Autoencoders", section 3.
    """
    smallest = kth_largest(values, ceiling(k, values.shape[1]), axis=None)
    return jnp.where(values >= smallest, values, 0.0), smallest[0, 0]


@jax.custom_vjp
def above(values: Array, threshold: Array, bandwidth: Array) -> Array:
    r"""The step function $H(a - \theta)$, 1 where a > θ, with a gradient for θ.

    Backwards, with ε = `bandwidth` and K the rectangle of width and area 1,

    $$\frac{\partial H}{\partial\theta} := -\frac1\varepsilon K\Big(\frac{a - \theta}{\varepsilon}\Big), \qquad
    \frac{\partial H}{\partial a} := 0.$$

    Its mean over inputs is a kernel estimate of the derivative of the mean of H, which a single H does not have.
    `threshold` broadcasts against `values`. Rajamanoharan et al. 2024, "Jumping Ahead: Improving Reconstruction Fidelity with
    JumpReLU Sparse Autoencoders", section 3.
    """
    return (values > threshold).astype(values.dtype)


def _above_forward(values: Array, threshold: Array, bandwidth: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    return above(values, threshold, bandwidth), (values, threshold, bandwidth)


def _above_backward(residuals: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    values, threshold, bandwidth = residuals
    to_threshold = _sum_to(-_rectangle(values, threshold, bandwidth) * cotangent, threshold)
    return jnp.zeros_like(values), to_threshold, jnp.zeros_like(bandwidth)


above.defvjp(_above_forward, _above_backward)


@jax.custom_vjp
def jump_relu(values: Array, threshold: Array, bandwidth: Array) -> Array:
    r"""$\mathrm{JumpReLU}_\theta(a) = a\,H(a - \theta)$, for θ > 0, with a gradient for θ.

    Backwards, with ε = `bandwidth` and K the rectangle of width and area 1,

    $$\frac{\partial}{\partial\theta} := -\frac{\theta}{\varepsilon} K\Big(\frac{a - \theta}{\varepsilon}\Big), \qquad
    \frac{\partial}{\partial a} := H(a - \theta).$$

    `threshold` broadcasts against `values`. Rajamanoharan et al. 2024, "Jumping Ahead", section 3.
    """
    return jnp.where(values > threshold, values, 0.0)


def _jump_forward(values: Array, threshold: Array, bandwidth: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    return jump_relu(values, threshold, bandwidth), (values, threshold, bandwidth)


def _jump_backward(residuals: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array, Array]:
    values, threshold, bandwidth = residuals
    to_values = jnp.where(values > threshold, cotangent, 0.0)
    to_threshold = _sum_to(-threshold * _rectangle(values, threshold, bandwidth) * cotangent, threshold)
    return to_values, to_threshold, jnp.zeros_like(bandwidth)


jump_relu.defvjp(_jump_forward, _jump_backward)


def _rectangle(values: Array, threshold: Array, bandwidth: Array) -> Array:
    """K((a − θ) / ε) / ε."""
    return jnp.where(jnp.abs(values - threshold) < bandwidth / 2, 1 / bandwidth, 0.0)


def _sum_to(full: Array, like: Array) -> Array:
    """Add up a gradient over the axes along which `like` was broadcast."""
    extra = full.ndim - like.ndim
    full = jnp.sum(full, axis=tuple(range(extra)))
    axes = tuple(k for k, size in enumerate(like.shape) if size == 1 and full.shape[k] != 1)
    return jnp.sum(full, axis=axes, keepdims=True)
