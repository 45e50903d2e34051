r"""Features that share a hidden neuron, told apart by the signs of their weights.

W has shape (n_hidden, n_features). A feature lies on neuron k if $|W_{ki}|$ is large, with either sign: behind
$W^\top W$ a neuron serves a feature by a negative weight as well as by a positive one.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from superpos import arrays, check
from superpos.analysis.features import Weights, polysemanticity

# |W_ki| from which a feature of length about 1 lies on a neuron: two neurons of equal weight have 0.7 each.
ON_NEURON_ABOVE = 0.5


class Collisions(NamedTuple):
    """Pairs of features on one neuron, summed over neurons."""

    same: Integer[Array, ""]  # pairs whose weights have the same sign: each feature answers for the other
    opposite: Integer[Array, ""]  # pairs of opposite signs: a ReLU output silences the other
    neurons: Integer[Array, ""]  # neurons with two features or more


def collisions(W: Weights, *, above: float = ON_NEURON_ABOVE) -> Collisions:
    r"""Pairs of features i < j with $|W_{ki}|$ and $|W_{kj}|$ > `above` on the same neuron k.

    Permutations of neurons and features change nothing, nor do sign changes of whole neurons.
    Lecomte et al. 2023, "What Causes Polysemanticity?".

    >>> sp.analysis.collisions(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])).opposite.item()
    1

    Raises:
        ConfigError: a number or shape is not allowed.
    """
    above = check.number("above", above, at_least=0)
    W = jnp.asarray(arrays.weights("W", W))
    plus, minus = jnp.sum(above < W, axis=1), jnp.sum(above < -W, axis=1)
    same = (plus * (plus - 1) + minus * (minus - 1)) // 2
    return Collisions(jnp.sum(same), jnp.sum(plus * minus), jnp.sum(plus + minus > 1))


def neurons_of_features(W: Weights) -> Integer[Array, " n_features"]:
    r"""The neuron with the largest weight of every feature, $\arg\max_k |W_{ki}|$."""
    return jnp.argmax(jnp.abs(jnp.asarray(arrays.weights("W", W))), axis=0)


def neurons_per_feature(W: Weights) -> Float[Array, " n_features"]:
    r"""Effective number of neurons of each feature, $(\sum_k W_{ki}^2)^2 / \sum_k W_{ki}^4$; 0 for a dead feature.

    1: one neuron has all of it. Normal weights on m neurons give about m / 3.
    """
    return polysemanticity(jnp.asarray(arrays.weights("W", W)).T)
