r"""Loss and gradient of the toy model on a part of a batch, in tiles of features: a program of a kernel.

`superpos.models.sums_over_samples` has the formulas. The features go by three times. First they are summed up to
$h = Wx$. Then each tile has its outputs, and so $d$, which adds to $g$ and gives $h d^\top$, a part of the gradient by W. Now
that g is whole, the third time adds $g x^\top$. Inputs are computed anew each time, from uniform numbers that all models of
a block share: so no array of models × features × samples ever lies in memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

from superpos.models.products import FULL_PRECISION
from superpos.models.sums_over_samples import of_outputs
from superpos.training.kernels.draws import inputs
from superpos.training.kernels.memory import Columns, read, write
from superpos.training.tiled.cut import Cut


class Given(NamedTuple):
    """References to what a program reads: of all models the first, of its own the others."""

    u: Any  # (n_features, batch), uniform
    feature_probability: Any  # (n_features,)
    importance: Any  # (n_features,)
    hidden_l1: Any  # () or None
    W: Any  # (n_hidden, n_features)
    b: Any  # (n_features,) or None


class Parts(NamedTuple):
    """References to what a part of the batch adds to the sums over samples; `superpos.models.sums_over_samples.Sums`."""

    loss: Any  # ()
    to_b: Any  # (n_features,) or None
    to_W: Any  # (n_hidden, n_features)


def add_up(
    cut: Cut,
    activation: str,
    magnitude: str,
    part: Any,
    given: Given,
    parts: Parts,
    barrier: Callable[[], None],
) -> None:
    """Write the sums over the samples of a part, by number.

    `barrier()` waits until what all threads of the program have written is there to be read.
    """
    sample = part * cut.samples + jnp.arange(cut.samples, dtype=jnp.int32)
    counted = None if cut.batch_size % cut.samples == 0 else (sample < cut.batch_size)[None, :]
    unit = jnp.arange(cut.hidden, dtype=jnp.int32)[:, None]

    def columns(tile: Any) -> Columns:
        return Columns(tile * cut.features, cut.features)

    def weights(tile: Any) -> tuple[Any, Any]:
        """Where a tile of W lies, and which of it there is. The hidden layer may be padded beyond a power of two."""
        number = tile * cut.features + jnp.arange(cut.features, dtype=jnp.int32)[None, :]
        return (unit, number), (number < cut.n_features) & (unit < cut.n_hidden)

    def weights_of(tile: Any) -> Float[Array, "hidden features"]:
        index, mask = weights(tile)
        return triton.load(given.W.at[index], mask=mask, other=0.0)

    def inputs_of(tile: Any) -> Float[Array, "features samples"]:
        number = tile * cut.features + jnp.arange(cut.features, dtype=jnp.int32)[:, None]
        mask = jnp.broadcast_to(number < cut.n_features, (cut.features, cut.samples))
        mask = mask if counted is None else mask & counted
        u = triton.load(given.u.at[number, sample[None, :]], mask=mask, other=1.0)  # at least p: the input is 0
        return inputs(u, read(given.feature_probability, columns=columns(tile))[:, None], magnitude)

    def encode(tile: Any, h: Any) -> Any:
        return h + _product(weights_of(tile), inputs_of(tile), 1, 0)

    zeros = jnp.zeros((cut.hidden, cut.samples), jnp.float32)
    h = jax.lax.fori_loop(0, cut.tiles, encode, zeros)

    def decode(tile: Any, carried: Any) -> Any:
        loss, g = carried
        W = weights_of(tile)
        a = _product(W, h, 0, 0)
        if given.b is not None:
            a += read(given.b, columns=columns(tile))[:, None]
        importance = read(given.importance, columns=columns(tile))[:, None]
        error, weighted, d = of_outputs(a, inputs_of(tile), importance, activation, counted)
        losses = weighted * error  # here, since the error would else stay in registers
        index, mask = weights(tile)
        # The smaller matrix is turned round: of d the compiler would otherwise make two copies, computed one after the other.
        triton.store(parts.to_W.at[index], _product(d, h, 1, 1).T, mask=mask)
        if parts.to_b is not None:
            write(parts.to_b, jnp.sum(d, axis=1), columns=columns(tile))
        return loss + jnp.sum(losses, axis=1), g + _product(W, d, 1, 0)

    losses, g = jax.lax.fori_loop(0, cut.tiles, decode, (jnp.zeros(cut.features, jnp.float32), zeros))
    loss = jnp.sum(losses)
    if given.hidden_l1 is not None:  # h is 0 where nothing was drawn
        penalty = given.hidden_l1[...]
        loss += penalty * jnp.sum(jnp.abs(h))
        g += penalty / 2 * jnp.sign(h)
    parts.loss[...] = loss
    barrier()

    def encoder_gradient(tile: Any, _: Any) -> Any:
        index, mask = weights(tile)
        to_W = triton.load(parts.to_W.at[index], mask=mask, other=0.0)
        to_W += _product(inputs_of(tile), g, 1, 1).T
        barrier()  # nothing is overwritten that a thread has yet to read
        triton.store(parts.to_W.at[index], to_W, mask=mask)
        return _

    jax.lax.fori_loop(0, cut.tiles, encoder_gradient, jnp.int32(0))


def _product(a: Any, b: Any, a_axis: int, b_axis: int) -> Any:
    """Two matrices multiplied along an axis of each, in all bits of single precision."""
    dimensions = (((a_axis,), (b_axis,)), ((), ()))
    return jax.lax.dot_general(a, b, dimensions, precision=FULL_PRECISION, preferred_element_type=jnp.float32)
