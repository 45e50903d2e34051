"""What attention heads do: scores of heads, in-context learning, composition, ablation, and the phase change."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from superpos.models.interventions import Interventions
from superpos.models.toy import FULL_PRECISION
from superpos.models.transformer import Transformer


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

    What a head writes when it attends to position j alone, $v_j W_O W_U$: logits minus their mean over the vocabulary,
    negative ones cut to 0; r = the part of token j in what all tokens of this sequence are raised by, averaged over j. The
    score is 2r − 1: 1 for a head that raises the attended token alone, −1 for one that raises the others alone (or none),
    about 2 / n_positions − 1 for one that does not care. Give `tokens` without repeats.

    Few dimensions cannot keep many tokens apart: a projection of 64 embedded tokens on a head of 16, the best copy there
    is, raises others, too, and has r of about 0.3 among 25 tokens. `ov_eigenvalue_score` is 1 for it.

    Olsson et al. 2022, "Model Analysis Table", Data Collection (3), head activation evaluators: 25 random tokens. Their
    ratio, from 0 to 0.5, is also scaled to −1 to 1; how a mixture of attended tokens counts is not said there, here every
    token is attended to alone.
    """
    tokens = jnp.asarray(tokens)
    _, cache = model.run_with_cache(tokens)
    scores = []
    for layer in range(model.W_Q.shape[0]):
        v = cache[f"blocks.{layer}.attn.v"]
        logits = jnp.einsum("hpe,hed,dv->hpv", v, model.W_O[layer], model.W_U[...], precision=FULL_PRECISION)
        raised = jnp.maximum(logits - jnp.mean(logits, -1, keepdims=True), 0)[..., tokens]
        share = jnp.diagonal(raised, axis1=-2, axis2=-1) / jnp.maximum(jnp.sum(raised, -1), 1e-30)
        scores.append(2 * jnp.mean(share, -1) - 1)
    return jnp.stack(scores)


def ov_eigenvalue_score(model: Transformer) -> Float[np.ndarray, "n_layers n_heads"]:
    r"""$\sum_k \lambda_k / \sum_k |\lambda_k|$ over the eigenvalues of a head's $W_E W_V W_O W_U$, from −1 to 1.

    1 where all are positive, as where every token raises its own logit; −1 where each lowers it; about 0 for random weights.
    Only the d_head eigenvalues that can differ from 0 are computed, those of $W_O W_U W_E W_V$. Computed by NumPy: an
    accelerator has no eigenvalues of general matrices. NaN for a head that writes nothing.

    Elhage et al. 2021, "Detecting Copying Behavior" and "Checking the Mechanistic Theory"; Olsson et al. 2022 use it to
    validate their `copying_score`.
    """
    W_E, W_V, W_O, W_U = (np.asarray(W[...], np.float64) for W in (model.W_E, model.W_V, model.W_O, model.W_U))
    eigenvalues = np.linalg.eigvals(W_O @ (W_U @ W_E) @ W_V)
    with np.errstate(invalid="ignore"):
        return eigenvalues.sum(-1).real / np.abs(eigenvalues).sum(-1)


def in_context_score(losses: Float[Array | np.ndarray, "*models n_positions"], early: int, late: int) -> Array:
    """Loss at position `late` minus loss at position `early`: negative where context helps.

    Olsson et al. 2022 use the 500th and the 50th token of 512. It is a score of models that were trained at both positions.
    One trained on `RepeatedTokens` was not, as its loss counts the repeats alone: before them it predicts what it pleases,
    at 10 nats and more, and this score falls below −ln V, the most that context can give. There the loss of the repeat, of
    which ln V is what a model without context pays, takes its place.
    """
    losses = jnp.asarray(losses)
    return losses[..., late] - losses[..., early]


def composition(
    first: Float[Array, "*first d_model d_model"], second: Float[Array, "*second d_model d_model"]
) -> Float[Array, "*both"]:
    r"""$\|AB\|_F / (\|A\|_F \|B\|_F)$: how much of what A writes B reads; rows are vectors, so A comes first."""
    norm = partial(jnp.linalg.norm, axis=(-2, -1))
    return norm(jnp.matmul(first, second, precision=FULL_PRECISION)) / (norm(first) * norm(second))


def k_composition(model: Transformer, layer: int = 1) -> Float[Array, "n_heads n_heads"]:
    r"""K-composition of every head of the layer before with every head of `layer`: entry [earlier, later].

    The `composition` of $W_{OV}^{early} = W_V W_O$ with $W_K W_Q^\top$ of the later head: how much its keys read of what the
    earlier head wrote. Two random matrices of rank d_head have about 1 / √d_model.

    Elhage et al. 2021, "Analyzing a Two-Layer Model".
    """
    OV = jnp.einsum("hde,hef->hdf", model.W_V[layer - 1], model.W_O[layer - 1], precision=FULL_PRECISION)
    KQ = jnp.einsum("hde,hfe->hdf", model.W_K[layer], model.W_Q[layer], precision=FULL_PRECISION)
    return composition(OV[:, None], KQ[None])


def mean_outputs(
    model: Transformer, tokens: Integer[Array, "batch n_positions"]
) -> Float[Array, "n_layers n_heads d_head"]:
    """What every head says on average, over a batch and all positions: what mean ablation puts in its place."""
    return mean_z(jax.vmap(lambda t: model.run_with_cache(t)[1])(tokens))


def mean_z(cache: dict[str, Array]) -> Float[Array, "n_layers n_heads d_head"]:
    """The same from the cache of a batch, whose entries lead with the batch."""
    return jnp.stack([jnp.mean(z, axis=(0, 2)) for name, z in cache.items() if name.endswith("attn.z")])


def ablation(
    heads: Bool[Array | np.ndarray, "n_layers n_heads"],
    to: Float[Array, "n_layers n_heads d_head"],
    patterns: dict[str, Array] | None = None,
) -> Interventions:
    """Interventions that set the output of the marked heads to their part of `to`: `mean_outputs(…)`, or zeros.

    `heads` may be traced: one compilation serves every choice of heads. With `patterns`, the attention patterns of a run
    without ablation, all heads keep attending as they did (pattern-preserving ablation): only what the heads themselves
    write is missing, not what later heads would have found by it.

    Olsson et al. 2022, "Attention Head Ablations".
    """
    off = jnp.asarray(heads)
    edits: dict[str, Any] = {n: p for n, p in (patterns or {}).items() if n.endswith("attn.pattern")}
    for layer in range(off.shape[0]):
        edits[f"blocks.{layer}.attn.z"] = partial(_replaced, off[layer][:, None, None], to[layer][:, None])
    return edits


def _replaced(off: Array, to: Array, z: Array) -> Array:
    return jnp.where(off, to, z)


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
