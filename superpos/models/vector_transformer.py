"""Layers of self-attention over tokens that are vectors."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION

ATTENTION = ("linear", "softmax")


class VectorTransformer(nnx.Module):
    r"""Self-attention over vectors $z = (x, y)$: N examples, and a query whose y is asked for, $z_q = (x_q, 0)$.

    With the tokens as the columns of Z, and those of the examples alone of $Z_e$, every layer adds what its heads h read:

    $$Z \leftarrow Z + \sum_h P_h Z_e A_h, \qquad A_h = \tfrac1N Z_e^\top Q_h Z,$$

    or with `attention="softmax"` $A_h = \mathrm{softmax}(Z_e^\top Q_h Z)$, whose columns sum to 1. The answer is minus the
    last coordinate of the query after the last layer. So a layer that lowers each example's y by what it says of it, to
    $y_i - \hat w \cdot x_i$, lowers the query's from 0 to $-\hat w \cdot x_q$. Nothing attends to the query. There are no
    positions: the answer does not depend on the order of the examples. Linear attention sees of them only their second
    moments $G = \frac1N Z_e Z_e^\top$, and multiplies every token by $1 + \sum_h P_h G Q_h$.

    `P` (what is written) and `Q` (keys and queries in one matrix) have shape (n_layers, n_heads, D, D), with D the number of
    coordinates of a token.

    von Oswald et al. 2022, "Transformers learn in-context by gradient descent", section 2; Ahn et al. 2023, "Transformers
    learn to implement preconditioned gradient descent for in-context learning", section 2.
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "P": ("layer", "head", "coordinate", "example_coordinate"),
        "Q": ("layer", "head", "example_coordinate", "coordinate"),
    }

    def __init__(self, P: Any, Q: Any, *, attention: str = "linear"):
        check.one_of("attention", attention, ATTENTION)
        P = arrays.parameter("P", P, (None, None, None, None))
        if P.shape[2] != P.shape[3]:
            raise ConfigError(
                f"P must be of shape (n_layers, n_heads, D, D), one square matrix per head; got {P.shape}."
            )
        self.P: Any = nnx.Param(P)
        self.Q: Any = nnx.Param(arrays.parameter("Q", Q, P.shape))
        self.attention = attention

    def __call__(self, tokens: Any, present: Any = None) -> Float[Array, "*batch"]:
        """What the model says of the query, the last column of the tokens, of one sequence or of a batch of them.

        `tokens` have shape (D, n_tokens), or (D, n_tokens, batch). `present`, (n_examples,) or (n_examples, batch), is 1 for
        every example that is there and 0 for the others, which are as if they were not given.

        Raises:
            ConfigError: the tokens have not D rows and two columns or more, or `present` has another shape.
        """
        z, present = self._checked(tokens, present)
        examples, query = z[:, :-1], z[:, -1:]
        n_layers = self.P.shape[0]
        if self.attention == "linear":
            # Through the moments, as there are fewer of them than tokens: several times as fast.
            moments = _moments(examples, present)
            for layer in range(n_layers):
                added = self._map(layer, moments)
                query = query + _dot("ij...,jm...->im...", added, query)
                if layer < n_layers - 1:
                    moved = moments + _dot("ij...,jk...->ik...", added, moments)
                    moments = moved + _dot("ij...,kj...->ik...", moved, added)
        else:
            for layer in range(n_layers):
                reading = query if layer == n_layers - 1 else z
                z = reading + self._added(layer, z[:, :-1], reading, present)
                query = z[:, -1:]
        return -query[-1, 0]

    def layer(self, layer: int, tokens: Any, present: Any = None) -> Float[Array, "coordinate n_tokens *batch"]:
        """The tokens after one layer, of those before it; `__call__` applies all layers in turn and reads the query.

        Raises:
            ConfigError: as `__call__`, and for a layer that the model does not have.
        """
        check.integer("layer", layer, at_most=self.P.shape[0] - 1)
        z, present = self._checked(tokens, present)
        if self.attention == "linear":
            return z + _dot("ij...,jm...->im...", self._map(layer, _moments(z[:, :-1], present)), z)
        return z + self._added(layer, z[:, :-1], z, present)

    def _map(self, layer: int, moments: Array) -> Float[Array, "coordinate coordinate *batch"]:
        """The matrix Σ_h P_h G Q_h by which linear attention maps a token to what is added to it."""
        return _dot("hij,jk...,hkl->il...", self.P[layer], moments, self.Q[layer])

    def _added(self, layer: int, examples: Array, reading: Array, present: Array) -> Array:
        """What the heads of a layer of softmax attention add at the columns `reading`."""
        scores = _dot("in...,hij,jm...->hnm...", examples, self.Q[layer], reading)
        pattern = jax.nn.softmax(jnp.where(present[None, :, None] > 0, scores, -jnp.inf), axis=1)
        return _dot("hij,jn...,hnm...->im...", self.P[layer], examples, pattern)

    def _checked(self, tokens: Any, present: Any) -> tuple[Array, Array]:
        z = jnp.asarray(arrays.as_array("tokens", tokens, ndim=(2, 3), finite=False))
        if z.shape[0] != self.P.shape[-1] or z.shape[1] < 2:
            raise ConfigError(
                f"tokens must have {self.P.shape[-1]} rows and two columns or more, examples and a query; got an array of "
                f"shape {z.shape}."
            )
        shape = (z.shape[1] - 1, *z.shape[2:])
        if present is None:
            return z, jnp.ones(shape, z.dtype)
        return z, jnp.asarray(arrays.as_array("present", present, shape=shape), z.dtype)


def _moments(examples: Array, present: Array) -> Float[Array, "coordinate coordinate *batch"]:
    """Second moments of the examples that are there."""
    shares = present / jnp.sum(present, axis=0, keepdims=True)
    return _dot("in...,kn...->ik...", examples * shares[None], examples)


def _dot(subscripts: str, *operands: Any) -> Array:
    return jnp.einsum(subscripts, *operands, precision=FULL_PRECISION)
