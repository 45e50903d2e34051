r"""Directions against directions: which decoder column is which true feature, and what chance would have found.

Matrices hold directions as columns, (n_hidden, n). A column of no length has cosine 0 with everything.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Match:
    """How well latents fit true features, from their cosines alone."""

    best_latent: np.ndarray  # (n_features,): the latent of largest cosine
    best_cosine: np.ndarray  # (n_features,)
    latent: np.ndarray  # (n_features,): one-to-one, -1 where there is none
    cosine: np.ndarray  # (n_features,): of that latent, 0 where there is none
    mmcs: float
    mcc: float
    mcc_signed: float


def cosines(directions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosine of every column of one matrix with every column of another, (n, n_others)."""
    return _unit(directions).T @ _unit(others)


def match(cosine: np.ndarray) -> Match:
    r"""Match features to latents by their cosines $C$, (n_features, n_latents); n_features may be 0 (then numbers are NaN).

    - MMCS $= \frac1n \sum_i \max_l C_{il}$, signed: latents are never negative, so the opposite direction is another one.
    - MCC $= \frac1n \max_\pi \sum_i |C_{i\pi(i)}|$ over one-to-one matchings (Hungarian algorithm). A feature left without
      a latent counts 0; SAELens averages over matched pairs instead, which flatters dictionaries that are too small.
    - Signed MCC: the same with $\max(C, 0)$. Its matching is the one that activity is judged by; pairs whose cosine is not
      positive are no match.

    Sharkey et al. 2022 for MMCS; O'Neill et al. 2024 (arXiv:2411.13117) for MCC.
    """
    n = len(cosine)
    latent, size = np.full(n, -1), np.zeros(n)
    if not n:
        return Match(latent, size, latent, size, np.nan, np.nan, np.nan)
    from scipy.optimize import linear_sum_assignment  # late, as in `superpos.theory.naive`

    positive = np.maximum(cosine, 0)
    i, j = linear_sum_assignment(positive, maximize=True)
    fits = positive[i, j] > 0
    latent[i[fits]], size[i[fits]] = j[fits], positive[i[fits], j[fits]]
    unsigned = np.abs(cosine)
    mcc = unsigned[linear_sum_assignment(unsigned, maximize=True)].sum() / n
    best = cosine.max(axis=1)
    return Match(cosine.argmax(axis=1), best, latent, size, float(best.mean()), float(mcc), float(size.mean()))


def random_directions(n_hidden: int, n: int, seed: tuple[int, ...]) -> np.ndarray:
    """`n` unit columns, uniform on the sphere."""
    return _unit(np.random.default_rng(seed).standard_normal((n_hidden, n)))


def principal_directions(h: np.ndarray, n: int) -> np.ndarray:
    """At most `n` columns $u_1, -u_1, u_2, -u_2, …$: eigenvectors of the covariance of h, largest variance first.

    No more than 2 · n_hidden. Of each pair the one comes first along which h is positive on average.
    """
    mean = h.mean(axis=1, dtype=np.float64)
    second = (h @ h.T).astype(np.float64) / h.shape[1]
    vectors = np.linalg.eigh(second - np.outer(mean, mean))[1][:, ::-1]
    vectors = vectors * np.where(mean @ vectors < 0, -1, 1)
    return np.stack([vectors, -vectors], axis=2).reshape(len(h), -1)[:, :n]


def _unit(columns: np.ndarray) -> np.ndarray:
    columns = np.asarray(columns, np.float64)
    scale = np.abs(columns).max(axis=0, initial=0.0)
    scaled = columns / np.where(scale > 0, scale, 1)  # squares of tiny numbers would underflow
    lengths = np.linalg.norm(scaled, axis=0)
    return scaled / np.where(lengths > 0, lengths, 1)
