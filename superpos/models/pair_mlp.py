"""A layer of neurons that reads two numbers, each by a table of its own."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.models.toy import FULL_PRECISION

NEURONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"square": jnp.square, "relu": jax.nn.relu, "gelu": jax.nn.gelu}
)


class PairMLP(nnx.Module):
    r"""$z_c(a, b) = \sum_k W^{out}_{ck}\, f(A_{ka} + B_{kb})$: two one-hot inputs, n_hidden neurons, an output per answer.

    `A` and `B` have shape (n_hidden, p), `W_out` (p, n_hidden). f is the square, the ReLU or the GELU. There are no biases.

    Gromov 2023, "Grokking modular arithmetic", section 2 (with the square).
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "A": ("neuron", "number"),
        "B": ("neuron", "number"),
        "W_out": ("answer", "neuron"),
    }

    def __init__(self, A: Any, B: Any, W_out: Any, *, hidden_activation: str = "square"):
        check.one_of("hidden_activation", hidden_activation, tuple(NEURONS))
        A = arrays.parameter("A", A, (None, None))
        self.A: Any = nnx.Param(A)
        self.B: Any = nnx.Param(arrays.parameter("B", B, A.shape))
        self.W_out: Any = nnx.Param(arrays.parameter("W_out", W_out, (None, A.shape[0])))
        self.hidden_activation = hidden_activation

    def neurons(self, pre: Float[Array, "*pairs neuron"]) -> Float[Array, "*pairs neuron"]:
        """What the neurons say, after the activation, of their inputs A_ka + B_kb."""
        return NEURONS[self.hidden_activation](pre)

    def answers(self, post: Float[Array, "*pairs neuron"]) -> Float[Array, "*pairs answer"]:
        """The logits that follow from what the neurons say."""
        return jnp.dot(post, self.W_out[...].T, precision=FULL_PRECISION)

    def __call__(self, a: Any, b: Any) -> Float[Array, "*pairs answer"]:
        """Logits of the sum of two numbers from 0 to p − 1, or of arrays of them."""
        return self.answers(self.neurons(jnp.asarray(self.A[...].T)[a] + jnp.asarray(self.B[...].T)[b]))
