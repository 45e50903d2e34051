r"""How sparse should a dictionary be? Numbers of its decoder that need no true features, and how well two dictionaries agree.

Chanin and Garriga-Alonso 2025, "Sparse but Wrong: Incorrect L0 Leads to Incorrect Features in Sparse Autoencoders"
(arXiv:2508.16560): with too few active latents a dictionary mixes correlated features, with too many it mixes any; both raise
how much decoder columns overlap.
"""

from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.analysis.matching import cosines, match
from superpos.errors import ConfigError


def decoder_overlap(decoder: Any) -> float:
    r"""Mean |cosine| of two decoder columns, $c_\mathrm{dec} = \binom{k}{2}^{-1} \sum_{i<j} |\cos(D_i, D_j)|$.

    `decoder` is (n_hidden, n_latents); columns of no length are left out, and fewer than two columns give 0. Chanin and
    Garriga-Alonso 2025, section 4, find it least where L0 is the true one.

    Raises:
        ConfigError: `decoder` is no finite matrix.
    """
    decoder = arrays.as_numpy("decoder", decoder, ndim=2, largest=arrays.MAX_WEIGHT)
    decoder = decoder[:, np.any(decoder != 0, axis=0)]
    k = decoder.shape[1]
    if k < 2:
        return 0.0
    overlaps = np.abs(cosines(decoder, decoder))
    return float((overlaps.sum() - np.trace(overlaps)) / (k * (k - 1)))


def decoder_projection(decoder: Any, h: Any, n: Any, bias: Any = None) -> float:
    r"""The n-th largest projection of inputs on decoder columns: $s_n$ is entry n N of $D^\top (h - b_\mathrm{dec})$, sorted.

    The projections of all N inputs on all columns of length 1, sorted as one list from the largest down, at place n N: how
    much of an input a column beyond the n largest still sees. It should be small for n well above L0 (the first version of
    Chanin and Garriga-Alonso 2025).

    Args:
        decoder: (n_hidden, n_latents).
        h: inputs, (n_hidden, N).
        n: from 1 to n_latents.
        bias: the decoder's, (n_hidden,); None is 0.

    Raises:
        ConfigError: an array has another shape or is not finite, or n is not among the latents.
    """
    decoder = arrays.as_numpy("decoder", decoder, ndim=2, largest=arrays.MAX_WEIGHT)
    h = arrays.as_numpy("h", h, shape=(len(decoder), None), largest=arrays.MAX_WEIGHT)
    check.integer("n", n, at_least=1, at_most=decoder.shape[1])
    if bias is not None:
        h = h - arrays.as_numpy("bias", bias, shape=(len(decoder),), largest=arrays.MAX_WEIGHT)[:, None]
    lengths = np.linalg.norm(decoder, axis=0)
    projections = (decoder / np.where(lengths > 0, lengths, 1)).T @ h
    place = projections.size - n * h.shape[1]
    return float(np.partition(projections, place, axis=None)[place])


class Agreement(NamedTuple):
    """How well two dictionaries agree, see `agreement`."""

    dictionary: float  # mean cosine of matched columns
    codes: float  # mean correlation of matched latents; NaN without codes


def agreement(decoder: Any, other: Any, latents: Any = None, other_latents: Any = None) -> Agreement:
    """Agreement of two dictionaries, say of two seeds: of their columns, and of their codes of the same inputs.

    Columns are matched one to one by their positive cosines (`superpos.analysis.matching.match`); `dictionary` is the mean
    cosine over the columns of the first. `codes` is the mean over matched pairs of the Pearson correlation of the two latents
    over inputs; a latent that is constant correlates 0. Two copies in another order give 1 and 1.

    Args:
        decoder, other: (n_hidden, n_latents) each; numbers of latents may differ.
        latents, other_latents: (n_latents, N) each, or None.

    Raises:
        ConfigError: an array has another shape or is not finite.
    """
    decoder = arrays.as_numpy("decoder", decoder, ndim=2, largest=arrays.MAX_WEIGHT)
    other = arrays.as_numpy("other", other, shape=(len(decoder), None), largest=arrays.MAX_WEIGHT)
    matched = match(cosines(decoder, other))
    if (latents is None) != (other_latents is None):
        raise ConfigError("latents must be given of both dictionaries, or of neither.")
    if latents is None:
        return Agreement(matched.mcc_signed, np.nan)
    latents = arrays.as_numpy("latents", latents, shape=(decoder.shape[1], None), largest=arrays.MAX_WEIGHT)
    shape = (other.shape[1], latents.shape[1])
    other_latents = arrays.as_numpy("other_latents", other_latents, shape=shape, largest=arrays.MAX_WEIGHT)
    pairs = matched.latent >= 0
    first, second = (z - z.mean(axis=1, keepdims=True) for z in (latents[pairs], other_latents[matched.latent[pairs]]))
    sizes = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    each = np.sum(first * second, axis=1) / np.where(sizes > 0, sizes, 1)
    return Agreement(matched.mcc_signed, float(each.sum() / max(len(pairs), 1)))
