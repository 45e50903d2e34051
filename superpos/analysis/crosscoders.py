"""What a crosscoder says of the models it reads: which latents are shared, which are exclusive, and whether that is true.

One crosscoder at a time, as arrays. The rows of its decoder are in `parts`, so many of each model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from superpos import arrays, check
from superpos.analysis.features import REPRESENTED_ABOVE
from superpos.analysis.matching import cosines, match
from superpos.errors import ConfigError
from superpos.models.sae.crosscoder import check_parts

# A latent is exclusive to the model that has this share of its norms.
EXCLUSIVE_ABOVE = 0.9


@dataclass(frozen=True, repr=False)
class CrosscoderScores:
    """Result of `score_crosscoder`, which defines every number. Arrays over latents include those not used (NaN, -1)."""

    n_exclusive: int
    false_exclusive: int
    decoupled: int
    missed: int
    auc: np.ndarray  # (n_models,)
    shares: np.ndarray  # (n_models, n_latents)
    exclusive_to: np.ndarray  # (n_latents,): the model, -1 for none
    nearest_feature: np.ndarray  # (n_latents,)
    purity: np.ndarray  # (n_latents,)
    matched_latent: np.ndarray  # (n_features,): -1 for none
    feature_shares: np.ndarray  # (n_models, n_features): of the matched latent

    def __repr__(self) -> str:
        areas = ", ".join(f"{area:.3f}" for area in self.auc)
        return (
            f"{self.n_exclusive} exclusive latents, {self.false_exclusive} of them of features that several models have; "
            f"area under the ROC curve of norm shares {areas}; {self.decoupled} features decoupled, {self.missed} missed"
        )


def norm_shares(decoder: Any, parts: Sequence[int]) -> Float[np.ndarray, "n_models n_latents"]:
    r"""$\|W_{\mathrm{dec},j}^m\| / \sum_{m'} \|W_{\mathrm{dec},j}^{m'}\|$, the share of model m in the norms of latent j.

    It is 1 where a latent is exclusive to m and 1/M where it is as long in all M models. For two models that of the second is
    the relative norm of Lindsey et al. 2024. A latent without a column has NaN.

    Args:
        decoder: (n_hidden, n_latents), the models' parts one below the other.
        parts: how many rows each model has.

    Raises:
        ConfigError: `parts` do not add up to the rows, or an entry is not finite.
    """
    norms = np.stack([_lengths(block) for block in _blocks(decoder, parts)])
    total = norms.sum(axis=0)
    return np.divide(norms, total, out=np.full(norms.shape, np.nan), where=total > 0)


def decoder_cosines(decoder: Any, parts: Sequence[int]) -> Float[np.ndarray, "n_models n_latents"]:
    """Cosine of every model's part of each decoder column with the first model's; NaN where either has no length.

    It says something where the models have one basis, as snapshots of one training do: 1 for a latent that is the same
    direction in both. Lindsey et al. 2024.

    Raises:
        ConfigError: the parts have several sizes, or do not add up to the rows.
    """
    blocks = _blocks(decoder, parts)
    if len(set(parts)) > 1:
        raise ConfigError(f"parts must be of one size to be compared by direction, got {', '.join(map(str, parts))}.")
    lengths = np.stack([_lengths(block) for block in blocks])
    units = [block / np.where(length > 0, length, 1) for block, length in zip(blocks, lengths, strict=True)]
    cosine = np.stack([np.sum(unit * units[0], axis=0) for unit in units])
    return np.where((lengths > 0) & (lengths[0] > 0), cosine, np.nan)


def roc_area(scores: Any, positive: Any) -> float:
    """Area under the ROC curve: the probability that a positive has a larger score than a negative, ties counting half.

    NaN where there are only positives, or none. `scores` and `positive` (0 or 1) have shape (n,).
    """
    scores = arrays.as_numpy("scores", scores, ndim=1)
    positive = arrays.as_numpy("positive", positive, shape=scores.shape)
    if not np.isin(positive, (0, 1)).all():
        raise ConfigError("positive must hold 0 or 1.")
    above, below = scores[positive == 1], scores[positive == 0]
    if not len(above) or not len(below):
        return float("nan")
    difference = above[:, None] - below[None]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def score_crosscoder(
    directions: Any,
    decoder: Any,
    parts: Sequence[int],
    *,
    given: Any = None,
    used: Any = None,
    exclusive_above: float = EXCLUSIVE_ABOVE,
    represented_above: float = REPRESENTED_ABOVE,
) -> CrosscoderScores:
    r"""Judge a crosscoder by which models have which features.

    Features and latents are matched one to one by the cosines of their whole columns (`superpos.analysis.matching.match`).

    - `shares`: `norm_shares`; `exclusive_to`: the model whose share is above `exclusive_above`.
    - `auc`, for every model: of its share in the latent matched to a feature, as a score for "only this model has the
      feature". A feature without a latent has the share 1/M. NaN where no feature, or every feature, is exclusive to it.
    - `nearest_feature` of a latent has the largest cosine; `purity` is that cosine within the model that has the latent's
      longest part.
    - `false_exclusive`: exclusive latents whose nearest feature other models have, too.
    - `decoupled`: features that several models have and for which each of these has an exclusive latent of its own.
    - `missed`: features that one model alone has and whose matched latent is not exclusive to it.

    Args:
        directions: true features, (n_hidden, n_features): the models' W one below the other.
        decoder: (n_hidden, n_latents).
        parts: how many rows each model has.
        given: which model has which feature, (n_models, n_features); by default those longer than `represented_above`.
        used: which latents to look at, (n_latents,); all that have a column by default.

    Raises:
        ConfigError: an array has another shape or is not finite.
    """
    check.number("exclusive_above", exclusive_above, at_least=0.5, at_most=1)
    check.number("represented_above", represented_above, at_least=0, at_most=arrays.MAX_WEIGHT)
    true_blocks, blocks = _blocks(directions, parts, "directions"), _blocks(decoder, parts)
    directions, decoder = np.concatenate(true_blocks), np.concatenate(blocks)
    n_models, n, n_latents = len(blocks), directions.shape[1], decoder.shape[1]
    if given is None:
        has = np.stack([_lengths(block) for block in true_blocks]) > represented_above
    else:
        has = arrays.as_numpy("given", given, shape=(n_models, n)) > 0
    live = np.any(decoder != 0, axis=0)
    if used is not None:
        live &= arrays.as_numpy("used", used, shape=(n_latents,)) > 0
    shares = np.where(live, norm_shares(decoder, parts), np.nan)
    exclusive_to = np.where(live & (_largest(shares) > exclusive_above), np.argmax(np.nan_to_num(shares), axis=0), -1)
    cosine = np.where(live, cosines(directions, decoder), 0.0)
    latent = match(cosine).latent
    nearest = np.where(live, cosine.argmax(axis=0), -1)
    within = np.stack([cosines(t, d) for t, d in zip(true_blocks, blocks, strict=True)]).max(axis=1)
    longest = np.argmax(np.nan_to_num(shares), axis=0)
    purity = np.where(live, np.take_along_axis(within, longest[None], axis=0)[0], np.nan)
    feature_shares = np.where(latent >= 0, shares[:, latent], 1 / n_models)
    alone = has & (has.sum(axis=0) == 1)
    common = has.sum(axis=0) > 1
    is_exclusive = exclusive_to >= 0
    owned = np.zeros((n_models, n), bool)
    owned[exclusive_to[is_exclusive], nearest[is_exclusive]] = True
    matched_to = np.where(latent >= 0, exclusive_to[latent], -1)
    return CrosscoderScores(
        n_exclusive=int(is_exclusive.sum()),
        false_exclusive=int(np.sum(is_exclusive & common[nearest])),
        decoupled=int(np.sum(common & np.all(owned | ~has, axis=0))),
        missed=int(np.sum(np.any(alone, axis=0) & (matched_to != alone.argmax(axis=0)))),
        auc=np.array([roc_area(feature_shares[m], alone[m].astype(float)) for m in range(n_models)]),
        shares=shares,
        exclusive_to=exclusive_to,
        nearest_feature=nearest,
        purity=purity,
        matched_latent=latent,
        feature_shares=feature_shares,
    )


def _largest(shares: np.ndarray) -> np.ndarray:
    return np.max(np.nan_to_num(shares), axis=0)


def _blocks(array: Any, parts: Sequence[int], name: str = "decoder") -> list[np.ndarray]:
    """The rows of every model."""
    array = arrays.as_numpy(name, array, ndim=2, largest=arrays.MAX_WEIGHT).astype(np.float64)
    return np.split(array, np.cumsum(check_parts(parts, len(array))[:-1]))


def _lengths(block: np.ndarray) -> np.ndarray:
    return np.linalg.norm(block, axis=0)
