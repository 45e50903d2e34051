r"""Phase diagrams of n features in n − 1 dimensions: the paper's candidates, where they cross, and the true optimum.

n = 2 or 3 features, importance (1, …, r), density p. Losses are means over features, as everywhere in superpos; the
paper's sums are n times these. Elhage et al. 2022, "Superposition as a Phase Change". What a feature left out costs is
$v = p/3 - p^2/4$ when its bias is free ($b = p/2$), and $p/3$ when $b = 0$; a unit antipodal pair costs $p^2/6$ for each of
the two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.theory.minimisation import Minimum, lowest_minima

MAX_RATIO = 1e30  # of two importances

SIZES = (2, 3)


@dataclass(frozen=True)
class Candidate:
    """One way to place n features in n − 1 dimensions: W of unit columns, or zero ones."""

    name: str  # "extra ignored", as a legend says it
    normal: tuple[int, ...]  # the direction W is orthogonal to, as the paper names it
    phase: str  # of the extra feature, the last
    W: np.ndarray  # (n − 1, n)
    ignored: int | None = None  # index of a feature left out
    pair: tuple[int, int] | None = None  # indices of an antipodal pair

    def loss(self, feature_probability: Any, importance: Any, *, bias: bool = True) -> np.ndarray:
        """Mean over features of the loss; `feature_probability` and `importance` (of the extra feature) broadcast."""
        p, r = np.asarray(feature_probability, float), np.asarray(importance, float)
        n = self.W.shape[1]
        if self.ignored is not None:
            weight = r if self.ignored == n - 1 else np.ones_like(r)
            return np.asarray(weight * (p / 3 - p**2 / 4 * bias) / n)
        assert self.pair is not None
        weight = sum((r if i == n - 1 else np.ones_like(r)) for i in self.pair)
        return np.asarray(weight * p**2 / 6 / n)


@dataclass(frozen=True)
class Boundary:
    """Where two candidates cost the same: a curve in the plane of density and the extra feature's importance."""

    between: tuple[str, str]
    feature_probability: np.ndarray  # (points,)
    importance: np.ndarray  # (points,)


def candidates(n_features: int) -> list[Candidate]:
    """The paper's candidates for 2→1 and 3→2, in the order ignore extra, ignore first, then the pairs.

    Raises:
        ConfigError: n_features is neither 2 nor 3.
    """
    _check_size(n_features)
    if n_features == 2:
        return [
            Candidate("extra ignored", (0, 1), "ignored", np.array([[1.0, 0.0]]), ignored=1),
            Candidate("first ignored", (1, 0), "dedicated", np.array([[0.0, 1.0]]), ignored=0),
            Candidate("antipodal pair", (1, 1), "in superposition", np.array([[1.0, -1.0]]), pair=(0, 1)),
        ]
    return [
        Candidate("extra ignored", (0, 0, 1), "ignored", np.array([[1.0, 0, 0], [0, 1, 0]]), ignored=2),
        Candidate("first ignored", (1, 0, 0), "dedicated", np.array([[0.0, 1, 0], [0, 0, 1]]), ignored=0),
        Candidate("pair with extra", (0, 1, 1), "in superposition", np.array([[1.0, 0, 0], [0, 1, -1]]), pair=(1, 2)),
        Candidate("pair of the others", (1, 1, 0), "dedicated", np.array([[0.0, 0, 1], [1, -1, 0]]), pair=(0, 1)),
    ]


def candidate_losses(
    n_features: int, feature_probability: Any, importance: Any, *, bias: bool = True
) -> dict[str, np.ndarray]:
    """Loss of every candidate by name, with the ignored feature's bias free (p/2) or held at 0.

    >>> losses = sp.theory.candidate_losses(2, feature_probability=0.05, importance=1.0)
    >>> min(losses, key=losses.get)
    'antipodal pair'

    Raises:
        ConfigError: n_features is neither 2 nor 3, a number is out of range, or the two do not broadcast.
    """
    check.boolean("bias", bias)
    p, r = _densities_and_importances(feature_probability, importance)
    return {c.name: c.loss(p, r, bias=bias) for c in candidates(n_features)}


