r"""Small changes of the input that harm the toy model most: the analytic attack.

Output i reads the input through row i of $G = W^\top W$, so among all $\delta$ of one length the one along $G_i$ moves it
most, by $\|\delta\| \, \|G_i\|$. At unit norm $\|G_i\|^2 = 1/D_i$ exactly: squared, the vulnerability of a feature is the
number of features per dimension. Without superposition it is 1.

Elhage et al. 2022, "Superposition and Adversarial Robustness".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.toy import ACTIVATIONS, FULL_PRECISION, ToyModel

Inputs = Float[Array, "n_features batch"]
# (outputs, inputs) -> loss of every example
ExampleLoss = Callable[[Inputs, Inputs], Float[Array, " batch"]]


def attack_directions(W: Any) -> Float[Array, "n_features n_features"]:
    r"""Column i is $G_i / \|G_i\|$, the unit change of the input that moves output i most; 0 for a feature of no length."""
    W = jnp.asarray(arrays.weights("W", W))
    gram = jnp.dot(W.T, W, precision=FULL_PRECISION)
    squared = jnp.sum(gram**2, axis=0, keepdims=True)
    return jnp.where(squared > 0, gram / jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)


def linear_vulnerability(W: Any) -> Float[Array, " n_features"]:
    r"""$\|(W^\top W)_i\|$: how far output i moves, before its ReLU, per length of the attack on it.

    Its square is $\sum_j (W_i \cdot W_j)^2 = \|W_i\|^4 / D_i$: features per dimension, at unit norm.

    >>> [round(float(v), 4) for v in sp.theory.linear_vulnerability(np.array([[1.0, -1.0]]))]  # √2 each
    [1.4142, 1.4142]
    """
    W = jnp.asarray(arrays.weights("W", W))
    return jnp.linalg.norm(jnp.dot(W.T, W, precision=FULL_PRECISION), axis=0)


def analytic_attack(model: ToyModel, x: Any, norm: Any, loss: ExampleLoss) -> Inputs:
    r"""Of the 2n attacks $\pm$ `norm` $\cdot \, G_i / \|G_i\|$, the one that harms each example most.

    `x` holds inputs as columns; `loss(outputs, x)` is the loss of every example against the inputs *before* the attack.
    Returns $\delta$, shaped like `x`. The search costs 2n evaluations of the output layer: of the hidden layer only one,
    because an attack shifts what the activation function sees by a vector that is the same for all examples.
    """
    arrays.of_kind("model", model, ToyModel)
    W = jnp.asarray(arrays.weights("model", model))
    x = jnp.asarray(arrays.as_array("x", x, shape=(W.shape[1], None)))
    norm = check.number("norm", norm, at_least=0)
    if not callable(loss):
        raise ConfigError("loss must be a function of outputs and inputs that gives the loss of every example.")
    directions = attack_directions(W)
    shifts = norm * jnp.dot(W.T, jnp.dot(W, directions, precision=FULL_PRECISION), precision=FULL_PRECISION)
    before = model.decode(model.encode(x))
    activation = ACTIVATIONS[model.activation]

    def compare(i: Any, best: Any) -> Any:
        for sign in (1.0, -1.0):
            harm, chosen, side = best
            found = loss(activation(before + sign * shifts[:, i][:, None]), x)
            worse = found > harm
            best = jnp.where(worse, found, harm), jnp.where(worse, i, chosen), jnp.where(worse, sign, side)
        return best

    batch = x.shape[1]
    none = (jnp.full(batch, -jnp.inf, x.dtype), jnp.zeros(batch, jnp.int32), jnp.zeros(batch, x.dtype))
    _, chosen, side = jax.lax.fori_loop(0, x.shape[0], compare, none)
    return norm * side[None] * directions[:, chosen]
