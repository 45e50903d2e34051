"""JAX's random bits in plain arithmetic, number by number: what a kernel can draw without an array of keys.

`jax.random` counts the elements of an array from 0, and the bits of each depend on the key and its number alone (Threefry
with `jax_threefry_partitionable`). So a kernel draws any part of a batch by itself.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

from superpos.data.magnitudes import magnitude_of

# Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw 2011, "Parallel Random Numbers: As Easy as 1, 2, 3"): distances
# of the rotations, which alternate every four rounds, and the constant of the key schedule.
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA

Words = tuple[Any, Any]  # two arrays of 32 bits


def threefry(key: Words, counter: Words) -> Words:
    """Threefry-2x32 of a counter: both are pairs of uint32, of any shapes that broadcast."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(PARITY))
    a, b = counter[0] + keys[0], counter[1] + keys[1]
    for round_of_four in range(5):
        for distance in ROTATIONS[round_of_four % 2]:
            a = a + b
            b = a ^ ((b << jnp.uint32(distance)) | (b >> jnp.uint32(32 - distance)))
        a = a + keys[(round_of_four + 1) % 3]
        b = b + keys[(round_of_four + 2) % 3] + jnp.uint32(round_of_four + 1)
    return a, b


def fold_in(key: Words, number: UInt32[Array, ""]) -> Words:
    """`jax.random.fold_in`, on the two words of a key."""
    return threefry(key, (jnp.uint32(0), number))


def bits(key: Words, element: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """The elements of these numbers, below 2³², of `jax.random.bits(key, …, uint32)` of any shape."""
    high, low = threefry(key, (jnp.uint32(0), element))
    return high ^ low


def inputs(u: Float[Array, "..."], p: Any, magnitude: str) -> Float[Array, "..."]:
    """Features of probability p, of numbers u uniform on (0, 1): 0 where u ≥ p."""
    return jnp.where(u < p, magnitude_of(magnitude, u / p), 0.0)


def can_be_drawn() -> bool:
    """Whether JAX, as it is set up, makes the bits that are computed here."""
    usual = jax.config.jax_threefry_partitionable and jax.config.jax_default_prng_impl == "threefry2x32"  # type: ignore[attr-defined]
    return bool(usual)
