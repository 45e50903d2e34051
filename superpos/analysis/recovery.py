"""What a sparse autoencoder recovered of the features its task knows."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos import check
from superpos.analysis.dashboard import dashboard_data
from superpos.analysis.matching_pursuit import pursuit
from superpos.analysis.sae_scores import SAEScores, hidden_loss, score_sae
from superpos.errors import ConfigError
from superpos.models.sae import SAE
from superpos.models.toy import ToyModel
from superpos.tasks.base import materialize
from superpos.tasks.sae import SparseAutoencoder
from superpos.training.loop import EVALUATION_TAG

# Inputs a dictionary is judged on, the same for all models.
N_INPUTS = 16_384

# Who says which latents are active: the SAE's own encoder, or `pursuit` with its decoder columns.
INFERENCES = ("encoder", "pursuit")


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
        ConfigError: `task` is of another kind, or `model` does not fit it.
    """
    arguments, keywords = _arrays(task, model, n_inputs, inference)
    return score_sae(*arguments, **{**keywords, **options})


def dashboard_of(
    task: Any, model: Any, *, n_inputs: int = N_INPUTS, inference: str = "encoder", **options: Any
) -> dict[str, Any]:
    """The data of a feature viewer's page for a trained SAE, see `dashboard_data`; arguments as for `score_autoencoder`."""
    arguments, keywords = _arrays(task, model, n_inputs, inference)
    encoder = model.columns.T if model.W_enc is None else model.W_enc[...]
    bias = None if model.b_enc is None else np.asarray(model.b_enc[...])
    return dashboard_data(*arguments, encoder=np.asarray(encoder), bias=bias, **{**keywords, **options})


@partial(jax.jit, static_argnames="n_inputs")
def _read(task: SparseAutoencoder, model: SAE, n_inputs: int) -> tuple[Any, ...]:
    key = jax.random.fold_in(jax.random.key(0), jnp.uint32(EVALUATION_TAG))
    task = materialize(task)
    x, h = task.sample(key, n_inputs)
    z = model.encode(h)
    return task.directions, model.decoder, x, h, z, model.decode(z)


def _arrays(
    task: Any, model: Any, n_inputs: int, inference: str = "encoder"
) -> tuple[list[np.ndarray], dict[str, Any]]:
    if not isinstance(task, SparseAutoencoder):
        raise ConfigError(f"task must be a SparseAutoencoder, got {type(task).__name__}.")
    check.integer("n_inputs", n_inputs, at_least=1, at_most=2**24)
    check.one_of("inference", inference, INFERENCES)
    task.check()
    full = materialize(task)
    if not isinstance(model, SAE) or model.W_dec[...].shape != (task.n_hidden, task.n_latents):
        raise ConfigError(f"model must be an SAE with W_dec of shape ({task.n_hidden}, {task.n_latents}).")
    arguments = [np.asarray(array) for array in _read(task.broadcast(), model, n_inputs)]
    if inference == "pursuit":
        origin = np.zeros((task.n_hidden, 1)) if model.b_dec is None else np.asarray(model.b_dec[...])[:, None]
        arguments[4] = np.asarray(pursuit(arguments[1], arguments[3] - origin))
        arguments[5] = arguments[1] @ arguments[4] + origin
    keywords: dict[str, Any] = {"used": np.asarray(model.exists)}
    if task.parents:
        keywords["parents"] = task.parents
    if full.output_bias is not None:
        toy = ToyModel(full.directions, full.output_bias, activation=task.activation)
        keywords["loss"] = hidden_loss(
            lambda h: np.asarray(toy.activate(jnp.asarray(h))), arguments[2], np.asarray(full.importance)
        )
    return arguments, keywords
