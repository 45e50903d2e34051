"""A residual stream and one hidden layer that adds to it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays
from superpos.data.directions import random_directions
from superpos.models.linear import Linear, own_linear
from superpos.models.products import FULL_PRECISION, dot


class ResidualMLP(nnx.Module):
    r"""$y' = W_E^\top (W_E x + W_\text{out}\, \mathrm{ReLU}(W_\text{in} W_E x))$, without biases.

    `W_in` has shape (n_hidden, n_residual), `W_out` (n_residual, n_hidden). The embedding $W_E$, (n_residual, n_features),
    has random unit columns that are drawn from `embedding_seed` and never trained. With `n_residual` = 0 every feature is a
    dimension of the residual stream, $W_E = I$ and n_residual counts as n_features.

    Braun et al. 2025, "Interpretability in Parameter Space", the toy model of compressed computation.
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {"W_in": ("hidden", "residual"), "W_out": ("residual", "hidden")}

    def __init__(
        self,
        W_in: Any,
        W_out: Any,
        *,
        n_features: int,
        n_residual: int = 0,
        embedding_seed: int = 0,
    ):
        W_in = arrays.parameter("W_in", W_in, (None, None))
        self.W_in: Any = nnx.Param(W_in)
        self.W_out: Any = nnx.Param(arrays.parameter("W_out", W_out, W_in.shape[::-1]))
        self.n_features = n_features
        self.n_residual = n_residual
        self.embedding_seed = embedding_seed

    def embedding(self) -> Float[Array, "n_residual n_features"] | None:
        """The fixed $W_E$; None for the identity."""
        return embedding(self.n_residual, self.n_features, self.embedding_seed)

    def between_features(
        self, W_E: Float[Array, "n_residual n_features"] | None
    ) -> tuple[Float[Array, "n_hidden n_features"], Float[Array, "n_features n_hidden"]]:
        r"""What the hidden layer reads from features and writes to them: $W_\text{in} W_E$ and $W_E^\top W_\text{out}$."""
        if W_E is None:
            return self.W_in[...], self.W_out[...]
        return (
            jnp.dot(self.W_in[...], W_E, precision=FULL_PRECISION),
            jnp.dot(W_E.T, self.W_out[...], precision=FULL_PRECISION),
        )

    def hidden_part(
        self, x: Float[Array, "n_features *batch"], W_E: Float[Array, "n_residual n_features"] | None
    ) -> Float[Array, "n_features *batch"]:
        """What the hidden layer adds to the outputs. Weights meet the embedding first, which is exact and far cheaper."""
        read, write = self.between_features(W_E)
        return self._layer(x, own_linear({"W_in": read, "W_out": write}, dot))

    def __call__(self, x: Float[Array, "n_features *batch"]) -> Float[Array, "n_features *batch"]:
        """The output for one input of shape (n_features,), or for a batch of them as columns."""
        W_E, x = self.embedding(), arrays.columns("x", x, self.n_features)
        stream = x if W_E is None else x + jnp.dot(overlaps(W_E), x, precision=FULL_PRECISION)
        return stream + self.hidden_part(x, W_E)

    @property
    def matrices(self) -> dict[str, Any]:
        """W_in and W_out, in the order in which an input meets them; the embedding is part of the network."""
        return {"W_in": self.W_in[...], "W_out": self.W_out[...]}

    def forward(self, x: Float[Array, "n_features batch"], linear: Linear) -> Float[Array, "n_features batch"]:
        r"""$W_E^\top (h + A_\text{out}(\mathrm{ReLU}(A_\text{in}(h))))$ with $h = W_E x$ and $A$ = `linear(name, ·)`.

        What stands for a matrix reads the stream. `__call__`, which knows the matrices, has the weights meet the embedding
        first instead.
        """
        with jax.ensure_compile_time_eval():  # a constant of the program, not drawn anew at every step
            W_E = self.embedding()
        stream = x if W_E is None else dot(W_E, x)
        stream = stream + self._layer(stream, linear)
        return stream if W_E is None else dot(W_E.T, stream)

    def in_features(self) -> "ResidualMLP | InFeatures":
        """The same network with matrices that read and write features, as narrow as there are features."""
        with jax.ensure_compile_time_eval():
            W_E = self.embedding()
            seen = None if W_E is None else overlaps(W_E)
        return self if seen is None else InFeatures(*self.between_features(W_E), seen)

    def _layer(self, a: Float[Array, "read *batch"], linear: Linear) -> Float[Array, "written *batch"]:
        """What the hidden layer writes for what it reads."""
        return linear("W_out", jax.nn.relu(linear("W_in", a)))


@dataclass(frozen=True)
class InFeatures:
    r"""A `ResidualMLP` whose weights have met the embedding: $y' = x + Mx + A_\text{out}(\mathrm{ReLU}(A_\text{in}(x)))$.

    $A_\text{in} = W_\text{in} W_E$ (`read`), $A_\text{out} = W_E^\top W_\text{out}$ (`write`), and $M$ are the `overlaps`
    (`seen`). A step forms these products once, and no input passes through the stream, which may be far wider.
    """

    read: Float[Array, "n_hidden n_features"]
    write: Float[Array, "n_features n_hidden"]
    seen: Float[Array, "n_features n_features"]

    @property
    def matrices(self) -> dict[str, Any]:
        """As those of the network, by the same names."""
        return {"W_in": self.read, "W_out": self.write}

    def forward(self, x: Float[Array, "n_features batch"], linear: Linear) -> Float[Array, "n_features batch"]:
        """The network's output, where `linear(name, a)` is what stands for a matrix, in features."""
        return x + dot(self.seen, x) + linear("W_out", jax.nn.relu(linear("W_in", x)))


def embedding(n_residual: int, n_features: int, seed: int) -> Float[Array, "n_residual n_features"] | None:
    """Random unit columns, the same for the same sizes and seed; None where n_residual is 0, for the identity."""
    return random_directions(jax.random.key(seed), n_residual, n_features) if n_residual else None


def overlaps(W_E: Float[Array, "n_residual n_features"]) -> Float[Array, "n_features n_features"]:
    r"""$W_E^\top W_E - I$: by how much each feature is seen in the place of another; about 1/√n_residual, diagonal 0."""
    return jnp.fill_diagonal(jnp.dot(W_E.T, W_E, precision=FULL_PRECISION), 0.0, inplace=False)
