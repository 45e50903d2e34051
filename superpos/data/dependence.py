"""How features depend on one another: trees of parents and children, and one common Gaussian factor."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Bool, Float, Int

from superpos import check
from superpos.errors import ConfigError

Parents = tuple[int, ...]
Column = Float[Array, "n_features 1"]
Square = Float[Array, "n_features n_features"]

ROUNDING = 1e-6  # by which probabilities may exceed a bound they were computed from

# Nodes of the integral over the correlation. Worst relative error over thresholds from p = 1e-5 to .999: 3e-15 for
# ρ <= .95, 2e-13 at .99, 1e-8 at .999, 3e-7 at .9999.
NODES = 32
FURTHEST = 30.0  # a threshold for p = 1, where the normal quantile is infinite
MIN_SHARE = 2.0**-24  # of a feature's own noise, when ρ rounds to 1


def check_parents(parents: Any, n_features: int) -> None:
    """Raise `ConfigError` unless `parents` names, for every feature, another feature or -1, and runs in no circle."""
    if not isinstance(parents, tuple):
        raise ConfigError(
            f"parents must be a tuple with one entry per feature, such as (-1, 0, 0), got {check.short(parents)}."
        )
    if len(parents) != n_features:
        raise ConfigError(f"parents must be () or one per feature ({n_features}), got {len(parents)}.")
    for i, parent in enumerate(parents):
        if isinstance(parent, bool | np.bool_) or not isinstance(parent, int | np.integer):
            raise ConfigError(f"parents: the parent of feature {i} must be a whole number, got {parent!r}.")
        if not -1 <= parent < n_features:
            raise ConfigError(
                f"parents: the parent of feature {i} must be a feature (at most {n_features - 1}) or -1, got {parent}."
            )
        if parent == i:
            raise ConfigError(f"parents: feature {i} is its own parent.")
    chain = np.asarray(parents, np.int64)
    for _ in range(n_features.bit_length()):  # after k rounds, 2^k generations up
        chain = _next(chain)
    if np.any(chain >= 0):
        circle = [int(np.argmax(chain >= 0))]
        while circle.count(circle[-1]) < 2:
            circle.append(parents[circle[-1]])
        cycle = circle[circle.index(circle[-1]) :]
        names = " → ".join(str(i) for i in (cycle if len(cycle) <= 8 else [*cycle[:7], "…", cycle[-1]]))
        raise ConfigError(f"parents must lead to a feature without parent, but run in a circle: {names}.")


def check_family_probabilities(p: np.ndarray, parents: Parents, exclusive: bool) -> None:
    """Raise `ConfigError` where a feature is likelier than its parent, or exclusive children are, together.

    `p` is (…, n_features).
    """
    parent = np.asarray(parents)
    child = np.flatnonzero(parent >= 0)
    over = p[..., child] > p[..., parent[child]] * (1 + ROUNDING)
    if np.any(over):
        *cell, at = np.argwhere(over)[0]
        i, k = child[at], parent[child[at]]
        raise ConfigError(
            f"feature_probability must be no larger for a feature than for its parent: feature {i} has "
            f"{p[(*cell, i)]:g}, its parent, feature {k}, {p[(*cell, k)]:g}."
        )
    if not exclusive:
        return
    total = np.zeros_like(p)
    for i in child:
        total[..., parent[i]] += p[..., i]
    over = total > p * (1 + ROUNDING)
    if np.any(over):
        *cell, k = np.argwhere(over)[0]
        raise ConfigError(
            f"feature_probability of the exclusive children of feature {k} must add up to at most its own, "
            f"{p[(*cell, k)]:g}, got {total[(*cell, k)]:g}."
        )


def given_family(p: Column, parents: Parents, exclusive: bool) -> Column:
    r"""P(feature i is active | its parent is, and no earlier exclusive child of that parent), shape (n_features, 1).

    $p_i / p_{\text{parent}}$, or $p_i / (p_{\text{parent}} - \sum_{j < i} p_j)$ over i's earlier siblings; $p_i$ itself
    without a parent.
    """
    parent = np.asarray(parents)
    left = p[np.maximum(parent, 0)]
    if exclusive:
        # Rounding may leave less than p_i for the last child.
        left = jnp.maximum(left - _beyond(earlier_sibling(parents), p), p)
    return jnp.where((parent >= 0)[:, None], p / left, p)


def within_family(
    switched: Bool[Array, "n_features batch"], parents: Parents, exclusive: bool
) -> Bool[Array, "n_features batch"]:
    """Activity from each feature's own switch: all its ancestors are active and, if exclusive, no earlier sibling is."""
    if exclusive:
        switched &= ~_beyond(earlier_sibling(parents), switched)
    return switched & ~_beyond(np.asarray(parents), ~switched)


