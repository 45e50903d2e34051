r"""A world of one's own documents: every input is a row of a table of counts, such as words by document.

A document d is drawn uniformly from one part of the table. Feature i is active if the table holds a count $c_{di} > 0$, and
$x_i = c_{di} m_i$ with a magnitude $m_i$ of the law that `magnitude` names. With `magnitude="constant"` x is the row itself:
a bag of words, in 0s and 1s or in counts. Nothing is known of the documents but the table, so marginals, pairs and
moments are means over its rows.
"""

from functools import lru_cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from superpos import arrays, check
from superpos.errors import ConfigError

PARTS = ("training", "held_out")
MAX_ENTRIES = 50_000_000  # of a table: every model of a sweep holds a copy while it trains
MAX_COUNT = 1e6
SPLIT_SEED = 0


def check_documents(features: Any) -> None:
    """Raise `ConfigError`, naming the field, for a table, a share or a part that is not allowed; the table may be stacked."""
    table = features.documents
    if table is None:
        raise ConfigError('documents are missing where world is "documents": one row each, one column per feature.')
    shape = np.shape(table)
    if len(shape) < 2 or shape[-1] != features.n_features or not shape[-2]:
        raise ConfigError(f"documents must have shape (documents, {features.n_features}), got {shape}.")
    if shape[-2] * shape[-1] > MAX_ENTRIES:
        raise ConfigError(f"documents must have at most {MAX_ENTRIES:,} entries, got {shape[-2]} × {shape[-1]}.")
    check.in_range("documents", table, at_least=0, at_most=MAX_COUNT)
    check_parts(features, shape[-2])
    if arrays.is_traced(table):
        return
    counts = np.asarray(table)
    trained_on = counts[..., rows_of("training", shape[-2], features.held_out), :]
    if np.any(empty := ~np.any(trained_on > 0, axis=-2)):
        where = " of those that are trained on" if features.held_out else ""
        raise ConfigError(
            f"documents must name every feature: feature {int(np.argwhere(empty)[0][-1])} is in none{where}."
        )


def check_parts(features: Any, n_documents: int) -> None:
    """Raise `ConfigError` for a held-out share that leaves no document to one of the parts, or a part that is none."""
    check.number("held_out", features.held_out, at_least=0, below=1)
    check.one_of("part", features.part, PARTS)
    if features.held_out and not 0 < _n_held_out(n_documents, features.held_out) < n_documents:
        raise ConfigError(
            f"held_out must leave documents to both parts: {features.held_out:g} of {n_documents} does not."
        )
    if features.part == "held_out" and not features.held_out:
        raise ConfigError('held_out must be above 0 where part is "held_out".')


def _n_held_out(n_documents: int, held_out: float) -> int:
    return round(n_documents * held_out)


@lru_cache(maxsize=16)
def rows_of(part: str, n_documents: int, held_out: float) -> Int[np.ndarray, " rows"]:
    """Numbers of the documents of a part, in their order.

    Which are held out is decided by one random permutation that depends on the number of documents alone: a larger share
    holds out the same documents and more.
    """
    if not held_out:
        return np.arange(n_documents)
    shuffled = np.random.default_rng(SPLIT_SEED).permutation(n_documents)
    n = _n_held_out(n_documents, held_out)
    return np.sort(shuffled[:n] if part == "held_out" else shuffled[n:])


def rows(features: Any) -> Float[Array, "rows n_features"]:
    """The rows of the part that inputs are drawn from."""
    table = jnp.asarray(features.documents, float)
    numbers = rows_of(features.part, table.shape[-2], features.held_out)
    return table if len(numbers) == table.shape[-2] else table[numbers]


def draw(features: Any, uniform: Float[Array, " batch"]) -> Float[Array, "n_features batch"]:
    """Rows drawn by uniform numbers in (0, 1), as columns."""
    table = rows(features)
    return table[jnp.minimum((uniform * len(table)).astype(int), len(table) - 1)].T


def mean_powers(features: Any, order: int) -> Float[Array, " n_features"]:
    """The mean over documents of the counts' powers; of order 0, how many documents have the feature."""
    table = rows(features)
    return jnp.mean((table > 0).astype(table.dtype) if order == 0 else table**order, axis=0)


def mean_products(features: Any, *, active: bool) -> Float[Array, "n_features n_features"]:
    """The mean over documents of products of two counts; where `active`, the share of documents with both features."""
    table = rows(features)
    table = (table > 0).astype(table.dtype) if active else table
    return jnp.dot(table.T, table, precision="highest") / len(table)
