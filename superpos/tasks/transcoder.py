"""Train a transcoder on a hidden layer that computes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.data import random_directions
from superpos.errors import ConfigError
from superpos.models.computation import ComputationModel
from superpos.models.residual_mlp import ResidualMLP as ResidualModel
from superpos.models.sae import SAE
from superpos.models.sae.transcoder import Transcoder as TranscoderModel
from superpos.models.toy import FULL_PRECISION
from superpos.tasks.computation import Computation
from superpos.tasks.registry import register
from superpos.tasks.residual_mlp import ResidualMLP
from superpos.tasks.sae import SparseAutoencoder
from superpos.tasks.sae_terms import check_encoder
from superpos.tasks.sae_words import SaidInWords


@register("transcoder")
@dataclass(frozen=True, kw_only=True)
class Transcoder(SparseAutoencoder):
    r"""Say in few latents at a time what a layer of neurons computes, $y = W_\mathrm{out}\,\mathrm{ReLU}(W_\mathrm{in} h)$.

    What the layer reads is $h = Dx$ with D = `directions` and x of the `FeatureDistribution` of the fields. What is minimised
    is that of `SparseAutoencoder` with `models.Transcoder`, for $y - \hat y$ in place of $h - \hat h$. `n_hidden` is the
    width of h and y, and `n_neurons` of the layer between. With `skip` a matrix $W_\mathrm{skip}$, which begins at 0, goes
    past the latents.

    `Transcoder.of_layer` makes the task for a trained `Computation`, where h = x, or `ResidualMLP`, where h is the residual
    stream. `W_in` is (n_neurons, n_hidden) and `W_out` (n_hidden, n_neurons), or several such, of which `source` takes one.

    Dunefsky, Chlenski and Nanda 2024, "Transcoders Find Interpretable LLM Feature Circuits", arXiv:2406.11944; Paulo,
    Shabalin and Belrose 2025, "Transcoders Beat Sparse Autoencoders for Interpretability", arXiv:2501.18823 (the skip).
    """

    SOURCES: ClassVar[str] = "layers"
    UNSAID: ClassVar[tuple[str, ...]] = (*SaidInWords.UNSAID, "W_in", "W_out", "n_neurons")
    SIZES: ClassVar[dict[str, str]] = SaidInWords.SIZES | {"n_hidden": "in a stream of {} dimensions"}
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_features", "n_neurons", "n_latents", "architecture", "skip")
    TRAINS_AUTOENCODERS: ClassVar[bool] = False  # whose scores are those of one hidden layer

    n_neurons: int = jax.tree.static()  # shape of W_in
    W_in: Any = None  # (n_neurons, n_hidden) or (n_sources, n_neurons, n_hidden)
    W_out: Any = None  # (n_hidden, n_neurons) or (n_sources, n_hidden, n_neurons)
    skip: bool = jax.tree.static(default=False)  # whether W_skip exists

    @classmethod
    def of_layer(cls, task: Any, models: Any, **settings: Any) -> "Transcoder":
        """The task of reading what the hidden layer of trained models of `task` computes.

        `models` is one model, a run or a result of one cell, or a list of them, in the order that `source` counts. The layer
        of a `Computation` is taken before the bias and the last ReLU, that of a `ResidualMLP` as it is added to the stream.

        Raises:
            ConfigError: `task` is of another kind, or a model is not of its shape.
        """
        arrays.of_kind("task", task, (Computation, ResidualMLP))
        if getattr(task, "hidden_activation", "relu") != "relu":
            raise ConfigError("task must have a hidden layer of ReLU: a linear one computes nothing to take apart.")
        several = isinstance(models, list | tuple)
        layers = [_layer(task, model) for model in (models if several else [models])]
        if not layers:
            raise ConfigError("models must be one model, or a list of them, got an empty list.")
        W_in, W_out, D = (np.stack([layer[k] for layer in layers]) for k in range(3))
        shared = ({f.name for f in fields(cls)} & {f.name for f in fields(task)}) - {
            "n_hidden",
            "importance",
            "activation",
            "tied",
        }
        taken = {name: getattr(task, name) for name in shared}
        taken |= {"n_hidden": W_in.shape[2], "n_neurons": W_in.shape[1], "directions": D[0]}
        taken |= {"W_in": W_in if several else W_in[0], "W_out": W_out if several else W_out[0]}
        return cls(**{**taken, **settings})

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name in ("n_hidden", "n_neurons"):
            check.integer(name, getattr(self, name), at_least=1)
        n_hidden, n_neurons = self.n_hidden, self.n_neurons
        check.boolean("skip", self.skip)
        if self.tied is True:
            raise ConfigError("tied must be false for transcoders: they do not read what they write.")
        if self.output_bias is not None:
            raise ConfigError("output_bias must be None for transcoders, which no toy model's output follows.")
        # The task of a result's cell has them in the shape of `broadcast`.
        if self.directions is None or np.shape(self.directions)[:-2] not in ((), (1,)):
            raise ConfigError("directions must be given, (n_hidden, n_features): where features are in what is read.")
        for name, shape in (("W_in", (n_neurons, n_hidden)), ("W_out", (n_hidden, n_neurons))):
            if getattr(self, name) is None:
                raise ConfigError(f"{name} must be given: the weights of the layer, of shape {shape}.")
            check.finite_array(name, getattr(self, name))
            got = tuple(np.shape(getattr(self, name)))
            if len(got) not in (2, 3) or got[-2:] != shape or got[:-2] != tuple(np.shape(self.W_in))[:-2]:
                raise ConfigError(f"{name} must have shape {shape}, or several such, as many as W_in, got {got}.")
        super().check()
        check_encoder(self, "transcoders")

    @property
    def n_sources(self) -> int | None:
        """How many layers `source` chooses from."""
        return np.shape(self.W_in)[-3] if np.ndim(self.W_in) >= 3 else 1

    def broadcast(self) -> "Transcoder":
        """The same task with every numeric field an array of its full shape; layers lead with sources."""
        width, n = self.n_hidden, self.n_neurons
        W_in = jnp.reshape(jnp.asarray(self.W_in, float), (-1, n, width))
        W_out = jnp.reshape(jnp.asarray(self.W_out, float), (-1, width, n))
        return replace(super().broadcast(), W_in=W_in, W_out=W_out)  # type: ignore[return-value]

    def precompute(self) -> "Transcoder":
        """The task with the layer of its own source only; needed before `loss`."""
        index = jnp.asarray(self.source, jnp.int32)
        return replace(self, directions=self.directions[0], W_in=self.W_in[index], W_out=self.W_out[index])

    def init(self, key: PRNGKeyArray) -> SAE:
        """A new model: random columns and rows of length 1, drawn apart, and everything else 0."""
        exists = jnp.arange(self.n_latents) < self.size
        W_dec = jnp.where(exists[None, :], random_directions(key, self.n_hidden, self.n_latents), 0.0)
        rows = random_directions(jax.random.fold_in(key, 1), self.n_hidden, self.n_latents).T
        W_skip = jnp.zeros((self.n_hidden, self.n_hidden), float) if self.skip else None
        W_enc = jnp.where(exists[:, None], rows, 0.0)
        return TranscoderModel(W_dec, W_enc, W_skip=W_skip, **self.settings_of_models())

    def target(self, h: Float[Array, "n_hidden batch"]) -> Float[Array, "n_hidden batch"]:
        """What the layer adds, given what it reads."""
        neurons = jax.nn.relu(jnp.dot(self.W_in, h, precision=FULL_PRECISION))
        return jnp.dot(self.W_out, neurons, precision=FULL_PRECISION)

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        several = {"source"} if np.ndim(self.W_in) >= 3 else set()
        return {name: why for name, why in super().unread().items() if name not in several}

    def elements_per_step(self, batch_size: int) -> int:
        """The batch of features, of neurons and of latents."""
        return (self.n_features + self.n_neurons + self.n_latents) * batch_size

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words."""
        n_layers = np.shape(settings["W_in"])[0] if np.ndim(settings["W_in"]) == 3 else 1
        of = f"{n_layers} layers" if n_layers > 1 else "one layer"
        return [*super().describe(settings, swept)[:-1], f"{of} of {settings['n_neurons']} neurons"]


def _layer(task: Any, value: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W_in, W_out and the directions of features in what is read, of a trained model."""
    kind, n = (ComputationModel, task.n_features) if isinstance(task, Computation) else (ResidualModel, task.n_features)
    model = arrays.model_of(value)
    arrays.of_kind("models: a model", model, kind)
    if isinstance(model, ComputationModel):
        W_in = model.W if model.W1 is None else model.W1
        W_out = model.W[...].T if model.W2 is None else model.W2
        D = np.eye(n)
    else:
        W_in, W_out, W_E = model.W_in, model.W_out, model.embedding()
        D = np.eye(n) if W_E is None else np.asarray(W_E)
    W_in, W_out = np.asarray(W_in[...]), np.asarray(W_out[...])
    if W_in.shape != (task.n_hidden, len(D)) or D.shape[1] != n:
        raise ConfigError(f"models: a model must have weights of shape {(task.n_hidden, len(D))}, got {W_in.shape}.")
    return W_in, W_out, D
