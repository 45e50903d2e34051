r"""The error of a ReLU output in expectation: exact integrals of what happens often, and a series for the rest.

`superpos.theory.expected_loss` says which integrals and which series. In four pieces: what the other features send, feature
i inactive, feature i active, and the series of what the three leave over.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos.data import FeatureDistribution
from superpos.errors import ConfigError
from superpos.theory import number_active
from superpos.theory.characteristic import Complex, Waves
from superpos.theory.magnitude_terms import MixedTerms, PlainTerms, terms_of

# |a| below this is 0 for the loss, and L² must not underflow. (Where W and b are 0, a sits on the kink of |a|, which a
# series reaches slowly; its error is in units of L.)
MIN_BOUND = 1e-12

Row = Float[Array, " n_features"]
Square = Float[Array, "n_features n_features"]


def check_factors(features: FeatureDistribution) -> None:
    """Raise `ConfigError` for features whose characteristic function does not factor into sets."""
    if features.parents:
        raise ConfigError("parents must be () for the expected loss of a ReLU model.")
    for field in ("correlation", "correlation_matrix", "correlation_factor"):
        if getattr(features, field) is not None:
            raise ConfigError(f"{field} must be None for the expected loss of a ReLU model.")
    if features.world is not None:
        raise ConfigError("world must be None for the expected loss of a ReLU model.")


def one_active_at_most(features: FeatureDistribution) -> bool:
    """Whether one anticorrelated set holds every feature: the errors are then integrals alone, without a series."""
    return any(len(members) == features.n_features for members in features.anticorrelated_sets)


class _Groups(NamedTuple):
    """Independent groups of features, seen from every output i: arrays (n_features, n_groups, …), frequencies last.

    A group is one feature, or a set. In row i the group that holds i is blank: never active. y is the group's part of a_i.
    """

    active: Any  # P(some member is active)
    is_together: np.ndarray  # (n_groups,), of correlated sets: their members are active together
    lone: Complex  # E[exp(i t y); some member active]; 0 for correlated sets
    together: Complex | None  # the same for correlated sets, 0 for others; None where there are none
    moments: list[Any]  # E[y^r; some member active] for r = 1, 2, 3
    rectified: Any  # E[ReLU(y + b)²; exactly one member active]


class _Others(NamedTuple):
    """What the groups that do not hold feature i send to output i, with at least one member active."""

    none: Row  # P(no member of any is active)
    exactly_one: Row  # E[ReLU(a_i)²; exactly one group active], integrated exactly
    several: Complex  # E[exp(i t a_i); more than one group active], or more than one member of a correlated set
    several_moments: list[Row]  # E[a_i^r; the same] for r = 0 … 3, without the bias
    active: Complex  # the same with at least one group active
    active_moments: list[Row]


class _Part(NamedTuple):
    """One case of feature i, active or not: what is integrated exactly, and what is left to the series."""

    exact: Row
    factor: Complex  # E[exp(i t a_i); left], without feature i's own part and without the bias
    moments: list[Row]  # of the same for r = 0 … 3


def reach_of(G: Square, b: Row, terms: PlainTerms | MixedTerms) -> Row:
    """The bound L of $|a_i|$ that the series is laid out on, (n_features,)."""
    return 1.02 * (jnp.abs(b) + terms.reach(G))


def relu_errors(G: Square, b: Row, features: FeatureDistribution, order: int, bound: Row | None = None) -> Row:
    r"""$E(x_i - ReLU(a_i))^2$, shape (n_features,), for $a = b + Gx$ with G = WᵀW; the series has `order` terms.

    A `bound` of $|a_i|$ that is given does not move with G and b. The sum of the series does not depend on it, but a series
    that is cut does, and its own bound has kinks: where second derivatives count, it is held fixed.
    """
    p, terms = features.probabilities.astype(G.dtype), terms_of(features)
    if one_active_at_most(features):
        return _errors_of_one_active(G, b, features, terms)
    mu: tuple[Any, ...] = (1.0, *terms.moments)

    # Everything in units of the bound L, so that |a| <= 1.
    L = jnp.maximum(reach_of(G, b, terms) if bound is None else bound, MIN_BOUND)
    g, beta = G / L[:, None], b / L
    waves = terms.waves(g, beta, order)
    columns = [m if isinstance(m, float) else m[None, :] for m in mu]
    moments = [m * g**r for r, m in enumerate(columns)]  # of every feature's part, while it is active
    rectified_one = terms.rectified(G, b[:, None])

    others = _other_features(_groups(p, waves.zeroth, moments, rectified_one, features))
    inactive = _own_feature_inactive(p, b, waves.zeroth, moments, rectified_one, others, features)
    own_error = terms.own_error(jnp.diagonal(G), b)
    active = _own_feature_active(p, own_error, waves.zeroth, moments, others, features)
    u2, u_relu, relu2 = _series(p, mu, beta, jnp.diagonal(g), waves, inactive, active)
    exact = inactive.exact + active.exact
    return exact + u2 - 2 * L * u_relu + L**2 * relu2


def _errors_of_one_active(G: Square, b: Row, features: FeatureDistribution, terms: PlainTerms | MixedTerms) -> Row:
    """The same where at most one feature is active at a time: exact integrals, which leave nothing to the series."""
    p = features.probabilities.astype(G.dtype)
    silent, rivals = _own_group(p, features)
    weights = 0.0 if rivals is None else rivals
    inactive = silent * jnp.maximum(b, 0) ** 2 + jnp.sum(weights * terms.rectified(G, b[:, None]), axis=1)
    return inactive + p * terms.own_error(jnp.diagonal(G), b)


def _other_features(groups: _Groups) -> _Others:
    """Put the groups together: none active, exactly one, more."""
    probability = number_active.probabilities(groups.active, groups.is_together)
    active, several = number_active.waves(groups.active, groups.lone, groups.together)
    sums, mixed = _sums(groups.moments)
    # Given that a group is active, how likely it is that several members of any groups are.
    beside = jnp.where(groups.is_together[None], 1, probability.any_other)
    several_moments = [jnp.sum(beside * m, axis=1) + c for m, c in zip(groups.moments, mixed, strict=True)]
    return _Others(
        probability.none,
        jnp.sum(probability.no_other * groups.rectified, axis=1),
        several,
        [probability.several, *several_moments],
        active,
        [probability.any, *(x + c for x, c in zip(sums, mixed, strict=True))],
    )


def _own_feature_inactive(
    p: Row,
    b: Row,
    phi: Complex,
    moments: list[Square],
    rectified_one: Square,
    others: _Others,
    features: FeatureDistribution,
) -> _Part:
    """Feature i inactive: its own group is silent, or (anticorrelated) another member speaks."""
    silent, weights = _own_group(p, features)
    exact = silent * (others.none * jnp.maximum(b, 0) ** 2 + others.exactly_one)
    factor, left = others.several.scaled(silent[:, None]), [silent * m for m in others.several_moments]
    if weights is not None:
        exact += others.none * jnp.sum(weights * rectified_one, axis=1)
        factor = factor.plus(phi.scaled(weights[..., None]).total(1).times(others.active))
        rivals = _convolved([jnp.sum(weights * m, axis=1) for m in moments], others.active_moments)
        left = [x + y for x, y in zip(left, rivals, strict=True)]
    return _Part(exact, factor, left)


def _own_feature_active(
    p: Row,
    own_error: Row,
    phi: Complex,
    moments: list[Square],
    others: _Others,
    features: FeatureDistribution,
) -> _Part:
    """Feature i active: `factor` and `moments` are given that. A correlated set's other members are active with it."""
    none, active, active_moments = others.none, others.active, others.active_moments
    alone, partner_phi, partner_moments = _partners(phi, moments, features)
    exact = jnp.where(alone, p * none * own_error, 0)
    if partner_phi is None:
        return _Part(exact, active, active_moments)
    with_partners = Complex(none[:, None] + active.re, active.im).times(partner_phi)
    with_partners_moments = _convolved(partner_moments, [none + active_moments[0], *active_moments[1:]])
    factor = Complex(*(jnp.where(alone[:, None], x, y) for x, y in zip(active, with_partners, strict=True)))
    left = [jnp.where(alone, x, y) for x, y in zip(active_moments, with_partners_moments, strict=True)]
    return _Part(exact, factor, left)


