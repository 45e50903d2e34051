"""Decoder columns that begin as inputs: each where those before it leave most."""

from math import log
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos.data import random_directions
from superpos.models.sae import MIN_NORM
from superpos.models.toy import FULL_PRECISION

WAYS = ("random", "inputs")
NOTHING = 1e-6  # as a share of the squared lengths of all inputs: rounding leaves some
INPUTS = 32_768  # from which columns are drawn: of what occurs once in 10,000 inputs there are a few


def initial_columns(task: Any, key: PRNGKeyArray) -> Float[Array, "n_hidden n_latents"]:
    """Columns of length 1 that a new model of a `SparseAutoencoder` begins with, as its `initial_columns` says."""
    if task.initial_columns == "random":
        return random_directions(key, task.n_hidden, task.n_latents)
    has_its_own = np.ndim(task.directions) == 2  # not those of all sources
    prepared = task if has_its_own else task.precompute()
    _, h = prepared.sample(jax.random.fold_in(key, task.n_latents + 1), INPUTS)
    return columns_of_inputs(key, h, task.n_latents)


def columns_of_inputs(
    key: PRNGKeyArray, h: Float[Array, "n_hidden batch"], n_latents: int
) -> Float[Array, "n_hidden n_latents"]:
    r"""Directions of inputs, drawn one after another in proportion to what those before leave.

    Columns $d_1, d_2, \dots$, one of them at a time, leave $\|h\|^2 - \max_j (d_j \cdot h)_+^2$ of an input h. For the next
    of N columns 2 + ⌊log N⌋ inputs are drawn with probabilities proportional to that. The one is taken whose direction
    leaves least of all others together: of a rare kind of input there may be one alone, and it would explain itself without
    an error. Where nothing is left, columns are random.

    Inputs of a kind with frequency $p_i$, of which n columns leave $\propto n^{-\beta}$, get columns at a rate
    $\propto p_i n_i^{-\beta}$. So $n_i^{1 + \beta}$ grows in proportion to $p_i$, as in the best allocation
    (`superpos.theory.optimal_allocation`).

    Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding", with directions in place of centres.
    Several candidates for each are their suggestion, so many scikit-learn's.
    """
    squares = jnp.sum(jnp.square(h), axis=0)
    spare = random_directions(jax.random.fold_in(key, n_latents), h.shape[0], n_latents)
    n_candidates = 2 + int(log(n_latents))

    def step(j: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        columns, explained = carry
        left = jnp.cumsum(jnp.maximum(squares - explained, 0.0))
        u = left[-1] * jax.random.uniform(jax.random.fold_in(key, j), (n_candidates,), left.dtype)
        drawn = jnp.minimum(jnp.searchsorted(left, u, side="right"), len(left) - 1)
        directions = h[:, drawn] / jnp.maximum(jnp.sqrt(squares[drawn]), MIN_NORM)[None, :]
        reads = jnp.maximum(jnp.dot(directions.T, h, precision=FULL_PRECISION), 0.0)
        after = jnp.maximum(explained[None, :], jnp.square(reads))  # (n_candidates, batch)
        of_itself = squares[drawn] - explained[drawn]  # which says nothing of others of its kind
        best = jnp.argmax(jnp.sum(after - explained[None, :], axis=1) - of_itself)
        something = left[-1] > NOTHING * jnp.sum(squares)
        column = jnp.where(something, directions[:, best], spare[:, j])
        return columns.at[:, j].set(column), jnp.where(something, after[best], explained)

    start = jnp.zeros((h.shape[0], n_latents), h.dtype), jnp.zeros_like(squares)
    return jax.lax.fori_loop(0, n_latents, step, start)[0]
