"""The population loss of the toy model, without sampling: what a batch estimates, computed."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.data import FeatureDistribution, Sets
from superpos.errors import ConfigError
from superpos.models.toy import FULL_PRECISION
from superpos.theory.linear import linear_errors
from superpos.theory.magnitude_terms import are_known
from superpos.theory.relu_errors import Row, check_factors, relu_errors
from superpos.theory.series import check_order, check_trusted, chosen_order, doubtful, longer

EXPECTED_ACTIVATIONS = ("relu", "identity")

# Larger weights overflow the fourth powers in single precision. Trained ones are of order 1.
MAX_PARAMETER = 1e6


def expected_loss(
    W: Any,
    b: Any,
    feature_probability: Any,
    importance: Any = 1.0,
    *,
    order: int | None = None,
    per_feature: bool = False,
    activation: str = "relu",
    magnitude: str | tuple[str, ...] = "uniform",
    magnitude_low: Any = None,
    magnitude_high: Any = None,
    magnitude_value: Any = None,
    magnitude_values: Any = None,
    magnitude_weights: Any = None,
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
    Magnitudes uniform on [low, high] and discrete ones have their own terms in place of $(e^{is}-1)/(is)$, per feature
    (`superpos.theory.magnitude_terms`); `FeatureDistribution` says what the numbers are.

    **How exact.** Relative error of the worst feature at the default order 32, against order 2,048 in double precision,
    random W, b and p from 1 to 0.001: 5e-6 for 2→1, 8e-6 for 5→2, 3e-4 for 20→5, 7e-3 for 50→10. At order 16: 8e-5,
    7e-5, 5e-3, 9e-2; at order 64: 3e-7, 1e-6, 3e-5, 2e-4. Single precision adds about 1e-5 of the error of a feature that
    is not reconstructed; where the loss is 0 the result may be as much below it. Discrete magnitudes may put a share of the
    inputs right on the kink of ReLU, where the error falls as slowly as 1/`order`: up to 7e-3 at 32, 2e-3 at 128. The work
    is n² × order. The default grows with many features (`superpos.theory.chosen_order`); where order < n, the result is
    compared with that of more terms.

    An antipodal pair costs p²/6:

    >>> round(float(sp.expected_loss(np.array([[1.0, -1.0]]), None, 0.1)), 6)
    0.001667

    Raises:
        ConfigError: a shape, number or word is not allowed, or `order` is too short for these weights. Exponential and
            folded normal magnitudes are for linear models only: the series lives on an interval, and they have no largest.
            (A constant needs its `magnitude_value` here.)
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
        magnitude_low=magnitude_low,
        magnitude_high=magnitude_high,
        magnitude_value=magnitude_value,
        magnitude_values=magnitude_values,
        magnitude_weights=magnitude_weights,
        correlated_sets=correlated_sets,
        anticorrelated_sets=anticorrelated_sets,
    )
    features.check()
    check_expected(features, activation)
    use_compilation_cache()
    errors = expected_errors(W, b, features, activation=activation, order=order)
    has_values = not any(arrays.is_traced(x) for x in (W, b, feature_probability, importance))
    if activation == "relu" and doubtful(n_features, order) and has_values:
        more = expected_errors(W, b, features, order=longer(order))
        weights = jnp.ones(()) if per_feature else jnp.asarray(importance, W.dtype)
        loss, true, untrained = (jnp.mean(weights * x) for x in (errors, more, features.moment(2)))
        check_trusted(loss, true, untrained, order, W.shape)
    return errors if per_feature else jnp.mean(jnp.asarray(importance, W.dtype) * errors)


def is_known(features: FeatureDistribution, activation: str) -> bool:
    """Whether the population loss of this activation is known here for features of these magnitudes."""
    return activation == "identity" or (activation == "relu" and are_known(features))


def check_expected(features: FeatureDistribution, activation: str) -> None:
    """Raise `ConfigError` for an activation, magnitude or dependence whose population loss is not known here."""
    if not isinstance(activation, str) or activation not in EXPECTED_ACTIVATIONS:
        activations, got = ", ".join(EXPECTED_ACTIVATIONS), check.short(activation)
        raise ConfigError(f"activation must be one of {activations} for the expected loss, got {got}.")
    if not is_known(features, activation):
        raise ConfigError(
            "magnitude must be one of uniform, signed_uniform for the expected loss of a ReLU model (or discrete, or "
            f"constant with a magnitude_value), got {check.short(features.magnitude)}."
        )
    if activation == "relu":
        check_factors(features)


@partial(jax.jit, static_argnames=("activation", "order"))
def expected_errors(
    W: Float[Array, "n_hidden n_features"],
    b: Row | None,
    features: FeatureDistribution,
    *,
    activation: str = "relu",
    order: int | None = None,
    bound: Row | None = None,
) -> Row:
    """$E(x_i - x'_i)^2$ for every feature, unweighted; `expected_loss` says how, `relu_errors` what `bound` is. No checks."""
    order = chosen_order(features.n_features, len(W)) if order is None else order
    b = jnp.zeros(features.n_features, W.dtype) if b is None else b
    if activation == "identity":
        return linear_errors(W, b, features)
    check_factors(features)
    return relu_errors(jnp.dot(W.T, W, precision=FULL_PRECISION), b, features, order, bound)