def _series(
    p: Row,
    mu: tuple[Any, ...],
    beta: Row,
    g_own: Row,
    waves: Waves,
    inactive: _Part,
    active: _Part,
) -> tuple[Row, Row, Row]:
    r"""$E u^2$, $E u\,ReLU(a)$ and $E\,ReLU(a)^2$ of what is not integrated exactly.

    `a` = T + g u is in units of L, T what the others and the bias send, u feature i's magnitude and g its own weight
    there.
    """
    # Moments of a, jointly with u: R where feature i is inactive, T where it is active.
    shift = [beta**r for r in range(4)]
    _, R1, R2, R3 = _convolved(shift, inactive.moments)
    T0, T1, T2, T3 = _convolved(shift, [p * m for m in active.moments])
    _, mu1, mu2, mu3 = mu
    a1 = R1 + T1 + g_own * mu1 * T0
    a2 = R2 + T2 + 2 * g_own * mu1 * T1 + g_own**2 * mu2 * T0
    a3 = R3 + T3 + 3 * g_own * mu1 * T2 + 3 * g_own**2 * mu2 * T1 + g_own**3 * mu3 * T0
    u1, u2 = mu1 * T0, mu2 * T0
    u_a = mu1 * T1 + g_own * mu2 * T0
    u_a2 = mu1 * T2 + 2 * g_own * mu2 * T1 + g_own**2 * mu3 * T0

    i = np.arange(len(p))
    k = jnp.arange(1, waves.phase.re.shape[1] + 1, dtype=beta.dtype)[None]
    own_active = active.factor.scaled(p[:, None])
    sines = waves.phase.times(inactive.factor.plus(own_active.times(waves.zeroth.at(i, i)))).im
    cosines = waves.phase.times(own_active.times(waves.own_first)).re
    relu2 = (a2 + 2 / 3 * a1 + a3 / 3 - jnp.sum(4 / jnp.pi**3 / k**3 * sines, axis=1)) / 2
    u_relu = (u_a + u_a2 / 2 + u1 / 3 - jnp.sum(2 / jnp.pi**2 / k**2 * cosines, axis=1)) / 2
    return u2, u_relu, relu2


