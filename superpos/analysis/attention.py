"""What attention heads do: scores of heads, in-context learning, composition, ablation, and the phase change."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from superpos.models.toy import FULL_PRECISION
from superpos.models.transformer import Interventions, Transformer, ablate


def previous_token_score(
    pattern: Float[Array | np.ndarray, "*heads n_positions n_positions"],
) -> Float[Array, "*heads"]:
    """Mean attention from a token to the one before it, over positions 1, 2, …; `pattern[…, query, key]`."""
    return jnp.mean(jnp.diagonal(jnp.asarray(pattern), offset=-1, axis1=-2, axis2=-1), axis=-1)


def prefix_matching_score(
    pattern: Float[Array | np.ndarray, "*heads n_positions n_positions"],
    tokens: Integer[Array | np.ndarray, " n_positions"],
) -> Float[Array, "*heads"]:
    """Mean attention from a token to the tokens that FOLLOWED its earlier occurrences.

    The attention of query i to all j < i + 1 with `tokens[j − 1] == tokens[i]` and j − 1 < i, summed over j and averaged over
    the queries that have such a j. An ideal induction head has 1; uniform attention about 1 / (i + 1) per earlier
    occurrence. NaN if no token occurs twice.

    Olsson et al. 2022, "Model Analysis Table", with the erratum of September 2022: the positions that followed, not those
    that preceded.
    """
    pattern, tokens = jnp.asarray(pattern), jnp.asarray(tokens)
    i = jnp.arange(tokens.shape[0])
    before = jnp.roll(tokens, 1)
    target = (tokens[:, None] == before[None, :]) & (i[None, :] <= i[:, None]) & (i[None, :] > 0)
    queries = jnp.any(target, axis=1)
    attention = jnp.sum(jnp.where(target, pattern, 0.0), axis=-1)
    return jnp.sum(attention, axis=-1) / jnp.sum(queries)


def copying_score(
    model: Transformer, tokens: Integer[Array | np.ndarray, " n_positions"]
) -> Float[Array, "n_layers n_heads"]:
    r"""How much a head that attends to a token raises the logit of just that token, from −1 to 1.

    What a head writes when it attends to one position alone, $v_j W_O W_U$: logits minus their mean over the vocabulary,
    negative ones cut to 0; r = the share of the token at j, averaged over positions. The score is 2r − 1: 1 for a head that
    raises the attended token and nothing else, about 4 / d_vocab − 1 for one that raises tokens at random. Give `tokens`
    without repeats.

    Olsson et al. 2022, "Model Analysis Table" (copying).
    """
    tokens = jnp.asarray(tokens)
    _, cache = model.run_with_cache(tokens)
    itself = jax.nn.one_hot(tokens, model.W_U.shape[1], dtype=model.W_U.dtype)[None]
    scores = []
    for layer in range(model.W_Q.shape[0]):
        v = cache[f"blocks.{layer}.attn.v"]
        logits = jnp.einsum("hpe,hed,dv->hpv", v, model.W_O[layer], model.W_U[...], precision=FULL_PRECISION)
        raised = jnp.maximum(logits - jnp.mean(logits, -1, keepdims=True), 0)
        share = jnp.sum(raised * itself, -1) / jnp.maximum(jnp.sum(raised, -1), 1e-30)
        scores.append(2 * jnp.mean(share, -1) - 1)
    return jnp.stack(scores)


def in_context_score(losses: Float[Array | np.ndarray, "*models n_positions"], early: int, late: int) -> Array:
    """Loss at position `late` minus loss at position `early`: negative where context helps.

    Olsson et al. 2022 use the 500th and the 50th token of 512.
    """
    losses = jnp.asarray(losses)
    return losses[..., late] - losses[..., early]


def composition(first: Float[Array, "d_model d_model"], second: Float[Array, "d_model d_model"]) -> Float[Array, ""]:
    r"""$\|AB\|_F / (\|A\|_F \|B\|_F)$: how much of what A writes B reads; rows are vectors, so A comes first."""
    product = jnp.matmul(first, second, precision=FULL_PRECISION)
    return jnp.linalg.norm(product) / (jnp.linalg.norm(first) * jnp.linalg.norm(second))


def k_composition(model: Transformer, layer: int = 1) -> Float[Array, "n_heads n_heads"]:
    r"""K-composition of every head of the layer before with every head of `layer`: entry [earlier, later].

    The `composition` of $W_{OV}^{early} = W_V W_O$ with $W_K W_Q^\top$ of the later head: how much its keys read of what the
    earlier head wrote. Two random matrices of rank d_head have about 1 / √d_model.

    Elhage et al. 2021, "Three Kinds of Composition".
    """
    heads = range(model.W_Q.shape[1])
    OV = jnp.einsum("hde,hef->hdf", model.W_V[layer - 1], model.W_O[layer - 1], precision=FULL_PRECISION)
    KQ = jnp.einsum("hde,hfe->hdf", model.W_K[layer], model.W_Q[layer], precision=FULL_PRECISION)
    return jnp.stack([jnp.stack([composition(OV[a], KQ[b]) for b in heads]) for a in heads])


def mean_outputs(
    model: Transformer, tokens: Integer[Array, "batch n_positions"]
) -> Float[Array, "n_layers n_heads d_head"]:
    """What every head says on average, over a batch and all positions: what mean ablation puts in its place."""
    cache = jax.vmap(lambda t: model.run_with_cache(t)[1])(tokens)
    layers = range(model.W_Q.shape[0])
    return jnp.stack([jnp.mean(cache[f"blocks.{layer}.attn.z"], axis=(0, 2)) for layer in layers])


def ablation(
    heads: Sequence[tuple[int, int]],
    to: Float[Array, "n_layers n_heads d_head"],
    patterns: dict[str, Array] | None = None,
) -> Interventions:
    """Interventions that set the output of heads (layer, head) to their part of `to`: `mean_outputs(…)`, or zeros.

    With `patterns`, the attention patterns of a run without ablation, all heads keep attending as they did
    (pattern-preserving ablation): only what the heads themselves write is missing, not what later heads would have found
    by it.

    Olsson et al. 2022, "Attention Head Ablations".
    """
    edits: dict[str, Any] = {n: p for n, p in (patterns or {}).items() if n.endswith("attn.pattern")}
    for layer in sorted({layer for layer, _ in heads}):
        chosen = jnp.array([head for of, head in heads if of == layer])
        edits[f"blocks.{layer}.attn.z"] = ablate(chosen, to=to[layer, chosen][:, None])
    return edits


def rise(steps: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """When a curve goes from its first to its last level: the steps at 10, 50 and 90 % of the way, interpolated.

    The first crossing of each, so a curve that wobbles later has still risen. The width, 90 % minus 10 %, says how sharp the
    change is; NaN where the ends are equal. Falling curves are treated alike.
    """
    steps, values = np.asarray(steps, float), np.asarray(values, float)
    if values[-1] == values[0]:
        return (np.nan, np.nan, np.nan)
    way = (values - values[0]) / (values[-1] - values[0])
    crossings = []
    for level in (0.1, 0.5, 0.9):
        k = int(np.argmax(way >= level))
        share = (level - way[k - 1]) / (way[k] - way[k - 1])
        crossings.append(float(steps[k - 1] + share * (steps[k] - steps[k - 1])))
    return crossings[0], crossings[1], crossings[2]
