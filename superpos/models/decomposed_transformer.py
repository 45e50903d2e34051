"""The matrices of a transformer as sums of rank-one subcomponents, and networks that say which of them a position needs."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Integer

from superpos import arrays
from superpos.models.decomposition import gates
from superpos.models.products import FULL_PRECISION
from superpos.models.transformer import Transformer

HEADS, MLP = ("W_Q", "W_K", "W_V", "W_O"), ("W_in", "W_out")
ROLES = (*HEADS, *MLP)

# What V makes of what a matrix reads, and what U makes of that, of one layer.
READ = {
    **dict.fromkeys(("W_Q", "W_K", "W_V"), "pd,hcd->hpc"),
    "W_O": "hpe,hce->hpc",
    **dict.fromkeys(MLP, "pd,hcd->hpc"),
}
WRITE = {
    **dict.fromkeys(("W_Q", "W_K", "W_V"), "hpc,hec->hpe"),
    "W_O": "hpc,hdc->pd",
    **dict.fromkeys(MLP, "hpc,hec->pe"),
}
# The same of the matrices themselves, weighted by a number for every head and position.
WEIGHTED = {
    **dict.fromkeys(("W_Q", "W_K", "W_V"), "pd,hde,hp->hpe"),
    "W_O": "hpe,hed,hp->pd",
    **dict.fromkeys(MLP, "pd,hde,hp->pe"),
}


class OfTarget(NamedTuple):
    """What one forward pass of the target gives: inner activations of every matrix, and the logits."""

    inner: Float[Array, "matrix C batch"]  # the batch is that of sequences and their positions
    logits: Float[Array, "sequence position token"]


class DecomposedTransformer(nnx.Module):
    r"""Matrices of a `Transformer` as sums of C rank-one subcomponents, $W \approx \sum_c \vec V_c \vec U_c^\top$.

    Taken apart are $W_Q, W_K, W_V, W_O$ of every head, and $W_{in}$ and $W_{out}$ of every MLP. Embeddings, biases and the
    unembedding stay the target's. A transformer's matrices multiply from the right, so subcomponent c reads
    $h_c = \vec V_c \cdot x$ of a position x and adds $h_c \vec U_c$. For a role such as Q, `V_Q` has shape (layer, head, C,
    residual) and `U_Q` (layer, head, head_dimension, C); those of the MLP have one head.

    The matrices are counted by role, then layer, then head (`names`). How much a position needs a subcomponent is its causal
    importance, $g = \sigma_H(\gamma(h))$, from the networks of `models.Decomposition` for what the *target* gives the matrix
    to read there: one for every subcomponent, or a shared one for every matrix. Their leaves lead with the matrix.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition"; the authors' later code decomposes language models
    so, with one matrix for all heads of a layer, where here each head has its own.
    """

    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        **dict.fromkeys(("V_Q", "V_K", "V_V"), ("layer", "head", "subcomponent", "residual")),
        **dict.fromkeys(("U_Q", "U_K", "U_V"), ("layer", "head", "head_dimension", "subcomponent")),
        "V_O": ("layer", "head", "subcomponent", "head_dimension"),
        "U_O": ("layer", "head", "residual", "subcomponent"),
        "V_in": ("layer", "mlp", "subcomponent", "residual"),
        "U_in": ("layer", "mlp", "neuron", "subcomponent"),
        "V_out": ("layer", "mlp", "subcomponent", "neuron"),
        "U_out": ("layer", "mlp", "residual", "subcomponent"),
        "gate_out_bias": ("matrix", "subcomponent"),
    }

    def __init__(
        self,
        U: Mapping[str, Any],
        V: Mapping[str, Any],
        gate_in: Any,
        gate_in_bias: Any,
        gate_out: Any,
        gate_out_bias: Any,
        *,
        exponent: Any = None,
    ):
        self.roles = tuple(role for role in ROLES if role in V)
        for role in ROLES:
            name = role.removeprefix("W_")
            given = role in V
            v = arrays.parameter(f"V_{name}", V[role], (None, None, None, None)) if given else None
            u = None if v is None else arrays.parameter(f"U_{name}", U[role], (*v.shape[:2], None, v.shape[2]))
            setattr(self, f"V_{name}", None if v is None else nnx.Param(v))
            setattr(self, f"U_{name}", None if u is None else nnx.Param(u))
        count = sum(V[role].shape[0] * V[role].shape[1] for role in self.roles)
        self.gate_in: Any = nnx.Param(arrays.as_array("gate_in", gate_in, ndim=3, finite=False))
        self.gate_in_bias: Any = nnx.Param(arrays.as_array("gate_in_bias", gate_in_bias, ndim=(2, 3), finite=False))
        self.gate_out: Any = nnx.Param(arrays.parameter("gate_out", gate_out, (count, None, None)))
        self.gate_out_bias: Any = nnx.Param(arrays.parameter("gate_out_bias", gate_out_bias, (count, None)))
        self.exponent: Any = None if exponent is None else nnx.Param(arrays.parameter("exponent", exponent, ()))

    def parts(self, role: str) -> tuple[Any, Any]:
        """U (layer, head, rows, C) and V (layer, head, C, columns) of all matrices of a role such as "W_Q"."""
        name = role.removeprefix("W_")
        return getattr(self, f"U_{name}")[...], getattr(self, f"V_{name}")[...]

    @property
    def names(self) -> list[str]:
        """Names of the matrices as they are counted: "W_Q 0.1" of layer 0 and head 1, "W_in 0" of an MLP."""
        names = []
        for role in self.roles:
            layers, heads = self.parts(role)[1].shape[:2]
            each = [(layer, head) for layer in range(layers) for head in range(heads)]
            names += [f"{role} {layer}" if role in MLP else f"{role} {layer}.{head}" for layer, head in each]
        return names

    def place(self, role: str, layer: int) -> slice:
        """Where the matrices of a role and layer stand among all."""
        begin = 0
        for other in self.roles:
            layers, heads = self.parts(other)[1].shape[:2]
            if other == role:
                return slice(begin + layer * heads, begin + (layer + 1) * heads)
            begin += layers * heads
        raise KeyError(role)

    @property
    def places(self) -> list[tuple[str, int]]:
        """Every role with every layer: heads of one are masked together in the layerwise loss."""
        return [(role, layer) for role in self.roles for layer in range(self.parts(role)[1].shape[0])]

    def of_target(self, target: Transformer, tokens: Integer[Array, "sequence position"]) -> OfTarget:
        """Inner activations $h = V x$ of every matrix for what the target gives it to read, and the target's logits."""

        def one(tokens: Array) -> tuple[Array, Array]:
            inner: dict[tuple[str, int], Array] = {}

            def linear(role: str, layer: int, x: Array) -> Array:
                inner[role, layer] = _dot(READ[role], x, self.parts(role)[1][layer])
                return target.own_linear(role, layer, x)

            logits = target(tokens, linear=linear)
            return jnp.concatenate([inner[place] for place in self.places]), logits

        inner, logits = jax.vmap(one)(tokens)  # (sequence, matrix, position, C)
        inner = jnp.moveaxis(inner, (1, 3), (0, 1))
        return OfTarget(inner.reshape(*inner.shape[:2], -1), logits)

    def gate(self, inner: Float[Array, "matrix C batch"]) -> Float[Array, "matrix C batch"]:
        """The networks γ before any sigmoid, for inner activations."""
        return gates(self.gate_in[...], self.gate_in_bias[...], self.gate_out[...], self.gate_out_bias[...], inner)

    def importances(
        self, target: Transformer, tokens: Integer[Array, "sequence position"]
    ) -> Float[Array, "matrix C sequence position"]:
        """The causal importances g in [0, 1] of every matrix's subcomponents, at every position."""
        g = jnp.clip(self.gate(self.of_target(target, tokens).inner), 0.0, 1.0)
        return g.reshape(*g.shape[:2], *tokens.shape)

    def logits(
        self,
        target: Transformer,
        tokens: Integer[Array, "sequence position"],
        masks: Float[Array, "matrix C batch"],
        rest: Float[Array, "matrix batch_or_1"] | None = None,
        only: tuple[str, int] | None = None,
    ) -> Float[Array, "sequence position token"]:
        r"""The target's logits where every matrix is its masked subcomponents, $\sum_c m_c \vec V_c \vec U_c^\top$.

        With `rest`, what subcomponents leave out is added with that mask. `only` masks the matrices of one role and layer;
        the others are the target's own.
        """
        per_sequence = jnp.moveaxis(masks.reshape(*masks.shape[:2], *tokens.shape), (0, 1), (1, 3))
        left = None if rest is None else jnp.broadcast_to(rest, (len(rest), masks.shape[2]))
        left = None if left is None else jnp.moveaxis(left.reshape(-1, *tokens.shape), 0, 1)

        def one(tokens: Array, masks: Array, left: Array | None) -> Array:
            def linear(role: str, layer: int, x: Array) -> Array:
                if only is not None and only != (role, layer):
                    return target.own_linear(role, layer, x)
                (U, V), at = self.parts(role), self.place(role, layer)
                inner = _dot(READ[role], x, V[layer])
                if left is None:
                    return _dot(WRITE[role], masks[at] * inner, U[layer])
                W = getattr(target, role)[layer]
                whole = _dot(WEIGHTED[role], x, W[None] if role in MLP else W, left[at])
                return _dot(WRITE[role], (masks[at] - left[at][..., None]) * inner, U[layer]) + whole

            return target(tokens, linear=linear)

        return jax.vmap(one)(tokens, per_sequence, left)

    def faithfulness(self, target: Transformer) -> Float[Array, ""]:
        """The mean squared difference of the subcomponents' sums from the target's matrices, over all of their entries."""
        missing, size = jnp.zeros((), self.gate_out.dtype), 0
        for role in self.roles:
            U, V = self.parts(role)
            W = getattr(target, role)[...]
            W = W[:, None] if role in MLP else W
            missing += jnp.sum(jnp.square(W - _dot("lhcx,lhyc->lhxy", V, U)))
            size += W.size
        return missing / size


def _dot(subscripts: str, *operands: Array) -> Array:
    return jnp.einsum(subscripts, *operands, precision=FULL_PRECISION)
