"""The losses of a batch of a parameter decomposition: faithfulness, reconstruction under masks, minimality."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.arrays import Scalar
from superpos.models.decomposition import Decomposition, lower_leaky, masked_product, upper_leaky
from superpos.models.products import dot

# What importances are raised from, so that a power below 1 has a gradient at 0.
EPSILON = 1e-12


class Terms(NamedTuple):
    """The four losses of a batch, before their coefficients."""

    faithfulness: Float[Array, ""]
    stochastic: Float[Array, ""]
    layerwise: Float[Array, ""]
    minimality: Float[Array, ""]


def terms(
    task: Any,
    model: Decomposition,
    x: Float[Array, "n_features batch"],
    r: Float[Array, "matrix masks batch"],
    weights: Float[Array, " batch"] | None = None,
) -> Terms:
    """`ParameterDecomposition.terms`."""
    missing = [jnp.sum(jnp.square(W - dot(U, V))) for (U, V), W in zip(model.matrices, task.matrices, strict=True)]
    faithfulness = jnp.sum(jnp.stack(missing)) / sum(W.size for W in task.matrices)
    target, model = task.in_features(model)
    seen = model.of_target(target, x)
    inner = model.inner_activations(seen.inputs)
    gates = model.gate(inner)
    g = lower_leaky(gates)
    masks, rest = masks_of(task, g, r)
    layerwise = jnp.zeros((), faithfulness.dtype)
    for k, (U, _) in enumerate(model.matrices):
        of_rest = () if rest is None else (rest[k], seen.products[k])
        output = model.output_given(target, x, k, masked_product(U, inner[k], masks[k], *of_rest))
        layerwise += _mean(jnp.square(output - seen.output), weights) / len(missing)
    stochastic = _mean(jnp.square(model.output(target, x, masks, rest) - seen.output), weights)
    return Terms(faithfulness, stochastic, layerwise, minimality(task, model, upper_leaky(gates), weights))


def minimality(
    task: Any, model: Any, upper: Float[Array, "matrix C batch"], weights: Float[Array, " batch"] | None = None
) -> Float[Array, ""]:
    """The minimality loss of importances before their upper bound, with a price for being needed often if there is one."""
    p = task.p_norm if model.exponent is None else jax.lax.stop_gradient(model.exponent[...])
    powers = (upper + EPSILON) ** p
    means = jnp.mean(powers, axis=-1) if weights is None else dot(powers, weights)
    total = jnp.sum(means)
    if task.frequency_coefficient is not None:
        total += task.frequency_coefficient * jnp.sum(means * jnp.log2(1 + task.frequency_inputs * means))
    return total


def adversarial_error(
    task: Any,
    model: Decomposition,
    x: Float[Array, "n_features batch"],
    r: Float[Array, "matrix masks batch_or_1"],
    weights: Float[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """`ParameterDecomposition.adversarial_error`."""
    target, model = task.in_features(model)
    seen = model.of_target(target, x)
    g = lower_leaky(model.gate(model.inner_activations(seen.inputs)))

    def error(r: Array, model: Decomposition, g: Array) -> Array:
        return _mean(jnp.square(model.output(target, x, *masks_of(task, g, r)) - seen.output), weights)

    attacked, importances = jax.lax.stop_gradient((model, g))
    r = ascended(lambda r: error(r, attacked, importances), r, task.adversarial_steps, task.adversarial_step_size)
    return error(jax.lax.stop_gradient(r), model, g)


def masks_of(
    task: Any, g: Float[Array, "matrix C batch"], r: Float[Array, "matrix masks batch_or_1"]
) -> tuple[Float[Array, "matrix C batch"], Float[Array, "matrix batch_or_1"] | None]:
    """The masks of subcomponents, and those of what they leave out: the last r of every matrix, without one None."""
    rest, r = (r[:, -1], r[:, :-1]) if task.delta_component else (None, r)
    return g + (1 - g) * r, rest


def ascended(error: Callable[[Array], Array], r: Float[Array, "..."], steps: int, step_size: Scalar) -> Array:
    r"""Projected gradient ascent on `error` from r, which stays in [0, 1].

    `steps` times $r \leftarrow \mathrm{clip}(r + \eta\,\mathrm{sign}\,\nabla_r\,\text{error}, 0, 1)$, η the `step_size`.
    """

    def ascend(_: Any, r: Array) -> Array:
        return jnp.clip(r + step_size * jnp.sign(jax.grad(error)(r)), 0, 1)

    return jax.lax.fori_loop(0, steps, ascend, r)


def _mean(values: Float[Array, "n_features batch"], weights: Float[Array, " batch"] | None) -> Float[Array, ""]:
    return jnp.mean(values) if weights is None else jnp.mean(dot(values, weights))