def family_co_activation(p: Float[Array, " n_features"], parents: Parents, exclusive: bool) -> Square:
    r"""P(i and j active) off the diagonal: $p_i p_j / p_a$ with a the lowest common ancestor.

    (a = i, if i is an ancestor of j: $p_j$.) Without a common ancestor $p_i p_j$. Exclusive: 0, unless one of i and j is
    the other's ancestor.
    """
    common = lowest_common_ancestor(parents)
    both = p[:, None] * p[None, :]
    both = jnp.where(common >= 0, both / p[np.maximum(common, 0)], both)
    if exclusive:
        index = np.arange(len(parents))
        apart = (common >= 0) & (common != index[:, None]) & (common != index[None, :])
        both = jnp.where(apart, 0, both)
    return both


def given_factor(p: Column, correlation: Column, factor: Float[Array, "1 batch"]) -> Float[Array, "n_features batch"]:
    r"""P(feature i is active | g) in a one-factor Gaussian copula, where features are independent given the factor g.

    Feature i is active where $\sqrt{\rho_i}\,g + \sqrt{1 - \rho_i}\,e_i < \Phi^{-1}(p_i)$ with $g$ and $e_i$ standard
    normal, so the probability is $\Phi\big((\Phi^{-1}(p_i) - \sqrt{\rho_i}\,g) / \sqrt{1 - \rho_i}\big)$; its mean over g is
    $p_i$.
    """
    own_share = jnp.sqrt(jnp.maximum(1 - correlation, MIN_SHARE))
    return ndtr((ndtri(p) - jnp.sqrt(correlation) * factor) / own_share)


def factor_co_activation(p: Float[Array, " n_features"], correlation: Float[Array, " n_features"]) -> Square:
    r"""P(i and j active) off the diagonal for a one-factor Gaussian copula: the bivariate normal distribution function.

    With thresholds $h = \Phi^{-1}(p_i)$, $k = \Phi^{-1}(p_j)$ and correlation $r = \sqrt{\rho_i \rho_j}$,

    $$P = p_i p_j + \frac{1}{2\pi} \int_0^{\arcsin r} \exp\Big({-\frac{(h-k)^2}{2\cos^2\theta}} - \frac{hk}{1+\sin\theta}\Big)
          \,d\theta,$$

    by 32 Gauss–Legendre nodes: relative error below 1e-7 for ρ up to .999, 1e-6 up to .9999, in double precision; single
    adds about 1e-5. The work is 32 n².

    Plackett 1954, "A reduction formula for normal multivariate integrals"; Drezner and Wesolowsky 1990 for the nodes.
    """
    loading = jnp.sqrt(correlation)
    return bivariate_normal(p, loading[:, None] * loading[None, :])


def bivariate_normal(p: Float[Array, " n_features"], correlation: Square) -> Square:
    r"""P(two standard normal variables are both below the thresholds of p), for all pairs; the diagonal means nothing.

    The integral of `factor_co_activation`, for correlations of either sign.
    """
    h = jnp.clip(ndtri(p), -FURTHEST, FURTHEST)
    limit = 1 - jnp.finfo(p.dtype).eps
    most = jnp.arcsin(jnp.maximum(jnp.minimum(correlation, limit), -limit))
    apart, product = (h[:, None] - h[None, :]) ** 2 / 2, h[:, None] * h[None, :]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)

    def add(k: Any, total: Square) -> Square:
        angle = most * (1 + jnp.asarray(nodes, p.dtype)[k]) / 2
        height = jnp.exp(-apart / jnp.cos(angle) ** 2 - product / (1 + jnp.sin(angle)))
        return total + jnp.asarray(weights, p.dtype)[k] * height

    area = jax.lax.fori_loop(0, NODES, add, jnp.zeros_like(most))
    return p[:, None] * p[None, :] + most * area / (4 * jnp.pi)


