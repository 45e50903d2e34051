"""Decompositions of networks that read features: inputs, targets and losses of toy models and of networks that compute."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import PerFeature
from superpos.data import MAX_FEATURES, FeatureDistribution, Sets
from superpos.data.active_inputs import check_independent, draw_active, probability_of_any
from superpos.models.decomposition import Decomposition, new_gate, new_subcomponents
from superpos.models.linear import MatrixNetwork
from superpos.tasks import decomposition_terms
from superpos.tasks.base import Metrics
from superpos.tasks.decomposition import MASK_TAG, DecompositionTask
from superpos.tasks.decomposition_terms import Terms
from superpos.tasks.one_layer import MAX_WEIGHTS, features_of


@dataclass(frozen=True, kw_only=True)
class FeatureDecomposition(DecompositionTask):
    """Decomposition of a network that reads features, with `target_W` for its first matrix.

    A class says what its `target` and the target's `matrices` are, and which weights are allowed (`check_target`).
    """

    UNSAID: ClassVar[tuple[str, ...]] = ("target_W", "target_b")
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_features", "n_hidden", "n_subcomponents", "gate")
    PAGE: ClassVar[str] = "viewer"
    NAMES: ClassVar[dict[str, str]] = DecompositionTask.NAMES | {
        "stratified": "stratified batches",
        "nonnegative_start": "V ≥ 0 at the start",
    }
    # See `new_subcomponents`.
    STARTS_CELL_BY_CELL: ClassVar[bool] = True

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    target_W: Any = None  # (n_hidden, width), or several, (n_sources, n_hidden, width)
    target_b: Any = None  # (n_features,) or (n_sources, n_features); None: no bias
    feature_probability: PerFeature = 0.05  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    tied: bool = jax.tree.static(default=True)  # which parameters exist
    magnitude: str = jax.tree.static(default="uniform")  # chooses code
    correlated_sets: Sets = jax.tree.static(default=())  # index structure
    anticorrelated_sets: Sets = jax.tree.static(default=())
    stratified: bool = jax.tree.static(default=False)  # chooses code
    nonnegative_start: bool = jax.tree.static(default=False)  # chooses code

    @property
    @abstractmethod
    def target(self) -> MatrixNetwork:
        """The model that is taken apart; of a task that is `prepared`."""

    @property
    @abstractmethod
    def matrices(self) -> list[Float[Array, "rows columns"]]:
        """The target's matrices, in the order in which an input meets them; of a task that is `prepared`."""

    def in_features(self, model: Decomposition) -> tuple[MatrixNetwork, Decomposition]:
        """Target and model for many inputs: as they are, or with a fixed map of features already applied to their weights."""
        return self.target, model

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

    @property
    def n_sources(self) -> int | None:
        """How many targets `source` chooses from; None for any number, which are drawn."""
        if self.target_W is None:
            return None
        return np.shape(self.target_W)[-3] if np.ndim(self.target_W) >= 3 else 1

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name in ("n_features", "n_hidden", "n_subcomponents"):
            check.integer(name, getattr(self, name), at_least=1, at_most=MAX_FEATURES)
        most = max(int(self.n_features), int(self.n_hidden)) * int(self.n_subcomponents)
        check.integer("n_features × n_subcomponents", most, at_most=MAX_WEIGHTS)
        check.boolean("tied", self.tied)
        check.boolean("stratified", self.stratified)
        check.boolean("nonnegative_start", self.nonnegative_start)
        if self.stratified:
            check_independent(self.features)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        super().check()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        self.features.check()
        super().check_values()

    def broadcast(self) -> "FeatureDecomposition":
        """The same task with every numeric field an array of its full shape; targets lead with sources."""
        p = jnp.broadcast_to(jnp.asarray(self.feature_probability, float), (self.n_features,))
        full: dict[str, Any] = {"feature_probability": p}
        if self.target_W is not None:
            full["target_W"] = jnp.reshape(jnp.asarray(self.target_W, float), (-1, *np.shape(self.target_W)[-2:]))
        if self.target_b is not None:
            full["target_b"] = jnp.reshape(jnp.asarray(self.target_b, float), (-1, self.n_features))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), replace(self, **full))

    def precompute(self) -> "FeatureDecomposition":
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
        return self.weighted(terms, lambda: self.adversarial_error(model, x, self.attacked_from(r), weights))

    def _batch(self, key: PRNGKeyArray, batch_size: int) -> tuple[Array, Array | None]:
        """Inputs as columns, and weights where they do not all count alike. Stratified, the last one is the zero input."""
        features = self.features
        if not self.stratified:
            return features.sample(key, batch_size), None
        check.integer("batch_size", batch_size, at_least=2)
        x = jnp.pad(draw_active(features, key, batch_size - 1), ((0, 0), (0, 1)))
        share = probability_of_any(features)
        return x, jnp.append(jnp.full(batch_size - 1, share / (batch_size - 1)), 1 - share)

    def unread(self) -> dict[str, str]:
        """Fields that have no effect given the others, each with why."""
        one = self.target_W is not None and np.ndim(self.target_W) == 2
        return super().unread() | ({"source": "target_W is of one model"} if one else {})

    def elements_per_step(self, batch_size: int) -> int:
        """The neurons of all gates, whole batch."""
        neurons = self.gate_neurons * (self.n_subcomponents if self.gate == "mlp" else 1)
        return self.n_matrices * (neurons + 4 * self.n_subcomponents) * batch_size
