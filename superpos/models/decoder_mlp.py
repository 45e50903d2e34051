"""One hidden layer with biases that reads features from a fixed random projection."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.data.directions import random_directions
from superpos.models.toy import FULL_PRECISION


class DecoderMLP(nnx.Module):
    r"""$x' = W_\text{out}\, \mathrm{ReLU}(W_\text{in} P x + b_\text{in})$, with a fixed projection P.

    `W_in` has shape (n_hidden, n_inputs), `b_in` (n_hidden,), `W_out` (n_features, n_hidden). The columns of P, of shape
    (n_inputs, n_features), are random unit directions that are drawn from `projection_seed` and never trained. There is no
    bias on the output, and no ReLU.

    Jermyn, Schiefer and Hubinger 2022, "Engineering Monosemanticity in Toy Models", the feature decoder.
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W_in": ("hidden", "input"),
        "b_in": ("hidden",),
        "W_out": ("feature", "hidden"),
    }

    def __init__(self, W_in: Any, b_in: Any, W_out: Any, *, projection_seed: int = 0):
        check.integer("projection_seed", projection_seed)
        W_in = arrays.parameter("W_in", W_in, (None, None))
        self.W_in: Any = nnx.Param(W_in)
        self.b_in: Any = nnx.Param(arrays.parameter("b_in", b_in, (W_in.shape[0],)))
        self.W_out: Any = nnx.Param(arrays.parameter("W_out", W_out, (None, W_in.shape[0])))
        self.projection_seed = projection_seed

    def projection(self) -> Float[Array, "n_inputs n_features"]:
        """The fixed P: random unit columns, the same for the same sizes and seed."""
        sizes = self.W_in.shape[1], self.W_out.shape[0]
        with jax.ensure_compile_time_eval():  # a constant of a program, not drawn anew at every step
            return random_directions(jax.random.key(self.projection_seed), *sizes)

    def hidden(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_hidden *batch"]:
        """What the hidden layer says of one input of shape (n_features,), or of a batch of them as columns."""
        x = arrays.columns("x", x, self.W_out.shape[0])
        inputs = jnp.dot(self.projection(), x, precision=FULL_PRECISION)
        bias = jnp.reshape(self.b_in[...], (-1,) + (1,) * (x.ndim - 1))
        return jax.nn.relu(jnp.dot(self.W_in[...], inputs, precision=FULL_PRECISION) + bias)

    def __call__(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_features *batch"]:
        """The output for one input of shape (n_features,), or for a batch of them as columns, (n_features, batch)."""
        return jnp.dot(self.W_out[...], self.hidden(x), precision=FULL_PRECISION)
