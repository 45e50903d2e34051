"""What latents detect, and what dictionaries that nobody trained would."""

from dataclasses import dataclass

import numpy as np

from superpos.analysis.matching import Match, cosines, match, principal_directions, random_directions

# Baselines: so many random dictionaries; activity and variance are measured on the first of them and so many inputs.
RANDOM_DRAWS = 8
BASELINE_INPUTS = 4096


@dataclass(frozen=True)
class Baseline:
    """What a dictionary that was not trained scores on the same features."""

    mmcs: float
    mcc: float
    mcc_signed: float
    f1: float
    explained_variance: float


def count_activity(latents: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """On how many inputs latent and feature are active together (n_latents, n_features), and each of them alone."""
    # Bits, not matrix products: counts are exact, and two cores under load multiply long thin matrices 100 times slower.
    z, a = _bits(latents > 0), _bits(x != 0)
    together = np.stack([np.bitwise_count(row & a).sum(axis=1, dtype=np.int64) for row in z])
    on, present = (np.bitwise_count(bits).sum(axis=1, dtype=np.int64) for bits in (z, a))
    return together, on, present


def _bits(active: np.ndarray) -> np.ndarray:
    packed = np.packbits(active, axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def explained_variance(h: np.ndarray, reconstruction: np.ndarray) -> float:
    r"""$1 - \sum \|h - \hat h\|^2 / \sum \|h - \bar h\|^2$ for columns of h; NaN if h does not vary."""
    total = np.sum((h - h.mean(axis=1, keepdims=True, dtype=np.float64)) ** 2)
    return float(1 - np.sum((h - reconstruction) ** 2, dtype=np.float64) / total) if total > 0 else np.nan


def mean_known(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN if nothing is left."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean(dtype=np.float64)) if len(numbers) else np.nan


def shrinkage(h: np.ndarray, reconstruction: np.ndarray) -> float:
    r"""Mean of $\|\hat h\| / \|h\|$ over columns of h; NaN if all are 0."""
    lengths = np.linalg.norm(h, axis=0)
    return mean_known(np.linalg.norm(reconstruction, axis=0)[lengths > 0] / lengths[lengths > 0])


def detection(matched: Match, together: np.ndarray, on: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Precision, recall and F1 of every feature's latent, (3, n_features); 0 unmatched or silent, NaN never active."""
    n = np.arange(len(present))
    both = np.where(matched.latent >= 0, together[matched.latent, n], 0)
    fired = np.where(matched.latent >= 0, on[matched.latent], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        quality = np.stack([both / np.maximum(fired, 1), both / present, 2 * both / (fired + present)])
    return np.where(present > 0, quality, np.nan)


def _baseline(directions: np.ndarray, x: np.ndarray, h: np.ndarray, D: np.ndarray) -> Baseline:
    matched = match(cosines(directions, D))
    h, x = h[:, :BASELINE_INPUTS], x[:, :BASELINE_INPUTS]
    z = np.maximum(D.T.astype(h.dtype) @ h, 0)
    quality = detection(matched, *count_activity(z, x))
    back = D.astype(h.dtype) @ z
    size = np.sum(back**2, dtype=np.float64)
    scale = np.sum(back * h, dtype=np.float64) / size if size > 0 else 0.0
    return Baseline(
        matched.mmcs, matched.mcc, matched.mcc_signed, mean_known(quality[2]), explained_variance(h, scale * back)
    )


def random_baseline(directions: np.ndarray, x: np.ndarray, h: np.ndarray, n_latents: int, seed: int) -> Baseline:
    """Scores of random directions against the true `directions` of features whose values are `x`; see `score_sae`."""
    draws = [random_directions(len(directions), n_latents, (seed, k)) for k in range(RANDOM_DRAWS)]
    first = _baseline(directions, x, h, draws[0])
    matches = [match(cosines(directions, D)) for D in draws]
    mmcs, mcc, signed = np.mean([(f.mmcs, f.mcc, f.mcc_signed) for f in matches], axis=0).tolist()
    return Baseline(mmcs, mcc, signed, first.f1, first.explained_variance)


def pca_baseline(directions: np.ndarray, x: np.ndarray, h: np.ndarray, n_latents: int) -> Baseline:
    """Scores of the principal directions of h; see `score_sae`."""
    return _baseline(directions, x, h, principal_directions(h, n_latents))
