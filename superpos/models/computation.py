"""One hidden layer that computes a function of every feature."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.models.linear import Linear, own_linear
from superpos.models.products import dot
from superpos.models.toy import ACTIVATIONS

# Functions of the hidden layer by name, (n_hidden, *batch) to the same shape; softmax units see all neurons at once.
HIDDEN_ACTIVATIONS = {
    **{name: ACTIVATIONS[name] for name in ("relu", "identity", "gelu")},
    "solu": lambda a: a * jax.nn.softmax(a, axis=0),
}


class ComputationModel(nnx.Module):
    r"""$y' = \mathrm{ReLU}(W_2 h + b)$ with $h = \sigma(W_1 x)$, σ = ReLU, identity, GELU or SoLU.

    Untied: leaves `W1` of shape (n_hidden, n_features) and `W2` of shape (n_features, n_hidden). Tied, which is built by
    leaving `W2` out: $W_1 = W$ and $W_2 = W^\top$ with one leaf `W` of shape (n_hidden, n_features), used twice. `b` has
    shape (n_features,), or is None. Parameters that a model does not have are None.

    The hidden layer has no bias: with one the model shifts itself into the range where ReLU is linear, and its neurons
    mean nothing. With σ = identity and tied weights this is the `ToyModel` with ReLU output.

    SoLU is $a \odot \mathrm{softmax}(a)$ over the neurons, without the normalisation that transformers put behind it, and
    GELU its approximation by tanh. Neither is homogeneous, so which features a neuron serves is not read off the weights
    alone: see `superpos.analysis.served_features`.

    Elhage et al. 2022, "Superposition in a Privileged Basis" (tied) and "Computation in Superposition" (untied); Elhage et
    al. 2022, "Softmax Linear Units" (SoLU); Hendrycks and Gimpel 2016, "Gaussian Error Linear Units (GELUs)".
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W": ("hidden", "feature"),
        "W1": ("hidden", "feature"),
        "W2": ("feature", "hidden"),
        "b": ("feature",),
    }

    def __init__(
        self,
        W1: Any,
        W2: Any = None,
        b: Any = None,
        *,
        hidden_activation: str = "relu",
    ):
        check.one_of("hidden_activation", hidden_activation, tuple(HIDDEN_ACTIVATIONS))
        tied, W1 = W2 is None, arrays.parameter("W1", W1, (None, None))
        W2 = arrays.parameter("W2", W2, W1.shape[::-1], optional=True)
        b = arrays.parameter("b", b, (W1.shape[1],), optional=True)
        self.W: Any = nnx.Param(W1) if tied else None
        self.W1: Any = None if tied else nnx.Param(W1)
        self.W2: Any = None if tied else nnx.Param(W2)
        self.b = None if b is None else nnx.Param(b)
        self.hidden_activation = hidden_activation

    @property
    def matrices(self) -> dict[str, Any]:
        """W1 and W2, or W and its transpose where they are tied, in the order in which an input meets them."""
        if self.W is None:
            return {"W1": self.W1[...], "W2": self.W2[...]}
        return {"W": self.W[...], "Wᵀ": self.W[...].T}

    def hidden(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_hidden *batch"]:
        """What the hidden layer says of one input of shape (n_features,), or of a batch of them as columns."""
        return self._hidden(arrays.columns("x", x, self._n_features), own_linear(self.matrices, dot))

    def __call__(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_features *batch"]:
        """The output for one input of shape (n_features,), or for a batch of them as columns, (n_features, batch)."""
        return self.forward(arrays.columns("x", x, self._n_features), own_linear(self.matrices, dot))

    def forward(self, x: Float[Array, "n_features *batch"], linear: Linear) -> Float[Array, "n_features *batch"]:
        r"""$\mathrm{ReLU}(A_2(\sigma(A_1(x))) + b)$, where `linear(name, a)` is $A(a)$ of a matrix by its name."""
        _, second = self.matrices
        a = linear(second, self._hidden(x, linear))
        return ACTIVATIONS["relu"](a if self.b is None else a + jnp.reshape(self.b[...], (-1,) + (1,) * (a.ndim - 1)))

    def _hidden(self, x: Float[Array, "n_features *batch"], linear: Linear) -> Float[Array, "n_hidden *batch"]:
        first, _ = self.matrices
        return HIDDEN_ACTIVATIONS[self.hidden_activation](linear(first, x))

    @property
    def _n_features(self) -> int:
        return (self.W1 if self.W is None else self.W).shape[1]
