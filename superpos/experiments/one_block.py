"""What W_out costs as one block, beside parts that read single neurons, and decompositions that start from the block.

Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition", arXiv 2506.20790, toy model of compressed computation.
"""

from typing import NamedTuple

import jax
import numpy as np

from superpos import check
from superpos.analysis.decompositions import N_INPUTS, evaluation_inputs
from superpos.errors import ConfigError
from superpos.models.decomposition import Decomposition
from superpos.tasks import NetworkDecomposition
from superpos.tasks.base import materialize

STEEPNESS = 30.0  # an activity of 1 / STEEPNESS or more needs its function's subcomponent in full
CLOSED = -0.01  # of a gate that is shut, near enough to open
TAG = 7  # of the masks that objectives are compared with


class Objectives(NamedTuple):
    """What three decompositions of one network are charged, without faithfulness, on the same inputs."""

    objective: float  # of a trained decomposition: its errors and its minimality
    objective_block: float  # of exact ones: W_out is one block, which every input with an active feature needs
    objective_neurons: float  # every subcomponent of W_out reads one neuron, which an input needs if it excites it


def minimality(task: NetworkDecomposition, mean_powers: np.ndarray) -> float:
    r"""$\beta \sum_c \bar g_c (1 + \kappa \log_2(1 + N \bar g_c))$ for the mean powers $\bar g_c$ of importances."""
    g = np.asarray(mean_powers, np.float64)
    kappa = 0.0 if task.frequency_coefficient is None else float(task.frequency_coefficient)
    prices = g * (1 + kappa * np.log2(1 + float(task.frequency_inputs) * g))
    return float(task.minimality_coefficient) * float(prices.sum())


def objectives(task: NetworkDecomposition, model: Decomposition, n_inputs: int = N_INPUTS) -> Objectives:
    r"""The objective of a trained decomposition, and those of two exact ones, which p does not enter.

    In both exact ones $W_\text{in}$ is one subcomponent for every function, needed where its feature is active, and
    importances are 0 or 1. Nothing is reconstructed wrongly, so all they are charged is minimality. A block of rank m, the
    number of neurons, has m subcomponents in some basis, which are needed where any feature is active. In the basis of the
    neurons an input needs those that it excites, and the others would read 0. Without a frequency coefficient the block is
    dearer by $\beta (m P(x \neq 0) - E\,\#\text{excited neurons})$, which is never negative.
    """
    x = evaluation_inputs(task, n_inputs)
    full = materialize(task.broadcast())
    shape = (2, task.n_subcomponents + task.delta_component, n_inputs)
    terms = full.terms(model, x, jax.random.uniform(jax.random.key(TAG), shape, float))
    coefficients = (task.stochastic_coefficient, task.layerwise_coefficient, task.minimality_coefficient)
    trained = sum(float(c) * float(v) for c, v in zip(coefficients, terms[1:], strict=True))
    active = np.asarray(x) != 0
    excited = np.asarray(model.of_target(full.target, x).inputs[1]) > 0
    functions = minimality(task, active.mean(axis=1))
    block = minimality(task, np.full(task.n_hidden, active.any(axis=0).mean()))
    return Objectives(trained, functions + block, functions + minimality(task, excited.mean(axis=1)))


def block_start(task: NetworkDecomposition, seed: int = 0) -> dict[str, np.ndarray]:
    r"""Parameters of the decomposition that the paper describes, to start training from: arrays by name, of one network.

    The first n_features subcomponents of $W_\text{in}$ read one feature each, by the pseudo-inverse of the embedding, and
    write its column; their gates open with its activity. What $W_\text{in}$ reads beside the embedding, which no input
    shows, is in subcomponents that are shut. $W_\text{out}$ is one block: n_hidden subcomponents in an orthonormal basis
    that `seed` draws, needed by every input. Gates can move: none is flat, and those that are shut are at the edge.

    Raises:
        ConfigError: gates are shared, or there are fewer subcomponents than features or neurons.
    """
    n, m, C, k = task.n_features, task.n_hidden, task.n_subcomponents, task.gate_neurons
    if task.gate != "mlp":
        raise ConfigError(f"gate must be mlp, one for every subcomponent, got {task.gate!r}.")
    check.integer("n_subcomponents", C, at_least=max(n, m))
    full = materialize(task.broadcast())
    W_in, W_out = (np.asarray(W, np.float64) for W in full.matrices)
    W_E = getattr(full.target, "embedding", lambda: None)()
    W_E = np.eye(n) if W_E is None else np.asarray(W_E, np.float64)
    draw = np.random.default_rng(seed)
    V, U = np.zeros((C, len(W_E))), np.zeros((m, C))
    V[:n], U[:, :n] = np.linalg.pinv(W_E), W_in @ W_E
    left, lengths, right = np.linalg.svd(W_in - U @ V, full_matrices=False)
    unseen = min(len(lengths), C - n)
    V[n : n + unseen], U[:, n : n + unseen] = right[:unseen], (left * lengths)[:, :unseen]
    basis = np.linalg.qr(draw.standard_normal((m, m)))[0]
    V_out, U_out = np.zeros((C, m)), np.zeros((len(W_E), C))
    V_out[:m], U_out[:, :m] = basis, W_out @ basis.T
    gate_in, gate_out = np.sqrt(2) * draw.standard_normal((2, C, k)), np.zeros((2, C, k))
    gate_in[0, :n], gate_out[0, :n] = STEEPNESS * np.where(np.arange(k) % 2, 1, -1), 2 / k  # their sum is STEEPNESS |x|
    bias = np.full((2, C), CLOSED)
    bias[0, :n], bias[1, :m] = 0, 1
    return {
        "V": V, "U": U, "V_out": V_out, "U_out": U_out,
        "gate_in": gate_in, "gate_in_bias": np.zeros((2, C, k)), "gate_out": gate_out, "gate_out_bias": bias,
    }  # fmt: skip