def _next(chain: Int[np.ndarray, " n_features"]) -> Int[np.ndarray, " n_features"]:
    """Twice as far along: `chain` leads from every feature to another, or is -1 at the end."""
    return np.where(chain >= 0, chain[chain], -1)


def _beyond(chain: Int[np.ndarray, " n_features"], values: Array) -> Array:
    """At feature i, the sum (for truth values: "any") of `values` over all features further along i's chain than i."""
    if values.dtype == bool:
        return _along(chain, values, jnp.logical_or, False)
    return _along(chain, values, jnp.add, 0)


def beyond_product(parents: Parents, values: Float[Array, "n_features k"]) -> Float[Array, "n_features k"]:
    """At every feature the product of `values` over its ancestors; 1 where it has none."""
    return _along(np.asarray(parents), values, jnp.multiply, 1)


def _along(
    chain: Int[np.ndarray, " n_features"], values: Array, join: Callable[[Array, Array], Array], nothing: Any
) -> Array:
    """At feature i, `values` of all features further along i's chain than i, joined; `nothing` where there is none.

    Doubling the stride takes as many rounds as the longest chain's length has binary digits. They are a loop, because XLA's
    compiler for CPUs draws anew what is gathered from, each time: 6 times as long for trees of depth 3.
    """

    def ahead(x: Array, chain: Any) -> Array:
        return jnp.where((chain >= 0)[:, None], x[jnp.maximum(chain, 0)], jnp.asarray(nothing, x.dtype))

    strides = [chain]
    while np.any(strides[-1] >= 0):
        strides.append(_next(strides[-1]))
    steps = jnp.asarray(np.stack(strides))
    joined = jax.lax.fori_loop(0, len(strides), lambda r, x: join(x, ahead(x, steps[r])), values)
    return ahead(joined, jnp.asarray(chain))


def earlier_sibling(parents: Sequence[int]) -> Int[np.ndarray, " n_features"]:
    """For every feature the child of the same parent named just before it, or -1."""
    latest: dict[int, int] = {}
    earlier = np.full(len(parents), -1)
    for i, parent in enumerate(parents):
        if parent >= 0:
            earlier[i] = latest.get(parent, -1)
            latest[parent] = i
    return earlier


def lowest_common_ancestor(parents: Parents) -> Int[np.ndarray, "n_features n_features"]:
    """The deepest feature that is, or is above, both i and j; -1 where there is none."""
    parent, n = np.asarray(parents), len(parents)
    above = np.eye(n, dtype=bool)  # above[a, j]: a is j, or an ancestor of j
    common = np.full((n, n), -1)
    level = np.flatnonzero(parent < 0)
    while level.size:  # generation by generation, from the roots down: parents come before their children
        if parent[level[0]] >= 0:
            above[:, level] |= above[:, parent[level]]
        level = np.flatnonzero(np.isin(parent, level))
    level = np.flatnonzero(parent < 0)
    while level.size:
        if parent[level[0]] >= 0:
            common[level] = common[parent[level]]
        common[level] = np.where(above[level], level[:, None], common[level])
        level = np.flatnonzero(np.isin(parent, level))
    return common


def check_correlation(correlation: Any, n_features: int) -> None:
    """Raise `ConfigError` unless `correlation` is a number, or one per feature, in [0, 1); it may be stacked."""
    check.in_range("correlation", correlation, at_least=0, below=1)
    shape = np.shape(correlation)
    if shape and shape[-1] != n_features:
        raise ConfigError(f"correlation must be one number or {n_features}, got shape {shape}.")
