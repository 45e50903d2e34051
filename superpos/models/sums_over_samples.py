r"""Loss of the toy model on samples, and its gradient, written out as sums of vectors along the samples.

With $h = Wx$, $a = W^\top h + b$, $x' = f(a)$ and $e = x' - x$, f = ReLU or identity, the loss of n features and a batch is

$$L = \frac{1}{n\,\text{batch}} \sum_\text{samples} \Big(\sum_i I_i e_i^2 + \lambda \sum_k |h_k|\Big).$$

With $d_i = I_i e_i f'(a_i)$ and $g_k = \sum_i W_{ki} d_i + \tfrac\lambda2 \operatorname{sign} h_k$ its gradient is, up to
twice that factor, $\partial L / \partial b_i = \sum d_i$ and, since W both encodes and decodes,
$\partial L / \partial W_{ki} = \sum (h_k d_i + g_k x_i)$.

Features and hidden units are few, and each is a vector of its own along the samples. So a GPU's compiler has one sum of many
terms instead of five products of matrices, whose factors all pass through memory.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial, reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ACTIVATIONS = ("relu", "identity")

# Up to so many sums over samples are one kernel of a GPU: XLA puts no more than 96 arrays into one.
FEW_SUMS = 40
# Samples that a thread adds up before what it has passes through memory.
SAMPLES_PER_THREAD = 4


class Sums(NamedTuple):
    """Over samples: of the loss, and of its derivatives by b, one per feature, and W, first by hidden unit."""

    loss: Any
    to_b: list[Any]
    to_W: list[list[Any]]


MultiplyAdd = Callable[[Any, Any, Any], Any]


def plain_multiply_add(a: Any, b: Any, c: Any) -> Any:
    """a b + c, as a compiler likes to make it."""
    return c + a * b


def terms(
    W: list[list[Any]],
    b: list[Any] | None,
    importance: list[Any],
    hidden_l1: Any,
    x: list[Any],
    activation: str,
    counted: Any = None,
    multiply_add: MultiplyAdd = plain_multiply_add,
    before: Sums | None = None,
) -> Sums:
    """What each sample adds: `x` has a vector of them for each feature. Those that are not `counted` add nothing.

    `before` has sums that it is added to, and `multiply_add` is a b + c, where a kernel writes it otherwise.
    """
    hidden, features = range(len(W)), range(len(x))

    def dot(pairs: Iterable[tuple[Any, Any]], start: Any = None) -> Any:
        for a, b in pairs:
            start = a * b if start is None else multiply_add(a, b, start)
        return start

    h = [dot((W[k][i], x[i]) for i in features) for k in hidden]
    a = [dot(((W[k][i], h[k]) for k in hidden), None if b is None else b[i]) for i in features]
    if counted is not None:
        h = [jnp.where(counted, unit, 0) for unit in h]
    outputs = [of_outputs(a[i], x[i], importance[i], activation, counted) for i in features]
    loss = dot(((o.weighted, o.error) for o in outputs), before and before.loss)
    d = [o.d for o in outputs]
    g = [dot((W[k][i], d[i]) for i in features) for k in hidden]
    if hidden_l1 is not None:
        loss += hidden_l1 * total(jnp.abs(unit) for unit in h)
        g = [g[k] + hidden_l1 / 2 * jnp.sign(h[k]) for k in hidden]
    to_W = [[dot(((h[k], d[i]), (g[k], x[i])), before and before.to_W[k][i]) for i in features] for k in hidden]
    to_b = d if before is None else [*map(add, before.to_b, d)]
    return Sums(loss, [] if b is None else to_b, to_W)


class Outputs(NamedTuple):
    """Of outputs a before f: elementwise, 0 where not counted."""

    error: Any  # e = f(a) − x
    weighted: Any  # I e
    d: Any  # I e f'(a)


def of_outputs(a: Any, x: Any, importance: Any, activation: str, counted: Any = None) -> Outputs:
    """What loss and gradient need of outputs."""
    relu = activation == "relu"
    error = (jnp.maximum(a, 0) if relu else a) - x
    if counted is not None:
        error = jnp.where(counted, error, 0)
    weighted = importance * error
    return Outputs(error, weighted, jnp.where(a > 0, weighted, 0) if relu else weighted)


def total(vectors: Iterable[Any]) -> Any:
    """Their sum, from the first to the last."""
    return reduce(add, vectors)


def are_few(n_features: int, n_hidden: int) -> bool:
    """Whether the sums of such a model are few enough for one kernel."""
    return 1 + n_features * (n_hidden + 1) <= FEW_SUMS


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def loss_on(
    W: Float[Array, "n_hidden n_features"],
    b: Float[Array, " n_features"] | None,
    importance: Float[Array, " n_features"],
    hidden_l1: Float[Array, ""] | None,
    x: Float[Array, "n_features batch"],
    activation: str,
) -> Float[Array, ""]:
    """L of a batch, shape (): loss and gradient are one sum over the samples. By all but W and b the gradient is 0."""
    return _loss_and_gradient(W, b, importance, hidden_l1, x, activation)[0]


def _loss_and_gradient(
    W: Any, b: Any, importance: Any, hidden_l1: Any, x: Any, activation: str
) -> tuple[Any, Any, Any]:
    n_parts = math.gcd(x.shape[1], SAMPLES_PER_THREAD)
    decoder, bias = [[*row] for row in W], None if b is None else [*b]
    of_parts = [
        terms(decoder, bias, [*importance], hidden_l1, [*part], activation) for part in jnp.split(x, n_parts, axis=1)
    ]
    vectors, structure = jax.tree.flatten(jax.tree.map(lambda *parts: total(parts), *of_parts))
    # The compiler would leave the last additions to the reductions, which then read all that is added. One reduction of many
    # arrays is one kernel; as many reductions would each compute all of them.
    vectors = jax.lax.optimization_barrier(vectors)
    zeros = [jnp.zeros((), x.dtype)] * len(vectors)
    sums = jax.lax.reduce(vectors, zeros, lambda one, other: [*map(add, one, other)], (0,))
    loss, to_b, to_W = jax.tree.unflatten(structure, sums)
    scale = 1 / x.size
    gradient_W = 2 * scale * jnp.stack([jnp.stack(row) for row in to_W])
    return scale * loss, gradient_W, None if b is None else 2 * scale * jnp.stack(to_b)


def _forward(*arguments: Any) -> tuple[Any, Any]:
    loss, to_W, to_b = _loss_and_gradient(*arguments)
    return loss, (to_W, to_b, arguments[2:5])


def _backward(activation: str, residuals: Any, scale: Any) -> tuple[Any, ...]:
    to_W, to_b, others = residuals
    to_W, to_b = jax.tree.map(lambda gradient: scale * gradient, (to_W, to_b))
    return to_W, to_b, *jax.tree.map(jnp.zeros_like, others)


loss_on.defvjp(_forward, _backward)
