r"""Features whose switches are correlated normal variables: a Gaussian copula with any correlation matrix.

Feature i has a standard normal variable $z_i$, and the variables have correlation matrix R, given as it is
(`correlation_matrix`) or by loadings F on r common factors (`correlation_factor`, (n, r)): $z_i = F_i \cdot g + s_i e_i$ with
g and e standard normal and independent, $s_i^2 = 1 - \|F_i\|^2$. Without parents feature i is active where
$z_i < \Phi^{-1}(p_i)$, so $p_i$ is its marginal probability and pairs are active with the bivariate normal probability.

**With parents.** A child's variable is replaced by what is left of it given those of the features that decide before it: its
ancestors and, where children exclude one another, earlier siblings (its own and its ancestors'). With A the set of these,

$$z'_i = \frac{z_i - R_{iA} R_{AA}^{-1} z_A}{\sqrt{1 - R_{iA} R_{AA}^{-1} R_{Ai}}},$$

standard normal and independent of $z'_A$. Child i is active where its parent is, no earlier exclusive sibling is, and
$z'_i < \Phi^{-1}(p_i / p_{\text{parent}})$. So $p_i$ stays its marginal probability, exactly and at any depth; a tree says
how a feature depends on its ancestors, and the correlations how it depends on all others.

SynthSAEBench (Chanin and Garriga-Alonso 2026, arXiv:2602.14687) has the same factors and trees. It keeps the
correlation of a child with its ancestors and makes up for the tree alone: a child's own variable is below its threshold with
probability $p_i / p_{\text{parent}}$, times $1 + \sum_j p_j / p_{\text{parent}}$ over exclusive siblings, at most 1. Its
marginals are those asked for where there are neither correlations nor exclusive siblings.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float, Int

from superpos import arrays, check
from superpos.data import dependence
from superpos.data.dependence import FURTHEST, MIN_SHARE, Parents
from superpos.errors import ConfigError

Square = Float[Array, "n_features n_features"]

FIELDS = ("correlation", "correlation_matrix", "correlation_factor")
ROUNDING = 1e-5  # by which a matrix may miss symmetry, a unit diagonal or an eigenvalue of 0
MAX_FACTORS = 1_000
# Points of the integrals behind pairs in trees, and their relative error: about 1e-4 with up to six variables.
POINTS = 2_039  # prime


def check_copula(features: Any) -> None:
    """Raise `ConfigError`, naming the field, for correlations that are not allowed; numbers may be stacked."""
    given = [field for field in FIELDS if getattr(features, field) is not None]
    if len(given) > 1:
        raise ConfigError(f"{given[1]} must be None where {given[0]} is given.")
    n = features.n_features
    if "correlation" in given:
        dependence.check_correlation(features.correlation, n)
    if "correlation_matrix" in given:
        _check_matrix(features.correlation_matrix, n)
    if "correlation_factor" in given:
        _check_factor(features.correlation_factor, n)


def _check_matrix(matrix: Any, n: int) -> None:
    shape = np.shape(matrix)
    if len(shape) < 2 or shape[-2:] != (n, n):
        raise ConfigError(f"correlation_matrix must have shape ({n}, {n}), got {shape}.")
    check.in_range("correlation_matrix", matrix, at_least=-1 - ROUNDING, at_most=1 + ROUNDING)
    if arrays.is_traced(matrix):
        return
    R = np.asarray(matrix, np.float64)
    diagonal = np.diagonal(R, axis1=-2, axis2=-1)
    if np.any(wrong := np.abs(diagonal - 1) > ROUNDING):
        raise ConfigError(f"correlation_matrix must have a diagonal of 1, got {diagonal[wrong][0]:g}.")
    if np.any(wrong := np.abs(R - np.swapaxes(R, -1, -2)) > ROUNDING):
        i, j = (int(k) for k in np.argwhere(wrong)[0][-2:])
        raise ConfigError(f"correlation_matrix must be symmetric; entries ({i}, {j}) and ({j}, {i}) differ.")
    least = float(np.min(np.linalg.eigvalsh(R)))
    if least < -ROUNDING * n:
        raise ConfigError(f"correlation_matrix must be positive semidefinite; its least eigenvalue is {least:.3g}.")


def _check_factor(factor: Any, n: int) -> None:
    shape = np.shape(factor)
    if len(shape) < 2 or shape[-2] != n or not 1 <= shape[-1] <= MAX_FACTORS:
        raise ConfigError(
            f"correlation_factor must have shape ({n}, factors), 1 to {MAX_FACTORS} factors, got {shape}."
        )
    check.in_range("correlation_factor", factor, at_least=-1, at_most=1)
    if arrays.is_traced(factor):
        return
    squared = np.sum(np.asarray(factor, np.float64) ** 2, axis=-1)
    if np.any(over := squared > 1 + ROUNDING):
        *_, i = np.argwhere(over)[0]
        raise ConfigError(
            f"correlation_factor must have rows of length 1 at most: that of feature {int(i)} has a squared length of "
            f"{squared[over][0]:.3g}."
        )


def loadings(features: Any) -> Float[Array, "n_features factors"]:
    """Loadings on common factors, of `correlation` or `correlation_factor`."""
    if features.correlation_factor is not None:
        return jnp.asarray(features.correlation_factor, float)
    rho = jnp.asarray(features.correlation, float)
    return jnp.sqrt(jnp.broadcast_to(rho, (features.n_features,)))[:, None]


def matrix_of(features: Any) -> Square:
    """The correlations of the features' own normal variables, before a tree is taken into account."""
    if features.correlation_matrix is not None:
        return jnp.asarray(features.correlation_matrix, float)
    F = loadings(features)
    return jnp.fill_diagonal(jnp.dot(F, F.T, precision="highest"), 1.0, inplace=False)


