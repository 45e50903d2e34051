"""What all decompositions of weights have in common: gates, masks, losses, schedules. Which target, each says."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import OptionalScalar, PerFeature, Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution, Sets
from superpos.data.active_inputs import check_independent, draw_active, probability_of_any
from superpos.errors import ConfigError
from superpos.models.decomposition import GATES, Decomposition, new_gate, new_subcomponents
from superpos.models.linear import MatrixNetwork
from superpos.tasks import decomposition_terms
from superpos.tasks.base import Metrics, Task
from superpos.tasks.decomposition_terms import Terms
from superpos.tasks.one_layer import MAX_WEIGHTS, features_of

# Whose r the adversary chooses: one of its own for every input, or one for the whole batch.
ADVERSARIAL_MASKS = ("per_input", "shared")
# Random numbers of the masks, beside those of the inputs, which the step's key itself draws.
MASK_TAG = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class DecompositionTask(Task):
    """Stochastic parameter decomposition of a network that reads features, with `target_W` for its first matrix.

    `ParameterDecomposition` documents losses and options. A class of decompositions says what its `target` and the
    target's `matrices` are, and which weights are allowed (`check_target`).
    """

    SIZES: ClassVar[dict[str, str]] = Task.SIZES | {"n_subcomponents": "{} subcomponents per matrix"}
    UNSAID: ClassVar[tuple[str, ...]] = ("target_W", "target_b")
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Task.ALWAYS_SAID, "minimality_coefficient", "p_norm")
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_features", "n_hidden", "n_subcomponents", "gate")
    PAGE: ClassVar[str] = "viewer"
    NAMES: ClassVar[dict[str, str]] = {
        "stratified": "stratified batches",
        "delta_component": "delta component",
        "nonnegative_start": "V ≥ 0 at the start",
    }
    # See `new_subcomponents`.
    STARTS_CELL_BY_CELL: ClassVar[bool] = True

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    n_subcomponents: int = jax.tree.static()  # C, of every matrix
    target_W: Any = None  # (n_hidden, width), or several, (n_sources, n_hidden, width)
    target_b: Any = None  # (n_features,) or (n_sources, n_features); None: no bias
    source: Scalar = 0  # which of the targets
    feature_probability: PerFeature = 0.05  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    minimality_coefficient: Scalar = 3e-3  # β
    p_norm: Scalar = 1.0
    faithfulness_coefficient: Scalar = 1.0
    stochastic_coefficient: Scalar = 1.0
    layerwise_coefficient: Scalar = 1.0
    final_p_norm: OptionalScalar = None  # None costs nothing
    anneal_from: Scalar = 0.0  # of all steps
    tied: bool = jax.tree.static(default=True)  # which parameters exist
    gate: str = jax.tree.static(default="mlp")  # chooses code
    gate_neurons: int = jax.tree.static(default=16)  # shape of the gates
    magnitude: str = jax.tree.static(default="uniform")  # chooses code
    correlated_sets: Sets = jax.tree.static(default=())  # index structure
    anticorrelated_sets: Sets = jax.tree.static(default=())
    stratified: bool = jax.tree.static(default=False)  # chooses code
    adversarial_coefficient: OptionalScalar = None  # None costs nothing
    adversarial_step_size: Scalar = 1.0  # how far one step moves r
    adversarial_steps: int = jax.tree.static(default=1)  # length of a loop
    adversarial_masks: str = jax.tree.static(default="per_input")  # shape of r
    delta_component: bool = jax.tree.static(default=False)  # shape of r
    frequency_coefficient: OptionalScalar = None  # None costs nothing
    frequency_inputs: Scalar = 4_096.0  # N
    nonnegative_start: bool = jax.tree.static(default=False)  # chooses code

    @property
    @abstractmethod
    def target(self) -> MatrixNetwork:
        """The model that is taken apart; of a task that is `prepared`."""

    @property
    @abstractmethod
    def matrices(self) -> list[Float[Array, "rows columns"]]:
        """The target's matrices, in the order in which an input meets them; of a task that is `prepared`."""

    @abstractmethod
    def check_target(self) -> None:
        """Raise `ConfigError` unless the target's weights are finite and of the shapes that the task says."""

    @property
    def n_matrices(self) -> int:
        """How many matrices the target has."""
        return 2

    @property
    def width(self) -> int:
        """How many numbers the first matrix reads."""
        return self.n_features

    @property
    def features(self) -> FeatureDistribution:
        """Where the inputs come from."""
        return features_of(self)

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name in ("n_features", "n_hidden", "n_subcomponents"):
            check.integer(name, getattr(self, name), at_least=1, at_most=MAX_FEATURES)
        most = max(int(self.n_features), int(self.n_hidden)) * int(self.n_subcomponents)
        check.integer("n_features × n_subcomponents", most, at_most=MAX_WEIGHTS)
        check.integer("gate_neurons", self.gate_neurons, at_least=1, at_most=4_096)
        check.one_of("gate", self.gate, GATES)
        check.boolean("tied", self.tied)
        check.boolean("stratified", self.stratified)
        check.boolean("delta_component", self.delta_component)
        check.boolean("nonnegative_start", self.nonnegative_start)
        check.integer("adversarial_steps", self.adversarial_steps, at_least=0, at_most=1_000)
        check.one_of("adversarial_masks", self.adversarial_masks, ADVERSARIAL_MASKS)
        if self.stratified:
            check_independent(self.features)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        for name in (*_NUMBERS, *_COEFFICIENTS, *_OPTIONAL):
            if name not in _OPTIONAL or getattr(self, name) is not None:
                check.scalar(name, getattr(self, name))
        self.check_target()
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        self.features.check()
        for name in _COEFFICIENTS:
            check.in_range(name, getattr(self, name), at_least=0, at_most=1e6)
        check.in_range("p_norm", self.p_norm, above=0, at_most=100)
        for name, bounds in _OPTIONAL.items():
            if getattr(self, name) is not None:
                check.in_range(name, getattr(self, name), **bounds)
        check.in_range("anneal_from", self.anneal_from, at_least=0, below=1)
        check.in_range("adversarial_step_size", self.adversarial_step_size, at_least=0, at_most=1)
        check.in_range("frequency_inputs", self.frequency_inputs, above=0, at_most=1e9)
        if arrays.is_traced(self.source):
            return
        check.in_range("source", self.source, at_least=0, at_most=2**24)
        check.whole_numbers("source", self.source)
        if self.target_W is not None:
            n_sources = np.shape(self.target_W)[-3] if np.ndim(self.target_W) >= 3 else 1
            if (most := float(np.max(np.asarray(self.source)))) >= n_sources:
                raise ConfigError(f"source must be below {n_sources}, the number of targets, got {most:g}.")

    def broadcast(self) -> "DecompositionTask":
        """The same task with every numeric field an array of its full shape; targets lead with sources."""
        p = jnp.broadcast_to(jnp.asarray(self.feature_probability, float), (self.n_features,))
        full: dict[str, Any] = {"feature_probability": p}
        if self.target_W is not None:
            full["target_W"] = jnp.reshape(jnp.asarray(self.target_W, float), (-1, *np.shape(self.target_W)[-2:]))
        if self.target_b is not None:
            full["target_b"] = jnp.reshape(jnp.asarray(self.target_b, float), (-1, self.n_features))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), replace(self, **full))

    def precompute(self) -> "DecompositionTask":
        """The task with its own target only, (n_hidden, n_features); needed before `loss`."""
        index = jnp.asarray(self.source, jnp.int32)
        return replace(
            self, target_W=self.target_W[index], target_b=None if self.target_b is None else self.target_b[index]
        )

    def init(self, key: PRNGKeyArray) -> Decomposition:
        """Random subcomponents that overlap with the target, and networks with Kaiming-normal weights."""
        task = self if self.target_W is not None and jnp.ndim(self.target_W) == 2 else self.precompute()
        n = self.n_subcomponents
        keys = jax.random.split(key, len(task.matrices) + 1)
        new = partial(new_subcomponents, n=n, cell_by_cell=self.STARTS_CELL_BY_CELL or not self.tied)
        first, *others = task.matrices
        pairs = [new(keys[0], first, nonnegative=self.nonnegative_start)]
        pairs += [new(k, matrix) for k, matrix in zip(keys[1:], others, strict=False)]
        (U, V), hidden, (U_out, V_out) = pairs[0], pairs[1:-1], pairs[-1]
        more: dict[str, Any] = {} if self.tied else {"V_out": V_out, "U_out": U_out}
        if hidden:
            more |= {"V_hidden": jnp.stack([v for _, v in hidden]), "U_hidden": jnp.stack([u for u, _ in hidden])}
        if self.final_p_norm is not None:
            more["exponent"] = jnp.asarray(self.p_norm, float)
        return Decomposition(V, U, **new_gate(keys[-1], len(pairs), n, self.gate_neurons, self.gate), **more)

    def terms(
        self,
        model: Decomposition,
        x: Float[Array, "n_features batch"],
        r: Float[Array, "matrix masks batch"],
        weights: Float[Array, " batch"] | None = None,
    ) -> Terms:
        """The four losses for inputs as columns and the uniform numbers r that masks are made of.

        A matrix has C masks, and one more, the last, with `delta_component`. Inputs count with `weights`, which add up to 1,
        or by default all alike.
        """
        return decomposition_terms.terms(self, model, x, r, weights)

    def adversarial_error(
        self,
        model: Decomposition,
        x: Float[Array, "n_features batch"],
        r: Float[Array, "matrix masks batch_or_1"],
        weights: Float[Array, " batch"] | None = None,
    ) -> Float[Array, ""]:
        """The reconstruction error with the masks of r after the ascent; no gradient flows through the ascent itself.

        r has one column for every input, or a single one for all of them. Rows and weights are as in `terms`.
        """
        return decomposition_terms.adversarial_error(self, model, x, r, weights)

    def loss(self, model: Decomposition, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The weighted sum of the losses on a fresh batch, and each of them."""
        x, weights = self._batch(key, batch_size)
        shape = (self.n_matrices, self.n_subcomponents + self.delta_component, batch_size)
        r = jax.random.uniform(jax.random.fold_in(key, jnp.uint32(MASK_TAG)), shape, x.dtype)
        terms = self.terms(model, x, r, weights)
        loss = jnp.asarray(
            self.faithfulness_coefficient * terms.faithfulness
            + self.stochastic_coefficient * terms.stochastic
            + self.layerwise_coefficient * terms.layerwise
            + self.minimality_coefficient * terms.minimality
        )
        if self.adversarial_coefficient is None:
            return loss, terms._asdict()
        start = r[..., :1] if self.adversarial_masks == "shared" else r
        adversarial = self.adversarial_error(model, x, start, weights)
        return loss + self.adversarial_coefficient * adversarial, terms._asdict() | {"adversarial": adversarial}

    def _batch(self, key: PRNGKeyArray, batch_size: int) -> tuple[Array, Array | None]:
        """Inputs as columns, and weights where they do not all count alike. Stratified, the last one is the zero input."""
        features = self.features
        if not self.stratified:
            return features.sample(key, batch_size), None
        check.integer("batch_size", batch_size, at_least=2)
        x = jnp.pad(draw_active(features, key, batch_size - 1), ((0, 0), (0, 1)))
        share = probability_of_any(features)
        return x, jnp.append(jnp.full(batch_size - 1, share / (batch_size - 1)), 1 - share)

    def after_step(
        self, model: Decomposition, new_model: Decomposition, optimizer: Any, seen: Any, key: Any, step: Any, steps: Any
    ) -> tuple[Decomposition, Any]:
        """Move p on its way to `final_p_norm`, if there is one."""
        if self.final_p_norm is None:
            return new_model, optimizer
        new_model = jax.tree.map(lambda leaf: leaf, new_model)  # a copy: modules are changed in place below
        share = jnp.clip(((step + 1.0) / steps - self.anneal_from) / (1 - self.anneal_from), 0, 1)
        new_model.exponent[...] = self.p_norm + (self.final_p_norm - self.p_norm) * share
        return new_model, optimizer

    def training_defaults(self) -> dict[str, Any]:
        """As published: 40,000 steps of Adam with its usual memories, at a learning rate of 0.001."""
        return {"steps": 40_000, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999}

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        unread = {} if self.final_p_norm is not None else {"anneal_from": "final_p_norm is not set"}
        if self.adversarial_coefficient is None:
            unread |= dict.fromkeys(_OF_THE_ADVERSARY, "adversarial_coefficient is not set")
        if self.frequency_coefficient is None:
            unread["frequency_inputs"] = "frequency_coefficient is not set"
        if self.target_W is not None and np.ndim(self.target_W) == 2:
            unread["source"] = "target_W is of one model"
        return unread

    def elements_per_step(self, batch_size: int) -> int:
        """The neurons of all gates, whole batch."""
        neurons = self.gate_neurons * (self.n_subcomponents if self.gate == "mlp" else 1)
        return self.n_matrices * (neurons + 4 * self.n_subcomponents) * batch_size


_NUMBERS = ("source", "p_norm", "anneal_from", "adversarial_step_size", "frequency_inputs")
_COEFFICIENTS = (
    "minimality_coefficient", "faithfulness_coefficient", "stochastic_coefficient", "layerwise_coefficient",
)  # fmt: skip
_OPTIONAL: dict[str, dict[str, float]] = {
    "final_p_norm": {"above": 0, "at_most": 100},
    "adversarial_coefficient": {"at_least": 0, "at_most": 1e6},
    "frequency_coefficient": {"at_least": 0, "at_most": 1e6},
}
_OF_THE_ADVERSARY = ("adversarial_step_size", "adversarial_steps", "adversarial_masks")
