"""Noise of mean 0 and variance 1, by the name of its distribution."""

from typing import Any

import jax
from jaxtyping import Array, Float, PRNGKeyArray

# Draws of (key, shape) by name. Excess kurtoses: 0, −2 (the least there is) and 3.
NOISES: dict[str, Any] = {
    "normal": lambda key, shape: jax.random.normal(key, shape, float),
    "bipolar": lambda key, shape: jax.random.rademacher(key, shape, float),
    "laplace": lambda key, shape: jax.random.laplace(key, shape, float) / 2**0.5,
}


def unit_noise(key: PRNGKeyArray, shape: tuple[int, ...], distribution: str) -> Float[Array, "..."]:
    """Independent numbers of mean 0 and variance 1: "normal", "bipolar" (±1 with equal chances) or "laplace"."""
    return NOISES[distribution](key, shape)
