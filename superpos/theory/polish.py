"""From a solution that training found to the bottom of its valley."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.theory import series
from superpos.theory.expected_loss import LARGEST_PARAMETER, check_expected, expected_errors
from superpos.theory.optimum import Minimum


def polish(
    W: Any, b: Any, task: Any, *, steps: int = 200, tolerance: float = 1e-9, order: int | None = None
) -> Minimum:
    r"""Descend from W, b to the nearest minimum of the exact loss of a `Toy` task: a second-order method, double precision.

    `W` is (n_hidden, n_features), `b` (n_features,), or None where the task has no biases. The method is L-BFGS (optax) with
    its line search, on the loss over $\frac1n \sum_i I_i E x_i^2$, until the gradient's norm is below `tolerance` or `steps`
    are done. The result is never worse than the start; `loss` is the mean over features, with at least 128 terms.

    This is to finish with, not to search with. From random starts, four each of 2→1, 5→2 and 20→5, it ended no lower than
    the 400 steps of Adam in `minimise` on three of twelve and ran away on one; from where Adam or training ended it gains
    the last digits in a few hundredths of a second (SciPy's BFGS the same, in 1 to 5 seconds at 20→5 from random starts;
    Optimistix's methods no better).

    >>> task = sp.tasks.Toy(n_features=2, n_hidden=1, feature_probability=0.1)
    >>> round(float(sp.theory.polish([[1.0, -0.9]], [0.0, 0.0], task).loss), 6)
    0.00166

    Raises:
        ConfigError: a shape or number is not allowed, the exact loss of the task is unknown, or `order` is too short.
    """
    W = arrays.as_numpy("W", arrays.weights_of("W", W), ndim=2, largest=LARGEST_PARAMETER).astype(np.float64)
    if not hasattr(task, "population_loss") or not hasattr(task, "order"):
        raise ConfigError(f"task must be a superpos.tasks.Toy, got {type(task).__name__}.")
    task.check()
    check_expected(task.features, task.activation)
    if task.loss_exponent != 2:
        raise ConfigError(f"loss_exponent must be 2 to polish, got {task.loss_exponent}.")
    shape = (task.n_hidden, task.n_features)
    if W.shape != shape:
        raise ConfigError(f"W must have shape {shape} as the task says, got {W.shape}.")
    if b is not None:
        b = arrays.as_numpy("b", b, largest=LARGEST_PARAMETER).astype(np.float64)
        if b.shape != shape[1:]:
            raise ConfigError(f"b must have shape {shape[1:]}, got {b.shape}.")
    if (b is None) is bool(task.bias):
        raise ConfigError(f"b must be {'an array' if task.bias else 'None'}, as the task has bias={task.bias}.")
    check.whole("steps", steps, at_least=1)
    check.in_range("tolerance", tolerance, above=0)
    order = series.check_order(order, task.n_features if task.activation == "relu" else 1, task.n_hidden)
    use_compilation_cache()
    with jax.enable_x64(True):
        settings = jax.tree.map(lambda x: np.asarray(x, np.float64), replace(task, hidden_l1=None)).broadcast()
        start = jax.tree.map(jnp.asarray, (W, b))
        ends = jax.tree.map(np.asarray, _descend(settings, start, tolerance, steps=steps, order=order))
    parameters, found, more, untrained = ends
    if task.activation == "relu" and series.doubtful(task.n_features, order):
        series.check_trusted(found, more, untrained, order, shape)
    return Minimum(*parameters, float(more))


@partial(jax.jit, static_argnames=("steps", "order"))
def _descend(task: Any, start: Any, tolerance: Any, *, steps: int, order: int) -> Any:
    """The lower of start and end, its loss with `order` terms and with more, and that of W = 0."""
    untrained = jnp.mean(task.importance * task.features.moment(2))

    def loss(parameters: Any, terms: int = order) -> Float[Array, ""]:
        errors = expected_errors(*parameters, task.features, activation=task.activation, order=terms)
        return jnp.mean(task.importance * errors) / untrained

    method, evaluate = optax.lbfgs(), optax.value_and_grad_from_state(loss)

    def go_on(carry: Any) -> Array:
        _, state, k = carry
        return (k == 0) | ((k < steps) & (optax.tree.norm(optax.tree.get(state, "grad")) > tolerance))

    def step(carry: Any) -> Any:
        parameters, state, k = carry
        value, gradient = evaluate(parameters, state=state)
        updates, state = method.update(gradient, state, parameters, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(parameters, updates), state, k + 1

    end, _, _ = jax.lax.while_loop(go_on, step, (start, method.init(start), 0))
    better = loss(end) < loss(start)  # False for NaN
    lower = jax.tree.map(lambda x, y: jnp.where(better, x, y), end, start)
    return lower, loss(lower) * untrained, loss(lower, series.longer(order)) * untrained, untrained
