"""The bottleneck autoencoder of Toy Models of Superposition."""

from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, views
from superpos.models.activations import ACTIVATIONS as ACTIVATIONS
from superpos.models.activations import check_activation
from superpos.models.linear import Linear, own_linear
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
        return self.forward(arrays.columns("x", x, self.W.shape[1]), own_linear(self.matrices))

    @property
    def matrices(self) -> dict[str, Any]:
        """W and its transpose, in the order in which an input meets them."""
        return {"W": self.W[...], "Wᵀ": self.W[...].T}

    def forward(
        self, x: Float[Array, "n_features *batch"], linear: Linear, identities: int = 0
    ) -> Float[Array, "n_features *batch"]:
        r"""$f(A_{W^\top}(A_W(x)) + b)$, where `linear("W", a)` is $A_W(a)$, what stands for W makes of what it reads.

        Between the two may stand so many `identities`, which are called "identity 1" and so on.
        """
        hidden = linear("W", x)
        for k in range(1, identities + 1):
            hidden = linear(f"identity {k}", hidden)
        return ACTIVATIONS[self.activation](self._shifted(linear("Wᵀ", hidden)))

    def _repr_html_(self) -> str:
        return views.draw("html", self)

    def encode(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_hidden *batch"]:
        """The hidden layer $h = Wx$."""
        return product(self.W[...], arrays.columns("x", x, self.W.shape[1]))

    def decode(self, hidden: Float[Array, "n_hidden *batch"]) -> Float[Array, "n_features *batch"]:
        r"""What the activation function is applied to, $W^\top h + b$."""
        hidden = arrays.columns("hidden", hidden, self.W.shape[0])
        return self._shifted(product(self.W[...].T, hidden))

    def _shifted(self, a: Float[Array, "n_features *batch"]) -> Float[Array, "n_features *batch"]:
        return a if self.b is None else a + jnp.reshape(self.b[...], (-1,) + (1,) * (a.ndim - 1))

    def activate(self, hidden: Float[Array, "n_hidden *batch"]) -> Float[Array, "n_features *batch"]:
        r"""The output $f(W^\top h + b)$ for a hidden layer h."""
        return ACTIVATIONS[self.activation](self.decode(hidden))
