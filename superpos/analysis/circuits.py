r"""What a hidden layer that computes does: weights to read, features of a neuron, effective weights, and ablation.

Of a model $y' = \mathrm{ReLU}(W_2\,\mathrm{ReLU}(W_1 x) + b)$ with $W_1$ of shape (n_hidden, n_features) and $W_2$ of shape
(n_features, n_hidden). Nothing here changes when a neuron is rescaled, $W_1[k] \to c\,W_1[k]$, $W_2[:, k] \to W_2[:, k]/c$
with c > 0, because a ReLU passes c through. Elhage et al. 2022, "Computation in Superposition".
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from superpos import arrays, check
from superpos.cache import use_compilation_cache
from superpos.errors import ConfigError
from superpos.models.computation import ComputationModel
from superpos.tasks.computation import Computation

# A neuron reads a feature from this share of its largest weight on.
READS_ABOVE = 0.2
# A neuron whose largest output weight is below this share of the largest of all does nothing to speak of.
IDLE_BELOW = 0.01
# Inputs per batch, and batches, on which ablated models are compared.
BATCH, BATCHES = 4_096, 16


class Circuit(NamedTuple):
    """Weights of one model in units to read: every neuron's largest input weight is 1 or −1."""

    W1: np.ndarray  # (n_hidden, n_features)
    W2: np.ndarray  # (n_features, n_hidden)
    b: np.ndarray  # (n_features,), zeros for a model without

    @property
    def active(self) -> np.ndarray:
        """(n_hidden,): neurons whose largest output weight is at least `IDLE_BELOW` of the largest of all."""
        strength = np.max(np.abs(self.W2), axis=0)
        return (strength > IDLE_BELOW * np.max(strength)) & (np.max(np.abs(self.W1), axis=1) > 0)

    def reads(self, *, above: float = READS_ABOVE) -> np.ndarray:
        """(n_hidden, n_features): whether $|W_1|$ > `above` · the neuron's largest. Idle neurons read nothing."""
        return (np.abs(self.W1) > above) & self.active[:, None]


class NeuronCounts(NamedTuple):
    """How many neurons read one feature, several, or none."""

    monosemantic: int
    polysemantic: int
    idle: int


def circuit(model: ComputationModel) -> Circuit:
    """Weights of a model, each neuron rescaled to a largest input weight of 1; a neuron that reads nothing stays zero."""
    arrays.of_kind("model", model, ComputationModel)
    W1 = np.asarray(model.W[...] if model.W1 is None else model.W1[...], float)
    W2 = np.asarray(model.W[...].T if model.W2 is None else model.W2[...], float)
    largest = np.max(np.abs(W1), axis=1)
    scale = np.where(largest > 0, largest, 1)
    b = np.zeros(W1.shape[1]) if model.b is None else np.asarray(model.b[...], float)
    return Circuit(W1 / scale[:, None], W2 * scale, b)


def feature_lists(circuit: Circuit, *, above: float = READS_ABOVE) -> list[list[tuple[int, float]]]:
    """For every neuron its (feature, weight), largest first; (2, −0.4) reads the negative side of feature 2."""
    above = check.number("above", above, at_least=0)
    reads, lists = circuit_of(circuit).reads(above=above), []
    for row, is_read in zip(circuit.W1, reads, strict=True):
        order = np.argsort(-np.abs(row), kind="stable")
        lists.append([(int(i), float(row[i])) for i in order if is_read[i]])
    return lists


def neuron_counts(circuit: Circuit, *, above: float = READS_ABOVE) -> NeuronCounts:
    """Neurons by how many features they read."""
    above = check.number("above", above, at_least=0)
    n = circuit_of(circuit).reads(above=above).sum(axis=1)
    return NeuronCounts(int(np.sum(n == 1)), int(np.sum(n > 1)), int(np.sum(n == 0)))


def circuit_of(circuit: Any) -> Circuit:
    """A circuit with its arrays checked.

    Raises:
        ConfigError: it is none, or its arrays do not fit each other.
    """
    arrays.of_kind("circuit", circuit, Circuit)
    W1 = arrays.as_numpy("circuit.W1", circuit.W1, ndim=2, largest=arrays.MAX_WEIGHT)
    W2 = arrays.as_numpy("circuit.W2", circuit.W2, shape=W1.shape[::-1], largest=arrays.MAX_WEIGHT)
    return Circuit(W1, W2, arrays.as_numpy("circuit.b", circuit.b, shape=(W1.shape[1],)))


