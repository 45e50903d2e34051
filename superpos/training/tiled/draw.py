"""The uniform numbers of a step, which all models of a block share: a program of a kernel draws some of them."""

from typing import Any

import jax.numpy as jnp
from jax.experimental.pallas import triton

from superpos.data.distribution import unit_uniform_of
from superpos.training.fused import draws

TOGETHER = 1_024  # numbers of a program


def draw(program: Any, key: Any, number: Any, u: Any) -> None:
    """Write the numbers of a program into `u`, which is as long as the batch has features and samples.

    `key` has the two words of the seed's key, `number` is that of the step.
    """
    element = program * TOGETHER + jnp.arange(TOGETHER, dtype=jnp.int32)
    step_key = draws.fold_in((key[0], key[1]), number.astype(jnp.uint32))
    drawn = unit_uniform_of(draws.bits(step_key, element.astype(jnp.uint32)))
    triton.store(u.at[element], drawn, mask=None if u.size % TOGETHER == 0 else element < u.size)
