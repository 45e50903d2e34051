"""Take the parameters of a toy model apart into rank-one subcomponents of which each input needs few."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import arrays, check
from superpos.arrays import OptionalScalar, PerFeature, Scalar
from superpos.data import MAX_FEATURES, FeatureDistribution, Sets, random_directions
from superpos.data.active_inputs import check_independent, draw_active, probability_of_any
from superpos.errors import ConfigError
from superpos.models.activations import check_activation
from superpos.models.decomposition import GATES, Decomposition, new_gate, new_subcomponents
from superpos.models.toy import ToyModel
from superpos.tasks import decomposition_terms
from superpos.tasks.base import Metrics, Task
from superpos.tasks.decomposition_targets import check_target, settings_of_toy
from superpos.tasks.decomposition_terms import Terms
from superpos.tasks.one_layer import MAX_WEIGHTS, features_of
from superpos.tasks.registry import register

# Whose r the adversary chooses: one of its own for every input, or one for the whole batch.
ADVERSARIAL_MASKS = ("per_input", "shared")
# Random numbers of the masks, beside those of the inputs, which the step's key itself draws.
MASK_TAG = 2**31 - 1


@register("parameter_decomposition")
@dataclass(frozen=True, kw_only=True)
class ParameterDecomposition(Task):
    r"""Stochastic parameter decomposition of a toy model $x' = f(W^\top W x + b)$ whose mechanisms are known.

    Every matrix of the target becomes a sum of C = `n_subcomponents` rank-one matrices (`models.Decomposition`). What is
    minimised is

    $$L = c_f L_\text{faithfulness} + c_s L_\text{stochastic} + c_l L_\text{layerwise} + \beta L_\text{minimality},$$

    with the coefficients `faithfulness_coefficient`, `stochastic_coefficient`, `layerwise_coefficient` and
    `minimality_coefficient`:

    $$L_\text{faithfulness} = \frac1N \sum_l \|W^l - U^l V^l\|_F^2, \qquad
    L_\text{minimality} = E \sum_{l,c} (g^l_c(x) + 10^{-12})^p,$$

    N the number of all entries of the target's matrices and p = `p_norm`. The other two are mean squared errors, over
    features and inputs, between the target's output and that of masked subcomponents, with one draw of masks
    $m = g + (1 - g)\, r$, r uniform on [0, 1], for every input, matrix and subcomponent. `stochastic` masks all matrices at
    once, `layerwise` one at a time while the others are the target's own, averaged over matrices. Masks see the
    lower-leaky and minimality the upper-leaky hard sigmoid of the gates (`models.decomposition`).

    The target's W is `target_W` (n_hidden, n_features), or several, (n_sources, n_hidden, n_features), of which `source`
    takes one; None draws random unit columns from `source`. `target_b` is its bias (None: none). `identity_layers` identity
    matrices lie between W and its transpose. `tied` takes the subcomponents of $W^\top$ from those of W.

    `stratified` draws all inputs of a batch but the last given that some feature is active; the last is the zero input, and
    counts as often as there is none, ∏ (1 - p_i). The expected loss is the same. Its gradient has a fifth of the variance at
    n = 5 and p = .05, where 77 % of inputs are zero (`data.active_inputs`). Features are independent then.

    With `final_p_norm`, p falls (or rises) linearly to it, from the share `anneal_from` of the training on.

    `adversarial_coefficient` adds a fifth term, the reconstruction error with all matrices masked, under masks that hurt:
    r starts where the stochastic masks have theirs, and `adversarial_steps` times moves by `adversarial_step_size` along
    the sign of the error's gradient, clipped to [0, 1]. Every input has an r of its own, or the batch one
    (`adversarial_masks="shared"`). Learning is by the error at the last r, which is held fixed. So do the authors' PGD
    losses (`spd/metrics/pgd_utils.py` of goodfire-ai/spd, which has both kinds of masks); the paper trains without.

    Three options are not in the paper. With `delta_component` what subcomponents leave out of a matrix,
    $\Delta^l = W^l - U^l V^l$, is one more part, which no input needs: where a matrix is masked, $m^l_\Delta \Delta^l$ is
    added, with $m^l_\Delta = r$ uniform on [0, 1] (`use_delta_component` of the authors' code, also for its adversary). So
    reconstruction itself punishes what is left out, and `faithfulness_coefficient` may be 0.
    `frequency_coefficient` = κ makes it dear to be needed often,

    $$L_\text{minimality} = \sum_{l,c} \bar g^l_c \left(1 + \kappa \log_2(1 + N \bar g^l_c)\right), \qquad
    \bar g^l_c = E\,(g^l_c(x) + 10^{-12})^p,$$

    with N = `frequency_inputs`. So do later versions of the authors' code (`spd/metrics/importance_minimality_loss.py`, where
    κ is `beta` and N the number of inputs of a batch). Without it a subcomponent that two features need costs as much as two
    that one feature needs each. With `nonnegative_start`, which is ours, the subcomponents of W begin with V ≥ 0, absolute
    values of the usual draw. What carries two opposite columns has entries of V with opposite signs, and no subcomponent
    begins with such.

    Fields annotated as numbers may be swept without recompiling.

    Bushnaq, Braun and Sharkey 2025, "Stochastic Parameter Decomposition" (arXiv:2506.20790), method and appendix: 40,000
    steps of Adam at .001 (cosine), batch 4,096, C = 20 and β = .003 with p = 1 for 5→2; C = 200 and β = 1e-4 with p = 2 for
    40→10; all other coefficients 1. The toy models there are tied, and so are the subcomponents in the authors' code. Paper
    and code differ: the code draws masks anew for the layerwise loss, while the paper's algorithm and this class use one
    draw; the algorithm leaves the other matrices of the layerwise loss at their unmasked subcomponents, while formula, code
    and this class leave them at the target's; annealing is the code's alone (later versions let p fall from 2 to .4).

    A large `faithfulness_coefficient` holds subcomponents where they are: its gradient is what Adam's steps are measured by
    then, and what tells subcomponents apart hardly moves them. On 5→2 .03 to .1 train faster and fail less often than 1,
    and with 10 nothing is recovered in the same number of steps. 40→10 needs 1: columns are given up with .03. With a delta
    component neither needs any.
    """

    SIZES: ClassVar[dict[str, str]] = Task.SIZES | {"n_subcomponents": "{} subcomponents per matrix"}
    UNSAID: ClassVar[tuple[str, ...]] = ("target_W", "target_b", "activation")
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Task.ALWAYS_SAID, "minimality_coefficient", "p_norm")
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_features", "n_hidden", "n_subcomponents", "gate")
    PAGE: ClassVar[str] = "viewer"
    NAMES: ClassVar[dict[str, str]] = {
        "stratified": "stratified batches",
        "delta_component": "delta component",
        "nonnegative_start": "V ≥ 0 at the start",
    }
    # See `new_subcomponents`. Tied toy models have the same bytes anywhere without it, and with it others than on disk.
    STARTS_CELL_BY_CELL: ClassVar[bool] = False

    n_features: int = jax.tree.static()  # shape of W
    n_hidden: int = jax.tree.static()  # shape of W
    n_subcomponents: int = jax.tree.static()  # C, of every matrix
    target_W: Any = None  # (n_hidden, n_features), (n_sources, n_hidden, n_features), or None for random columns
    target_b: Any = None  # (n_features,) or (n_sources, n_features); None: no bias
    source: Scalar = 0  # which of the targets, or the seed of a random one
    feature_probability: PerFeature = 0.05  # P(x_i != 0) = 1 - sparsity; scalar or (n_features,)
    minimality_coefficient: Scalar = 3e-3  # β
    p_norm: Scalar = 1.0
    faithfulness_coefficient: Scalar = 1.0
    stochastic_coefficient: Scalar = 1.0
    layerwise_coefficient: Scalar = 1.0
    final_p_norm: OptionalScalar = None  # None costs nothing
    anneal_from: Scalar = 0.0  # of all steps
    identity_layers: int = jax.tree.static(default=0)  # number of matrices
    tied: bool = jax.tree.static(default=True)  # which parameters exist
    gate: str = jax.tree.static(default="mlp")  # chooses code
    gate_neurons: int = jax.tree.static(default=16)  # shape of the gates
    activation: str = jax.tree.static(default="relu")  # of the target's output
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

    @classmethod
    def of_toy(cls, toy: Any, W: Any, b: Any = None, **settings: Any) -> "ParameterDecomposition":
        """The task of taking toy models apart: `of_toy(run.task, run.model.W, run.model.b, n_subcomponents=20)`.

        `W` has shape (n_hidden, n_features), or any axes of models before these, in the order that `source` counts them
        (`result["W"]`): arrays of any kind, or one model, a run, a result of one cell. `b` left out is that of the model,
        where one is given, else none. Inputs are those of `toy`.

        Raises:
            ConfigError: `toy` is no toy model's task, its inputs are of a kind that decompositions do not draw (a world,
                trees, correlations, a law of magnitudes), or shapes do not fit.
        """
        of_target = settings_of_toy(toy, W, b, [f.name for f in fields(cls)])
        return cls(**{**of_target, **settings})

    @classmethod
    def of_model(cls, model: Any, **settings: Any) -> "ParameterDecomposition":
        """The task of taking one trained model apart: a run or a result of one cell, on the inputs that it was trained on.

        A `ToyModel` alone does not say its inputs: give `feature_probability` with it.

        Raises:
            ConfigError: it is no toy model.
        """
        toy = getattr(model, "task", None)
        toy = toy() if callable(toy) else toy
        if isinstance(toy, Task):
            return cls.of_toy(toy, model, **settings)
        if not isinstance(model, ToyModel):
            raise ConfigError(f"model must be a ToyModel, a run or a result of one cell, got {check.short(model)}.")
        W, b = arrays.as_numpy("W", model.W), None if model.b is None else arrays.as_numpy("b", model.b)
        sizes = {"n_hidden": W.shape[0], "n_features": W.shape[1], "activation": model.activation}
        return cls(**{**sizes, "target_W": W, "target_b": b, **settings})

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
        check.integer("identity_layers", self.identity_layers, at_least=0, at_most=16)
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
        check_activation(self.activation)
        check.vector("feature_probability", self.feature_probability, self.n_features)
        for name in (*_NUMBERS, *_COEFFICIENTS, *_OPTIONAL):
            if name not in _OPTIONAL or getattr(self, name) is not None:
                check.scalar(name, getattr(self, name))
        self._check_target()
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

    def _check_target(self) -> None:
        check_target(self)

    def broadcast(self) -> "ParameterDecomposition":
        """The same task with every numeric field an array of its full shape; targets lead with sources."""
        p = jnp.broadcast_to(jnp.asarray(self.feature_probability, float), (self.n_features,))
        full: dict[str, Any] = {"feature_probability": p}
        if self.target_W is not None:
            full["target_W"] = jnp.reshape(jnp.asarray(self.target_W, float), (-1, *np.shape(self.target_W)[-2:]))
        if self.target_b is not None:
            full["target_b"] = jnp.reshape(jnp.asarray(self.target_b, float), (-1, self.n_features))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), replace(self, **full))

    def precompute(self) -> "ParameterDecomposition":
        """The task with its own target only, (n_hidden, n_features); needed before `loss`."""
        if self.target_W is None:
            key = jax.random.key(jnp.asarray(self.source, jnp.uint32))
            return replace(self, target_W=random_directions(key, self.n_hidden, self.n_features))
        index = jnp.asarray(self.source, jnp.int32)
        return replace(
            self, target_W=self.target_W[index], target_b=None if self.target_b is None else self.target_b[index]
        )

    @property
    def target(self) -> ToyModel:
        """The model that is taken apart; of a task that is `prepared`."""
        return ToyModel(self.target_W, self.target_b, activation=self.activation)

    @property
    def matrices(self) -> list[Float[Array, "rows columns"]]:
        """The target's matrices, in the order in which an input meets them; of a task that is `prepared`."""
        return [self.target_W, *[jnp.eye(self.n_hidden, dtype=float)] * self.identity_layers, self.target_W.T]

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
        shape = (self.identity_layers + 2, self.n_subcomponents + self.delta_component, batch_size)
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
        return (self.identity_layers + 2) * (neurons + 4 * self.n_subcomponents) * batch_size

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words: sizes, what is swept or not at its default, and what is taken apart."""
        target = settings["target_W"]
        if target is None:
            return [*super().describe(settings, swept), "random target"]
        n_models = f"{np.shape(target)[0]} toy models" if np.ndim(target) == 3 else "one toy model"
        return [*super().describe(settings, swept), f"parameters of {n_models}"]


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