def single_feature_slopes(W1: Any, W2: Any) -> Float[np.ndarray, "2 n_features n_features"]:
    r"""Slopes of the outputs, before b and the last ReLU, if one feature alone is active: positive, then negative.

    $$E^{\pm}_{oi} = \sum_k W_2[o, k]\,\mathrm{ReLU}(\pm W_1[k, i]).$$

    Row o is the output and column i the feature, so that |x| computed perfectly has $E^+ = E^- = 1$.
    """
    limit = arrays.MAX_WEIGHT
    W1 = arrays.as_numpy("W1", W1, ndim=2, largest=limit)
    W2 = arrays.as_numpy("W2", W2, shape=W1.shape[::-1], largest=limit)
    return np.stack([W2 @ np.maximum(W1, 0), W2 @ np.maximum(-W1, 0)])


def mean_jacobian(model: ComputationModel, x: Any) -> np.ndarray:
    r"""$E[\,\partial y'_o / \partial |x_i| \;|\; x_i \ne 0\,]$ over a batch, (n_features, n_features); row o, column i.

    Unlike `single_feature_slopes` it holds what the other features that are active switch on and off. Features that are
    never active in `x` have 0.
    """
    arrays.of_kind("model", model, ComputationModel)
    n_features = (model.W if model.W1 is None else model.W1).shape[1]
    x = arrays.as_numpy("x", x, shape=(n_features, None), largest=arrays.MAX_WEIGHT)
    use_compilation_cache()
    return np.asarray(_mean_jacobian(model, jnp.asarray(x)))


@jax.jit
def _mean_jacobian(model: ComputationModel, x: Any) -> Any:
    def add(total: Any, column: Any) -> Any:
        return total + jax.jacfwd(model)(column) * jnp.sign(column)[None], None

    n = x.shape[0]
    total = jax.lax.scan(add, jnp.zeros((n, n), x.dtype), x.T)[0]
    return total / jnp.maximum(jnp.sum(x != 0, axis=1), 1)[None]


def ablate(model: ComputationModel, neurons: Sequence[int]) -> ComputationModel:
    """The model with these neurons silent: their rows of W1 are 0."""
    arrays.of_kind("model", model, ComputationModel)
    W1 = model.W if model.W1 is None else model.W1
    n_hidden = W1.shape[0]
    keep = np.ones((n_hidden, 1))
    for k in _listed("neurons", neurons):
        check.integer("neurons: a neuron", k, at_most=n_hidden - 1)
        keep[k] = 0
    return _masked(model, jnp.asarray(keep[:, 0], W1.dtype))


def ablation(
    task: Computation,
    model: ComputationModel,
    groups: Sequence[Sequence[int]],
    *,
    batches: int = BATCHES,
    seed: int = 0,
) -> tuple[float, np.ndarray]:
    """The loss of a model, and by how much it rises when each group of neurons is silenced: (loss, (len(groups),)).

    All are evaluated on the same `batches` × 4,096 inputs, drawn with `seed`, so that a neuron that does nothing changes
    the loss by exactly 0. In units of `Computation.loss`, the mean over features.
    """
    arrays.of_kind("task", task, Computation)
    arrays.of_kind("model", model, ComputationModel)
    check.integer("batches", batches, at_least=1)
    check.integer("seed", seed)
    use_compilation_cache()
    W1 = model.W if model.W1 is None else model.W1
    groups = _listed("groups", groups)
    keep = np.ones((len(groups) + 1, W1.shape[0]))
    for row, neurons in zip(keep[1:], groups, strict=True):
        for k in _listed("groups: a group", neurons):
            check.integer("groups: a neuron", k, at_most=W1.shape[0] - 1)
            row[k] = 0
    losses = np.asarray(_ablation(task.broadcast(), model, jnp.asarray(keep, W1.dtype), batches, seed), float)
    return float(losses[0]), losses[1:] - losses[0]


@partial(jax.jit, static_argnames="batches")
def _ablation(task: Any, model: ComputationModel, keep: Any, batches: int, seed: Any) -> Any:
    key = jax.random.key(seed)

    def loss(mask: Any, k: Any) -> Any:
        return task.loss(_masked(model, mask), jax.random.fold_in(key, k), BATCH)[0]

    return jax.lax.map(lambda mask: jnp.mean(jax.lax.map(partial(loss, mask), jnp.arange(batches))), keep)


def _listed(name: str, value: Any) -> list[Any]:
    value = arrays.plain(name, value).tolist() if isinstance(value, np.ndarray | jax.Array) else value
    if not isinstance(value, list | tuple | range | set | frozenset):
        raise ConfigError(f"{name} must be a list, got {type(value).__name__}.")
    return list(value)


def _masked(model: ComputationModel, keep: Any) -> ComputationModel:
    """The model with every neuron's input weights times `keep`, (n_hidden,)."""

    def of(path: Any, leaf: Any) -> Any:
        return (
            leaf * keep[:, None] if path[0].name in ("W", "W1") else leaf
        )  # tied weights are W, and stay one parameter

    return jax.tree_util.tree_map_with_path(of, model)
