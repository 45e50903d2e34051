"""What all decompositions of weights have in common: gates, masks, losses, schedules. Which target, each says."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from superpos import arrays, check
from superpos.arrays import OptionalScalar, Scalar
from superpos.data import MAX_FEATURES
from superpos.errors import ConfigError
from superpos.models.decomposition import GATES
from superpos.tasks.base import Metrics, Task
from superpos.tasks.decomposition_terms import Terms

# Whose r the adversary chooses: one of its own for every input, or one for the whole batch.
ADVERSARIAL_MASKS = ("per_input", "shared")
# Random numbers of the masks, beside those of the inputs, which the step's key itself draws.
MASK_TAG = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class DecompositionTask(Task):
    """Stochastic parameter decomposition of a network: coefficients, gates, masks and schedules of any.

    `ParameterDecomposition` documents losses and options. A class of decompositions says how inputs are drawn (`loss`) and
    what the losses are of its targets.
    """

    SIZES: ClassVar[dict[str, str]] = Task.SIZES | {"n_subcomponents": "{} subcomponents per matrix"}
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Task.ALWAYS_SAID, "minimality_coefficient", "p_norm")
    NAMES: ClassVar[dict[str, str]] = {"delta_component": "delta component"}

    n_subcomponents: int = jax.tree.static()  # C, of every matrix
    source: Scalar = 0  # which of the targets
    minimality_coefficient: Scalar = 3e-3  # β
    p_norm: Scalar = 1.0
    faithfulness_coefficient: Scalar = 1.0
    stochastic_coefficient: Scalar = 1.0
    layerwise_coefficient: Scalar = 1.0
    final_p_norm: OptionalScalar = None  # None costs nothing
    anneal_from: Scalar = 0.0  # of all steps
    gate: str = jax.tree.static(default="mlp")  # chooses code
    gate_neurons: int = jax.tree.static(default=16)  # shape of the gates
    adversarial_coefficient: OptionalScalar = None  # None costs nothing
    adversarial_step_size: Scalar = 1.0  # how far one step moves r
    adversarial_steps: int = jax.tree.static(default=1)  # length of a loop
    adversarial_masks: str = jax.tree.static(default="per_input")  # shape of r
    delta_component: bool = jax.tree.static(default=False)  # shape of r
    frequency_coefficient: OptionalScalar = None  # None costs nothing
    frequency_inputs: Scalar = 4_096.0  # N

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_subcomponents", self.n_subcomponents, at_least=1, at_most=MAX_FEATURES)
        check.integer("gate_neurons", self.gate_neurons, at_least=1, at_most=4_096)
        check.one_of("gate", self.gate, GATES)
        check.boolean("delta_component", self.delta_component)
        check.integer("adversarial_steps", self.adversarial_steps, at_least=0, at_most=1_000)
        check.one_of("adversarial_masks", self.adversarial_masks, ADVERSARIAL_MASKS)
        for name in (*_NUMBERS, *_COEFFICIENTS, *_OPTIONAL):
            if name not in _OPTIONAL or getattr(self, name) is not None:
                check.scalar(name, getattr(self, name))
        self.check_target()
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
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
        n_sources = self.n_sources
        if n_sources is not None and (most := float(np.max(np.asarray(self.source)))) >= n_sources:
            raise ConfigError(f"source must be below {n_sources}, the number of targets, got {most:g}.")

    @abstractmethod
    def check_target(self) -> None:
        """Raise `ConfigError` unless the target's weights are finite and of the shapes that the task says."""

    @property
    @abstractmethod
    def n_sources(self) -> int | None:
        """How many targets `source` chooses from; None for any number, which are drawn."""

    def weighted(self, terms: Terms, adversarial: Callable[[], Array]) -> tuple[Float[Array, ""], Metrics]:
        """The sum of the losses times their coefficients, and each by name; the `adversarial` one only where it counts."""
        loss = jnp.asarray(
            self.faithfulness_coefficient * terms.faithfulness
            + self.stochastic_coefficient * terms.stochastic
            + self.layerwise_coefficient * terms.layerwise
            + self.minimality_coefficient * terms.minimality
        )
        if self.adversarial_coefficient is None:
            return loss, terms._asdict()
        error = adversarial()
        return loss + self.adversarial_coefficient * error, terms._asdict() | {"adversarial": error}

    def attacked_from(self, r: Float[Array, "matrix masks batch"]) -> Float[Array, "matrix masks batch_or_1"]:
        """Where the adversary starts: at r, or at that of one input for all of them."""
        return r[..., :1] if self.adversarial_masks == "shared" else r

    def after_step(
        self, model: Any, new_model: Any, optimizer: Any, seen: Any, key: Any, step: Any, steps: Any
    ) -> tuple[Any, Any]:
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
        return unread


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
