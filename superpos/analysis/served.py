r"""Which features a hidden neuron serves, from what it does: for neurons that are no ReLUs, too.

The weights of a ReLU neuron say what it answers to, since it is linear where it is active. GELU is not, and a SoLU neuron's
answer depends on the other neurons. So each feature is made active alone, and what counts is what reaches its own output.
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from superpos import arrays, check
from superpos.analysis.neurons import HAS_ABOVE
from superpos.models.computation import ComputationModel
from superpos.models.decoder_mlp import DecoderMLP


def neuron_contributions(
    model: ComputationModel | DecoderMLP, magnitude: Any = 1.0
) -> Float[Array, "n_hidden n_features"]:
    r"""What each neuron adds to the output of each feature that is active alone, with x = `magnitude`.

    $$C_{ki} = W_{2,ik}\,\big(h_k(x\,e_i) - h_k(0)\big),$$

    before the bias and the ReLU of the output. For a tied ReLU model and x = 1 it is $W_{ki}\,\mathrm{ReLU}(W_{ki})$.
    A `magnitude` below 0 asks for the other side of features that have two. Of a `DecoderMLP`, which may have hidden biases
    above 0, it is what a feature changes.

    Raises:
        ConfigError: this is no `ComputationModel` or `DecoderMLP`, or the magnitude no number.
    """
    arrays.of_kind("model", model, (ComputationModel, DecoderMLP))
    x = check.number("magnitude", magnitude)
    if isinstance(model, DecoderMLP):
        W2 = jnp.asarray(model.W_out[...])
    else:
        W2 = jnp.asarray(model.W[...].T if model.W2 is None else model.W2[...])
    inputs = x * jnp.eye(W2.shape[0])
    return W2.T * (model.hidden(inputs) - model.hidden(jnp.zeros_like(inputs)))


def served_features(
    model: ComputationModel | DecoderMLP, *, magnitude: Any = 1.0, above: float = HAS_ABOVE
) -> Bool[Array, "n_hidden n_features"]:
    r"""Whether neuron k serves feature i: $\sqrt{C_{ki}} >$ `above` · max √C, with `neuron_contributions` C above 0.

    The root makes it the measure of `neuron_has_feature` for tied ReLU models, where √C is the weight.

    >>> model = sp.models.ComputationModel(np.array([[1.0, 0.9, 0.0], [0.0, -1.0, 1.0]]), hidden_activation="gelu")
    >>> sp.analysis.served_features(model).astype(int).tolist()
    [[1, 1, 0], [0, 1, 1]]

    Raises:
        ConfigError: this is no `ComputationModel` or `DecoderMLP`, or a number is not allowed.
    """
    above = check.number("above", above, at_least=0)
    roots = jnp.sqrt(jnp.maximum(neuron_contributions(model, magnitude), 0))
    return (roots > above * jnp.max(roots)) & (roots > 0)
