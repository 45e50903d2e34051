"""The population loss of the toy model, without sampling: what a batch estimates, computed."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.data import MAGNITUDE_MOMENTS, FeatureDistribution, Sets
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION
from superpos.theory.characteristic import (
    Complex,
    characteristic,
    count_active,
    first_moment,
    harmonics,
    own_error,
    rectified,
)
from superpos.theory.linear import linear_errors
from superpos.theory.series import check_order, check_trusted, chosen_order, doubtful, longer

# What the series can do; linear models need moments alone and take any magnitude.
EXPECTED_MAGNITUDES = ("uniform", "signed_uniform")
EXPECTED_ACTIVATIONS = ("relu", "identity")

# Larger weights overflow the fourth powers in single precision. Trained ones are of order 1.
MAX_PARAMETER = 1e6

# |a| below this is 0 for the loss, and L² must not underflow. (Where W and b are 0, a sits on the kink of |a|, which a
# series reaches slowly; its error is in units of L.)
MIN_BOUND = 1e-12

Row = Float[Array, " n_features"]
Square = Float[Array, "n_features n_features"]


def expected_loss(
    W: Any,
    b: Any,
    feature_probability: Any,
    importance: Any = 1.0,
    *,
    order: int | None = None,
    per_feature: bool = False,
    activation: str = "relu",
    magnitude: str = "uniform",
    correlated_sets: Sets = (),
    anticorrelated_sets: Sets = (),
) -> Float[Array, ""] | Row:
    r"""Population loss of $x' = f(W^\top W x + b)$: the mean over features of $I_i\,E(x_i - x'_i)^2$, with no sampling.

    `W` is (n_hidden, n_features) and `b` (n_features,) or None; or `W` is a model, a run or a result of one cell, whose own
    b counts where `b` is None. `feature_probability` and `importance` are numbers or (n_features,). With
    `per_feature=True` the vector $E(x_i - x'_i)^2$, unweighted, shape (n_features,). Differentiable in all of them,
    vmappable, in single or double precision (that of `W`).

    **How.** Write $a_i = b_i + \sum_j G_{ij} x_j$ with $G = W^\top W$. What happens often is integrated exactly: nothing
    active but possibly feature i itself, and exactly one other feature active while i is not; there $a_i$ is linear in one
    magnitude. On the rest (for independent features at most $(np)^2$ of the mass), ReLU(a) = (a + |a|)/2 and
    ReLU(a)² = (a² + a|a|)/2 are expanded on $|a| \le L_i = 1.02\,(|b_i| + \max(\sum_j G_{ij}^+, \sum_j G_{ij}^-))$,

    $$|a| = \tfrac{a^2}{2L} + \tfrac L3 - \tfrac{2L}{\pi^2} \sum_{k \ge 1} \tfrac{\cos(k\pi a/L)}{k^2}, \qquad
      a|a| = \tfrac{2L}{3} a + \tfrac{a^3}{3L} - \tfrac{4L^2}{\pi^3} \sum_{k \ge 1} \tfrac{\sin(k\pi a/L)}{k^3},$$

    cut at k = `order`. The polynomials need three moments of x, and the sums need characteristic functions, which
    factor: $E\,e^{ita_i} = e^{itb_i} \prod_j \varphi_j(tG_{ij})$ with $\varphi_j(s) = 1 - p_j + p_j(e^{is}-1)/(is)$, or
    $1 - p_j + p_j \sin(s)/s$ for signed uniform magnitudes (where L adds up |G_ij|). A
    correlated set is one factor, $1 - p + p\prod_j (e^{is_j}-1)/(is_j)$, an anticorrelated set is
    $1 - \sum p_j + \sum p_j (e^{is_j}-1)/(is_j)$. The linear model (`activation="identity"`) needs the moments alone.

    **How exact.** Relative error of the worst feature at the default order 32, against order 2,048 in double precision,
    random W, b and p from 1 to 0.001: 5e-6 for 2→1, 8e-6 for 5→2, 3e-4 for 20→5, 7e-3 for 50→10. At order 16: 8e-5,
    7e-5, 5e-3, 9e-2; at order 64: 3e-7, 1e-6, 3e-5, 2e-4. Single precision adds about 1e-5 of the error of a feature that
    is not reconstructed; where the loss is 0 the result may be as much below it. The work is n² × order. The default grows
    with many features (`superpos.theory.chosen_order`); where order < n, the result is compared with that of more terms.

    An antipodal pair costs p²/6:

    >>> round(float(sp.expected_loss(np.array([[1.0, -1.0]]), None, 0.1)), 6)
    0.001667

    Raises:
        ConfigError: a shape, number or word is not allowed, or `order` is too short for these weights. Exponential and
            constant magnitudes are for linear models only: the series needs a bounded density.
    """
    W, b = arrays.weights_and_bias("W", W, b, activation)
    W = jnp.asarray(arrays.weights("W", W))
    n_features = W.shape[1]
    b = None if b is None else jnp.asarray(arrays.as_array("b", b, shape=(n_features,)))
    for name, value in (("W", W), ("b", 0.0 if b is None else b)):
        check.in_range(name, value, at_least=-MAX_PARAMETER, at_most=MAX_PARAMETER)
    feature_probability = arrays.as_array("feature_probability", feature_probability)
    importance = arrays.as_array("importance", importance, largest=arrays.MAX_IMPORTANCE)
    check.vector("feature_probability", feature_probability, n_features)
    check.vector("importance", importance, n_features)
    check.in_range("importance", importance, at_least=0)
    order = check_order(order, n_features if isinstance(activation, str) and activation == "relu" else 1, len(W))
    check.boolean("per_feature", per_feature)
    features = FeatureDistribution(
        n_features=n_features,
        feature_probability=feature_probability,
        magnitude=magnitude,
        correlated_sets=correlated_sets,
        anticorrelated_sets=anticorrelated_sets,
    )
    features.check()
    check_expected(features, activation)
    use_compilation_cache()
    errors = expected_errors(W, b, features, activation=activation, order=order)
    known = not any(check.is_traced(x) for x in (W, b, feature_probability, importance))
    if activation == "relu" and doubtful(n_features, order) and known:
        more = expected_errors(W, b, features, order=longer(order))
        weights = jnp.ones(()) if per_feature else jnp.asarray(importance, W.dtype)
        loss, true, untrained = (jnp.mean(weights * x) for x in (errors, more, features.moment(2)))
        check_trusted(loss, true, untrained, order, W.shape)
    return errors if per_feature else jnp.mean(jnp.asarray(importance, W.dtype) * errors)


def is_known(magnitude: str, activation: str) -> bool:
    """Whether the population loss of this activation is known here for features of this magnitude."""
    return activation == "identity" or (activation == "relu" and magnitude in EXPECTED_MAGNITUDES)


def check_expected(features: FeatureDistribution, activation: str) -> None:
    """Raise `ConfigError` for an activation, magnitude or dependence whose population loss is not known here."""
    if not isinstance(activation, str) or activation not in EXPECTED_ACTIVATIONS:
        known, got = ", ".join(EXPECTED_ACTIVATIONS), check.short(activation)
        raise ConfigError(f"activation must be one of {known} for the expected loss, got {got}.")
    if not is_known(features.magnitude, activation):
        raise ConfigError(
            f"magnitude must be one of {', '.join(EXPECTED_MAGNITUDES)} for the expected loss of a ReLU model, "
            f"got {features.magnitude!r}."
        )
    if activation == "relu":
        _check_dependence(features)


def _check_dependence(features: FeatureDistribution) -> None:
    """Raise `ConfigError` for features whose characteristic function does not factor into sets."""
    if features.parents:
        raise ConfigError("parents must be () for the expected loss of a ReLU model.")
    if features.correlation is not None:
        raise ConfigError("correlation must be None for the expected loss of a ReLU model.")


@partial(jax.jit, static_argnames=("activation", "order"))
def expected_errors(
    W: Float[Array, "n_hidden n_features"],
    b: Row | None,
    features: FeatureDistribution,
    *,
    activation: str = "relu",
    order: int | None = None,
) -> Row:
    """$E(x_i - x'_i)^2$ for every feature, unweighted; `expected_loss` says how. Checks nothing."""
    order = chosen_order(features.n_features, len(W)) if order is None else order
    b = jnp.zeros(features.n_features, W.dtype) if b is None else b
    if activation == "identity":
        return linear_errors(W, b, features)
    return _relu_errors(jnp.dot(W.T, W, precision=FULL_PRECISION), b, features, order)


class _Groups(NamedTuple):
    """Independent groups of features, seen from every output i: arrays (n_features, n_groups, …), frequencies last.

    A group is one feature, or a set. In row i the group that holds i is blank: never active.
    """

    inactive: Any  # P(no member is active), (…, 1)
    lone: Complex  # E[exp(i t y); some member active], y the group's part of a_i; 0 for correlated sets
    several: Complex  # the same for correlated sets, 0 for others: their members are active together
    lone_reals: Any  # (…, 5): E[y^r; some member active] for r = 0 … 3, and E[ReLU(y + b)²; …]
    several_reals: Any


def _relu_errors(G: Square, b: Row, features: FeatureDistribution, order: int) -> Row:
    _check_dependence(features)
    n, p = features.n_features, features.probabilities.astype(G.dtype)
    mu = (1.0, *MAGNITUDE_MOMENTS[features.magnitude])
    k = jnp.arange(1, order + 1, dtype=G.dtype)[None]
    i = np.arange(n)

    # Everything in units of the bound L, so that |a| <= 1.
    above, below = jnp.sum(jnp.maximum(G, 0), axis=1), jnp.sum(jnp.maximum(-G, 0), axis=1)
    reach = jnp.maximum(above, below) if features.magnitude == "uniform" else above + below
    bound = 1.02 * (jnp.abs(b) + reach)
    L = jnp.maximum(bound, MIN_BOUND)
    g, beta = G / L[:, None], b / L
    phi, h, powers, quotient = characteristic(g, order, features.magnitude)
    g_own, phi_own = jnp.diagonal(g), phi.at(i, i)
    psi_own = first_moment(h[i, i], powers.at(i, i), quotient[i, i], features.magnitude)
    moments = [m * g**r for r, m in enumerate(mu)]  # of every feature's part, while it is active
    rectified_one = rectified(G, b[:, None], features.magnitude)

    # The other groups: none active (E0), exactly one, more.
    groups = _groups(p, phi, moments, rectified_one, features)
    E0, one, more = count_active(groups.inactive, groups.lone, groups.several, Complex.times)
    _, one_reals, more_reals = count_active(groups.inactive, groups.lone_reals, groups.several_reals, _beside)
    one_moments, exact_one = [one_reals[:, r] for r in range(4)], one_reals[:, 4]
    each = groups.lone_reals + groups.several_reals
    _, cross = _sums([each[..., r] for r in (1, 2, 3)])
    more_moments = [more_reals[:, 0], *(more_reals[:, r] + c for r, c in zip((1, 2, 3), cross, strict=True))]
    some, some_moments = one.plus(more), [x + y for x, y in zip(one_moments, more_moments, strict=True)]

    # Feature i inactive: its own group is silent, or (anticorrelated) another member speaks.
    E0 = E0[:, 0]
    silent, weights = _own_group(p, features)
    exact = silent * (E0 * jnp.maximum(b, 0) ** 2 + exact_one)
    rest, rest_moments = more.scaled(silent[:, None]), [silent * m for m in more_moments]
    if weights is not None:
        exact += E0 * jnp.sum(weights * rectified_one, axis=1)
        rest = rest.plus(phi.scaled(weights[..., None]).total(1).times(some))
        rivals = _convolved([jnp.sum(weights * m, axis=1) for m in moments], some_moments)
        rest_moments = [x + y for x, y in zip(rest_moments, rivals, strict=True)]

    # Feature i active with magnitude u; a correlated set's other members are active with it.
    alone, partner_phi, partner_moments = _partners(phi, moments, features)
    exact += jnp.where(alone, p * E0 * own_error(jnp.diagonal(G), b, features.magnitude), 0)
    active, active_moments = some, some_moments
    if partner_phi is not None:
        everything = Complex(E0[:, None] + some.re, some.im).times(partner_phi)
        every_moments = _convolved(partner_moments, [E0 + some_moments[0], *some_moments[1:]])
        active = Complex(*(jnp.where(alone[:, None], x, y) for x, y in zip(some, everything, strict=True)))
        active_moments = [jnp.where(alone, x, y) for x, y in zip(some_moments, every_moments, strict=True)]

    # Moments of a = T + g u, jointly with u, where T = b + what the others send.
    shift = [beta**r for r in range(4)]
    _, R1, R2, R3 = _convolved(shift, rest_moments)
    T0, T1, T2, T3 = _convolved(shift, [p * m for m in active_moments])
    _, mu1, mu2, mu3 = mu
    a1 = R1 + T1 + g_own * mu1 * T0
    a2 = R2 + T2 + 2 * g_own * mu1 * T1 + g_own**2 * mu2 * T0
    a3 = R3 + T3 + 3 * g_own * mu1 * T2 + 3 * g_own**2 * mu2 * T1 + g_own**3 * mu3 * T0
    u0, u2 = mu1 * T0, mu2 * T0
    ua1 = mu1 * T1 + g_own * mu2 * T0
    ua2 = mu1 * T2 + 2 * g_own * mu2 * T1 + g_own**2 * mu3 * T0

    phase = harmonics(jnp.pi * beta, order)
    own_active = active.scaled(p[:, None])
    sines = phase.times(rest.plus(own_active.times(phi_own))).im
    cosines = phase.times(own_active.times(psi_own)).re
    square = (a2 + 2 / 3 * a1 + a3 / 3 - jnp.sum(4 / jnp.pi**3 / k**3 * sines, axis=1)) / 2
    cross = (ua1 + ua2 / 2 + u0 / 3 - jnp.sum(2 / jnp.pi**2 / k**2 * cosines, axis=1)) / 2
    return exact + u2 - 2 * L * cross + L**2 * square


def _groups(
    p: Row, phi: Complex, moments: list[Square], rectified_one: Square, features: FeatureDistribution
) -> _Groups:
    """Lay the features out in groups; columns: features in no set, anticorrelated sets, correlated sets."""
    n = features.n_features
    in_sets = {i for members in (*features.correlated_sets, *features.anticorrelated_sets) for i in members}
    single = [i for i in range(n) if i not in in_sets]
    each = (phi, jnp.stack([*moments, rectified_one], axis=-1))  # what every feature sends while it is active
    blank = jax.tree.map(lambda x: jnp.zeros_like(x[:, :1]), each)
    held: list[Any] = [[i] for i in single]
    columns: list[Any] = []  # inactive, lone, several
    if single:
        one = slice(None) if len(single) == n else np.array(single)
        sent = jax.tree.map(lambda x: p[None, one, None] * x[:, one], each)
        columns.append((jnp.broadcast_to(1 - p[one], (n, len(single))), sent, jax.tree.map(jnp.zeros_like, sent)))
    for members in features.anticorrelated_sets:
        chosen = np.array(members)
        mixed = jax.tree.map(lambda x, chosen=chosen: p[None, chosen, None] * x[:, chosen], each)
        sent = jax.tree.map(lambda x: jnp.sum(x, axis=1, keepdims=True), mixed)
        columns.append((jnp.broadcast_to(1 - jnp.sum(p[chosen]), (n, 1)), sent, blank))
        held.append(members)
    for members in features.correlated_sets:
        chosen, weight = np.array(members), p[members[0]]
        factor = _all_of(phi.at(slice(None), chosen))
        apart, cross = _sums([m[:, chosen] for m in moments[1:]])
        reals = [jnp.ones(n, p.dtype), *(a + c for a, c in zip(apart, cross, strict=True)), jnp.zeros(n, p.dtype)]
        sent = (factor.scaled(weight).at(slice(None), None), weight * jnp.stack(reals, axis=-1)[:, None])
        columns.append((jnp.broadcast_to(1 - weight, (n, 1)), blank, sent))
        held.append(members)

    own = np.array([[i in members for members in held] for i in range(n)], bool)[..., None]
    inactive, lone, several = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *columns)
    lone, several = jax.tree.map(lambda x: jnp.where(own, 0, x), (lone, several))
    return _Groups(jnp.where(own, 1, inactive[..., None]), lone[0], several[0], lone[1], several[1])


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
    factor = _all_of(Complex(*(jnp.where(with_i[..., None], x, o) for x, o in zip(phi, (1, 0), strict=True))))
    apart, cross = _sums([jnp.where(with_i, m, 0) for m in moments[1:]])
    return alone, factor, [jnp.ones(n, phi.re.dtype), *(a + c for a, c in zip(apart, cross, strict=True))]


def _all_of(factors: Complex) -> Complex:
    """Product along axis 1: every group active, and more than none of them."""
    never = jnp.zeros((*factors.re.shape[:2], 1), factors.re.dtype)
    return count_active(never, jax.tree.map(jnp.zeros_like, factors), factors, Complex.times)[2]


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


def _beside(first: Array, second: Array) -> Array:
    r"""A product for `count_active` that sums moments instead of multiplying them.

    Entry 0 is a mass, and masses multiply. Of the others, $\sum_g M_g\,P(\text{another group is active})$ is wanted:
    what one part holds, times the mass of the other.
    """
    mass, other = first[..., :1], second[..., :1]
    return jnp.concatenate([mass * other, (first * other + mass * second)[..., 1:]], axis=-1)


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
