r"""Whether chains agree, and how many independent draws they are worth.

Arrays are (…, chains, draws). Every chain is cut into halves first, so that a drift counts as a disagreement.
Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, "Rank-Normalization, Folding, and Localization: An Improved R̂"
([arXiv:1903.08008](https://arxiv.org/abs/1903.08008)), section 3; without its normalisation of ranks, since only the mean
is asked for.
"""

from typing import Any, NamedTuple

import numpy as np


class Diagnostics(NamedTuple):
    """Of the mean of draws (…, chains, draws), each with shape (…)."""

    mean: np.ndarray
    standard_error: np.ndarray  # of the mean: standard deviation / √ESS
    standard_error_between: np.ndarray  # standard deviation of the chains' means / √chains; NaN for one chain
    r_hat: np.ndarray
    effective_draws: np.ndarray  # ESS


def diagnose(draws: Any) -> Diagnostics:
    """Mean, standard errors, R̂ and effective number of draws of finite `draws` (…, chains, draws).

    Draws without any variance have R̂ = 1, no error, and as many effective draws as there are draws.
    """
    draws = np.asarray(draws, np.float64)
    chains = draws.shape[-2]
    halves = split(draws)
    mean = draws.mean((-2, -1))
    spread = draws.std((-2, -1), ddof=1)
    ess = effective_draws(halves)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = draws.mean(-1).std(-1, ddof=1) / np.sqrt(chains) if chains > 1 else np.full_like(mean, np.nan)
    return Diagnostics(mean, spread / np.sqrt(ess), between, r_hat(halves), ess)


def split(draws: np.ndarray) -> np.ndarray:
    """(…, chains, draws) as (…, 2 · chains, draws // 2): first halves, then second halves; a middle draw is left out."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., draws.shape[-1] - half :]], axis=-2)


def r_hat(chains: np.ndarray) -> np.ndarray:
    """√ of the variance of all draws over that within chains: 1 where all agree. `chains` is (…, chains, draws)."""
    within, total = _variances(chains)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(within > 0, np.sqrt(total / within), np.where(total > 0, np.inf, 1.0))


def effective_draws(chains: np.ndarray) -> np.ndarray:
    r"""Independent draws whose mean would be as exact: all draws over $\tau = -1 + 2 \sum_k P_k$.

    $P_k = \rho_{2k} + \rho_{2k+1}$ are sums of neighbouring autocorrelations of all chains together, up to the first that is
    not positive, and never larger than the one before (Geyer 1992). At most log10(draws) times the draws.
    """
    n_chains, n = chains.shape[-2:]
    within, total = _variances(chains)
    covariance = _autocovariance(chains).mean(-2)  # (…, n)
    flat = total <= 0
    rho = 1 - (within[..., None] - covariance) / np.where(flat, 1.0, total)[..., None]
    rho[..., 0] = 1.0
    usable = 2 * ((n - 1) // 2)  # the last lags are of a few products each
    even, odd = rho[..., 0:usable:2], rho[..., 1:usable:2]
    pairs = even + odd
    positive = np.logical_and.accumulate(pairs > 0, axis=-1)
    pairs = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=-1)
    count = positive.sum(-1, keepdims=True)
    following = np.take_along_axis(even, np.minimum(count, even.shape[-1] - 1), axis=-1)[..., 0]
    tau = -1 + 2 * pairs.sum(-1) + np.where(count[..., 0] < even.shape[-1], np.maximum(following, 0), 0)
    draws = n_chains * n
    return np.where(flat, draws, draws / np.maximum(tau, 1 / np.log10(draws)))


def _variances(chains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Within chains, and of all draws by Gelman & Rubin: a weighted sum of within and between."""
    n = chains.shape[-1]
    within = chains.var(-1, ddof=1).mean(-1)
    between = chains.mean(-1).var(-1, ddof=1) if chains.shape[-2] > 1 else 0.0
    return within, within * (n - 1) / n + between


def _autocovariance(chains: np.ndarray) -> np.ndarray:
    """At every lag, by Fourier transform; divided by the number of draws at every lag."""
    n = chains.shape[-1]
    centred = chains - chains.mean(-1, keepdims=True)
    size = 1 << (2 * n - 1).bit_length()  # room so that the end does not meet the beginning
    spectrum = np.fft.rfft(centred, size, axis=-1)
    return np.fft.irfft(spectrum * np.conj(spectrum), size, axis=-1)[..., :n] / n
