r"""How latents of an autoencoder should be shared among features of which each can use several.

Feature i occurs with frequency $p_i$, and with n latents on it a share $L_i(n)$ of it is left over, $L_i(0) = 1$. N latents
are best dealt out where $\sum_i p_i L_i(n_i)$ is least. With $p_i \propto i^{-(1 + \alpha)}$ and $L(n) \propto n^{-\beta}$
the gains of the last latents are equal, $p_i \beta n_i^{-\beta - 1} = \lambda$, so $n_i = (F/i)^\gamma$ with
$\gamma = (1 + \alpha)/(1 + \beta)$ and F the last feature that has a latent. The sum of $i^{-\gamma}$ decides the rest:

* $\alpha < \beta$ ($\gamma < 1$): it grows as $F^{1 - \gamma}$. So $N \approx F / (1 - \gamma)$, and latents find features.
* $\alpha > \beta$ ($\gamma > 1$): it has a limit. So $N \approx \zeta(\gamma) F^\gamma$, and latents tile common features.

Michaud, Gorton and McGrath 2025, "Understanding sparse autoencoder scaling in the presence of feature manifolds"
(arXiv:2509.02565).
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from superpos import arrays, check
from superpos.data.manifolds import COORDINATES
from superpos.errors import ConfigError

MAX_LATENTS = 10_000  # that are dealt out one by one
POINTS = 4_096  # on which directions are fitted, and four times as many others on which they are judged
STARTS, ROUNDS = 2, 20
FITTED_UP_TO, EVERY = 16, 8  # every number of directions is fitted, and from there every eighth


class Allocation(NamedTuple):
    """Latents of every feature, and the loss that they leave."""

    latents: np.ndarray  # (n_features,)
    loss: float

    @property
    def found(self) -> int:
        """How many features have a latent."""
        return int(np.sum(self.latents > 0))


class Exponents(NamedTuple):
    """Exponents of N: features that have a latent, latents on the most common feature, and the loss (its decay)."""

    found: float
    common: float
    loss: float


class Scaled(NamedTuple):
    """N latents in a world without a last feature: how many features have one, those on the first, and the loss."""

    latents: float
    found: float
    common: float
    loss: float


def optimal_allocation(frequencies: Any, losses: Any, n_latents: int) -> Allocation:
    r"""The numbers $n_i$ with $\sum_i n_i = N$ at which $\sum_i p_i L_i(n_i)$ is least, exactly.

    `frequencies` are $p_i$, (n_features,). `losses` are $L(0), L(1), \dots$, at least up to N: one curve for all features, or
    one row for each. No curve may rise. Where all are convex each latent goes to the feature that gains most by it, which is
    exact then; otherwise features are added one after another with the best total for each number of latents so far.

    Two features, the first three times as frequent, and latents that each halve what is left:

    >>> sp.theory.optimal_allocation([3.0, 1.0], 0.5 ** np.arange(5), 4).latents
    array([3, 1])

    Raises:
        ConfigError: a shape or number is not allowed, or a curve rises.
    """
    check.integer("n_latents", n_latents, at_least=0, at_most=MAX_LATENTS)
    p = arrays.as_numpy("frequencies", frequencies, ndim=1).astype(np.float64)
    if not len(p):
        raise ConfigError("frequencies must hold one number at least.")
    check.in_range("frequencies", p, at_least=0)
    curves = arrays.as_numpy("losses", losses).astype(np.float64)
    if curves.ndim not in (1, 2) or (curves.ndim == 2 and len(curves) != len(p)) or curves.shape[-1] <= n_latents:
        raise ConfigError(
            f"losses must be {n_latents + 1} numbers or more, or such a row for each of {len(p)} features, got shape "
            f"{curves.shape}."
        )
    curves = curves[..., : n_latents + 1]
    gains = -np.diff(curves, axis=-1)
    if np.any(gains < 0):
        raise ConfigError("losses must not rise with the number of latents.")
    weighted = p[:, None] * np.broadcast_to(curves, (len(p), n_latents + 1))
    convex = bool(np.all(np.diff(gains, axis=-1) <= 0))
    latents = _greedy(weighted, n_latents) if convex else _dynamic(weighted, n_latents)
    return Allocation(latents, float(np.sum(weighted[np.arange(len(p)), latents])))


def _greedy(weighted: np.ndarray, n_latents: int) -> np.ndarray:
    """The N largest gains of all; of equal ones those of earlier features and latents come first."""
    gains = -np.diff(weighted, axis=1)
    order = np.argsort(-gains.ravel(), kind="stable")[:n_latents]
    return np.bincount(order // max(n_latents, 1), minlength=len(weighted))


def _dynamic(weighted: np.ndarray, n_latents: int) -> np.ndarray:
    """Bellman's recursion over features: the least loss of the first features with n latents, for all n up to N."""
    numbers = np.arange(n_latents + 1)
    left = numbers[:, None] - numbers[None, :]  # for the features before, where this one has as many as the column says
    best, choices = np.where(numbers == 0, 0.0, np.inf), []
    for row in weighted:
        totals = np.where(left >= 0, best[np.maximum(left, 0)], np.inf) + row[None, :]
        choices.append(totals.argmin(axis=1))
        best = totals.min(axis=1)
    latents, n = np.zeros(len(weighted), int), n_latents
    for i in range(len(weighted) - 1, -1, -1):
        latents[i] = choices[i][n]
        n -= latents[i]
    return latents


