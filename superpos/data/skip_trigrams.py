"""Skip trigrams: a source anywhere before and a destination at the end have one answer."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from superpos.data.sequences import whole_between


class SkipTrigram(NamedTuple):
    """A sequence that ends with a destination, and the token that comes next."""

    tokens: Integer[Array, " n_positions"]
    source: Integer[Array, ""]
    destination: Integer[Array, ""]  # counted from 0
    answer: Integer[Array, ""]


def skip_trigram(
    shares: Float[Array, " shares"], n_sources: int, n_destinations: int, n_fillers: int, n_groups: Any
) -> SkipTrigram:
    r"""One sequence: fillers, among them one source, and a destination at the end; all alike likely.

    Sources are the tokens 0 … S − 1, destinations S … S + D − 1, fillers come after them. The destination d belongs to the
    group d mod `n_groups`, which may be traced, and the answer to the source s is the token

    $$(s + d \bmod G) \bmod S.$$

    `shares` are uniform on [0, 1): three more than the sequence has tokens before its destination.
    """
    n_before = len(shares) - 3
    source = whole_between(shares[0], 0, n_sources - 1)
    destination = whole_between(shares[1], 0, n_destinations - 1)
    place = whole_between(shares[2], 0, n_before - 1)
    fillers = n_sources + n_destinations + whole_between(shares[3:], 0, n_fillers - 1)
    before = jnp.where(jnp.arange(n_before) == place, source, fillers)
    tokens = jnp.append(before, n_sources + destination)
    answer = (source + destination % n_groups) % n_sources
    return SkipTrigram(tokens.astype(int), source.astype(int), destination.astype(int), answer.astype(int))
