"""Following one solution while a setting changes: where it moves smoothly, where it jumps, and where two of them cross."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.data import FeatureDistribution, Sets
from superpos.errors import ConfigError
from superpos.theory.expectation import MAX_PARAMETER, expected_errors
from superpos.theory.series import below_zero, check_order, check_trusted, doubtful, longer, too_short

# The solution has left its branch where an entry of the Gram matrix changes by more than this in one step.
JUMP = 0.2


@dataclass(frozen=True)
class Branch:
    """One solution, followed: a minimum of the expected loss at every value of the setting that was changed."""

    values: np.ndarray  # (k,)
    W: np.ndarray  # (k, n_hidden, n_features)
    b: np.ndarray  # (k, n_features)
    loss: np.ndarray  # (k,), mean over features
    gradient: np.ndarray  # (k,), largest entry of the gradient that was left, of loss / mean(I p / 3)

    @property
    def jumps(self) -> np.ndarray:
        """Indices k at which the solution left its branch: $W^T W$ at k is far from that at k − 1.

        Far is an entry that changes by more than 0.2; neighbouring values should lie closer than that on any branch.
        """
        gram = np.einsum("kmi,kmj->kij", self.W, self.W)
        return 1 + np.flatnonzero(np.abs(np.diff(gram, axis=0)).max(axis=(1, 2)) > JUMP)


def follow(
    W: Any,
    b: Any,
    values: Any,
    feature_probability: Any,
    importance: Any = 1.0,
    *,
    order: int | None = None,
    tolerance: float = 1e-8,
    nudge: float = 0.0,
    correlated_sets: Sets = (),
    anticorrelated_sets: Sets = (),
) -> Branch:
    r"""Follow a solution of the ReLU model: minimise at every value, each time from where the last one ended.

    `W` (n_hidden, n_features) and `b` (n_features,) are the first start. `values` (k,) are labels of the setting that
    changes; `feature_probability` and `importance` hold it, each a number, (n_features,) for all values, or
    (k, n_features) with one row per value. Descent is quasi-Newton (BFGS, SciPy) on the expected loss in double precision,
    so a solution stays in its valley as long as there is one: going up and then down through the same values shows
    hysteresis, and where the losses of two branches meet the best solution changes suddenly (a first-order transition).
    Where a valley has become a saddle, descent that starts exactly on it would stay: with a `nudge`, normal noise of that
    standard deviation (always the same) is added to W before every descent, and only minima are followed. Features may
    come in sets, as those of `sp.expected_loss`. The series has 64 terms, or more for many features, unless `order` says
    how many.
    Elhage et al. 2022, "Superposition as a Phase Change" and "The Geometry of Superposition" (non-uniform sparsity).

    Raises:
        ConfigError: a shape or number is not allowed, or `order` was too short.
    """
    W, b = arrays.weights_and_bias("W", W, b, "relu")
    given = {"W": W, "b": b, "values": values, "feature_probability": feature_probability, "importance": importance}
    W, b, values, feature_probability, importance = (
        arrays.as_numpy(name, x, empty=True).astype(np.float64) for name, x in given.items()
    )
    if W.ndim != 2 or 0 in W.shape or b.shape != (W.shape[1],):
        raise ConfigError(f"W must be (n_hidden, n_features) and b (n_features,), got {W.shape} and {b.shape}.")
    if values.ndim != 1 or not len(values):
        raise ConfigError(f"values must be a list of numbers, got shape {values.shape}.")
    for name, x in (("W", W), ("b", b)):
        check.in_range(name, x, at_least=-MAX_PARAMETER, at_most=MAX_PARAMETER)
    check.in_range("feature_probability", feature_probability, above=0, at_most=1)
    check.in_range("importance", importance, at_least=0)
    order = check_order(order, W.shape[1], len(W), at_least=64)
    check.number("tolerance", tolerance, above=0)
    check.number("nudge", nudge, at_least=0)
    n = W.shape[1]
    noise = nudge * np.random.default_rng(0).standard_normal((len(values), *W.shape))
    rows = {}
    for name, x in (("feature_probability", feature_probability), ("importance", importance)):
        if np.shape(x) not in ((), (n,), (len(values), n)):
            raise ConfigError(f"{name} must be a number, ({n},) or ({len(values)}, {n}), got shape {np.shape(x)}.")
        rows[name] = np.broadcast_to(np.asarray(x, np.float64), (len(values), n))
    if not np.all(rows["importance"].sum(axis=1) > 0):
        raise ConfigError("importance must not be 0 for every feature.")
    sets: dict[str, Any] = {"correlated_sets": correlated_sets, "anticorrelated_sets": anticorrelated_sets}
    for p in rows["feature_probability"]:
        FeatureDistribution(n_features=n, feature_probability=p, **sets).check()
    from scipy.optimize import minimize  # late, as in `superpos.theory.naive`

    use_compilation_cache()
    ends: list[tuple[np.ndarray, np.ndarray, float, float]] = []
    with jax.enable_x64(True):
        for p, weights, kick in zip(*rows.values(), noise, strict=True):
            scale = np.mean(weights * p / 3)
            minimum = minimize(
                partial(_scaled_loss, shape=W.shape, settings=(p, weights), scale=scale, order=order, sets=sets),
                np.concatenate([(W + kick).ravel(), b]),
                jac=True,
                method="BFGS",
                options={"gtol": tolerance, "maxiter": 2_000},
            )
            W, b = minimum.x[:-n].reshape(W.shape), minimum.x[-n:]
            if doubtful(n, order):
                more = _loss(W, b, p, weights, order=longer(order), **sets)[0]
                check_trusted(minimum.fun * scale, more, scale, order, W.shape)
            ends.append((W, b, minimum.fun * scale, float(np.abs(minimum.jac).max())))
    return Branch(values, *(np.array(x) for x in zip(*ends, strict=True)))


def crossings(values: Any, first: Any, second: Any) -> np.ndarray:
    """Values at which two losses over the same `values` are equal, by straight lines between neighbours.

    >>> sp.theory.crossings([0, 1, 2], [0, 1, 2], [1.5, 0.5, -0.5]).tolist()
    [0.75]

    Raises:
        ConfigError: they are no vectors of one length.
    """
    values, first, second = (
        arrays.as_numpy(name, x, ndim=1, largest=1e300)
        for name, x in (("values", values), ("first", first), ("second", second))
    )
    if not values.shape == first.shape == second.shape:
        shapes = f"{values.shape}, {first.shape} and {second.shape}"
        raise ConfigError(f"values, first and second must be vectors of one length, got shapes {shapes}.")
    difference = first - second
    k = np.flatnonzero(np.sign(difference[1:]) * np.sign(difference[:-1]) < 0)
    share = difference[k] / (difference[k] - difference[k + 1])
    between = values[k] + share * (values[k + 1] - values[k])
    places = np.concatenate([between, values[difference == 0]])
    return places[np.argsort(places)] if values[0] <= values[-1] else places[np.argsort(-places)]


def _scaled_loss(
    flat: np.ndarray, *, shape: Any, settings: Any, scale: float, order: int, sets: dict[str, Any]
) -> tuple[float, np.ndarray]:
    """Loss over `scale` and its gradient. Losses shrink with the density, and BFGS wants a function of order 1."""
    n = shape[1]
    loss, gradient = _loss(flat[:-n].reshape(shape), flat[-n:], *settings, order=order, **sets)
    if doubtful(n, order) and below_zero(loss, scale):  # descent would go on for ever
        raise ConfigError(f"order led the descent below a loss of 0; {too_short(order, n, shape[0])}")
    return float(loss) / scale, np.concatenate([np.ravel(g) for g in gradient]) / scale


@partial(jax.jit, static_argnames=("order", "correlated_sets", "anticorrelated_sets"))
def _loss(
    W: Array, b: Array, p: Array, importance: Array, *, order: int, correlated_sets: Sets, anticorrelated_sets: Sets
) -> tuple[Float[Array, ""], Any]:
    sets: dict[str, Any] = {"correlated_sets": correlated_sets, "anticorrelated_sets": anticorrelated_sets}
    features = FeatureDistribution(n_features=W.shape[1], feature_probability=p, **sets)
    return jax.value_and_grad(lambda W, b: jnp.mean(importance * expected_errors(W, b, features, order=order)), (0, 1))(
        W, b
    )
