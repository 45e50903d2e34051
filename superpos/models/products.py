"""Products of a small matrix with a batch, in all bits of float32, in the form that suits the platform."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

# Accelerators multiply float32 matrices in TF32 or bfloat16 unless told otherwise.
FULL_PRECISION = jax.lax.Precision.HIGHEST

GPUS = ("gpu", "cuda", "rocm")

# A matrix of up to so many numbers is multiplied as a sum on a GPU. Measured by compiling 5→2 and 20→5 for an H100: a step
# then moves less than half the bytes.
FEW_NUMBERS = 128

_platform: ContextVar[str | None] = ContextVar("platform", default=None)


@contextmanager
def traced_for(platform: str) -> Iterator[None]:
    """Programs that are traced inside are for this platform, wherever they are traced."""
    token = _platform.set(platform)
    try:
        yield
    finally:
        _platform.reset(token)


def is_gpu() -> bool:
    """Whether what is traced now is for a GPU."""
    return _platform.get() in GPUS


def product(matrix: Any, x: Any) -> Any:
    r"""$Ax$ for A (rows, columns) and x (columns, …).

    On a GPU a matrix product is a kernel of its own: what goes in and what comes out pass through memory. A sum of a few
    products is fused with what is around it instead, so there a small matrix is multiplied so.
    """
    if is_gpu() and matrix.size <= FEW_NUMBERS:
        return jnp.sum(matrix.reshape(*matrix.shape, *(1,) * (x.ndim - 1)) * x[None], axis=1)
    return jnp.dot(matrix, x, precision=FULL_PRECISION)


def dot(a: Any, b: Any) -> Any:
    """The product of two matrices in full precision, as a product on every platform."""
    return jnp.dot(a, b, precision=FULL_PRECISION)