def square_root(R: Square) -> Square:
    """The symmetric S with S S = R, of a positive semidefinite matrix."""
    values, vectors = jnp.linalg.eigh(R)
    return jnp.dot(vectors * jnp.sqrt(jnp.maximum(values, 0))[None], vectors.T, precision="highest")


@lru_cache(maxsize=64)
def deciding_before(parents: Parents, exclusive: bool) -> tuple[tuple[int, ...], ...]:
    """For every feature those that decide before it whether it may be active: ancestors, and exclusive earlier siblings."""
    earlier = dependence.earlier_sibling(parents)
    before: list[tuple[int, ...] | None] = [None] * len(parents)

    def of(i: int) -> tuple[int, ...]:
        if before[i] is None:
            chain, k = [], i
            while parents[k] >= 0:
                sibling = int(earlier[k])
                while exclusive and sibling >= 0:
                    chain.append(sibling)
                    sibling = int(earlier[sibling])
                k = parents[k]
                chain.append(k)
            before[i] = tuple(chain)
        return before[i] or ()

    return tuple(of(i) for i in range(len(parents)))


class Regression(NamedTuple):
    """Every variable on those of the features that decide before it."""

    before: Int[np.ndarray, "n_features longest"]  # filled up with 0, where the weight is 0
    weights: Float[Array, "n_features longest"]  # $R_{AA}^{-1} R_{Ai}$
    spread: Float[Array, "n_features 1"]  # standard deviation of what is left


def regression(between: Callable[[Any], tuple[Array, Array]], parents: Parents, exclusive: bool) -> Regression:
    """Weights of the features that decide before each one.

    `between` has the correlations among those that `before` names for every feature, (n_features, longest, longest), and
    theirs with the feature itself, (n_features, longest).
    """
    before = deciding_before(parents, exclusive)
    longest = max(map(len, before))
    filled = np.array([[*a, *[0] * (longest - len(a))] for a in before], int).reshape(len(parents), longest)
    real = np.arange(longest) < np.array([len(a) for a in before])[:, None]
    among, with_them = between(filled)
    among = jnp.where(real[:, :, None] & real[:, None, :], among, 0)
    # A little noise: variables that decide before may be equal to one another.
    among = among + (jnp.where(real, MIN_SHARE, 1.0))[:, :, None] * np.eye(longest)[None]
    with_them = jnp.where(real, with_them, 0)
    weights = _solved(among, with_them)
    left = 1 - jnp.sum(weights * with_them, axis=1, keepdims=True)
    return Regression(filled, jnp.where(real, weights, 0), jnp.sqrt(jnp.maximum(left, MIN_SHARE)))


