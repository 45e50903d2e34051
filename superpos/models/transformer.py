"""A small transformer whose every activation can be read and changed."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.initial_weights import initial_weights
from superpos.models.interventions import Interventions, Recorder
from superpos.models.toy import ACTIVATIONS, FULL_PRECISION

# Where positions enter: beside the tokens in the residual stream, or in queries and keys alone.
POSITIONS = ("residual", "queries_keys")

ATTENTION = ("attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z", "attn_out")
MLP = ("resid_mid", "mlp.pre", "mlp.post", "mlp_out")

Keep = Callable[[str, Array], Array]

# What the matrices of a layer make of what they read: those of its heads, queries, keys and values, and what heads write.
LINEAR = {
    **dict.fromkeys(("W_Q", "W_K", "W_V"), "pd,hde->hpe"),
    "W_O": "hqe,hed->qd",
    **dict.fromkeys(("W_in", "W_out"), "pd,de->pe"),
}
# The action of the matrices of a name in a layer.
LayerLinear = Callable[[str, int, Array], Array]


class Transformer(nnx.Module):
    r"""Token and position embeddings, attention layers, each with an MLP or without, an unembedding.

    With the residual stream x of shape (n_positions, d_model), one row per position, and a layer's heads h,

    $$x \leftarrow x + \sum_h A^h x W_V^h W_O^h, \qquad
      A^h = \mathrm{softmax}\big(x' W_Q^h (x' W_K^h)^\top / \sqrt{d_{head}}\big) \text{ over this and earlier positions},$$
    $$x \leftarrow x + f(x W_{in} + b_{in})\, W_{out} + b_{out}, \qquad \text{logits} = x W_U,$$

    where x starts as `W_E[tokens]`. With `positions="residual"` it also starts with W_pos, as in GPT, and x' = x; with
    `"queries_keys"` x' = x + W_pos in every layer, so that values and outputs never see a position ("shortformer"
    embeddings). `layer_norm` subtracts the mean and divides by the standard deviation, with no parameters, before every
    attention layer, MLP and the unembedding. Biases exist in the MLP alone, and only if given.

    Shapes stand at `__init__`. Names and orientation are those of TransformerLens: activations are rows and multiply from
    the left, and a circuit reads left to right, `W_E @ W_V[0, h] @ W_O[0, h] @ W_U`. (The rest of this package follows the
    paper on toy models, whose inputs are columns: its W is such a W transposed.) A layer is an entry of the leading axis, so
    models of different depth can lie in one result. One sequence at a time; `vmap` of the model takes a batch of them.

    Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al. 2022, "In-context Learning and
    Induction Heads"; Press et al. 2021, "Shortformer".
    """

    INPUTS_IN_ROWS: ClassVar[bool] = True  # of every matrix; elsewhere in the package outputs are there

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W_E": ("token", "residual"),
        "W_pos": ("position", "residual"),
        **dict.fromkeys(("W_Q", "W_K", "W_V"), ("layer", "head", "residual", "head_dimension")),
        "W_O": ("layer", "head", "head_dimension", "residual"),
        "W_in": ("layer", "residual", "neuron"),
        "b_in": ("layer", "neuron"),
        "W_out": ("layer", "neuron", "residual"),
        "b_out": ("layer", "residual"),
        "W_U": ("residual", "token"),
    }

    def __init__(
        self,
        W_E: Float[Array, "d_vocab d_model"],
        W_pos: Float[Array, "n_positions d_model"],
        W_Q: Float[Array, "n_layers n_heads d_model d_head"],
        W_K: Float[Array, "n_layers n_heads d_model d_head"],
        W_V: Float[Array, "n_layers n_heads d_model d_head"],
        W_O: Float[Array, "n_layers n_heads d_head d_model"],
        W_U: Float[Array, "d_model d_vocab"],
        W_in: Float[Array, "n_layers d_model d_mlp"] | None = None,
        W_out: Float[Array, "n_layers d_mlp d_model"] | None = None,
        b_in: Float[Array, "n_layers d_mlp"] | None = None,
        b_out: Float[Array, "n_layers d_model"] | None = None,
        *,
        positions: str = "residual",
        activation: str = "relu",
        layer_norm: bool = False,
    ):
        check.one_of("positions", positions, POSITIONS)
        check.one_of("activation", activation, tuple(ACTIVATIONS))
        if (W_in is None) != (W_out is None) or (W_in is None and not (b_in is None and b_out is None)):
            raise ConfigError("W_in and W_out must be given together, and biases only with them: they are one MLP.")

        def given(name: str, value: Any, *shape: int | None) -> Any:
            return nnx.Param(arrays.parameter(name, value, shape))

        def part(name: str, value: Any, *shape: int | None) -> Any:
            return None if value is None else given(name, value, *shape)

        self.W_E = given("W_E", W_E, None, None)
        d_vocab, d_model = self.W_E.shape
        self.W_Q = given("W_Q", W_Q, None, None, d_model, None)
        *layers, _, d_head = self.W_Q.shape
        self.W_pos, self.W_U = given("W_pos", W_pos, None, d_model), given("W_U", W_U, d_model, d_vocab)
        self.W_K, self.W_V = given("W_K", W_K, *self.W_Q.shape), given("W_V", W_V, *self.W_Q.shape)
        self.W_O = given("W_O", W_O, *layers, d_head, d_model)
        self.W_in: Any = part("W_in", W_in, layers[0], d_model, None)
        d_mlp = None if self.W_in is None else self.W_in.shape[-1]
        self.W_out: Any = part("W_out", W_out, layers[0], d_mlp, d_model)
        self.b_in: Any = part("b_in", b_in, layers[0], d_mlp)
        self.b_out: Any = part("b_out", b_out, layers[0], d_model)
        self.positions, self.activation, self.layer_norm = positions, activation, layer_norm

    @classmethod
    def random(
        cls,
        key: PRNGKeyArray,
        *,
        positions: str = "residual",
        activation: str = "relu",
        layer_norm: bool = False,
        **sizes: Any,
    ) -> "Transformer":
        """A new model; sizes, and the scale of the weights, are those of `initial_weights`."""
        weights = initial_weights(key, **sizes)
        return cls(**weights, positions=positions, activation=activation, layer_norm=layer_norm)

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of all activations, in the order in which they arise; all of them can be changed.

        Shapes: `attn.q`, `attn.k`, `attn.v`, `attn.z` (n_heads, n_positions, d_head); `attn.scores` (−∞ where masked) and
        `attn.pattern` (n_heads, query, key); `mlp.pre`, `mlp.post` (n_positions, d_mlp); `embed`, `pos_embed`, `resid_pre`,
        `attn_out`, `resid_mid`, `mlp_out`, `resid_post` (n_positions, d_model); `logits` (n_positions, d_vocab). Head h adds
        `z[h] @ W_O[layer, h]` to the residual stream. TransformerLens has the same names with `hook_` in them, and the axis
        of heads after that of positions.
        """
        inside = ("resid_pre", *ATTENTION, *(() if self.W_in is None else MLP), "resid_post")
        layers = range(self.W_Q.shape[0])
        return ("embed", "pos_embed", *(f"blocks.{layer}.{name}" for layer in layers for name in inside), "logits")

    def __call__(
        self,
        tokens: Integer[Array | np.ndarray, " n_positions"],
        interventions: Interventions | None = None,
        *,
        last_only: bool = False,
        linear: LayerLinear | None = None,
    ) -> Float[Array, "*positions d_vocab"]:
        """Logits of the token after every position, (n_positions, d_vocab); see `run_with_cache`."""
        return self.run_with_cache(tokens, interventions, last_only=last_only, linear=linear)[0]

    def own_linear(self, name: str, layer: int, x: Array) -> Array:
        """What the matrices of a name make of what they read in a layer, as `LINEAR` says."""
        return _dot(LINEAR[name], x, getattr(self, name)[layer])

    def run_with_cache(
        self,
        tokens: Integer[Array | np.ndarray, " n_positions"],
        interventions: Interventions | None = None,
        *,
        last_only: bool = False,
        linear: LayerLinear | None = None,
    ) -> tuple[Float[Array, "*positions d_vocab"], dict[str, Array]]:
        """Logits, and every activation by its name (see `activations`).

        An intervention replaces an activation, or is a function from its value to the new one; what comes later follows,
        and the cache has the new value. Head 2 of layer 1 without its output, and layer 0 with another sequence's pattern:

            model(tokens, {"blocks.1.attn.z": ablate(2)})
            model(tokens, {"blocks.0.attn.pattern": other_cache["blocks.0.attn.pattern"]})

        `last_only` computes the logits of the last position alone, (d_vocab,), and all else that only they need: queries,
        MLP and residual stream of the last layer then have one position. Sequences may be shorter than W_pos.

        `linear(name, layer, x)` is what the matrices of a name make of what they read in a layer, by default `own_linear`.

        Raises:
            ConfigError: the sequence is too long, an activation's name is unknown, or its new value has another shape.
        """
        tokens = _whole(tokens, self.W_E.shape[0])
        n_positions, n_layers = tokens.shape[0], self.W_Q.shape[0]
        if n_positions > self.W_pos.shape[0]:
            raise ConfigError(
                f"tokens must be at most {self.W_pos.shape[0]}, the model's n_positions; got {n_positions}."
            )
        keep, linear = Recorder(self.activations, interventions), linear or self.own_linear
        x = keep("embed", _look_up(self.W_E[...], tokens))
        position = keep("pos_embed", self.W_pos[:n_positions])
        if self.positions == "residual":
            x = x + position
        for layer in range(n_layers):
            rows, inside = slice(-1 if last_only and layer == n_layers - 1 else None, None), keep.block(layer)
            x = inside("resid_pre", x)
            x = x[rows] + self._attention(layer, x, position, rows, inside, linear)
            if self.W_in is not None:
                x = inside("resid_mid", x)
                x = x + self._mlp(layer, x, inside, linear)
            x = inside("resid_post", x)
        logits = keep("logits", _dot("pd,dv->pv", self._norm(x), self.W_U[...]))
        return (logits[-1] if last_only else logits), keep.cache

    def _attention(
        self,
        layer: int,
        x: Float[Array, "n_positions d_model"],
        position: Float[Array, "n_positions d_model"],
        rows: slice,
        keep: Keep,
        linear: LayerLinear,
    ) -> Float[Array, "rows d_model"]:
        """What the heads of a layer add at the positions `rows`."""
        x = self._norm(x)
        where = x + position if self.positions == "queries_keys" else x
        q = keep("attn.q", linear("W_Q", layer, where[rows]))
        k = keep("attn.k", linear("W_K", layer, where))
        v = keep("attn.v", linear("W_V", layer, x))
        causal = jnp.tril(jnp.ones((len(x), len(x)), bool))[rows]
        scores = jnp.where(causal[None], _dot("hqe,hke->hqk", q, k) / q.shape[-1] ** 0.5, -jnp.inf)
        pattern = keep("attn.pattern", jax.nn.softmax(keep("attn.scores", scores)))
        z = keep("attn.z", _dot("hqk,hke->hqe", pattern, v))
        return keep("attn_out", linear("W_O", layer, z))

    def _mlp(
        self, layer: int, x: Float[Array, "rows d_model"], keep: Keep, linear: LayerLinear
    ) -> Float[Array, "rows d_model"]:
        """What the neurons of a layer add."""
        pre = keep("mlp.pre", _shifted(linear("W_in", layer, self._norm(x)), self.b_in, layer))
        post = keep("mlp.post", ACTIVATIONS[self.activation](pre))
        return keep("mlp_out", _shifted(linear("W_out", layer, post), self.b_out, layer))

    def _norm(self, x: Float[Array, "rows d_model"]) -> Float[Array, "rows d_model"]:
        return jax.nn.standardize(x, epsilon=1e-5) if self.layer_norm else x


def _whole(tokens: Any, d_vocab: int) -> Array:
    """Tokens as an array of whole numbers; of those that exist only inside a transform the type and shape are looked at."""
    array = arrays.plain("tokens", tokens)
    if array.ndim != 1 or not array.shape[0] or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ConfigError(
            f"tokens must be a list of whole numbers, got an array of {array.dtype}, shape {array.shape}."
        )
    if not arrays.is_traced(array):
        check.in_range("tokens", array, at_least=0, at_most=d_vocab - 1)
    return jnp.asarray(array)


def _dot(subscripts: str, *operands: Array) -> Array:
    return jnp.einsum(subscripts, *operands, precision=FULL_PRECISION)


def _shifted(a: Array, b: Any, layer: int) -> Array:
    return a if b is None else a + b[layer][None]


def _look_up(W_E: Array, tokens: Array) -> Array:
    # Not W_E[tokens]: the gradient of a lookup adds rows in an order that accelerators leave open. As fast on a CPU.
    return _dot("pt,td->pd", jax.nn.one_hot(tokens, W_E.shape[0], dtype=W_E.dtype), W_E)
