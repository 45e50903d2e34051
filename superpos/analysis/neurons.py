r"""Which features a hidden neuron serves. Only where the hidden layer has a privileged basis does this mean anything.

W has shape (n_hidden, n_features): row k are the weights of neuron k.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Integer

from superpos import arrays, check
from superpos.analysis.features import Weights, represented

# A neuron has a feature if its weight is above this share of the largest one.
HAS_ABOVE = 0.3


def neuron_has_feature(
    W: Weights, *, above: float = HAS_ABOVE, per_feature: bool = False
) -> Bool[Array, "n_hidden n_features"]:
    r"""Whether $W_{ki} >$ `above` · max W: neuron k is excited by feature i, not merely touched by it.

    The yardstick is the largest excitation, not the largest magnitude: negative weights inhibit, they never count, and in
    sparse models some are so large that they would raise the cut-off above everything. With `per_feature` it is the
    feature's own largest weight, $\max_k W_{ki}$; so that specks count as little as before, features of norm 1/2 or less
    then belong to no neuron. The paper ("Superposition in a Privileged Basis") names no cut-off; this one is ours.
    """
    above = check.number("above", above, at_least=0)
    check.boolean("per_feature", per_feature)
    W = jnp.asarray(arrays.weights("W", W))
    largest = jnp.max(W, axis=0 if per_feature else None, keepdims=True)
    return (above * largest < W) & (W > 0) & (represented(W)[None] | (not per_feature))


def features_per_neuron(
    W: Weights, *, above: float = HAS_ABOVE, per_feature: bool = False
) -> Integer[Array, " n_hidden"]:
    """How many features every neuron has: 1 is monosemantic, more is polysemantic, 0 is idle."""
    return jnp.sum(neuron_has_feature(W, above=above, per_feature=per_feature), axis=1)


def neuron_order(W: Weights) -> Integer[Array, " n_hidden"]:
    """Neurons in an order to read: fewest features first, and by their strongest feature among equals."""
    W = jnp.asarray(arrays.weights("W", W))
    return jnp.lexsort((jnp.argmax(W, axis=1), features_per_neuron(W)))
