"""A product and a sum as a kernel's compiler would not make them by itself.

It multiplies and adds in two instructions, where a GPU has one that does both.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas import triton


def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """a b + c in one instruction of a GPU, rounded once, of arrays that broadcast."""
    arrays = jnp.broadcast_arrays(a, b, c)
    (result,) = triton.elementwise_inline_asm(
        "fma.rn.f32 $0, $1, $2, $3;",
        args=arrays,
        constraints="=f,f,f,f",
        pack=1,
        result_shape_dtypes=[jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)],
    )
    return result