def _groups(
    p: Row, phi: Complex, moments: list[Square], rectified_one: Square, features: FeatureDistribution
) -> _Groups:
    """Lay the features out in groups; columns: features in no set, anticorrelated sets, correlated sets."""
    n = features.n_features
    in_sets = {i for members in (*features.correlated_sets, *features.anticorrelated_sets) for i in members}
    single = [i for i in range(n) if i not in in_sets]
    each = (phi, moments[1:], rectified_one)  # what every feature sends while it is active
    held: list[Any] = [[i] for i in single]
    columns: list[Any] = []  # P(active), and what is sent then
    if single:
        one = slice(None) if len(single) == n else np.array(single)
        columns.append((jnp.broadcast_to(p[one], (n, len(single))), _weighted(p[one], each, one)))
    for members in features.anticorrelated_sets:
        chosen = np.array(members)
        sent = jax.tree.map(lambda x: jnp.sum(x, axis=1, keepdims=True), _weighted(p[chosen], each, chosen))
        columns.append((jnp.broadcast_to(jnp.sum(p[chosen]), (n, 1)), sent))
        held.append(members)
    for members in features.correlated_sets:
        chosen = np.array(members)
        factor = number_active.product(phi.at(slice(None), chosen))
        apart, cross = _sums([m[:, chosen] for m in moments[1:]])
        sent = (factor, [a + c for a, c in zip(apart, cross, strict=True)], jnp.zeros(n, p.dtype))
        q = p[chosen[:1]]
        columns.append(
            (jnp.broadcast_to(q, (n, 1)), _weighted(q, jax.tree.map(lambda x: x[:, None], sent), slice(None)))
        )
        held.append(members)

    is_member = np.array([[i in members for members in held] for i in range(n)], bool)
    active, (wave, sums, rectified) = jax.tree.map(lambda *x: _blank(is_member, jnp.concatenate(x, axis=1)), *columns)
    is_together = np.arange(len(held)) >= len(held) - len(features.correlated_sets)
    if not features.correlated_sets:
        return _Groups(active, is_together, wave, None, sums, rectified)
    lone, together = (jax.tree.map(partial(_blank, blank[None]), wave) for blank in (is_together, ~is_together))
    return _Groups(active, is_together, lone, together, sums, rectified)


