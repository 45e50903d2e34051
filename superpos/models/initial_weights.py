"""Initial weights of a transformer."""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


def initial_weights(
    key: PRNGKeyArray,
    *,
    d_vocab: int,
    n_positions: int,
    n_layers: int,
    n_heads: int,
    d_model: int,
    d_head: int | None = None,
    d_mlp: int = 0,
    bias: bool = False,
    scale: Any = 1.0,
) -> dict[str, Array]:
    """Normal weights of standard deviation `scale` / √d_model, of W_U `scale` / √d_vocab; biases 0.

    `d_head` is d_model / n_heads if not given; `d_mlp` = 0 is no MLP; `bias` asks for the MLP's biases. Nanda et al. 2023
    initialise this way.
    """
    d_head = d_model // n_heads if d_head is None else d_head
    shapes = {"W_E": (d_vocab, d_model), "W_pos": (n_positions, d_model), "W_U": (d_model, d_vocab)}
    shapes |= dict.fromkeys(("W_Q", "W_K", "W_V"), (n_layers, n_heads, d_model, d_head))
    shapes |= {"W_O": (n_layers, n_heads, d_head, d_model)}
    if d_mlp:
        shapes |= {"W_in": (n_layers, d_model, d_mlp), "W_out": (n_layers, d_mlp, d_model)}
    std = dict.fromkeys(shapes, d_model**-0.5) | {"W_U": d_vocab**-0.5}
    drawn = _standard_normal(key, shapes)
    weights = {name: scale * std[name] * drawn[name] for name in shapes}
    if d_mlp and bias:
        weights |= {"b_in": jnp.zeros((n_layers, d_mlp), float), "b_out": jnp.zeros((n_layers, d_model), float)}
    return weights


def _standard_normal(key: PRNGKeyArray, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Each from a key of its own; those of one size in one draw, as random numbers are most of what there is to compile."""
    keys, drawn = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True)), {}
    for size in {prod(shape) for shape in shapes.values()}:
        names = [name for name, shape in shapes.items() if prod(shape) == size]
        draw = jax.vmap(lambda key, size=size: jax.random.normal(key, (size,), float))
        rows = draw(jnp.stack([keys[name] for name in names]))
        drawn |= {name: row.reshape(shapes[name]) for name, row in zip(names, rows, strict=True)}
    return drawn
