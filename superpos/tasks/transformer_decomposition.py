"""Take the matrices of a small transformer apart into rank-one subcomponents of which each position needs few."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.errors import ConfigError
from superpos.models.decomposed_transformer import HEADS, MLP, DecomposedTransformer
from superpos.models.decomposition import lower_leaky, new_gate, new_subcomponents, upper_leaky
from superpos.models.transformer import Transformer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.decomposition import MASK_TAG, DecompositionTask
from superpos.tasks.decomposition_targets import settings_of_networks
from superpos.tasks.decomposition_terms import Terms, ascended, masks_of, minimality
from superpos.tasks.registry import register
from superpos.tasks.trained_sequences import Sequences, Settings, sequences, settings_of, task_of

# Parameters of the target by name, with the number of their axes.
WEIGHTS = {"W_E": 2, "W_pos": 2, "W_U": 2, **dict.fromkeys(HEADS, 4), **dict.fromkeys(MLP, 3), "b_in": 2, "b_out": 2}


@register("transformer_decomposition")
@dataclass(frozen=True, kw_only=True)
class TransformerDecomposition(DecompositionTask):
    r"""Stochastic parameter decomposition of a `Transformer`: its attention heads and MLPs, position by position.

    Every matrix $W_Q, W_K, W_V, W_O$ of a head, and $W_{in}$ and $W_{out}$ of an MLP, becomes a sum of C =
    `n_subcomponents` rank-one matrices (`models.DecomposedTransformer`). Embeddings and biases stay the target's.
    Coefficients, gates, masks and schedules are those of `ParameterDecomposition`, with these differences:

    - A mask is drawn for every *position* of a sequence, matrix and subcomponent. Minimality is the mean over positions.
    - Outputs are compared as distributions over tokens: the reconstruction losses are divergences
      $\mathrm{KL}(p_\text{target} \,\|\, p_\text{masked})$ in nats, the mean over the positions at which the training loss
      of the target looks.
    - The layerwise loss masks the matrices of one role and layer at a time, such as $W_Q$ of all heads of a layer.

    Sequences are those that the target was trained on: `trained_on` has the settings of its task as pairs
    (`tasks.trained_sequences`). `target_…` are the target's parameters, with a leading axis of sources or not, of which
    `source` takes one. `TransformerDecomposition.of_model` makes the task for trained transformers.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition" (arXiv:2506.20790), for the method; the authors'
    later code takes language models apart, with KL divergences and one matrix for all heads of a layer.
    """

    UNSAID: ClassVar[tuple[str, ...]] = (*(f"target_{name}" for name in WEIGHTS), "trained_on", "positions")
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_subcomponents", "gate")
    DATA: ClassVar[str | None] = None

    trained_on: Settings = jax.tree.static()  # the task of the target
    target_W_E: Any = None
    target_W_pos: Any = None
    target_W_U: Any = None
    target_W_Q: Any = None
    target_W_K: Any = None
    target_W_V: Any = None
    target_W_O: Any = None
    target_W_in: Any = None
    target_W_out: Any = None
    target_b_in: Any = None
    target_b_out: Any = None
    positions: str = jax.tree.static(default="residual")  # chooses code
    activation: str = jax.tree.static(default="relu")  # chooses code

    @classmethod
    def of_model(cls, model: Any, **settings: Any) -> "TransformerDecomposition":
        """The task of taking trained transformers apart: `of_model(run, n_subcomponents=16)`.

        `model` is a run or a result of one cell of `RepeatedTokens`, `SkipTrigrams`, `ListFunction` or `ModularAddition`, or
        a list of such of one task and shape, in the order that `source` counts them.

        Raises:
            ConfigError: a model is of another task, or they differ in more than their weights.
        """
        return cls(**{**settings_of_networks(model, _settings_of, "transformer", "task"), **settings})

    @property
    def trained(self) -> Task:
        """The task that the target was trained on."""
        return task_of(self.trained_on)

    @property
    def n_sources(self) -> int:
        """How many targets `source` chooses from."""
        return np.shape(self.target_W_E)[-3] if np.ndim(self.target_W_E) >= 3 else 1

    def check_target(self) -> None:
        """Raise `ConfigError` unless the target's weights are finite and those of a transformer of its task."""
        task_of(self.trained_on)
        lead: tuple[int, ...] | None = None
        for name, n_axes in WEIGHTS.items():
            if (value := getattr(self, f"target_{name}")) is None:
                if name in (*HEADS, "W_E", "W_pos", "W_U"):
                    raise ConfigError(f"target_{name} must be given: a parameter of the transformer.")
                continue
            check.finite_array(f"target_{name}", value)
            shape = np.shape(value)
            here = shape[: len(shape) - n_axes]
            lead = here if lead is None else lead
            if len(shape) < n_axes or len(here) > 1 or 0 in shape or here != lead:
                raise ConfigError(
                    f"target_{name} must have {n_axes} axes, or one more of sources as target_W_E has, got shape {shape}."
                )
        one = materialize_target(replace(self, source=0))
        expected = jax.eval_shape(lambda: self.trained.init(jax.random.key(0)))
        for name in WEIGHTS:
            theirs, ours = getattr(expected, name), getattr(one, name)
            if (theirs is None) != (ours is None) or (ours is not None and ours.shape != theirs.shape):
                got = None if ours is None else tuple(ours.shape)
                expected_shape = None if theirs is None else tuple(theirs.shape)
                raise ConfigError(
                    f"target_{name} must have shape {expected_shape}, that of its task's models, got {got}."
                )

    def broadcast(self) -> "TransformerDecomposition":
        """The same task with every numeric field an array of its full shape; targets lead with sources."""
        full = {
            f"target_{name}": jnp.reshape(jnp.asarray(value, float), (-1, *np.shape(value)[-n_axes:]))
            for name, n_axes in WEIGHTS.items()
            if (value := getattr(self, f"target_{name}")) is not None
        }
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), replace(self, **full))

    def precompute(self) -> "TransformerDecomposition":
        """The task with its own target only; needed before `loss`."""
        index, names = jnp.asarray(self.source, jnp.int32), [f"target_{name}" for name in WEIGHTS]
        return replace(self, **{name: v[index] for name in names if (v := getattr(self, name)) is not None})

    @property
    def target(self) -> Transformer:
        """The transformer that is taken apart; of a task that is `prepared`."""
        weights = {name: getattr(self, f"target_{name}") for name in WEIGHTS}
        return Transformer(**weights, positions=self.positions, activation=self.activation)

    def init(self, key: PRNGKeyArray) -> DecomposedTransformer:
        """Random subcomponents that overlap with the target, and networks with Kaiming-normal weights."""
        task = self if np.ndim(self.target_W_E) == 2 else self.precompute()
        target, n, U, V, count = task.target, self.n_subcomponents, {}, {}, 0
        roles = HEADS if target.W_in is None else (*HEADS, *MLP)
        of_gates, *keys = jax.random.split(key, len(roles) + 1)
        for role, of_role in zip(roles, keys, strict=True):
            W = getattr(target, role)[...]
            W = W[:, None] if role in MLP else W
            layers, heads, columns, rows = W.shape
            each = jax.random.split(of_role, layers * heads)
            matrices = jnp.swapaxes(W.reshape(-1, columns, rows), 1, 2)
            pairs = [new_subcomponents(k, m, n, cell_by_cell=True) for k, m in zip(each, matrices, strict=True)]
            U[role] = jnp.stack([u for u, _ in pairs]).reshape(layers, heads, rows, n)
            V[role] = jnp.stack([v for _, v in pairs]).reshape(layers, heads, n, columns)
            count += layers * heads
        exponent = None if self.final_p_norm is None else jnp.asarray(self.p_norm, float)
        networks = new_gate(of_gates, count, n, self.gate_neurons, self.gate)
        return DecomposedTransformer(U, V, **networks, exponent=exponent)

    def terms(self, model: DecomposedTransformer, data: Sequences, r: Float[Array, "matrix masks batch"]) -> Terms:
        """The four losses on sequences, and the uniform numbers r, one for every position, that masks are made of."""
        target = self.target
        inner, of_target = model.of_target(target, data.tokens)
        raw = model.gate(inner)
        masks, rest = masks_of(self, lower_leaky(raw), r)

        def error(only: tuple[str, int] | None) -> Array:
            return divergence(data, of_target, model.logits(target, data.tokens, masks, rest, only))

        layerwise = jnp.mean(jnp.stack([error(place) for place in model.places]))
        return Terms(model.faithfulness(target), error(None), layerwise, minimality(self, model, upper_leaky(raw)))

    def adversarial_error(
        self, model: DecomposedTransformer, data: Sequences, r: Float[Array, "matrix masks batch_or_1"]
    ) -> Float[Array, ""]:
        """The divergence with the masks of r after the ascent; no gradient flows through the ascent itself."""
        target = self.target
        inner, of_target = model.of_target(target, data.tokens)
        g = lower_leaky(model.gate(inner))

        def error(r: Array, model: DecomposedTransformer, g: Array) -> Array:
            return divergence(data, of_target, model.logits(target, data.tokens, *masks_of(self, g, r)))

        attacked, importances = jax.lax.stop_gradient((model, g))
        r = ascended(lambda r: error(r, attacked, importances), r, self.adversarial_steps, self.adversarial_step_size)
        return error(jax.lax.stop_gradient(r), model, g)

    def loss(
        self, model: DecomposedTransformer, key: PRNGKeyArray, batch_size: int
    ) -> tuple[Float[Array, ""], Metrics]:
        """The weighted sum of the losses on fresh sequences, and each of them."""
        data = sequences(self.trained, key, batch_size)
        shape = (len(model.gate_out_bias), self.n_subcomponents + self.delta_component, data.tokens.size)
        r = jax.random.uniform(jax.random.fold_in(key, jnp.uint32(MASK_TAG)), shape, data.weights.dtype)
        terms = self.terms(model, data, r)
        return self.weighted(terms, lambda: self.adversarial_error(model, data, self.attacked_from(r)))

    def training_defaults(self) -> dict[str, Any]:
        """2,000 steps of Adam with its usual memories, at a learning rate of 0.005."""
        return {"steps": 2_000, "learning_rate": 5e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        return super().unread() | ({"source": "the target is one model"} if np.ndim(self.target_W_E) == 2 else {})

    def elements_per_step(self, batch_size: int) -> int:
        """The neurons of all gates at all positions, whole batch."""
        layers, heads = np.shape(self.target_W_Q)[-4:-2]
        count = layers * (4 * heads + (2 if self.target_W_in is not None else 0))
        neurons = self.gate_neurons * (self.n_subcomponents if self.gate == "mlp" else 1)
        n_positions = np.shape(self.target_W_pos)[-2]
        return count * (neurons + 4 * self.n_subcomponents) * batch_size * n_positions

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words: sizes, what is swept or not at its default, and what is taken apart."""
        W_E, kind = settings["target_W_E"], dict(settings["trained_on"])["kind"].replace("_", " ")
        n_models = f"{np.shape(W_E)[0]} transformers" if np.ndim(W_E) == 3 else "one transformer"
        return [*super().describe(settings, swept), f"matrices of {n_models} trained on {kind}"]


def divergence(data: Sequences, target: Float[Array, "sequence position token"], logits: Array) -> Float[Array, ""]:
    r"""The mean KL divergence of the model's answers from the target's, $\sum_i p_i \log(p_i / q_i)$, in nats."""
    p, q = (jax.nn.log_softmax(a[..., : data.n_answers]) for a in (target, logits))
    return jnp.sum(data.weights * jnp.sum(jnp.exp(p) * (p - q), axis=-1))


def materialize_target(task: TransformerDecomposition) -> Transformer:
    """The transformer of a task as its fields have it."""
    return task.broadcast().precompute().target


def _settings_of(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that a transformer decides, its structure and its weights, of a run or a result of one cell."""
    task, model = getattr(value, "task", None), arrays.model_of(value)
    task = task() if callable(task) else task
    if not isinstance(model, Transformer) or not isinstance(task, Task):
        raise ConfigError(
            "model must be a run or a result of one cell of a trained transformer, or a list of such, got "
            f"{check.short(value)}."
        )
    structure = {"trained_on": settings_of(task), "positions": model.positions, "activation": model.activation}
    leaves = {name: leaf for name in WEIGHTS if (leaf := getattr(model, name)) is not None}
    return structure, {f"target_{name}": arrays.as_numpy(name, leaf) for name, leaf in leaves.items()}
