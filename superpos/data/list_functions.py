"""Functions of short lists of tokens, by name, and which lists are held out."""

from collections.abc import Callable
from math import comb
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from superpos.data.sequences import whole_between

Tokens = Integer[Array, " length"]


class AskedOfList(NamedTuple):
    """What is asked of a list of `length` tokens, and how lists are drawn.

    `answer` maps (length,) tokens to (n_answers,) tokens, and `draw` makes a list from numbers uniform on [0, 1), of which it
    gets `length` + 2. `d_vocab` is the number of different tokens, where it is not free.
    """

    answer: Callable[[Tokens], Tokens]
    draw: Callable[[Float[Array, " shares"], int], Tokens]
    d_vocab: int | None = None
    as_many: bool = False  # answers as tokens; else one

    def n_answers(self, length: int) -> int:
        """How many tokens the answer has."""
        return length if self.as_many else 1


def _uniform(shares: Float[Array, " shares"], d_vocab: int) -> Tokens:
    return whole_between(shares[2:], 0, d_vocab - 1).astype(int)


def _half_balanced(shares: Float[Array, " shares"], d_vocab: int) -> Tokens:
    """A balanced word in half of the lists, all of them alike likely; in the others every parenthesis is drawn alone."""
    words = jnp.asarray(balanced_words(len(shares) - 2))
    word = words[whole_between(shares[1], 0, len(words) - 1).astype(int)]
    return jnp.where(shares[0] < 0.5, word, _uniform(shares, d_vocab))


def is_balanced(tokens: Tokens) -> Bool[Array, ""]:
    """Whether parentheses, 0 to open and 1 to close, are balanced: the depth is never below 0, and 0 in the end."""
    depth = jnp.cumsum(1 - 2 * tokens)
    return jnp.all(depth >= 0) & (depth[-1] == 0)


def balanced_words(length: int) -> np.ndarray:
    """All balanced words of `length` parentheses, 0 to open and 1 to close: rows, as many as Catalan's number.

    There are none of odd length; `length` is at most 16, of which there are 1,430.
    """
    half = length // 2
    words, depths = np.zeros((1, 0), int), np.zeros(1, int)
    for place in range(length):
        left = length - place - 1
        rows = [(np.column_stack([words, np.full(len(words), t)]), depths + 1 - 2 * t) for t in (0, 1)]
        words, depths = (np.concatenate(both) for both in zip(*rows, strict=True))
        possible = (depths >= 0) & (depths <= left)
        words, depths = words[possible], depths[possible]
    assert length % 2 or len(words) == comb(length, half) // (half + 1)
    return words[depths == 0]


# What is asked of a list, by name.
LIST_FUNCTIONS = {
    "maximum": AskedOfList(lambda t: jnp.max(t, keepdims=True), _uniform),
    "minimum": AskedOfList(lambda t: jnp.min(t, keepdims=True), _uniform),
    "parity": AskedOfList(lambda t: jnp.sum(t, keepdims=True) % 2, _uniform, d_vocab=2),
    "balanced": AskedOfList(lambda t: is_balanced(t).astype(int)[None], _half_balanced, d_vocab=2),
    "sorted": AskedOfList(jnp.sort, _uniform, as_many=True),
    "reversed": AskedOfList(lambda t: t[::-1], _uniform, as_many=True),
}


class AnsweredList(NamedTuple):
    """A list with its answer as a sequence: the list, "=", and the answer but for its last token."""

    tokens: Integer[Array, " n_positions"]
    answer: Integer[Array, " n_answers"]  # what is to be said at the last n_answers positions
    held_out: Bool[Array, ""]  # whether the list is one of those that never train


def answered_list(shares: Float[Array, " shares"], function: str, d_vocab: int, held_out: Any) -> AnsweredList:
    """One list with its answer, of tokens from 0 to `d_vocab` − 1; "=" is the token `d_vocab`.

    `shares` are uniform on [0, 1), two more than the list has tokens.
    """
    asked = LIST_FUNCTIONS[function]
    listed = asked.draw(shares, d_vocab)
    answer = asked.answer(listed)
    tokens = jnp.concatenate([listed, jnp.array([d_vocab], listed.dtype), answer[:-1]])
    return AnsweredList(tokens, answer, is_held_out(listed, held_out))


def is_held_out(tokens: Integer[Array | np.ndarray, " length"], share: Any) -> Bool[Array, ""]:
    """Whether a list is one of a `share` of all lists, chosen by a hash of its tokens: the same lists for every model.

    FNV-1a over the tokens, then the finaliser of MurmurHash3; the list is one where that over 2³² is below `share`.
    """
    mixed = jnp.uint32(2_166_136_261)
    for token in jnp.asarray(tokens).astype(jnp.uint32):
        mixed = (mixed ^ token) * jnp.uint32(16_777_619)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
    return mixed.astype(float) < share * 2.0**32
