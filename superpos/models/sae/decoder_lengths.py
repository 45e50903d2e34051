"""Decoder columns of any length as columns of length 1: their lengths move to where the function stays the same."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from superpos import arrays
from superpos.errors import ConfigError
from superpos.models.sae.registry import architecture_of

ROUNDING = 1e-5  # columns as long as that from 1 are of length 1 in single precision


class Folded(NamedTuple):
    """Weights with columns of length 1 or 0, and the factor by which the size of each latent grew; None if none did."""

    W_dec: Any
    W_enc: Any
    b_enc: Any
    factor: Any


def fold_lengths(W_dec: Any, W_enc: Any, b_enc: Any, architecture: str, parts: tuple[int, ...] = ()) -> Folded:
    r"""Move the lengths $L_j = \|W_{\mathrm{dec},j}\|$ of the decoder's columns into the latents.

    The rows of a crosscoder's decoder are in `parts`, so many of each model, and $L_j$ adds up the lengths of the parts.

    What a latent adds to the reconstruction is $W_{\mathrm{dec},j}\,z_j = (W_{\mathrm{dec},j} / L_j)\,(L_j z_j)$, and
    $L_j z_j$ is the latent of an encoder with the row $L_j W_{\mathrm{enc},j}$ and the bias $L_j b_j$, since
    $L\,\mathrm{ReLU}(a) = \mathrm{ReLU}(La)$. Parameters of an architecture grow as its `latent_parameters` say: for
    `"jumprelu"` θ grows by L, too. For `"gated"` only what the gate lets through does, $r_\mathrm{mag} = \log L$. A latent
    whose column is 0 adds nothing, and gets an encoder of 0.

    The architectures that keep the k largest latents choose by z, not by Lz: there all columns must be of one length.
    Without an encoder (`"matching_pursuit"`) latents are found for columns of length 1, and z is divided by $L_j$
    afterwards: what it adds does not depend on lengths, which are dropped.

    Raises:
        ConfigError: no encoder gives the same function (tied weights, columns of several lengths among which the largest are
            chosen, a column of 0 that takes a place among them), or it cannot be looked at, inside a transformation.
    """
    odd = check_lengths(W_dec, W_enc, b_enc, architecture, tied=W_enc is None, parts=parts)
    if not odd:
        return Folded(W_dec, W_enc, b_enc, None)
    if odd is UNKNOWN:
        L = added_norms(W_dec, parts) if parts else jnp.linalg.norm(W_dec, axis=0)
        return _moved(W_dec / jnp.where(L > 0, L, 1)[None, :], W_enc, b_enc, L, architecture)
    columns = np.asarray(W_dec, np.float64)
    L = added_norms(columns, parts)
    unit = jnp.asarray(columns / np.where(L > 0, L, 1), W_dec.dtype)
    return _moved(unit, W_enc, b_enc, jnp.asarray(L, W_dec.dtype), architecture)


UNKNOWN = "unknown"


def added_norms(W_dec: Any, parts: tuple[int, ...] = ()) -> Any:
    r"""$\sum_m \|W_{\mathrm{dec},j}^m\|_2$ over the parts m of the rows, (…, n_latents); one part where none are given."""
    namespace = np if isinstance(W_dec, np.ndarray) else jnp
    blocks = namespace.split(W_dec, list(np.cumsum(parts[:-1])), axis=-2) if parts else [W_dec]
    return sum(namespace.linalg.norm(block, axis=-2) for block in blocks)


def check_lengths(
    W_dec: Any, W_enc: Any, b_enc: Any, architecture: str, *, tied: bool, parts: tuple[int, ...] = ()
) -> bool | str:
    """Whether there are lengths to move: True, False, or `UNKNOWN` inside a transformation; shapes as in `SAE`.

    Axes of models may lead, of all three alike. A `W_enc` or `b_enc` of None is not given, and makes no latent active that
    has no column.

    Raises:
        ConfigError: as `fold_lengths`, if they cannot be moved.
    """
    kind = architecture_of(architecture)
    own_scale, tied = kind.own_scale, tied and kind.encoder
    if any(arrays.is_traced(array) for array in (W_dec, W_enc, b_enc)):
        if tied or not own_scale:
            raise ConfigError(
                "W_dec cannot be looked at inside a transformation, and the lengths of its columns decide (a model's "
                "unit_columns=True says that they are 1)."
            )
        return UNKNOWN
    L = added_norms(np.asarray(W_dec, np.float64), parts)
    has_column = L > 0
    close = ROUNDING if tied or not own_scale else 0.0
    odd = has_column & (np.abs(L - 1) > max(close, rounding_of(W_dec)))
    left_over = ~has_column & (np.zeros(L.shape, bool) if W_enc is None else np.any(np.asarray(W_enc) != 0, axis=-1))
    left_over |= ~has_column & (np.zeros(L.shape, bool) if b_enc is None else np.asarray(b_enc) > 0)
    if odd.any() and tied:
        raise ConfigError(
            f"W_dec must have columns of length 1 where W_enc is left out, because its rows are then these columns; column "
            f"{int(np.argwhere(odd)[0][-1])} has length {L[odd][0]:.4g}: divide by it, or pass W_enc."
        )
    if not own_scale:
        if left_over.any():
            raise ConfigError(
                f"W_dec has no column for latent {int(np.argwhere(left_over)[0][-1])}, which W_enc or b_enc make active: for "
                f'architecture="{architecture}" it would take a place among the largest; set its row and bias to 0.'
            )
        longest, shortest = np.where(has_column, L, 0).max(-1), np.where(has_column, L, np.inf).min(-1)
        if (differ := longest - shortest > ROUNDING * longest).any():
            raise ConfigError(
                f'W_dec must have columns of one length for architecture="{architecture}", which compares latents, got '
                f"lengths from {shortest[differ].flat[0]:.4g} to {longest[differ].flat[0]:.4g}: divide each column by its "
                "length and multiply the row of W_enc by it, which chooses among latents anew."
            )
    return bool(odd.any() or left_over.any())


def rounding_of(W_dec: Any) -> float:
    """By how much columns of length 1 may be longer or shorter, in the precision of an array."""
    return 32 * float(jnp.finfo(W_dec.dtype).eps)


def lengths_of(W_dec: Any) -> Any:
    """The lengths of the columns, (1, n_latents), exactly 1 where they are of length 1 or 0 up to rounding."""
    L = jnp.sqrt(jnp.sum(jnp.square(W_dec), axis=0, keepdims=True))
    return jnp.where((jnp.abs(L - 1) > rounding_of(W_dec)) & (L > 0), L, 1.0)


def with_unit_columns(model: Any) -> Any:
    """The same function with columns of length 1, for training to begin with; a model that has them keeps every bit.

    `check_lengths` says which models have one; nothing is looked at here.
    """
    model = jax.tree.map(lambda leaf: leaf, model)  # a copy: modules are changed in place below
    lengths, exists = model.lengths[0], model.exists
    model.W_dec[...] = model.W_dec[...] / lengths[None]
    model.kind.rescale(model, lengths, exists)
    return model


def _moved(unit: Any, W_enc: Any, b_enc: Any, L: Any, architecture: str) -> Folded:
    """The encoder that gives latents L times as large, 0 where L is 0."""
    factor = jnp.where(L > 0, L, 1)
    times = L if architecture_of(architecture).scaled_by_encoder else jnp.where(L > 0, 1.0, 0.0).astype(L.dtype)
    W_enc = None if W_enc is None else W_enc * times[:, None]
    return Folded(unit, W_enc, None if b_enc is None else b_enc * times, factor)
