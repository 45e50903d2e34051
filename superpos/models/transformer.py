"""A small transformer whose every activation can be read and changed."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from superpos import check
from superpos.errors import ConfigError
from superpos.models.toy import ACTIVATIONS, FULL_PRECISION

# Where positions enter: beside the tokens in the residual stream, or in queries and keys alone.
POSITIONS = ("residual", "queries_keys")

LAYER_ACTIVATIONS = ("attn.q", "attn.k", "attn.v", "attn.scores", "attn.pattern", "attn.z", "attn_out")
MLP_ACTIVATIONS = ("resid_mid", "mlp.pre", "mlp.post", "mlp_out")

Edit = Array | np.ndarray | Callable[[Array], Array]
Interventions = Mapping[str, Edit]


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

    Shapes: `W_E` (d_vocab, d_model), `W_pos` (n_positions, d_model), `W_Q`, `W_K`, `W_V` (n_layers, n_heads, d_model,
    d_head), `W_O` (n_layers, n_heads, d_head, d_model), `W_in` (n_layers, d_model, d_mlp), `b_in` (n_layers, d_mlp),
    `W_out` (n_layers, d_mlp, d_model), `b_out` (n_layers, d_model), `W_U` (d_model, d_vocab). These are the names and the
    orientation of TransformerLens, where activations are rows and multiply from the left. The rest of this package
    follows the paper on toy models, where inputs are columns: its W is such a W transposed. A circuit reads left to right
    here, `W_E @ W_V[0, h] @ W_O[0, h] @ W_U`, as in the works it is compared with. A layer is an entry of the leading
    axis, so models of different depth can lie in one result.

    One sequence at a time; `vmap` of the model takes a batch of them, (batch, n_positions), and costs the same as
    code with a batch axis of its own.

    Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson et al. 2022, "In-context Learning and
    Induction Heads"; Press et al. 2021, "Shortformer".
    """

    # Names of the axes of each parameter, for labelled results.
    DIMS: ClassVar[dict[str, tuple[str, ...]]] = {
        "W_E": ("token", "residual"),
        "W_pos": ("position", "residual"),
        "W_Q": ("layer", "head", "residual", "head_dimension"),
        "W_K": ("layer", "head", "residual", "head_dimension"),
        "W_V": ("layer", "head", "residual", "head_dimension"),
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
        self.W_E, self.W_pos, self.W_U = nnx.Param(W_E), nnx.Param(W_pos), nnx.Param(W_U)
        self.W_Q, self.W_K, self.W_V, self.W_O = nnx.Param(W_Q), nnx.Param(W_K), nnx.Param(W_V), nnx.Param(W_O)
        self.W_in: Any = None if W_in is None else nnx.Param(W_in)
        self.W_out: Any = None if W_out is None else nnx.Param(W_out)
        self.b_in: Any = None if b_in is None else nnx.Param(b_in)
        self.b_out: Any = None if b_out is None else nnx.Param(b_out)
        self.positions, self.activation, self.layer_norm = positions, activation, layer_norm

    @classmethod
    def random(
        cls,
        key: PRNGKeyArray,
        *,
        d_vocab: int,
        n_positions: int,
        n_layers: int,
        n_heads: int,
        d_model: int,
        d_head: int | None = None,
        d_mlp: int = 0,
        bias: bool = False,
        scale: Any = 1.0,
        **options: Any,
    ) -> "Transformer":
        """Normal weights of standard deviation `scale` / √d_model, of W_U `scale` / √d_vocab; biases 0.

        `d_head` is d_model / n_heads if not given; `d_mlp` = 0 is no MLP; `bias` asks for the MLP's biases. Nanda et al. 2023
        initialise this way.
        """
        d_head = d_model // n_heads if d_head is None else d_head
        projection = (n_layers, n_heads, d_model, d_head)
        shapes = {"W_E": (d_vocab, d_model), "W_pos": (n_positions, d_model), "W_U": (d_model, d_vocab)}
        shapes |= dict.fromkeys(("W_Q", "W_K", "W_V"), projection) | {"W_O": (n_layers, n_heads, d_head, d_model)}
        if d_mlp:
            shapes |= {"W_in": (n_layers, d_model, d_mlp), "W_out": (n_layers, d_mlp, d_model)}
        std = dict.fromkeys(shapes, d_model**-0.5) | {"W_U": d_vocab**-0.5}
        keys = jax.random.split(key, len(shapes))
        weights = {
            n: scale * std[n] * jax.random.normal(k, s, float) for k, (n, s) in zip(keys, shapes.items(), strict=True)
        }
        if d_mlp and bias:
            weights |= {"b_in": jnp.zeros((n_layers, d_mlp), float), "b_out": jnp.zeros((n_layers, d_model), float)}
        return cls(**weights, **options)

    @property
    def activations(self) -> tuple[str, ...]:
        """Names of all activations, in the order in which they arise; all of them can be changed.

        Shapes: `attn.q`, `attn.k`, `attn.v`, `attn.z` (n_heads, n_positions, d_head); `attn.scores` (−∞ where masked) and
        `attn.pattern` (n_heads, query, key); `mlp.pre`, `mlp.post` (n_positions, d_mlp); `embed`, `pos_embed`, `resid_pre`,
        `attn_out`, `resid_mid`, `mlp_out`, `resid_post` (n_positions, d_model); `logits` (n_positions, d_vocab). Head h adds
        `z[h] @ W_O[layer, h]` to the residual stream. TransformerLens has the same names with `hook_` in them, and the axis
        of heads after that of positions.
        """
        inside = ("resid_pre", *LAYER_ACTIVATIONS, *(() if self.W_in is None else MLP_ACTIVATIONS), "resid_post")
        layers = range(self.W_Q.shape[0])
        return ("embed", "pos_embed", *(f"blocks.{layer}.{name}" for layer in layers for name in inside), "logits")

    def __call__(
        self,
        tokens: Integer[Array | np.ndarray, " n_positions"],
        interventions: Interventions | None = None,
        *,
        last_only: bool = False,
    ) -> Float[Array, "*positions d_vocab"]:
        """Logits of the token after every position, (n_positions, d_vocab); see `run_with_cache`."""
        return self.run_with_cache(tokens, interventions, last_only=last_only)[0]

    def run_with_cache(
        self,
        tokens: Integer[Array | np.ndarray, " n_positions"],
        interventions: Interventions | None = None,
        *,
        last_only: bool = False,
    ) -> tuple[Float[Array, "*positions d_vocab"], dict[str, Array]]:
        """Logits, and every activation by its name (see `activations`).

        An intervention replaces an activation, or is a function from its value to the new one; what comes later follows,
        and the cache has the new value. Head 2 of layer 1 without its output, and layer 0 with another sequence's pattern:

            model(tokens, {"blocks.1.attn.z": ablate(2)})
            model(tokens, {"blocks.0.attn.pattern": other_cache["blocks.0.attn.pattern"]})

        `last_only` computes the logits of the last position alone, (d_vocab,), and all else that only they need: queries,
        MLP and residual stream of the last layer then have one position. Sequences may be shorter than W_pos.

        Raises:
            ConfigError: the sequence is too long, an activation's name is unknown, or its new value has another shape.
        """
        interventions = dict(interventions or {})
        for name in interventions:
            self._check_name(name)
        n_positions, (n_layers, _, _, d_head) = tokens.shape[0], self.W_Q.shape
        if n_positions > self.W_pos.shape[0]:
            raise ConfigError(
                f"tokens must be at most {self.W_pos.shape[0]}, the model's n_positions; got {n_positions}."
            )
        cache: dict[str, Array] = {}

        def keep(name: str, value: Array) -> Array:
            if name in interventions:
                edit = interventions[name]
                new = edit(value) if callable(edit) else jnp.asarray(edit, value.dtype)
                if new.shape != value.shape:
                    raise ConfigError(f"{name} must have shape {value.shape}, got {new.shape}.")
                value = new
            cache[name] = value
            return value

        causal = jnp.tril(jnp.ones((n_positions, n_positions), bool))
        x = keep("embed", _look_up(self.W_E[...], jnp.asarray(tokens)))
        position = keep("pos_embed", self.W_pos[:n_positions])
        if self.positions == "residual":
            x = x + position
        for layer in range(n_layers):
            block, rows = f"blocks.{layer}.", slice(-1 if last_only and layer == n_layers - 1 else None, None)
            x = keep(block + "resid_pre", x)
            normal = self._norm(x)
            where = normal + position if self.positions == "queries_keys" else normal
            q = keep(block + "attn.q", _dot("pd,hde->hpe", where[rows], self.W_Q[layer]))
            k = keep(block + "attn.k", _dot("pd,hde->hpe", where, self.W_K[layer]))
            v = keep(block + "attn.v", _dot("pd,hde->hpe", normal, self.W_V[layer]))
            scores = jnp.where(causal[rows][None], _dot("hqe,hke->hqk", q, k) / d_head**0.5, -jnp.inf)
            scores = keep(block + "attn.scores", scores)
            pattern = keep(block + "attn.pattern", jax.nn.softmax(scores))
            z = keep(block + "attn.z", _dot("hqk,hke->hqe", pattern, v))
            x = x[rows] + keep(block + "attn_out", _dot("hqe,hed->qd", z, self.W_O[layer]))
            if self.W_in is not None:
                x = keep(block + "resid_mid", x)
                pre = keep(block + "mlp.pre", _affine(self._norm(x), self.W_in[layer], self.b_in, layer))
                post = keep(block + "mlp.post", ACTIVATIONS[self.activation](pre))
                x = x + keep(block + "mlp_out", _affine(post, self.W_out[layer], self.b_out, layer))
            x = keep(block + "resid_post", x)
        logits = keep("logits", _dot("pd,dv->pv", self._norm(x), self.W_U[...]))
        return (logits[-1] if last_only else logits), cache

    def _norm(self, x: Float[Array, "n_positions d_model"]) -> Float[Array, "n_positions d_model"]:
        return jax.nn.standardize(x, epsilon=1e-5) if self.layer_norm else x

    def _check_name(self, name: str) -> None:
        if name not in self.activations:
            hint = check.suggestion(name.replace("hook_", ""), self.activations)
            first = ", ".join(n for n in self.activations if not n.startswith("blocks.") or n.startswith("blocks.0."))
            raise ConfigError(
                f"interventions has no activation {name!r}.{hint} Activations, with blocks.0 to "
                f"blocks.{self.W_Q.shape[0] - 1}: {first}."
            )


def ablate(index: Any, to: Any = 0.0) -> Callable[[Array], Array]:
    """An intervention that sets one part of an activation and leaves the rest: `ablate(2)` switches head 2 off.

    `to` is 0, a mean over other sequences (mean ablation), or the same part of another cache (activation patching):
    `ablate(2, to=cache["blocks.1.attn.z"][2])`. `index` is any index: a head, several as
    `jnp.array([0, 2])`, `(2, slice(5, 9))`.
    """
    return lambda value: value.at[index].set(to)


def _dot(subscripts: str, *operands: Array) -> Array:
    return jnp.einsum(subscripts, *operands, precision=FULL_PRECISION)


def _affine(x: Array, W: Array, b: Any, layer: int) -> Array:
    out = _dot("pd,de->pe", x, W)
    return out if b is None else out + b[layer][None]


def _look_up(W_E: Array, tokens: Array) -> Array:
    # Not W_E[tokens]: the gradient of a lookup adds rows in an order that accelerators leave open. As fast on a CPU.
    return _dot("pt,td->pd", jax.nn.one_hot(tokens, W_E.shape[0], dtype=W_E.dtype), W_E)
