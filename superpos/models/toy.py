"""The bottleneck autoencoder of Toy Models of Superposition."""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, views
from superpos.models.activations import ACTIVATIONS as ACTIVATIONS
from superpos.models.activations import check_activation
from superpos.models.products import FULL_PRECISION as FULL_PRECISION
from superpos.models.products import product


class ToyModel(nnx.Module):
    r"""$x' = f(W^\top W x + b)$ with f = ReLU, identity, GELU or one of one's own (`register_activation`).

    `W` has shape (n_hidden, n_features): column `W[:, i]` is the direction of feature i. `b` has shape (n_features,),
    or is None. Encoder and decoder are tied by computation: one leaf, used twice.

    Elhage et al. 2022, "Demonstrating Superposition". The published notebook keeps (instance, n_features, n_hidden):
    its rows are these columns.
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {"W": ("hidden", "feature"), "b": ("feature",)}

    def __init__(
        self,
        W: Any,
        b: Any = None,
        *,
        activation: str = "relu",
    ):
        check_activation(activation)
        W = arrays.parameter("W", W, (None, None))
        self.W = nnx.Param(W)
        self.b = None if b is None else nnx.Param(arrays.parameter("b", b, (W.shape[1],), optional=True))
        self.activation = activation

    def __call__(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_features *batch"]:
        """Reconstruct one input of shape (n_features,), or a batch of them as columns, (n_features, batch).

        Columns, because W @ x then is one matrix product whose long axis is contiguous: twice as fast on a CPU as
        mapping over single inputs, and five times as fast as inputs in rows.
        """
        return self.activate(self.encode(x))

    def _repr_html_(self) -> str:
        return views.draw("html", self)

    def encode(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_hidden *batch"]:
        """The hidden layer $h = Wx$."""
        return product(self.W[...], arrays.columns("x", x, self.W.shape[1]))

    def decode(self, hidden: Float[Array, "n_hidden *batch"]) -> Float[Array, "n_features *batch"]:
        r"""What the activation function is applied to, $W^\top h + b$."""
        hidden = arrays.columns("hidden", hidden, self.W.shape[0])
        pre_activation = product(self.W[...].T, hidden)
        if self.b is not None:
            pre_activation += jnp.reshape(self.b[...], (-1,) + (1,) * (hidden.ndim - 1))
        return pre_activation

    def activate(self, hidden: Float[Array, "n_hidden *batch"]) -> Float[Array, "n_features *batch"]:
        r"""The output $f(W^\top h + b)$ for a hidden layer h."""
        return ACTIVATIONS[self.activation](self.decode(hidden))
