"""The weights of a network as sums of rank-one subcomponents, and networks that say which of them an input needs."""

from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.linear import Linear, MatrixNetwork, own_linear
from superpos.models.products import FULL_PRECISION, dot

GATES = ("mlp", "shared")
READS = ("feature", "residual")

# Slope of the leaky hard sigmoids where the hard sigmoid is flat.
LEAK = 0.01


class PerMatrix(NamedTuple):
    """What one forward pass of the target gives every matrix and takes from it, and the output of the whole network."""

    inputs: list[Array]  # (columns of the matrix, batch) for every matrix
    products: list[Array]  # (rows of the matrix, batch) for every matrix
    output: Array  # (n_features, batch)


class Decomposition(nnx.Module):
    r"""Every matrix of a network as a sum of C rank-one subcomponents, $W^l \approx \sum_c \vec U^l_c \vec V^{l\top}_c$.

    A toy model is $x' = f(W^\top I \cdots I\, W x + b)$ with some number of identity layers, often none. Its matrices are W,
    the identities, and $W^\top$, in this order. A network that computes has two, and what is said of W and $W^\top$ is said
    of them (its `matrices`); the features of W are the stream's dimensions in a `ResidualMLP`.

    For W, `V` has shape (C, n_features) and `U` (n_hidden, C): subcomponent c reads the direction `V[c]` of the input and
    writes `U[:, c]`. Identity layers have `V_hidden` (layer, C, n_hidden) and `U_hidden` (layer, n_hidden, C). Tied, the
    subcomponents of $W^\top$ are those of W transposed, one leaf used twice;
    otherwise they are `V_out` (C, n_hidden) and `U_out` (n_features, C).

    How much an input needs a subcomponent is its causal importance, $g^l_c(x) = \sigma_H(\gamma^l_c(x))$ in [0, 1], with the
    hard sigmoid $\sigma_H$ and a network γ of one hidden layer of GELUs. The inner activation is
    $h^l_c = \sum_j V^l_{cj} a^l_j(x)$, where $a^l$ is what the *target* gives matrix l to read. With `gate="mlp"` every
    subcomponent has a network of its own, which sees its inner activation alone; `gate_in`, `gate_in_bias` and `gate_out`
    have shape (matrix, C, neuron), `gate_out_bias` (matrix, C). With `gate="shared"` every matrix has one network that sees
    the inner activations of all its subcomponents: `gate_in` (matrix, neuron, C), `gate_in_bias` (matrix, neuron),
    `gate_out` (matrix, C, neuron).

    `exponent` is that of the minimality loss, where training changes it, else None.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", and its appendix for the networks. The paper names
    the shared form as a possibility; the authors' code has one that reads the matrix's input instead.
    """

    def __init__(
        self,
        V: Any,
        U: Any,
        gate_in: Any,
        gate_in_bias: Any,
        gate_out: Any,
        gate_out_bias: Any,
        *,
        V_hidden: Any = None,
        U_hidden: Any = None,
        V_out: Any = None,
        U_out: Any = None,
        exponent: Any = None,
        reads: str = "feature",
    ):
        check.one_of("reads", reads, READS)
        self.reads = reads
        V = arrays.parameter("V", V, (None, None))
        U = arrays.parameter("U", U, (None, V.shape[0]))
        (n, n_features), n_hidden = V.shape, U.shape[0]
        V_hidden = arrays.parameter("V_hidden", V_hidden, (None, n, n_hidden), optional=True)
        layers = 0 if V_hidden is None else V_hidden.shape[0]
        U_hidden = arrays.parameter("U_hidden", U_hidden, (layers, n_hidden, n), optional=True)
        V_out = arrays.parameter("V_out", V_out, (n, n_hidden), optional=True)
        U_out = arrays.parameter("U_out", U_out, (n_features, n), optional=True)
        for first, second, name in ((V_hidden, U_hidden, "hidden"), (V_out, U_out, "out")):
            if (first is None) != (second is None):
                raise ConfigError(f"V_{name} and U_{name} must be given both or neither.")
        gate_out = arrays.parameter("gate_out", gate_out, (layers + 2, n, None))
        neurons = gate_out.shape[2]
        gate_in_bias = arrays.as_array("gate_in_bias", gate_in_bias, ndim=(2, 3), finite=False, empty=True)
        self.shared = gate_in_bias.ndim == 2
        seen = (layers + 2, neurons) if self.shared else (layers + 2, n, neurons)
        gate_in_bias = arrays.parameter("gate_in_bias", gate_in_bias, seen)
        gate_in = arrays.parameter("gate_in", gate_in, (*seen, n) if self.shared else seen)
        gate_out_bias = arrays.parameter("gate_out_bias", gate_out_bias, (layers + 2, n))
        exponent = arrays.parameter("exponent", exponent, (), optional=True)
        self.V: Any = nnx.Param(V)
        self.U: Any = nnx.Param(U)
        self.V_hidden: Any = None if V_hidden is None else nnx.Param(V_hidden)
        self.U_hidden: Any = None if U_hidden is None else nnx.Param(U_hidden)
        self.V_out: Any = None if V_out is None else nnx.Param(V_out)
        self.U_out: Any = None if U_out is None else nnx.Param(U_out)
        self.gate_in: Any = nnx.Param(gate_in)
        self.gate_in_bias: Any = nnx.Param(gate_in_bias)
        self.gate_out: Any = nnx.Param(gate_out)
        self.gate_out_bias: Any = nnx.Param(gate_out_bias)
        self.exponent: Any = None if exponent is None else nnx.Param(exponent)

    @property
    def DIMS(self) -> dict[str, tuple[str, ...]]:
        """Names of the axes of each parameter, for labelled results; `reads` is that of what W reads."""
        return {
            "V": ("subcomponent", self.reads),
            "U": ("hidden", "subcomponent"),
            "V_hidden": ("layer", "subcomponent", "hidden"),
            "U_hidden": ("layer", "hidden", "subcomponent"),
            "V_out": ("subcomponent", "hidden"),
            "U_out": (self.reads, "subcomponent"),
        }

    @property
    def matrices(self) -> list[tuple[Array, Array]]:
        """(U, V) of every matrix, in the order in which an input meets them: matrix l is U @ V."""
        U, V = self.U[...], self.V[...]
        pairs = [(U, V)]
        if self.U_hidden is not None:
            pairs += list(zip(self.U_hidden[...], self.V_hidden[...], strict=True))
        return [*pairs, (V.T, U.T) if self.U_out is None else (self.U_out[...], self.V_out[...])]

    def in_features(self, W_E: Float[Array, "n_residual n_features"]) -> "Decomposition":
        """The same subcomponents where W reads a stream and the last matrix writes one: what they read and write of features.

        For `ResidualMLP.in_features`, whose stream has the embedding W_E.
        """
        W_E = W_E + 0 * self.V[:1, :1]  # numbers of each cell, as in `new_subcomponents`
        gates = (self.gate_in[...], self.gate_in_bias[...], self.gate_out[...], self.gate_out_bias[...])
        more = {"V_out": self.V_out[...], "U_out": dot(W_E.T, self.U_out[...])}
        if self.exponent is not None:
            more["exponent"] = self.exponent[...]
        return Decomposition(dot(self.V[...], W_E), self.U[...], *gates, **more)

    @property
    def identity_layers(self) -> int:
        """How many identity matrices lie between the first and the last matrix."""
        return 0 if self.V_hidden is None else self.V_hidden.shape[0]

    def of_target(self, target: MatrixNetwork, x: Float[Array, "n_features batch"]) -> PerMatrix:
        """The inputs that the target gives each matrix, and its output. Identity layers pass the hidden layer on."""
        own, inputs, products = own_linear(target.matrices), [], []

        def linear(name: str, a: Array) -> Array:
            inputs.append(a)
            products.append(own(name, a))
            return products[-1]

        output = self._forward(target, x, linear)
        return PerMatrix(inputs, products, output)

    def _forward(self, target: Any, x: Float[Array, "n_features batch"], linear: Linear) -> Array:
        """The target's output where its matrices, and the identities between a toy model's, act as `linear` says."""
        identities = self.identity_layers
        return target.forward(x, linear, identities) if identities else target.forward(x, linear)

    def inner_activations(self, inputs: list[Array]) -> Float[Array, "matrix C batch"]:
        """$h^l = V^l a^l$ of every matrix."""
        pairs = zip(self.matrices, inputs, strict=True)
        return jnp.stack([jnp.dot(V, a, precision=FULL_PRECISION) for (_, V), a in pairs])

    def gate(self, inner: Float[Array, "matrix C batch"]) -> Float[Array, "matrix C batch"]:
        """The networks γ before any sigmoid, for inner activations. GELU is the exact one."""
        return gates(self.gate_in[...], self.gate_in_bias[...], self.gate_out[...], self.gate_out_bias[...], inner)

    def importances(self, target: Any, x: Float[Array, "n_features batch"]) -> Float[Array, "matrix C batch"]:
        """The causal importances g in [0, 1] of every matrix's subcomponents for inputs as columns."""
        x = arrays.columns("x", x, getattr(target, "n_features", self.V.shape[1]), ndim=(2,))
        return jnp.clip(self.gate(self.inner_activations(self.of_target(target, x).inputs)), 0.0, 1.0)

    def output(
        self,
        target: MatrixNetwork,
        x: Float[Array, "n_features batch"],
        masks: Float[Array, "matrix C batch"],
        rest: Float[Array, "matrix batch_or_1"] | None = None,
    ) -> Float[Array, "n_features batch"]:
        r"""The target's output where every matrix is its masked subcomponents, $\sum_c m^l_c \vec U^l_c \vec V^{l\top}_c$.

        With `rest`, what subcomponents leave out is added with that mask, $+\, m^l_\Delta (W^l - U^l V^l)$.
        """
        masked = iter(zip(self.matrices, masks, [None] * len(masks) if rest is None else rest, strict=True))
        own = own_linear(target.matrices, dot)

        def linear(name: str, a: Array) -> Array:
            (U, V), mask, of_rest = next(masked)
            left_out = () if of_rest is None else (of_rest, own(name, a))
            return masked_product(U, dot(V, a), mask, *left_out)

        return self._forward(target, x, linear)

    def output_given(
        self, target: MatrixNetwork, x: Float[Array, "n_features batch"], index: int, given: Float[Array, "rows batch"]
    ) -> Float[Array, "n_features batch"]:
        """The target's output where its matrix `index` gives what is `given`, whatever it reads; the others are its own."""
        own, place = own_linear(target.matrices, dot), count()

        def linear(name: str, a: Array) -> Array:
            return given if next(place) == index else own(name, a)

        return self._forward(target, x, linear)


