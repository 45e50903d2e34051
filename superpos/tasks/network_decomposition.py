"""Take the parameters of a network that computes apart into rank-one subcomponents of which each input needs few."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.data import MAX_FEATURES
from superpos.errors import ConfigError
from superpos.models.computation import HIDDEN_ACTIVATIONS, ComputationModel
from superpos.models.decomposition import Decomposition
from superpos.models.linear import MatrixNetwork
from superpos.models.residual_mlp import ResidualMLP as ResidualModel
from superpos.tasks.base import Task
from superpos.tasks.decomposition_targets import settings_of_networks
from superpos.tasks.feature_decomposition import FeatureDecomposition
from superpos.tasks.one_layer import MAX_WEIGHTS
from superpos.tasks.registry import register

NETWORKS = ("computation", "residual_mlp")


@register("network_decomposition")
@dataclass(frozen=True, kw_only=True)
class NetworkDecomposition(FeatureDecomposition):
    r"""Stochastic parameter decomposition of a network with a hidden layer that computes.

    Losses, gates and masks are those of `ParameterDecomposition`, of other targets. `network` says which:

    - `"computation"`: `models.ComputationModel`, $y = \mathrm{ReLU}(W_2 \sigma(W_1 x) + b)$, with σ = `hidden_activation`.
    - `"residual_mlp"`: `models.ResidualMLP`, $y = W_E^\top (W_E x + W_\text{out} \mathrm{ReLU}(W_\text{in} W_E x))$. Only
      $W_\text{in}$ and $W_\text{out}$ are taken apart. The embedding, which `embedding_seed` draws, is part of the network.

    `target_W` is the first matrix, (n_hidden, n_features) or (n_hidden, n_residual), and `target_W_out` the second, of the
    transposed shape. Either may have a leading axis of sources, of which `source` takes one. `tied` takes the second matrix
    and its subcomponents from the first, as in a tied `ComputationModel`. `target_b`, (n_features,), is for "computation".

    The network is written once (`forward` of its model), given how each of its matrices acts. So the stochastic loss
    compares outputs where subcomponents are masked before the ReLU, too, and the layerwise loss leaves the other matrix at
    the target's. `NetworkDecomposition.of_model` makes the task for trained networks.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition" (arXiv:2506.20790), toy model of compressed
    computation and appendix: 100 features, 50 neurons, a stream of 1,000 dimensions, C = 100, β = 1e-5 with p = 2, and
    30,000 steps of batch 2,048 at a constant learning rate of .002.
    """

    RETIRED: ClassVar[dict[str, Any]] = {"identity_layers": 0, "activation": "relu"}
    UNSAID: ClassVar[tuple[str, ...]] = (*FeatureDecomposition.UNSAID, "target_W_out", "network", "embedding_seed")
    SIZES: ClassVar[dict[str, str]] = FeatureDecomposition.SIZES | {"n_hidden": "in {} neurons"}
    NAMES: ClassVar[dict[str, str]] = FeatureDecomposition.NAMES | {"n_residual": "dimensions of the stream"}
    SUMMARY: ClassVar[tuple[str, ...]] = ("network", *FeatureDecomposition.SUMMARY)

    network: str = jax.tree.static(default="computation")  # chooses code
    target_W_out: Any = None  # (columns of W, rows of W), or several such; None where tied
    tied: bool = jax.tree.static(default=False)  # which parameters exist
    hidden_activation: str = jax.tree.static(default="relu")  # chooses code
    n_residual: int = jax.tree.static(default=0)  # shape of W; 0: features are the dimensions
    embedding_seed: int = jax.tree.static(default=0)  # which fixed matrix

    @classmethod
    def of_model(cls, model: Any, **settings: Any) -> "NetworkDecomposition":
        """The task of taking trained networks apart: `of_model(run, n_subcomponents=40)`.

        `model` is a `ComputationModel` or a `ResidualMLP`, a run or a result of one cell of one, or a list of such of one
        shape, in the order that `source` counts them. Inputs are those that the (first) network was trained on. A model
        alone does not say them: give `feature_probability` and `magnitude` with it.

        Raises:
            ConfigError: a model is of another kind, or they differ in more than their weights.
        """
        taken = settings_of_networks(model, _settings_of, "network", "kind")
        first = model[0] if isinstance(model, list | tuple) else model
        return cls(**{**_inputs_of(first), **taken, **settings})

    @property
    def width(self) -> int:
        """How many numbers the first matrix reads."""
        return self.n_residual or self.n_features

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.one_of("network", self.network, NETWORKS)
        check.one_of("hidden_activation", self.hidden_activation, tuple(HIDDEN_ACTIVATIONS))
        check.integer("n_residual", self.n_residual, at_least=0, at_most=MAX_FEATURES)
        check.integer("embedding_seed", self.embedding_seed)
        if self.network == "residual_mlp":
            if self.tied is True or self.target_b is not None or self.hidden_activation != "relu":
                raise ConfigError(
                    "tied, target_b and hidden_activation must be left out: a residual MLP has none of them."
                )
        elif self.n_residual != 0:
            raise ConfigError("n_residual must be 0 for a network that is no residual MLP: it has no stream.")
        super().check()
        most = int(self.width) * max(int(self.n_features), int(self.n_subcomponents))
        check.integer("n_residual × n_subcomponents (or n_features)", most, at_most=MAX_WEIGHTS)

    def check_target(self) -> None:
        """Raise `ConfigError` unless the target's weights are finite and of the shapes that the task says."""
        n, m, width = int(self.n_features), int(self.n_hidden), int(self.width)
        shapes = {"target_W": (m, width), "target_W_out": (width, m), "target_b": (n,)}
        if self.tied and self.target_W_out is not None:
            raise ConfigError("target_W_out must be left out where tied is true: it is that of target_W.")
        needed = {"target_W"} if self.tied else {"target_W", "target_W_out"}
        lead: tuple[int, ...] | None = None
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is None:
                if name in needed:
                    raise ConfigError(f"{name} must be given: weights of the network, of shape {shape}.")
                continue
            check.finite_array(name, value)
            check.in_range(name, value, at_least=-arrays.MAX_WEIGHT, at_most=arrays.MAX_WEIGHT)
            got = tuple(np.shape(value))
            here = got[: len(got) - len(shape)]
            lead = here if lead is None else lead
            if got[len(here) :] != shape or len(here) > 1 or 0 in got or here != lead:
                raise ConfigError(f"{name} must have shape {shape}, or several such, as many as target_W, got {got}.")

    def broadcast(self) -> "NetworkDecomposition":
        """The same task with every numeric field an array of its full shape; targets lead with sources."""
        full: dict[str, Any] = {}
        if self.target_W_out is not None:
            full["target_W_out"] = jnp.reshape(jnp.asarray(self.target_W_out, float), (-1, self.width, self.n_hidden))
        return replace(super().broadcast(), **full)  # type: ignore[return-value]

    def precompute(self) -> "NetworkDecomposition":
        """The task with its own target only; needed before `loss`."""
        index = jnp.asarray(self.source, jnp.int32)
        full: dict[str, Any] = {} if self.target_W_out is None else {"target_W_out": self.target_W_out[index]}
        return replace(super().precompute(), **full)  # type: ignore[return-value]

    def init(self, key: PRNGKeyArray) -> Decomposition:
        """As of a toy model; W may read a stream."""
        model = super().init(key)
        model.reads = "residual" if self.n_residual else "feature"
        return model

    @property
    def target(self) -> Any:
        """The model that is taken apart; of a task that is `prepared`."""
        if self.network == "computation":
            return ComputationModel(
                self.target_W, self.target_W_out, self.target_b, hidden_activation=self.hidden_activation
            )
        sizes = {"n_features": self.n_features, "n_residual": self.n_residual, "embedding_seed": self.embedding_seed}
        return ResidualModel(self.target_W, self.target_W_out, **sizes)

    @property
    def matrices(self) -> list[Float[Array, "rows columns"]]:
        """The target's two matrices, in the order in which an input meets them; of a task that is `prepared`."""
        return [self.target_W, self.target_W.T if self.tied else self.target_W_out]

    def in_features(self, model: Decomposition) -> tuple[MatrixNetwork, Decomposition]:
        """Target and model where weights have met the embedding, if there is one: inputs are then as wide as features."""
        target = self.target
        if not self.n_residual:
            return target, model
        with jax.ensure_compile_time_eval():
            W_E = target.embedding()
        return target.in_features(), model.in_features(W_E)

    def training_defaults(self) -> dict[str, Any]:
        """As published: 30,000 steps of Adam with its usual memories, at a learning rate of 0.002."""
        return {"steps": 30_000, "learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        return super().unread() | ({} if self.n_residual else {"embedding_seed": "there is no embedding"})

    def elements_per_step(self, batch_size: int) -> int:
        """The neurons of all gates and the features of four outputs, whole batch, and what reads and writes the stream."""
        outputs = 4 * self.n_features * batch_size
        return super().elements_per_step(batch_size) + outputs + 2 * self.n_subcomponents * self.width

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words: sizes, what is swept or not at its default, and what is taken apart."""
        target = settings["target_W"]
        kind = "residual MLP" if settings["network"] == "residual_mlp" else "network"
        n_models = f"{np.shape(target)[0]} {kind}s" if np.ndim(target) == 3 else f"one {kind}"
        return [*super().describe(settings, swept)[:-1], f"parameters of {n_models}"]


def _settings_of(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that a network decides, its structure and its weights, of a model, a run or a result of one cell."""
    model = arrays.model_of(value)
    if isinstance(model, ResidualModel):
        sizes = {"n_residual": model.n_residual, "embedding_seed": model.embedding_seed, "tied": False}
        matrices = {"target_W": model.W_in, "target_W_out": model.W_out, "target_b": None}
        sizes |= {"network": "residual_mlp", "n_features": model.n_features}
    elif isinstance(model, ComputationModel):
        first, tied = (model.W1, False) if model.W is None else (model.W, True)
        sizes = {"network": "computation", "n_features": first.shape[1], "tied": tied}
        sizes |= {"hidden_activation": model.hidden_activation}
        matrices = {"target_W": first, "target_W_out": model.W2, "target_b": model.b}
    else:
        raise ConfigError(
            "model must be a ComputationModel or a ResidualMLP, a run or a result of one cell of one, or a list of such, "
            f"got {check.short(value)}."
        )
    sizes["n_hidden"] = matrices["target_W"].shape[0]
    return sizes, {k: arrays.as_numpy(k, v) for k, v in matrices.items() if v is not None}


def _inputs_of(value: Any) -> dict[str, Any]:
    """The inputs that a run's or a result's network was trained on; none of a model alone."""
    task = getattr(value, "task", None)
    task = task() if callable(task) else task
    names = ("feature_probability", "magnitude")
    return {name: getattr(task, name) for name in names} if isinstance(task, Task) else {}
