"""One hidden layer with biases that reads bits and writes gates."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays
from superpos.models.toy import FULL_PRECISION


class BooleanModel(nnx.Module):
    r"""$y' = W_2\, \mathrm{ReLU}(W_1 x + b_1) + b_2$, one output per gate.

    `W1` has shape (n_hidden, n_features), `b1` (n_hidden,), `W2` (n_pairs, n_hidden), `b2` (n_pairs,). The output is linear:
    behind a ReLU of its own every output would be a neuron, and n hidden neurons that pass the features on would solve
    every AND, $\mathrm{ReLU}(x_i + x_j - 1)$.

    Hänni, Mendel, Vaintrob and Chan 2024, "Mathematical Models of Computation in Superposition".
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W1": ("hidden", "feature"),
        "b1": ("hidden",),
        "W2": ("pair", "hidden"),
        "b2": ("pair",),
    }

    def __init__(
        self,
        W1: Any,
        b1: Any,
        W2: Any,
        b2: Any,
    ):
        W1 = arrays.parameter("W1", W1, (None, None))
        W2 = arrays.parameter("W2", W2, (None, W1.shape[0]))
        self.W1: Any = nnx.Param(W1)
        self.b1: Any = nnx.Param(arrays.parameter("b1", b1, (W1.shape[0],)))
        self.W2: Any = nnx.Param(W2)
        self.b2: Any = nnx.Param(arrays.parameter("b2", b2, (W2.shape[0],)))

    def hidden(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_hidden *batch"]:
        """What the hidden layer says of one input of shape (n_features,), or of a batch of them as columns."""
        return jax.nn.relu(_affine(self.W1[...], self.b1[...], arrays.columns("x", x, self.W1.shape[1])))

    def __call__(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_pairs *batch"]:
        """The gates for one input of shape (n_features,), or for a batch of them as columns, (n_pairs, batch)."""
        return _affine(self.W2[...], self.b2[...], self.hidden(x))


def _affine(W: Any, b: Any, x: Any) -> Any:
    return jnp.dot(W, x, precision=FULL_PRECISION) + jnp.reshape(b, (-1,) + (1,) * (x.ndim - 1))
