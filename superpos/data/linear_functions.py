"""Examples of random linear functions, and queries: regression in context."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class RegressionSequences(NamedTuple):
    """Tokens (x, y) as columns, the last of them the query (x, 0), and what a model should say of it, of a batch."""

    tokens: Float[Array, "n_coordinates n_tokens *batch"]
    present: Float[Array, "n_examples *batch"]  # 1 for examples that are there, 0 for the others
    weights: Float[Array, "n_dims *batch"]
    target: Float[Array, "*batch"]


def n_normals(n_dims: int, most_examples: int) -> int:
    """How many normal numbers `regression_sequences` takes for each sequence."""
    return n_dims * (most_examples + 2) + most_examples


def regression_sequences(
    normals: Float[Array, "normals *batch"],
    n_dims: int,
    n_examples: Any,
    noise: Any,
    weight_scale: Any,
    input_scale: Any,
) -> RegressionSequences:
    r"""Sequences of N = `n_examples` examples and a query, of standard normal numbers.

    $$y_i = w \cdot x_i + \sigma \varepsilon_i, \qquad w \sim N(0, \omega^2 I), \quad x_i \sim N(0, s^2 I), \quad
      \varepsilon_i \sim N(0, 1),$$

    with σ = `noise`, ω = `weight_scale` and s = `input_scale`. The target is w · x of the query, without noise. N may be
    traced: as many examples are drawn as `normals` suffice for, and those after the first N are 0 and marked as not there.
    So examples do not depend on N: a sequence of five is the first five of a longer one.
    """
    batch = normals.shape[1:]
    examples = normals[2 * n_dims :].reshape(n_dims + 1, -1, *batch)
    w, x_query = weight_scale * normals[:n_dims], input_scale * normals[n_dims : 2 * n_dims]
    x = input_scale * examples[:n_dims]
    y = jnp.sum(w[:, None] * x, axis=0) + noise * examples[n_dims]
    there = (jnp.arange(x.shape[1]) < n_examples).astype(x.dtype)
    present = jnp.broadcast_to(there.reshape(-1, *(1,) * len(batch)), y.shape)
    shown = jnp.concatenate([x, y[None]]) * present[None]
    query = jnp.concatenate([x_query, jnp.zeros((1, *batch), x.dtype)])
    return RegressionSequences(
        jnp.concatenate([shown, query[:, None]], axis=1), present, w, jnp.sum(w * x_query, axis=0)
    )
