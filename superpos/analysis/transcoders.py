"""What a transcoder says of a layer that computes, in the terms in which circuits of neurons are read: latents as neurons."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from superpos import arrays, check
from superpos.analysis.circuits import Circuit
from superpos.errors import ConfigError
from superpos.models.sae.transcoder import Transcoder

# A latent that is active on a smaller share of the inputs is not looked at.
LIVE_ABOVE = 1e-4


class LatentPairs(NamedTuple):
    """Which latents read a feature's two signs: result of `latent_pairs`."""

    positive: np.ndarray  # (n_features,): how many latents read the positive side
    negative: np.ndarray  # (n_features,)

    @property
    def paired(self) -> np.ndarray:
        """(n_features,): features that exactly one latent reads on each side."""
        return (self.positive == 1) & (self.negative == 1)


def transcoder_circuit(model: Transcoder, directions: Any, *, live_above: float = LIVE_ABOVE) -> Circuit:
    r"""A transcoder with its latents as neurons: $W_1 = W_\mathrm{enc} D$, $W_2 = D^\top W_\mathrm{dec}$.

    b is $D^\top b_\mathrm{dec}$. `directions` D, (n_hidden, n_features), says where features are in what the layer reads and
    writes. Rows of W1 are scaled to a largest weight of ±1 and W2 with them, as `superpos.analysis.circuit` does. So
    `feature_lists`, `neuron_counts` and `single_feature_slopes` read latents as they read neurons. Latents active on at most
    the share `live_above` of the inputs are 0. Biases and thresholds of latents, and a skip, are no part of it:
    `response_slopes` has them.

    Raises:
        ConfigError: `model` is no transcoder, or `directions` do not fit it.
    """
    check.number("live_above", live_above, at_least=0, at_most=1)
    D = _checked(model, directions)
    live = np.asarray(model.frequency[...]) > live_above
    W1 = np.where(live[:, None], np.asarray(model.W_enc[...], float) @ D, 0.0)
    W2 = np.where(live, D.T @ np.asarray(model.columns, float), 0.0)
    largest = np.max(np.abs(W1), axis=1)
    scale = np.where(largest > 0, largest, 1)
    b = np.zeros(D.shape[1]) if model.b_dec is None else D.T @ np.asarray(model.b_dec[...], float)
    return Circuit(W1 / scale[:, None], W2 * scale, b)


def response_slopes(model: Transcoder, directions: Any) -> Float[np.ndarray, "2 n_features n_features"]:
    r"""How outputs respond to one feature alone, at 1 and at −1: $E^\pm_{oi} = D_o^\top (\hat y(\pm D_i) - \hat y(0))$.

    For a layer of neurons this is `superpos.analysis.single_feature_slopes`; here it is that of the whole transcoder, with
    what its biases and thresholds and a skip do to it. Row o is the output and column i the feature.

    Raises:
        ConfigError: as `transcoder_circuit`.
    """
    D = _checked(model, directions)
    n = D.shape[1]
    h = jnp.asarray(np.concatenate([D, -D, np.zeros((len(D), 1))], axis=1), model.W_dec[...].dtype)
    y = np.asarray(model(h), float)
    written = D.T @ (y[:, :-1] - y[:, -1:])
    return np.stack([written[:, :n], written[:, n:]])


def slope_agreement(slopes: Any, others: Any) -> float:
    r"""Cosine $\langle E, F\rangle / \|E\| \|F\|$ of two sets of slopes, (2, n_features, n_features); NaN where one is 0.

    1 where both say the same of every feature and output, up to one factor for all.
    """
    slopes = arrays.as_numpy("slopes", slopes, ndim=3, largest=arrays.MAX_WEIGHT).astype(np.float64)
    others = arrays.as_numpy("others", others, shape=slopes.shape, largest=arrays.MAX_WEIGHT).astype(np.float64)
    lengths = np.linalg.norm(slopes) * np.linalg.norm(others)
    return float(np.sum(slopes * others) / lengths) if lengths > 0 else float("nan")


def latent_pairs(circuit: Circuit) -> LatentPairs:
    """How many latents, or neurons, have each side of each feature as what they read most, and write most to that feature."""
    arrays.of_kind("circuit", circuit, Circuit)
    W1 = arrays.as_numpy("circuit.W1", circuit.W1, ndim=2, largest=arrays.MAX_WEIGHT)
    W2 = arrays.as_numpy("circuit.W2", circuit.W2, shape=W1.shape[::-1], largest=arrays.MAX_WEIGHT)
    read, written = np.argmax(np.abs(W1), axis=1), np.argmax(W2, axis=0)
    sign = np.sign(W1[np.arange(len(W1)), read])
    counted = Circuit(W1, W2, np.zeros(W1.shape[1])).active & (read == written)
    n = W1.shape[1]
    return LatentPairs(*(np.bincount(read[counted & (sign == s)], minlength=n) for s in (1, -1)))


def _checked(model: Any, directions: Any) -> np.ndarray:
    arrays.of_kind("model", model, Transcoder)
    D = arrays.as_numpy("directions", directions, ndim=2, largest=arrays.MAX_WEIGHT).astype(np.float64)
    if len(D) != model.W_dec.shape[0]:
        raise ConfigError(f"directions must have {model.W_dec.shape[0]} rows, as what the layer reads, got {D.shape}.")
    return D