def _solved(A: Float[Array, "n d d"], b: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """x with A x = b of positive definite matrices, by Gauss and Jordan.

    Not by LAPACK, which is slow for many small matrices, and whose programs run one after another on a CPU
    (`superpos.sweeping.mesh.Programs`).
    """

    def eliminate(k: Any, both: Array) -> Array:
        row = both[:, k] / both[:, k, k, None]
        return (both - both[:, :, k, None] * row[:, None]).at[:, k].set(row)

    return jax.lax.fori_loop(0, A.shape[1], eliminate, jnp.concatenate([A, b[..., None]], axis=2))[..., -1]


def given_ancestors(R: Square, parents: Parents, exclusive: bool) -> Square:
    r"""Correlations of $z'$: what is left of every variable given those that decide before it."""
    before = deciding_before(parents, exclusive)
    n = len(parents)
    if not max(map(len, before)):
        return R
    filled, weights, spread = regression(
        lambda places: (R[places[:, :, None], places[:, None, :]], R[np.arange(n)[:, None], places]), parents, exclusive
    )
    rows = jnp.eye(n, dtype=R.dtype).at[np.arange(n)[:, None], filled].add(-weights) / spread
    between = jnp.dot(jnp.dot(rows, R, precision="highest"), rows.T, precision="highest")
    apart = np.eye(n, dtype=bool)
    for i, chain in enumerate(before):
        apart[i, list(chain)] = apart[list(chain), i] = True  # 0, but for rounding
    return jnp.where(apart, jnp.eye(n, dtype=R.dtype), jnp.clip(between, -1, 1))


def family_switches(
    F: Float[Array, "n_features factors"],
    factors: Float[Array, "factors batch"],
    noise: Float[Array, "n_features batch"],
    parents: Parents,
    exclusive: bool,
) -> Float[Array, "n_features batch"]:
    r"""The $z'$ of features that load on common factors, of normal numbers g and e.

    No matrix of all pairs is made: the work is n × (factors + longest) × batch, with `longest` the largest number of features
    that decide before one.
    """
    share = jnp.sqrt(jnp.maximum(1 - jnp.sum(F * F, axis=1, keepdims=True), MIN_SHARE))
    z = jnp.dot(F, factors, precision="highest") + share * noise

    def between(before: Any) -> tuple[Array, Array]:
        theirs = F[before]
        among = jnp.einsum("nkr,nlr->nkl", theirs, theirs, precision="highest")
        return jnp.where(np.eye(before.shape[1]), 1.0, among), jnp.einsum("nkr,nr->nk", theirs, F, precision="highest")

    before, weights, spread = regression(between, parents, exclusive)
    places, weights = jnp.asarray(before.T), weights.T

    def add(k: Any, explained: Array) -> Array:
        return explained + weights[k][:, None] * z[places[k]]

    # A loop, for the reason that `dependence._along` has.
    explained = jax.lax.fori_loop(0, len(places), add, jnp.zeros_like(z)) if before.size else 0.0
    return (z - explained) / spread


def switch_matrix(features: Any) -> Square:
    """Correlations of the variables that decide: $z$, or $z'$ where there are parents."""
    R = matrix_of(features)
    return given_ancestors(R, features.parents, features.exclusive_children) if features.parents else R


def given_factors(p: Float[Array, "n_features 1"], F: Array, factors: Float[Array, "r batch"]) -> Array:
    r"""P(feature i is active | g) = $\Phi\big((\Phi^{-1}(p_i) - F_i \cdot g) / s_i\big)$, shape (n_features, batch)."""
    share = jnp.sqrt(jnp.maximum(1 - jnp.sum(F * F, axis=1, keepdims=True), MIN_SHARE))
    return ndtr((ndtri(p) - jnp.dot(F, factors, precision="highest")) / share)


def tree_co_activation(p: Float[Array, " n_features"], features: Any) -> Square:
    r"""P(i and j active) off the diagonal, where there are both correlations and parents.

    That of two features without parents is the bivariate normal. Others are active together where every switch that decides
    about one of them is as it must be: an orthant probability of as many normal variables, by Genz's separation of
    variables at the points of a Richtmyer lattice. The work is n² × variables² × 2,039.

    Genz 1992, "Numerical computation of multivariate normal probabilities".
    """
    R = switch_matrix(features)
    parents, exclusive = features.parents, features.exclusive_children
    given = dependence.given_family(p[:, None], parents, exclusive)[:, 0]
    signs, members = _conditions(parents, exclusive)
    n, d = len(parents), members.shape[-1]
    thresholds = jnp.clip(ndtri(given), -FURTHEST, FURTHEST)
    lattice = (np.outer(np.sqrt(_primes(d)), np.arange(1, POINTS + 1)) + 0.5 / POINTS) % 1
    points = jnp.asarray(np.clip(np.abs(2 * lattice - 1), 1e-6, 1 - 1e-6), p.dtype)

    def row(i: Any) -> Array:
        who, way = (
            members[i],
            signs[i],
        )  # (n, d): whose switch, and 1 for on, -1 for off, 0 for one that does not matter
        counts = (way != 0)[:, :, None] & (way != 0)[:, None, :]
        among = jnp.where(counts, R[who[:, :, None], who[:, None, :]] * way[:, :, None] * way[:, None, :], 0.0)
        eye = jnp.eye(d, dtype=p.dtype)[None]
        among = jnp.where(eye > 0, 1.0 + MIN_SHARE, among)
        root = jnp.linalg.cholesky(among)
        below = jnp.where(way != 0, thresholds[who] * way, FURTHEST)
        return _orthant(root, below, points)

    members, signs = jnp.asarray(members), jnp.asarray(signs, p.dtype)
    both = jax.lax.map(row, jnp.arange(n))
    both = (both + both.T) / 2
    alone = np.asarray(parents) < 0
    pairs = dependence.bivariate_normal(p, R)
    both = jnp.where(alone[:, None] & alone[None, :], pairs, both)
    return jnp.where(_never_together(parents, exclusive), 0.0, both)


def _orthant(root: Float[Array, "n d d"], below: Float[Array, "n d"], points: Float[Array, "d points"]) -> Array:
    """P(every variable is below its threshold), of n sets of d normal variables with Cholesky factors `root`."""
    d = root.shape[1]
    total = jnp.ones((root.shape[0], points.shape[1]), root.dtype)
    earlier: list[Array] = []
    for k in range(d):
        shift = sum((root[:, k, j, None] * earlier[j] for j in range(k)), jnp.zeros_like(total))
        mass = ndtr((below[:, k, None] - shift) / root[:, k, k, None])
        total = total * mass
        if k < d - 1:
            tiny = jnp.finfo(root.dtype).tiny
            earlier.append(jnp.clip(ndtri(jnp.maximum(points[k][None] * mass, tiny)), -FURTHEST, FURTHEST))
    return jnp.mean(total, axis=1)


@lru_cache(maxsize=16)
def _conditions(parents: Parents, exclusive: bool) -> tuple[np.ndarray, np.ndarray]:
    """For every pair, which switches must be on (1) or off (-1) for both to be active, and whose they are: (n, n, d) each."""
    n, before = len(parents), deciding_before(parents, exclusive)
    ancestors = [{k for k in before[i] if _is_above(k, i, parents)} for i in range(n)]
    needed = []
    for i in range(n):
        needed.append(dict.fromkeys(before[i], -1) | dict.fromkeys((i, *ancestors[i]), 1))
    pairs = [[needed[j] | needed[i] for j in range(n)] for i in range(n)]
    d = max(len(pair) for pairs_of_i in pairs for pair in pairs_of_i)
    signs, members = np.zeros((n, n, d)), np.zeros((n, n, d), int)
    for i in range(n):
        for j in range(n):
            for k, (who, way) in enumerate(pairs[i][j].items()):
                signs[i, j, k], members[i, j, k] = way, who
    return signs, members


@lru_cache(maxsize=16)
def _never_together(parents: Parents, exclusive: bool) -> np.ndarray:
    """Pairs that exclude one another, (n, n)."""
    n = len(parents)
    apart = np.zeros((n, n), bool)
    if exclusive:
        before = deciding_before(parents, exclusive)
        chains = [{i, *(k for k in before[i] if _is_above(k, i, parents))} for i in range(n)]
        for i in range(n):
            for j in range(n):
                off = (set(before[i]) - chains[i]) & chains[j] | (set(before[j]) - chains[j]) & chains[i]
                apart[i, j] = bool(off)
    return apart


def _is_above(k: int, i: int, parents: Parents) -> bool:
    while i >= 0:
        i = parents[i]
        if i == k:
            return True
    return False


def _primes(count: int) -> np.ndarray:
    """The first primes."""
    primes: list[int] = []
    number = 2
    while len(primes) < count:
        if all(number % p for p in primes):
            primes.append(number)
        number += 1
    return np.array(primes, float)
