"""One hidden layer, read out linearly by any number of outputs."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays
from superpos.models.toy import FULL_PRECISION


class MixedModel(nnx.Module):
    r"""$y' = W_2 h + b$ with $h = \mathrm{ReLU}(W_1 x)$, and as many outputs as are asked for.

    `W1` has shape (n_hidden, n_features), `W2` (n_outputs, n_hidden), `b` (n_outputs,). As in `ComputationModel` there is no
    bias on the hidden layer. Outputs have no ReLU: what is not linear is done by hidden neurons alone.
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W1": ("hidden", "feature"),
        "W2": ("output", "hidden"),
        "b": ("output",),
    }

    def __init__(self, W1: Any, W2: Any, b: Any):
        W1 = arrays.parameter("W1", W1, (None, None))
        W2 = arrays.parameter("W2", W2, (None, W1.shape[0]))
        self.W1: Any = nnx.Param(W1)
        self.W2: Any = nnx.Param(W2)
        self.b: Any = nnx.Param(arrays.parameter("b", b, (W2.shape[0],)))

    def hidden(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_hidden *batch"]:
        """What the hidden layer says of one input of shape (n_features,), or of a batch of them as columns."""
        return jax.nn.relu(jnp.dot(self.W1[...], arrays.columns("x", x, self.W1.shape[1]), precision=FULL_PRECISION))

    def __call__(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_outputs *batch"]:
        """The outputs for one input of shape (n_features,), or for a batch of them as columns, (n_outputs, batch)."""
        hidden = self.hidden(x)
        bias = jnp.reshape(self.b[...], (-1,) + (1,) * (hidden.ndim - 1))
        return jnp.dot(self.W2[...], hidden, precision=FULL_PRECISION) + bias
