"""Sequences of tokens, as pure functions of a key."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray


class Repeats(NamedTuple):
    """A sequence in which a random segment comes again and again, and where the next token could be known."""

    tokens: Integer[Array, " n_positions"]
    period: Float[Array, ""]  # distance from a token to its next occurrence: segment and gap
    scored: Bool[
        Array, " n_positions"
    ]  # positions whose NEXT token can be known from an earlier occurrence of this one


def whole_between(key: PRNGKeyArray, lowest: Any, highest: Any) -> Float[Array, ""]:
    """One whole number, uniform from `lowest` to `highest`, both included; the bounds may be traced."""
    return jnp.minimum(jnp.floor(lowest + jax.random.uniform(key) * (highest - lowest + 1)), highest)


def repeated_tokens(
    key: PRNGKeyArray, d_vocab: int, n_positions: int, shortest: Any, longest: Any, gap: Any = 0
) -> Repeats:
    """One sequence: a segment of uniform random tokens, again and again.

    The segment's length T is drawn for THIS sequence, uniform from `shortest` to `longest`. Between two copies stand `gap`
    unrelated tokens, new ones every time, so that the period is T + gap. Scored are positions within the second or a later
    copy whose next token belongs to the same copy: position i ≥ period with (i mod period) + 1 < T. Where there is no gap
    the next copy follows at once, and all i ≥ period are scored. The last position has no next token.

    Olsson et al. 2022, "Model Analysis Table" (repeated random tokens). A length common to all sequences is no test: a model
    then copies from a fixed distance, without looking at a token.
    """
    key_length, key_segment, key_gap = jax.random.split(key, 3)
    length = whole_between(key_length, shortest, longest)
    period = length + gap
    i = jnp.arange(n_positions)
    within = (i % period).astype(int)
    segment = jax.random.randint(key_segment, (n_positions,), 0, d_vocab)
    unrelated = jax.random.randint(key_gap, (n_positions,), 0, d_vocab)
    tokens = jnp.where(within < length, segment[jnp.minimum(within, n_positions - 1)], unrelated)
    same_copy = (within + 1 < length) | (jnp.asarray(gap) == 0)
    return Repeats(tokens, period, (i >= period) & same_copy & (i < n_positions - 1))
