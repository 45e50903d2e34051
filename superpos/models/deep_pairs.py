"""One or two hidden layers that compute one number of every pair of features, read out linearly."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays
from superpos.models.toy import FULL_PRECISION


class DeepPairModel(nnx.Module):
    r"""$y' = W_{out} h_2 + b$, $h_2 = \mathrm{ReLU}(W_2 h_1)$ and $h_1 = \mathrm{ReLU}(W_1 x)$; without `W2`, $h_2 = h_1$.

    `W1` has shape (n_hidden, n_features), `W2` (n_second, n_hidden) or None, `W_out` (n_pairs, neurons of the last layer) and
    `b` (n_pairs,). Hidden layers have no bias, as in `ComputationModel`, and outputs no ReLU: what is not linear is done by
    neurons alone.
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W1": ("hidden", "feature"),
        "W2": ("second", "hidden"),
        "W_out": ("pair", "last"),
        "b": ("pair",),
    }

    def __init__(self, W1: Any, W2: Any, W_out: Any, b: Any):
        W1 = arrays.parameter("W1", W1, (None, None))
        W2 = arrays.parameter("W2", W2, (None, W1.shape[0]), optional=True)
        W_out = arrays.parameter("W_out", W_out, (None, (W1 if W2 is None else W2).shape[0]))
        self.W1: Any = nnx.Param(W1)
        self.W2: Any = None if W2 is None else nnx.Param(W2)
        self.W_out: Any = nnx.Param(W_out)
        self.b: Any = nnx.Param(arrays.parameter("b", b, (W_out.shape[0],)))

    def hidden(self, x: Float[Array, "n_features *batch"]) -> tuple[Float[Array, "_ *batch"], ...]:
        """What every hidden layer says of one input of shape (n_features,), or of a batch of them as columns."""
        first = jax.nn.relu(jnp.dot(self.W1[...], arrays.columns("x", x, self.W1.shape[1]), precision=FULL_PRECISION))
        if self.W2 is None:
            return (first,)
        return first, jax.nn.relu(jnp.dot(self.W2[...], first, precision=FULL_PRECISION))

    def __call__(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_pairs *batch"]:
        """The output for one input of shape (n_features,), or for a batch of them as columns, (n_pairs, batch)."""
        last = self.hidden(x)[-1]
        bias = jnp.reshape(self.b[...], (-1,) + (1,) * (last.ndim - 1))
        return jnp.dot(self.W_out[...], last, precision=FULL_PRECISION) + bias
