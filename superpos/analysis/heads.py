"""Heads of trained transformers, measured on sequences that no training step saw."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from superpos.analysis.attention import ablation, mean_outputs, prefix_matching_score, previous_token_score
from superpos.models.transformer import Transformer
from superpos.tasks.induction import RepeatedTokens, repeat_loss
from superpos.train import EVALUATION_TAG

MODES = ("mean", "pattern-preserving")


def fresh_key() -> PRNGKeyArray:
    """The key of sequences to measure on: neither those of training nor those of the evaluation after it."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG)), jnp.uint32(2**31))


@jax.jit(static_argnames="n_sequences")
def measure_heads(task: RepeatedTokens, model: Transformer, n_sequences: int) -> dict[str, Array]:
    """Scores of all heads on fresh sequences of a task, and how well the model predicts their repeats.

    `previous_token` and `prefix_matching` (n_layers, n_heads) are means over sequences; `uniform` is the prefix-matching
    score of attention that is the same for all positions; `loss` in nats and `accuracy` are of `repeat_loss`; `pattern` is
    the attention on the first of the sequences, [layer, head, query, key].
    """
    data = task.broadcast().sample(fresh_key(), n_sequences)

    def one(tokens: Array) -> tuple[Array, ...]:
        logits, cache = model.run_with_cache(tokens)
        patterns = jnp.stack([cache[f"blocks.{layer}.attn.pattern"] for layer in range(model.W_Q.shape[0])])
        even = jnp.tril(jnp.ones((tokens.shape[0],) * 2)) / jnp.arange(1, tokens.shape[0] + 1)[:, None]
        return (
            logits,
            previous_token_score(patterns),
            prefix_matching_score(patterns, tokens),
            prefix_matching_score(even, tokens),
            patterns,
        )

    logits, *scores, patterns = jax.vmap(one)(data.tokens)
    names = ("previous_token", "prefix_matching", "uniform")
    loss, accuracy = repeat_loss(logits, data)
    means = {n: jnp.mean(s, 0) for n, s in zip(names, scores, strict=True)}
    return means | {"loss": loss, "accuracy": accuracy, "pattern": patterns[0]}


@jax.jit(static_argnames="n_sequences")
def ablated_losses(
    task: RepeatedTokens, model: Transformer, sets: Bool[Array, "n_sets n_layers n_heads"], n_sequences: int
) -> Float[Array, "n_sets 2"]:
    """Loss without each set of heads, by mean ablation and by pattern-preserving mean ablation (`MODES`), in nats.

    On the sequences of `measure_heads`, and so is what the heads say on average. Olsson et al. 2022, "Attention Head
    Ablations".
    """
    data = task.broadcast().sample(fresh_key(), n_sequences)
    to = mean_outputs(model, data.tokens)

    def one(tokens: Array, heads: Array) -> tuple[Any, Any]:
        _, cache = model.run_with_cache(tokens)
        return model(tokens, ablation(heads, to)), model(tokens, ablation(heads, to, cache))

    def of_set(heads: Array) -> Array:
        both = jax.vmap(lambda tokens: one(tokens, heads))(data.tokens)
        return jnp.stack([repeat_loss(logits, data)[0] for logits in both])

    return jax.lax.map(of_set, sets)
