"""The uniform numbers that inputs are made of: a program of a kernel draws some of a step's, for all models of a seed."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, Integer

from superpos.data.distribution import unit_uniform_of
from superpos.training.kernels import draws
from superpos.training.kernels.call import call

TOGETHER = 1_024  # numbers of a program
WARPS = 4


def programs_per_step(n_features: int, batch_size: int) -> int:
    """Programs that draw for one step."""
    return -(-n_features * batch_size // TOGETHER)


def uniform_numbers(
    key: Any, span: Integer[Array, " n"], offset: int, sizes: tuple[int, int, int], *, interpret: bool
) -> Float[Array, "n_steps n_features batch_size"]:
    """Those of `sizes` = (n_steps, n_features, batch_size) from step `offset + span[0]` on.

    Of each step `unit_uniform(fold_in(key, step), (n_features, batch_size))`. `key` has the two words of the seed's key.
    """
    n_steps, n_features, batch_size = sizes
    size = n_features * batch_size

    def program(key: Any, span: Any, u: Any) -> None:
        element = pl.program_id(1) * TOGETHER + jnp.arange(TOGETHER, dtype=jnp.int32)
        step = (span[0] + offset + pl.program_id(0)).astype(jnp.uint32)
        drawn = unit_uniform_of(draws.bits(draws.fold_in((key[0], key[1]), step), element.astype(jnp.uint32)))
        triton.store(u.at[element], drawn, mask=None if size % TOGETHER == 0 else element < size)

    grid = (n_steps, programs_per_step(n_features, batch_size))
    numbers = jax.ShapeDtypeStruct((n_steps, size), jnp.float32)
    u = call("draw_inputs", program, grid, [(key, 0), (span, 0)], [(numbers, 1)], warps=WARPS, interpret=interpret)
    return u.reshape(sizes)
