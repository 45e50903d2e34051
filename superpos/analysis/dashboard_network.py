"""What a feature viewer's page needs of one decomposition of a network that computes: parts of both its matrices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos import check
from superpos.analysis.dashboard import answers_of, check_size, latents_in_full, plain
from superpos.analysis.decompositions import N_INPUTS, check_fit, evaluation_inputs
from superpos.analysis.network_decompositions import score_network_decomposition
from superpos.analysis.subcomponents import COUNTS_ABOVE, TOLERANCE
from superpos.tasks.base import materialize
from superpos.tasks.network_decomposition import NetworkDecomposition

# The numbers of `score_network_decomposition` that a page shows.
SCORES = (
    "one_each", "mmcs", "ml2r", "live_first", "live_second", "together", "neuron_cosine", "faithfulness", "stochastic",
    "adversarial", "without",
)  # fmt: skip


def dashboard_of_network(task: Any, model: Any, *, n_inputs: int = N_INPUTS, top_k: int = 8) -> dict[str, Any]:
    r"""Subcomponents of both matrices of a network in the place of latents, as `dashboard_data` describes these.

    `matrices` names the two, and subcomponent c of the second one is latent C + c (`per_matrix` = C). One is "active" on
    inputs that need it, with importance above .1. It answers to the feature whose one-hot input (of activity .75) needs it
    most, if above .1. `alone` is the number of one-hot inputs that need it.

    Both matrices lie between features and neurons, so $\vec U_c \vec V_c^\top$ is one vector over neurons and one over
    features: the first matrix reads features and writes to neurons, the second the other way round. Where features are
    directions $W_E$ of a residual stream, their vector is $W_E^\top \vec V_c$, and $W_E^\top \vec U_c$ of the second
    matrix. `blocks` are

    - over features: the importance for one-hot inputs, and what is read of or written to every feature;
    - over neurons: the vector of neurons at length 1. Its sign is such that the feature of the largest entry is read or
      written with a positive one. The vector over features carries the length. Of subcomponents of less than a tenth of
      the largest Frobenius norm of their matrix, which may point anywhere, it is 0.

    A subcomponent's `direction` is its vector of neurons, times the largest entry over features; `nearest` is the feature of
    that entry, and `directions` are what the features alone write to neurons before the activation function. `scores` are
    those of `score_network_decomposition`, with the mean number of subcomponents that an input needs as `l0`.

    Raises:
        ConfigError: as `score_network_decomposition`; or the page would be too large.
    """
    check.integer("top_k", top_k, at_least=1, at_most=50)
    scores = score_network_decomposition(task, model, n_inputs=n_inputs)
    full = check_fit(task, model, n_inputs, NetworkDecomposition)
    x, target = evaluation_inputs(full, n_inputs), materialize(full).target
    embedded = getattr(target, "embedding", lambda: None)()
    D = np.eye(task.n_features) if embedded is None else np.asarray(embedded, float)
    first = np.asarray(next(iter(target.matrices.values())), float) @ D
    check_size(first)
    neurons, features = _factors(model.matrices, D)
    inner, g = jax.device_get((model.of_target(target, x).inputs[1], model.importances(target, jnp.asarray(x))))
    needed = np.concatenate(np.asarray(g, float))  # of the first matrix, then of the second
    z = np.where(needed > TOLERANCE, needed, 0.0)
    alone = np.concatenate(scores.importances)  # (2 C, n_features)
    matched = np.where(alone.max(axis=1) > TOLERANCE, alone.argmax(axis=1), -1)
    nearest, each = np.abs(features).argmax(axis=0), np.arange(len(z))
    columns = neurons * features[nearest, each]
    lengths = np.linalg.norm(first, axis=0)[nearest] * np.linalg.norm(columns, axis=0)
    cosine = np.divide(np.sum(first[:, nearest] * columns, axis=0), lengths, out=np.zeros(len(z)), where=lengths > 0)
    x, frequency = np.asarray(x), np.mean(z > 0, axis=1)
    data = latents_in_full(
        columns, np.asarray(inner), z, answers_of(x, z, matched, nearest, cosine), frequency, top_k=top_k
    )
    for latent in data["latents"]:
        k = latent["index"]
        blocks = [plain(alone[k]), plain(features[:, k]), plain(neurons[:, k])]
        latent |= {"blocks": blocks, "alone": int(np.sum(alone[k] > TOLERANCE))}
    numbers = {name: getattr(scores, name) for name in SCORES} | {
        "l0": frequency.sum(),
        "l0_true": np.mean(np.sum(x != 0, axis=0)),
        "dead_share": np.mean(frequency == 0),
    }
    return {
        "scores": {name: plain(value) for name, value in numbers.items()},
        "directions": plain(first.T),
        "feature_norms": plain(np.linalg.norm(first, axis=0)),
        "targets": None,
        "blocks": ["needed", "features", "neurons"],
        "matrices": list(target.matrices),
        "per_matrix": task.n_subcomponents,
        **data,
    }


def _factors(pairs: Any, D: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors over neurons, (n_hidden, 2 C), and vectors over features, (n_features, 2 C), of both matrices' parts."""
    (U, V), (U_out, V_out) = ((np.asarray(u, float), np.asarray(v, float)) for u, v in pairs)
    neurons, features = np.concatenate([U, V_out.T], axis=1), D.T @ np.concatenate([V.T, U_out], axis=1)
    lengths = np.linalg.norm(neurons, axis=0)
    largest = np.take_along_axis(features, np.abs(features).argmax(axis=0)[None], axis=0)[0]
    sign = np.where(largest < 0, -1.0, 1.0)
    neurons, features = sign * neurons / np.where(lengths > 0, lengths, 1), sign * lengths * features
    sizes = np.linalg.norm(features, axis=0).reshape(2, -1)
    return neurons * (sizes > COUNTS_ABOVE * sizes.max(axis=1, keepdims=True)).ravel(), features