def allocation_exponents(alpha: float, beta: float) -> Exponents:
    r"""How the best allocation grows with N where $p_i \propto i^{-(1 + \alpha)}$ and $L(n) \propto n^{-\beta}$.

    | | $\alpha < \beta$ | $\alpha > \beta$ |
    |---|---|---|
    | features with a latent, $F \propto N^{a}$ | a = 1 | a = (1 + β)/(1 + α) |
    | latents of the first feature, $n_1 \propto N^{b}$ | b = (1 + α)/(1 + β) | b = 1 |
    | loss $\propto N^{-c}$ | c = α | c = β |

    At α = β they meet, and there are logarithms.

    >>> tuple(round(x, 3) for x in sp.theory.allocation_exponents(3.0, 1.0))
    (0.5, 1.0, 1.0)

    Raises:
        ConfigError: a number is not above 0.
    """
    alpha, beta = (check.number(name, value, above=0) for name, value in (("alpha", alpha), ("beta", beta)))
    steepness = (1 + alpha) / (1 + beta)
    return Exponents(min(1.0, 1 / steepness), min(1.0, steepness), min(alpha, beta))


def power_law_allocation(alpha: float, beta: float, n_latents: float) -> Scaled:
    r"""The best allocation among infinitely many features.

    $p_i = i^{-(1 + \alpha)} / \zeta(1 + \alpha)$ and $L(n) = (1 + n)^{-\beta}$. L is convex, so all gains above one threshold
    are taken. Features with more than n latents are those up to $I_n = (g_n / \lambda)^{1/(1 + \alpha)}$ with
    $g_n = L(n) - L(n + 1)$, rounded down, so $N = \sum_n I_n$ and $F = I_0$.
    λ is chosen so that N is close to `n_latents`; what it is exactly is in the answer.

    Raises:
        ConfigError: a number is not allowed.
    """
    alpha, beta = (
        check.number(name, value, above=0, at_most=100) for name, value in (("alpha", alpha), ("beta", beta))
    )
    target = check.number("n_latents", n_latents, at_least=1, at_most=1e7)
    from scipy.special import zeta  # late, as in `superpos.theory.naive`

    n = np.arange(int(target) + 1, dtype=float)
    gains = (1 + n) ** -beta - (2 + n) ** -beta

    def reach(threshold: float) -> np.ndarray:
        taken = gains[: np.searchsorted(-gains, -threshold, side="right")]
        return np.floor((taken / threshold) ** (1 / (1 + alpha)))

    high = gains[0]  # the first latent of the first feature alone
    low = high * (target + 1) ** -(1 + alpha) * 1e-3
    while np.sum(reach(low)) < target and low > 1e-300:
        low *= 1e-3
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if np.sum(reach(middle)) > target else (low, middle)
    features = reach(high)
    s = 1 + alpha
    saved = np.sum(gains[: len(features)] * (zeta(s) - zeta(s, features + 1)))
    return Scaled(float(features.sum()), float(features[0]), float(len(features)), float(1 - saved / zeta(s)))


