"""Sums and products as a kernel's compiler would not make them by itself.

It multiplies and adds in two instructions, where a GPU has one that does both, and it moves additions of whole numbers
about, which makes more of them in a chain of rounds. So both are written as the instructions that they should become.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas import triton


class Arithmetic(NamedTuple):
    """How a kernel computes, on arrays that broadcast."""

    multiply_add: Callable[[Any, Any, Any], Any]  # a b + c, of one model
    add: Callable[[Any, Any], Any]  # of whole numbers of 32 bits, which models share

    @classmethod
    def of(cls, interpret: bool, n_models: int) -> "Arithmetic":
        """That of plain JAX, or of a program of so many models on a GPU."""
        return PLAIN if interpret else ONE_MODEL if n_models == 1 else SEVERAL_MODELS


def _instruction(code: str, n: int, kind: str) -> Callable[..., Any]:
    def of(*operands: Any) -> Any:
        arrays = jnp.broadcast_arrays(*operands)
        (result,) = triton.elementwise_inline_asm(
            f"{code} {', '.join(f'${k}' for k in range(n + 1))};",
            args=arrays,
            constraints=f"={kind}{f',{kind}' * n}",
            pack=1,
            result_shape_dtypes=[jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)],
        )
        return result

    return of


def _of_models(instruction: Callable[..., Any]) -> Callable[..., Any]:
    """The same for numbers of one model: a `vmap`, which knows no instructions, maps it over the models of a program."""
    one = jax.custom_batching.custom_vmap(instruction)

    @one.def_vmap
    def _(axis_size: int, batched: Any, *operands: Any) -> Any:
        rank = max(jnp.ndim(o) + (not b) for o, b in zip(operands, batched, strict=True))

        def lead(operand: Any, is_batched: bool) -> Any:
            operand = operand if is_batched else operand[None]
            return jnp.expand_dims(operand, range(1, 1 + rank - operand.ndim))

        return instruction(*map(lead, operands, batched)), True

    return one


_add_signed = _instruction("add.s32", 2, "r")  # the same bits; instructions take no unsigned numbers


def _add(a: Any, b: Any) -> Any:
    return _add_signed(a.astype(jnp.int32), b.astype(jnp.int32)).astype(jnp.uint32)


PLAIN = Arithmetic(lambda a, b, c: c + a * b, lambda a, b: a + b)
_multiply_add = _instruction("fma.rn.f32", 3, "f")
ONE_MODEL, SEVERAL_MODELS = Arithmetic(_multiply_add, _add), Arithmetic(_of_models(_multiply_add), _add)