def masked_product(
    U: Float[Array, "rows C"],
    inner: Float[Array, "C batch"],
    mask: Float[Array, "C batch"],
    rest: Float[Array, " batch_or_1"] | None = None,
    product: Float[Array, "rows batch"] | None = None,
) -> Float[Array, "rows batch"]:
    r"""$U (m \odot h)$ for inner activations h, and with `rest` also $m_\Delta (W a - U h)$, with W a the `product`."""
    if rest is None or product is None:
        return dot(U, mask * inner)
    return dot(U, (mask - rest[None]) * inner) + rest[None] * product


def gates(
    gate_in: Float[Array, "..."],
    gate_in_bias: Float[Array, "..."],
    gate_out: Float[Array, "matrix C neuron"],
    gate_out_bias: Float[Array, "matrix C"],
    inner: Float[Array, "matrix C batch"],
) -> Float[Array, "matrix C batch"]:
    """The networks γ before any sigmoid, one for every subcomponent or a shared one for every matrix, as `gate_in` says."""
    if gate_in_bias.ndim == 2:
        neurons = jnp.einsum("lnc,lcb->lnb", gate_in, inner, precision=FULL_PRECISION)
        neurons = gelu(neurons + gate_in_bias[..., None])
        out = jnp.einsum("lcn,lnb->lcb", gate_out, neurons, precision=FULL_PRECISION)
    else:
        # (weight, bias) times (inner activation, 1): as products of matrices their gradients take half the time.
        read = jnp.stack([gate_in, gate_in_bias], axis=-1)
        seen = jnp.stack([inner, jnp.ones_like(inner)], axis=2)
        neurons = gelu(jnp.einsum("lcnk,lckb->lcnb", read, seen, precision=FULL_PRECISION))
        out = jnp.einsum("lcn,lcnb->lcb", gate_out, neurons, precision=FULL_PRECISION)
    return out + gate_out_bias[..., None]