def tiling_losses(manifold: str, n_latents: int) -> np.ndarray:
    r"""L(0), …, L(N): the share of a manifold's squared length that n latents leave over, one at a time, at their best.

    Each point is projected on the direction that is nearest, $L(n) = 1 - E \max_j (c_j \cdot s)_+^2$. On the circle n even
    directions are best: L(1) = 3/4, and from n = 2 on

    $$L(n) = \tfrac12 \Big(1 - \frac{\sin 2\pi/n}{2\pi/n}\Big) \approx \frac{\pi^2}{3 n^2}.$$

    On other manifolds of d dimensions L falls as $n^{-2/d}$, and is what Lloyd's algorithm finds: the best of a few random
    starts on 4,096 points, judged on 16,384 others. From 16 latents on that is done for every eighth number, and between them
    logarithms lie on straight lines.

    Lloyd 1982, "Least squares quantization in PCM".

    Raises:
        ConfigError: there is no such manifold, or `n_latents` is no whole number of at least 1.
    """
    check.one_of("manifold", manifold, tuple(COORDINATES))
    check.integer("n_latents", n_latents, at_least=1, at_most=1_000)
    if manifold == "circle":
        n = np.arange(2, n_latents + 1)
        return np.concatenate([[1, 3 / 4], (1 - np.sinc(2 / n)) / 2])
    return _by_lloyd(manifold, int(n_latents)).copy()


@cache
def _by_lloyd(manifold: str, n_latents: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    fitted, judged = uniform_points(manifold, POINTS, rng), uniform_points(manifold, 4 * POINTS, rng)
    few = range(1, min(n_latents, FITTED_UP_TO) + 1)
    numbers = sorted({*few, *range(FITTED_UP_TO, n_latents, EVERY), n_latents})
    losses = []
    for n in numbers:
        starts = [fitted[rng.choice(POINTS, n, replace=False)] for _ in range(STARTS)]
        losses.append(min(_left_over(judged, _lloyd(fitted, start)) for start in starts))
    losses = np.minimum.accumulate(losses)  # one latent more can be left unused
    between = np.interp(np.log(np.arange(1, n_latents + 1)), np.log(numbers), np.log(losses))
    return np.concatenate([[1.0], np.exp(between)])


def uniform_points(manifold: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform points of a manifold as rows, (n, coordinates), in single precision."""
    if manifold == "torus":
        a, b = rng.uniform(0, 2 * np.pi, (2, n))
        return (np.stack([np.cos(a), np.sin(a), np.cos(b), np.sin(b)], axis=1) / np.sqrt(2)).astype(np.float32)
    x = rng.standard_normal((n, COORDINATES[manifold])).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _lloyd(points: np.ndarray, book: np.ndarray) -> np.ndarray:
    """Directions after rounds of: every point to its nearest, every direction a power step towards its points' main axis."""
    for _ in range(ROUNDS):
        reads = points @ book.T
        nearest = reads.argmax(axis=1)
        largest = np.maximum(np.take_along_axis(reads, nearest[:, None], axis=1), 0)
        sums = np.stack([np.bincount(nearest, column, len(book)) for column in (largest * points).T], axis=1)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        book = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), book).astype(np.float32)
    return book


def _left_over(points: np.ndarray, book: np.ndarray) -> float:
    return float(1 - np.mean(np.maximum((points @ book.T).max(axis=1), 0) ** 2, dtype=np.float64))
