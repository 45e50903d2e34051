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


def whole_between(share: Float[Array, "*any"], lowest: Any, highest: Any) -> Float[Array, "*any"]:
    """Whole numbers from `lowest` to `highest`, both included, all alike likely where `share` is uniform on [0, 1).

    The bounds may be traced.
    """
    return jnp.minimum(jnp.floor(lowest + share * (highest - lowest + 1)), highest)


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
    share = jax.random.uniform(key, (1 + 2 * n_positions,))  # one draw for all: half as much to compile
    length = whole_between(share[0], shortest, longest)
    segment, unrelated = whole_between(share[1:], 0, d_vocab - 1).astype(int).reshape(2, n_positions)
    period = length + gap
    i = jnp.arange(n_positions)
    within = (i % period).astype(int)
    tokens = jnp.where(within < length, segment[jnp.minimum(within, n_positions - 1)], unrelated)
    same_copy = (within + 1 < length) | (jnp.asarray(gap) == 0)
    return Repeats(tokens, period, (i >= period) & same_copy & (i < n_positions - 1))
