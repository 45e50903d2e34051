"""From a solution that training found to the bottom of its valley."""

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.theory import series
from superpos.theory.expectation import MAX_PARAMETER, check_expected, expected_errors
from superpos.theory.minimisation import Minimum

# Parameters up to which BFGS keeps their whole square matrix.
LARGE = 3_000


@runtime_checkable
class TaskWithExpectedLoss(Protocol):
    """What `polish` reads of a task: a `Toy`, or one that says the same of itself. (Tasks stand above this package.)"""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    n_features: Any
    n_hidden: Any
    activation: Any
    bias: Any
    importance: Any
    loss_exponent: Any
    hidden_l1: Any
    order: Any
    features: Any

    def check(self) -> None:
        """Raise `ConfigError` for settings that are not allowed."""

    def expected_loss(self, model: Any) -> Any:
        """The population loss of a model."""


def polish(
    W: Any, b: Any, task: Any, *, steps: int = 2_000, tolerance: float = 1e-9, order: int | None = None
) -> Minimum:
    r"""Descend from W, b to the nearest minimum of the exact loss of a `Toy` task: quasi-Newton, in double precision.

    `W` is (n_hidden, n_features), `b` (n_features,), or None where the task has no biases. The method is BFGS (SciPy; L-BFGS
    above 3,000 parameters) on the loss over $\frac1n \sum_i I_i E x_i^2$, until no entry of the gradient is above
    `tolerance` or `steps` are done. The result is never worse than the start; `loss` is the mean over features, with at
    least 128 terms.

    This is to finish with, not to search with: from four random starts each of 2→1, 5→2 and 20→5, BFGS, L-BFGS and the 400
    steps of Adam in `minimise` end in the same minima where they end in the same valley, to eight digits; where they do not,
    Adam's was the lower one three times and BFGS's twice. (optax.lbfgs is the fastest of them to run, the slowest to
    compile, and ran away from one of the twelve starts; Optimistix's BFGS found the same minima, and its L-BFGS ran away
    once, too.)

    >>> task = sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=0.1)
    >>> round(float(sp.theory.polish([[1.0, -0.9]], [0.0, 0.0], task).loss), 6)
    0.00166

    Raises:
        ConfigError: a shape or number is not allowed, the exact loss of the task is unknown, or `order` is too short.
    """
    W = arrays.as_numpy("W", arrays.weights_of("W", W), ndim=2, largest=MAX_PARAMETER).astype(np.float64)
    if not isinstance(task, TaskWithExpectedLoss):
        raise ConfigError(f"task must be a superpos.tasks.Toy, got {type(task).__name__}.")
    task.check()
    check_expected(task.features, task.activation)
    if task.loss_exponent != 2:
        raise ConfigError(f"loss_exponent must be 2 to polish, got {task.loss_exponent}.")
    shape = (task.n_hidden, task.n_features)
    if W.shape != shape:
        raise ConfigError(f"W must have shape {shape} as the task says, got {W.shape}.")
    if b is not None:
        b = arrays.as_numpy("b", b, largest=MAX_PARAMETER).astype(np.float64)
        if b.shape != shape[1:]:
            raise ConfigError(f"b must have shape {shape[1:]}, got {b.shape}.")
    if (b is None) is bool(task.bias):
        raise ConfigError(f"b must be {'an array' if task.bias else 'None'}, as the task has bias={task.bias}.")
    check.integer("steps", steps, at_least=1)
    check.number("tolerance", tolerance, above=0)
    order = series.check_order(order, task.n_features if task.activation == "relu" else 1, task.n_hidden)
    doubtful = task.activation == "relu" and series.doubtful(task.n_features, order)
    use_compilation_cache()
    with jax.enable_x64(True):
        settings = jax.tree.map(lambda x: np.asarray(x, np.float64), replace(task, hidden_l1=None)).broadcast()
        untrained = float(jnp.mean(settings.importance * settings.features.moment(2)))
        start = W.ravel() if b is None else np.concatenate([W.ravel(), b])

        def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
            return x[: W.size].reshape(shape), None if b is None else x[W.size :]

        def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:
            value, slopes = _value_and_slopes(parts(x), settings, order=order)
            if doubtful and series.below_zero(float(value), untrained):  # descent would go on for ever
                raise ConfigError(f"order led the descent below a loss of 0; {series.too_short(order, *shape[::-1])}")
            slope = np.concatenate([np.ravel(s) for s in slopes if s is not None])
            return float(value) / untrained, slope / untrained

        from scipy.optimize import minimize  # late, as in `superpos.theory.naive`

        ends = []
        if len(start) <= LARGE:
            with np.errstate(over="ignore", invalid="ignore"):  # its inverse Hessian, in a valley without curvature
                ends += [
                    minimize(scaled, start, jac=True, method="BFGS", options={"maxiter": steps, "gtol": tolerance})
                ]
        if not all(np.isfinite(end.x).all() for end in ends) or not ends:
            options = {"maxiter": steps, "gtol": tolerance, "ftol": 1e-14}
            ends += [minimize(scaled, start, jac=True, method="L-BFGS-B", options=options)]
        lowest = ends[-1].x if ends[-1].fun < scaled(start)[0] else start
        final = float(_loss(parts(lowest), settings, order=series.longer(order)))
        if doubtful:
            series.check_trusted(scaled(lowest)[0] * untrained, final, untrained, order, shape)
    return Minimum(*parts(lowest), final)


@partial(jax.jit, static_argnames="order")
def _loss(parameters: Any, task: Any, *, order: int) -> Float[Array, ""]:
    errors = expected_errors(*parameters, task.features, activation=task.activation, order=order)
    return jnp.mean(task.importance * errors)


_value_and_slopes = jax.jit(jax.value_and_grad(_loss), static_argnames="order")