def gelu(a: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""The exact GELU, $a\,\Phi(a)$, as in the authors' code (`ACTIVATIONS["gelu"]` is the tanh approximation)."""
    return 0.5 * a * (1 + jax.lax.erf(a * 2**-0.5))


def upper_leaky(a: Float[Array, "..."]) -> Float[Array, "..."]:
    """The hard sigmoid with slope .01 above 1: what the minimality loss sees of a network's output."""
    return jnp.where(a > 1, 1 + LEAK * (a - 1), jnp.clip(a, 0, 1))


def lower_leaky(a: Float[Array, "..."]) -> Float[Array, "..."]:
    """The hard sigmoid with slope .01 below 0: what masks are made of.

    As in the paper's appendix, which lets masks fall below 0; the authors' code clips the value and leaks the gradient alone.
    """
    return jnp.where(a < 0, LEAK * a, jnp.clip(a, 0, 1))


def new_subcomponents(
    key: Any,
    matrix: Float[Array, "rows columns"],
    n: int,
    *,
    cell_by_cell: bool = False,
    nonnegative: bool = False,
) -> tuple[Array, Array]:
    """U (rows, n) and V (n, columns) before training: random unit vectors, each U times its overlap with the matrix.

    As in the authors' code (`init_from_target_weight`); the paper does not say. `nonnegative` takes the absolute values of V,
    so that no subcomponent reads two entries with opposite signs.

    The cells of a block share their key, so U and V are one for all of them, while the matrix may be each cell's own. The
    products of one U with many matrices are one large product, whose last bits depend on the place in the block. With
    `cell_by_cell` U and V are numbers of each cell, and so are the products.
    """
    rows, columns = matrix.shape
    one, other = jax.random.split(key)
    U, V = jax.random.normal(one, (rows, n), float), jax.random.normal(other, (n, columns), float)
    U, V = U / jnp.linalg.norm(U, axis=0, keepdims=True), V / jnp.linalg.norm(V, axis=1, keepdims=True)
    V = jnp.abs(V) if nonnegative else V
    if cell_by_cell:
        U, V = U + 0 * matrix[:, :1], V + 0 * matrix[:1]
    overlaps = jnp.einsum("rc,rk,ck->c", U, matrix, V, precision=FULL_PRECISION)
    return U * overlaps[None], V


def new_gate(key: Any, n_matrices: int, n: int, neurons: int, kind: str) -> dict[str, Array]:
    """The networks before training: Kaiming-normal weights, √(2 / inputs) into the GELUs and √(1 / neurons) out, biases 0."""
    check.one_of("gate", kind, GATES)
    into, out = jax.random.split(key)
    shared = kind == "shared"
    shape = (n_matrices, neurons, n) if shared else (n_matrices, n, neurons)
    std = jnp.sqrt(2.0 / (n if shared else 1))
    return {
        "gate_in": std * jax.random.normal(into, shape, float),
        "gate_in_bias": jnp.zeros((n_matrices, neurons) if shared else shape, float),
        "gate_out": jax.random.normal(out, (n_matrices, n, neurons), float) / jnp.sqrt(1.0 * neurons),
        "gate_out_bias": jnp.zeros((n_matrices, n), float),
    }
