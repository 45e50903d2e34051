"""Heads of trained transformers, measured on sequences that no training step saw."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from superpos.analysis.attention import (
    ablation,
    copying_score,
    k_composition,
    mean_z,
    ov_eigenvalue_score,
    prefix_matching_score,
    previous_token_score,
)
from superpos.data.key_tags import EVALUATION_TAG
from superpos.data.sequences import Repeats
from superpos.models.transformer import Transformer
from superpos.tasks.induction import RepeatedTokens, repeat_loss

MODES = ("mean", "pattern-preserving")
INDUCTION, PREVIOUS = 0.6, 0.5  # scores from which a head counts as one


def fresh_key() -> PRNGKeyArray:
    """The key of sequences to measure on: neither those of training nor those of the evaluation after it."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG)), jnp.uint32(2**31))


def fresh_sequences(task: RepeatedTokens, n_sequences: int) -> Repeats:
    """Sequences of a task to measure on, the same for models of all depths; all fields lead with the sequence."""
    return _drawn(
        replace(task.broadcast(), n_layers=1), n_sequences
    )  # the model is no part of them: one program for all


@partial(jax.jit, static_argnames="n_sequences")
def _drawn(task: RepeatedTokens, n_sequences: int) -> Repeats:
    return task.sample(fresh_key(), n_sequences)


def measure_heads(task: RepeatedTokens, model: Transformer, n_sequences: int) -> dict[str, Array]:
    """Scores of all heads on fresh sequences of a task, and how well the model predicts their repeats.

    `previous_token` and `prefix_matching` (n_layers, n_heads) are means over sequences; `uniform` is the prefix-matching
    score of attention that is the same for all positions; `loss` in nats and `accuracy` are of `repeat_loss`; `pattern` is
    the attention on the first of the sequences, [layer, head, query, key].
    """
    return _measured(model, fresh_sequences(task, n_sequences))


@jax.jit
def _measured(model: Transformer, data: Repeats) -> dict[str, Array]:
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
    means = {n: jnp.mean(s, 0) for n, s in zip(names, scores, strict=True)}
    loss, accuracy = repeat_loss(logits, data)
    return means | {"loss": loss, "accuracy": accuracy, "pattern": patterns[0]}


def circuit_scores(model: Transformer, n_tokens: int = 25, n_sequences: int = 10) -> dict[str, np.ndarray]:
    """What heads copy and which ones work together, of a model of two layers, much of it from weights alone.

    `copying` and `ov_eigenvalues` (n_layers, n_heads), the first a mean over sequences of `n_tokens` (or as many as there
    are) different tokens; `k_composition` (n_heads, n_heads) is [earlier, later], of the last layer with the one before.
    """
    (d_vocab, _), rng = model.W_E.shape, np.random.default_rng(0)
    n_tokens = min(n_tokens, d_vocab, model.W_pos.shape[0])
    tokens = np.stack([rng.permutation(d_vocab)[:n_tokens] for _ in range(n_sequences)])
    copying, composed = _copying_and_composition(model, jnp.asarray(tokens))
    return {
        "copying": np.asarray(copying),
        "ov_eigenvalues": ov_eigenvalue_score(model),
        "k_composition": np.asarray(composed),
    }


@jax.jit
def _copying_and_composition(model: Transformer, tokens: Array) -> tuple[Array, Array]:
    copying = jnp.mean(jax.vmap(partial(copying_score, model))(tokens), 0)
    return copying, k_composition(model, model.W_Q.shape[0] - 1)


def ablated_losses(
    task: RepeatedTokens, model: Transformer, sets: Bool[Array, "n_sets n_layers n_heads"], n_sequences: int
) -> Float[Array, "n_sets 2"]:
    """Loss without each set of heads, by mean ablation and by pattern-preserving mean ablation (`MODES`), in nats.

    On the sequences of `measure_heads`, and so is what the heads say on average. Olsson et al. 2022, "Attention Head
    Ablations".
    """
    return _ablated(model, fresh_sequences(task, n_sequences), sets)


@jax.jit
def _ablated(model: Transformer, data: Repeats, sets: Array) -> Array:
    cache = jax.vmap(lambda tokens: model.run_with_cache(tokens)[1])(data.tokens)
    to, patterns = mean_z(cache), {name: p for name, p in cache.items() if name.endswith("attn.pattern")}

    def of_set(heads: Array) -> Array:
        mean = jax.vmap(lambda tokens: model(tokens, ablation(heads, to)))(data.tokens)
        preserving = jax.vmap(lambda tokens, pattern: model(tokens, ablation(heads, to, pattern)))(
            data.tokens, patterns
        )
        return jnp.stack([repeat_loss(logits, data)[0] for logits in (mean, preserving)])

    return jax.lax.map(of_set, sets)