def _weighted(p: Row, tree: Any, chosen: Any) -> Any:
    """Arrays (n_features, n_features, …) at the `chosen` columns, times their probabilities."""
    return jax.tree.map(lambda x: p.reshape(1, -1, *(1,) * (x.ndim - 2)) * x[:, chosen], tree)


def _blank(is_blank: np.ndarray, x: Array) -> Array:
    """An array (n_features, n_groups, …) with zeros where a group is blank."""
    return jnp.where(is_blank.reshape(*is_blank.shape, *(1,) * (x.ndim - 2)), 0, x)


def _own_group(p: Row, features: FeatureDistribution) -> tuple[Row, Square | None]:
    """P(no member of i's own group is active); and, for anticorrelated sets, the probabilities of i's rivals."""
    if not features.anticorrelated_sets:
        return 1 - p, None
    silent, weights = 1 - p, jnp.zeros((len(p), len(p)), p.dtype)
    for members in features.anticorrelated_sets:
        chosen = np.array(members)
        silent = silent.at[chosen].set(1 - jnp.sum(p[chosen]))
        rivals = jnp.where(np.eye(len(chosen), dtype=bool), 0, p[chosen])
        weights = weights.at[np.ix_(chosen, chosen)].set(rivals)
    return silent, weights


def _partners(
    phi: Complex, moments: list[Square], features: FeatureDistribution
) -> tuple[np.ndarray, Complex | None, list[Row]]:
    """Which features are in no correlated set; for the others, factor and moments of the members active with them."""
    n = features.n_features
    alone = np.ones(n, bool)
    if not features.correlated_sets:
        return alone, None, []
    with_i = np.zeros((n, n), bool)
    for members in features.correlated_sets:
        alone[list(members)] = False
        with_i[np.ix_(members, members)] = ~np.eye(len(members), dtype=bool)
    factor = number_active.product(
        Complex(*(jnp.where(with_i[..., None], x, o) for x, o in zip(phi, (1, 0), strict=True)))
    )
    apart, cross = _sums([jnp.where(with_i, m, 0) for m in moments[1:]])
    return alone, factor, [jnp.ones(n, phi.re.dtype), *(a + c for a, c in zip(apart, cross, strict=True))]


def _sums(moments: list[Array]) -> tuple[list[Array], list[Array]]:
    r"""First three raw moments of a sum of independent parts along axis 1, from theirs.

    In two shares: $\sum E y_g^r$, and what two or three different parts make together.
    """
    m1, m2, _ = moments
    s1, s2, s3 = (jnp.sum(m, axis=1) for m in moments)
    squares, cubes = jnp.sum(m1**2, axis=1), jnp.sum(m1**3, axis=1)
    pairs = 3 * (s2 * s1 - jnp.sum(m2 * m1, axis=1))
    triples = s1**3 - 3 * s1 * squares + 2 * cubes
    return [s1, s2, s3], [jnp.zeros_like(s1), s1**2 - squares, pairs + triples]


def _convolved(first: Any, second: Any) -> list[Any]:
    """Moments 0 … 3 of the sum of two independent parts, of any total mass."""
    a0, a1, a2, a3 = first
    b0, b1, b2, b3 = second
    return [
        a0 * b0,
        a0 * b1 + a1 * b0,
        a0 * b2 + 2 * a1 * b1 + a2 * b0,
        a0 * b3 + 3 * a1 * b2 + 3 * a2 * b1 + a3 * b0,
    ]
