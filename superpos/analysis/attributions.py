"""Direct logit attribution: what every part of a transformer adds to the logit of a token."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION
from superpos.models.transformer import Transformer


class LogitAttribution(NamedTuple):
    """What the parts of a transformer add to one logit at every position. They add up to it: `total`."""

    embedding: Float[Array, " n_positions"]
    position: Float[Array, " n_positions"]  # 0 where positions enter queries and keys alone
    heads: Float[Array, "n_layers n_heads n_positions"]
    mlps: Float[Array, "n_layers n_positions"]  # 0 without an MLP

    @property
    def total(self) -> Float[Array, " n_positions"]:
        """The sum of all parts: the logit."""
        return self.embedding + self.position + jnp.sum(self.heads, (0, 1)) + jnp.sum(self.mlps, 0)


def logit_attribution(
    model: Transformer,
    tokens: Integer[Array | np.ndarray, " n_positions"],
    targets: Integer[Array | np.ndarray, " n_positions"],
) -> LogitAttribution:
    r"""What every part adds, directly, to the logit of `targets[i]` at position i, less the mean logit of all tokens.

    The residual stream is a sum of what its parts wrote, and logits are linear in it, so that of head h in layer l is

    $$z^{l,h}_i W_O^{l,h} \big(W_{U, t_i} - \overline{W_U}\big),$$

    with the head's output z, the target $t_i$ and the mean column of $W_U$. Probabilities do not see what all logits share,
    hence the mean. With layer norm the last one is part of $W_U$: the mean over the residual stream is taken away from every
    part, and each is divided by the standard deviation of the whole, which is held fixed.

    Direct means: not by way of later layers. For a head of the last layer without an MLP or layer norm it is by how much
    the logit falls if the head writes 0; for earlier heads it leaves out what later ones make of their output.

    Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Nanda 2023, open problem 3.27.

    Raises:
        ConfigError: `model` is no `Transformer`, or `targets` are not one token of the vocabulary for every position.
    """
    if not isinstance(model, Transformer):
        raise ConfigError(f"model must be a Transformer, got {check.short(model)}.")
    targets = _checked(targets, arrays.plain("tokens", tokens).shape, model.W_U.shape[1])
    return attribution_of_cache(model, model.run_with_cache(tokens)[1], targets)


def attribution_of_cache(model: Transformer, cache: dict[str, Array], targets: Any) -> LogitAttribution:
    """The same from the activations of a run, as `Transformer.run_with_cache` has them; nothing is checked."""
    W_U, n_layers = model.W_U[...], model.W_Q.shape[0]
    direction = W_U.T[targets] - jnp.mean(W_U, 1)[None]  # which reads the logit less the mean, (n_positions, d_model)
    if model.layer_norm:
        last = cache[f"blocks.{n_layers - 1}.resid_post"]
        direction = direction - jnp.mean(direction, -1, keepdims=True)
        direction = direction / jnp.sqrt(jnp.var(last, -1, keepdims=True) + 1e-5)

    def through(x: Float[Array, "n_positions d_model"]) -> Float[Array, " n_positions"]:
        return jnp.einsum("pd,pd->p", x, direction, precision=FULL_PRECISION)

    def of_heads(layer: int) -> Float[Array, "n_heads n_positions"]:
        z = cache[f"blocks.{layer}.attn.z"]
        written = jnp.einsum("hpe,hed->hpd", z, model.W_O[layer], precision=FULL_PRECISION)
        return jnp.einsum("hpd,pd->hp", written, direction, precision=FULL_PRECISION)

    nothing = jnp.zeros_like(direction[:, 0])
    layers = range(n_layers)
    return LogitAttribution(
        through(cache["embed"]),
        through(cache["pos_embed"]) if model.positions == "residual" else nothing,
        jnp.stack([of_heads(layer) for layer in layers]),
        jnp.stack([nothing if model.W_in is None else through(cache[f"blocks.{layer}.mlp_out"]) for layer in layers]),
    )


def _checked(targets: Any, shape: tuple[int, ...], d_vocab: int) -> Any:
    """Targets as an array of the shape of the tokens; of those inside a transform the type and shape are looked at."""
    array = arrays.plain("targets", targets)
    if array.shape != shape or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ConfigError(
            f"targets must be whole numbers, one for every token, as an array of shape {shape}; got {array.dtype}, shape "
            f"{array.shape}."
        )
    if not arrays.is_traced(array):
        check.in_range("targets", array, at_least=0, at_most=d_vocab - 1)
    return array
