r"""Small changes of the input that harm the toy model most: the analytic attack.

Output i reads the input through row i of $G = W^\top W$, so among all $\delta$ of one length the one along $G_i$ moves it
most, by $\|\delta\| \, \|G_i\|$. At unit norm $\|G_i\|^2 = 1/D_i$ exactly: squared, the vulnerability of a feature is the
number of features per dimension. Without superposition it is 1.

What all outputs say together grows faster. Where W is a tight frame of k features of norm a per d dimensions, every attack
in its row space comes out $\lambda = a^2 k/d = \|W\|_F^2/m$ times as long if no output is switched off: the cost is
$\lambda^2$, the *square* of features per dimension. ReLU lets rising outputs through alone: on an input of zeros with b = 0
the cost is $a^4 (k/d) \max_u \sum_i (\hat W_i \cdot u)_+^2$, which is k/d for simplices (2 for a pair, 3/2 for a
triangle, 4/3 for a tetrahedron) and $5 \cos^2 36^\circ$ for the pentagon: `silent_cost`.

Elhage et al. 2022, "Superposition and Adversarial Robustness".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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


def whole_cost(W: Any) -> float:
    r"""What the worst attack of length 1 costs if no output is switched off: $\lambda_{\max}(W W^\top)^2$.

    At least $(\|W\|_F^2/m)^2$, the square of features per dimension, with equality for tight frames.

    >>> round(whole_cost(np.array([[1.0, -1.0]])), 6)
    4.0
    """
    W = arrays.as_numpy("W", arrays.weights("W", W)).astype(np.float64)
    return float(np.linalg.eigvalsh(W @ W.T)[-1] ** 2)


def silent_cost(W: Any, *, steps: int = 500) -> float:
    r"""What the worst attack of length 1 costs on an input of zeros, b = 0: $\max_\delta \sum_i (G_i \cdot \delta)_+^2$.

    The sum is convex and of degree 2, so $\delta \leftarrow G\,(G\delta)_+ / \|\cdot\|$ never lowers it. It starts at every
    $\pm G_i$, at the sums of two of them and at the principal axes; for larger irregular W the result is a bound from below.

    >>> round(silent_cost(np.array([[1.0, -1.0]])), 6)  # half of the square: one of the two outputs is off
    2.0
    """
    W = arrays.as_numpy("W", arrays.weights("W", W)).astype(np.float64)
    check.integer("steps", steps, at_least=1)
    G = W.T @ W
    i, j = np.triu_indices(len(G), 1)
    far = len(i) > 2_000  # pairs of very many features would take long
    starts = np.concatenate([G, np.linalg.eigh(G)[1], np.zeros((len(G), 0)) if far else G[:, i] + G[:, j]], axis=1)
    starts = np.concatenate([starts, -starts], axis=1)
    lengths = np.linalg.norm(starts, axis=0)
    attack = starts[:, lengths > 1e-12] / lengths[lengths > 1e-12]
    for _ in range(steps):
        moved = G @ np.maximum(G @ attack, 0)
        length = np.linalg.norm(moved, axis=0)
        attack = np.where(length > 1e-12, moved / np.maximum(length, 1e-12), attack)
    return float(np.sum(np.maximum(G @ attack, 0) ** 2, axis=0).max(initial=0.0))


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
            losses = loss(activation(before + sign * shifts[:, i][:, None]), x)
            worse = losses > harm
            best = jnp.where(worse, losses, harm), jnp.where(worse, i, chosen), jnp.where(worse, sign, side)
        return best

    batch = x.shape[1]
    none = (jnp.full(batch, -jnp.inf, x.dtype), jnp.zeros(batch, jnp.int32), jnp.zeros(batch, x.dtype))
    _, chosen, side = jax.lax.fori_loop(0, x.shape[0], compare, none)
    return norm * side[None] * directions[:, chosen]