def boundaries(n_features: int, *, bias: bool = True, points: int = 200, densest: float = 1.0) -> list[Boundary]:
    r"""The curves on which two candidates tie and no third is lower.

    With the bias free: 2→1 $r = 2p/(4 - 5p)$ and its inverse, meeting at p = 4/7, r = 1, and r = 1 beyond; 3→2 the first of
    these, r = 1 for p < 4/7 between the two pairs, the vertical p = 4/7 above it, and r = 1 beyond. Without: $r = p/(2 - p)$
    and so on, meeting at p = 1. Derived from `candidate_losses`.

    >>> lower = sp.theory.boundaries(2)[0]
    >>> round(float(np.interp(0.3, lower.feature_probability, lower.importance)), 3)  # 2p / (4 − 5p)
    0.24

    Raises:
        ConfigError: n_features is neither 2 nor 3.
    """
    _check_size(n_features)
    check.integer("points", points, at_least=2, at_most=10**6)
    check.number("densest", densest, above=0, at_most=1)
    triple = 4 / 7 if bias else 1.0
    p = np.geomspace(1e-3, min(triple, densest), points)
    r = p / 2 / (1 - 5 * p / 4) if bias else p / (2 - p)
    dense = np.geomspace(triple, max(densest, triple), points)
    lines = []
    if n_features == 2:
        lines.append(Boundary(("extra ignored", "antipodal pair"), p, r))
        lines.append(Boundary(("antipodal pair", "first ignored"), p, 1 / r))
    else:
        lines.append(Boundary(("extra ignored", "pair with extra"), p, r))
        lines.append(Boundary(("pair with extra", "pair of the others"), p, np.ones_like(p)))
        if triple <= densest:
            lines.append(
                Boundary(("pair of the others", "first ignored"), np.full(points, triple), np.geomspace(1, 1e3, points))
            )
    if triple < densest:
        lines.append(Boundary(("extra ignored", "first ignored"), dense, np.ones_like(dense)))
    return lines


def optimum(
    n_features: int,
    feature_probability: Any,
    importance: Any,
    *,
    random_starts: int = 6,
    steps: int = 400,
    order: int | None = None,
    seed: int = 0,
) -> Minimum:
    """The least expected loss of n features in n − 1 dimensions, W and b free: best of all candidates and random starts.

    `feature_probability` and `importance` (of the extra feature) are vectors over the cells of a diagram. Every candidate
    is a start, once as it is and once nudged off its symmetry, with the bias p/2 where it ignores a feature; the random
    starts are Xavier-normal. Returns W (cells, n − 1, n), b (cells, n) and the loss (cells,), the mean over features.

    Raises:
        ConfigError: n_features is neither 2 nor 3, or a number is out of range.
    """
    _check_size(n_features)
    check.integer("random_starts", random_starts, at_most=10_000)
    check.integer("seed", seed, at_most=2**32 - 1)
    p, r = _densities_and_importances(feature_probability, importance)
    lengths = {p.shape, r.shape} - {()}
    if len(lengths) > 1:
        raise ConfigError(f"feature_probability and importance must have one length, got shapes {sorted(lengths)}.")
    p, r = np.broadcast_arrays(p.astype(float), r.astype(float))
    if p.ndim != 1 or not len(p):
        raise ConfigError(f"feature_probability and importance must be vectors over cells, got shape {p.shape}.")
    rng, cells, n = np.random.default_rng(seed), len(p), n_features
    Ws, bs = [], []
    for c in candidates(n):
        b = np.zeros((cells, n))
        if c.ignored is not None:
            b[:, c.ignored] = p / 2
        for nudge in (0.0, 0.05):
            Ws.append(c.W + nudge * rng.standard_normal((cells, n - 1, n)))
            bs.append(b)
    Ws += [rng.standard_normal((cells, n - 1, n)) * np.sqrt(2 / (2 * n - 1)) for _ in range(random_starts)]
    bs += [np.zeros((cells, n))] * random_starts
    weights = np.ones((cells, n))
    weights[:, -1] = r
    density = np.broadcast_to(p[:, None], (cells, n))
    return lowest_minima(np.stack(Ws), np.stack(bs), density, weights, steps=steps, order=order)


def _densities_and_importances(feature_probability: Any, importance: Any) -> tuple[np.ndarray, np.ndarray]:
    p = arrays.as_numpy("feature_probability", feature_probability, empty=True)
    r = arrays.as_numpy("importance", importance, empty=True, largest=MAX_RATIO)
    check.in_range("feature_probability", p, above=0, at_most=1)
    check.in_range("importance", r, at_least=0)
    try:
        np.broadcast_shapes(p.shape, r.shape)
    except ValueError:
        raise ConfigError(
            f"feature_probability and importance must have one length or broadcast, got shapes {p.shape} and {r.shape}."
        ) from None
    return p, r


def _check_size(n_features: int) -> None:
    check.integer("n_features", n_features)
    if n_features not in SIZES:
        raise ConfigError(f"n_features must be 2 (for 2→1) or 3 (for 3→2), got {n_features}.")
