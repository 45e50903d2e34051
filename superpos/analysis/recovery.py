"""What a sparse autoencoder recovered of the features its task knows."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from superpos import check
from superpos.analysis.manifolds import ManifoldScores, score_manifolds
from superpos.analysis.matching_pursuit import pursuit
from superpos.analysis.sae_scores import SAEScores, hidden_loss, score_sae
from superpos.data.key_tags import EVALUATION_TAG
from superpos.errors import ConfigError
from superpos.models.sae import SAE
from superpos.models.toy import ToyModel
from superpos.tasks.base import materialize
from superpos.tasks.sae import SparseAutoencoder

# Inputs a dictionary is judged on, the same for all models.
N_INPUTS = 16_384

# Who says which latents are active: the SAE's own encoder, or `pursuit` with its decoder columns.
INFERENCES = ("encoder", "pursuit")

# Why features that are manifolds have no score of matched directions.
NO_DIRECTIONS = "MCC matches latents to directions, and a manifold has none"


def score_autoencoder(
    task: Any, model: Any, *, n_inputs: int = N_INPUTS, inference: str = "encoder", **options: Any
) -> SAEScores:
    """Judge a trained SAE on fresh inputs of its task, by the features that made them.

    The inputs come from one fixed key: all models of the same features see the same. Where the task knows the output of the
    toy model it reads, the scores have the recovered loss. With `inference="pursuit"` the latents of every input are found by
    `superpos.analysis.pursuit` in the decoder columns, and the encoder is not used (the random and PCA baselines stay linear
    readings, ReLU(Dᵀh)): its F1 says what the dictionary allows, that of the encoder what the
    autoencoder does. `task` is a `tasks.SparseAutoencoder` and `model` an `SAE`; options are those of `score_sae`.

    Raises:
        ConfigError: `task` is of another kind or its features are manifolds (`manifolds_of`), or `model` does not fit it.
    """
    arrays, keywords = evaluation(task, model, n_inputs, inference)
    return score_sae(*arrays, **{**keywords, **options})


def manifolds_of(task: Any, model: Any, *, n_inputs: int = N_INPUTS) -> ManifoldScores:
    """Judge a trained SAE by the manifolds that its task's features are points of, see `score_manifolds`.

    The inputs are those of `score_autoencoder`.

    Raises:
        ConfigError: `task` is no `tasks.SparseAutoencoder` with `manifolds`, or `model` does not fit it.
    """
    check_fit(task, model, n_inputs)
    if not task.manifolds:
        raise ConfigError("task must have features that are points of manifolds.")
    directions, *others = map(np.asarray, sampled_evaluation(task.broadcast(), model, n_inputs))
    return score_manifolds(directions, task.manifolds, *others, used=np.asarray(model.exists))


class Evaluation(NamedTuple):
    """What an SAE makes of inputs of its task, beside the truth: the arguments of `score_sae` and `dashboard_data`."""

    directions: Any  # (n_hidden, n_features)
    decoder: Any  # (n_hidden, n_latents)
    x: Any  # (n_features, N)
    h: Any  # (n_hidden, N): what is reconstructed, of a transcoder what the layer adds
    latents: Any  # (n_latents, N)
    reconstruction: Any  # (n_hidden, N)


@partial(jax.jit, static_argnames="n_inputs")
def sampled_evaluation(task: SparseAutoencoder, model: SAE, n_inputs: int) -> Evaluation:
    """Fresh inputs of a task that is `broadcast`, the same for all models, and what the model makes of them."""
    key = jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG))
    task = materialize(task)
    x, h = task.sample(key, n_inputs)
    return Evaluation(task.directions, model.decoder, x, task.target(h), model.encode(h), model(h))


def evaluation(task: Any, model: Any, n_inputs: int, inference: str = "encoder") -> tuple[Evaluation, dict[str, Any]]:
    """The arrays to judge by, and the options that the task and model give."""
    check.one_of("inference", inference, INFERENCES)
    check_fit(task, model, n_inputs)
    if task.manifolds:
        raise ConfigError(
            f"task must have features of one direction each: {NO_DIRECTIONS}; superpos.analysis.manifolds_of judges by "
            "subspaces."
        )
    full = materialize(task)
    arrays = Evaluation(*map(np.asarray, sampled_evaluation(task.broadcast(), model, n_inputs)))
    if inference == "pursuit":
        origin = np.zeros((task.n_hidden, 1)) if model.b_dec is None else np.asarray(model.b_dec[...])[:, None]
        latents = np.asarray(pursuit(arrays.decoder, arrays.h - origin))
        arrays = arrays._replace(latents=latents, reconstruction=arrays.decoder @ latents + origin)
    keywords: dict[str, Any] = {"used": np.asarray(model.exists)}
    if task.parents:
        keywords["parents"] = task.parents
    if full.output_bias is not None:
        toy = ToyModel(full.directions, full.output_bias, activation=task.activation)
        keywords["loss"] = hidden_loss(
            lambda h: np.asarray(toy.activate(jnp.asarray(h))), arrays.x, np.asarray(full.importance)
        )
    return arrays, keywords


def check_fit(task: Any, model: Any, n_inputs: int, *, transcoders: bool = False) -> None:
    """Raise `ConfigError` unless this is an SAE of the task; of a `tasks.Transcoder` only where these are allowed."""
    if not isinstance(task, SparseAutoencoder) or not (task.TRAINS_AUTOENCODERS or transcoders):
        raise ConfigError(f"task must be a SparseAutoencoder, got {type(task).__name__}.")
    check.integer("n_inputs", n_inputs, at_least=1, at_most=2**24)
    task.check()
    if not isinstance(model, SAE) or model.W_dec[...].shape != (task.n_hidden, task.n_latents):
        raise ConfigError(f"model must be an SAE with W_dec of shape ({task.n_hidden}, {task.n_latents}).")
