"""The toy model trained on attacked inputs."""

from dataclasses import dataclass, fields
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import Scalar
from superpos.errors import ConfigError
from superpos.models.toy import ToyModel
from superpos.tasks import one_layer
from superpos.tasks.base import Metrics
from superpos.tasks.objectives import penalised
from superpos.tasks.registry import register
from superpos.tasks.toy import Toy
from superpos.theory.attacks import analytic_attack


@register("adversarial_toy")
@dataclass(frozen=True, kw_only=True)
class AdversarialToy(Toy):
    r"""The toy model of superposition, trained on the most harmful small change of every input.

    What is minimised is the loss of `Toy` at attacked inputs, against the inputs before the attack,

    $$\frac1n \sum_i I_i \, E\,|x_i - x'_i(x + \delta)|^q, \qquad \|\delta\| = \text{attack\_norm} \cdot E\,\|x\|,$$

    with $\delta$ the analytic attack (`superpos.theory.attacks`) on the model as it is, found anew for every example at every
    step, through which no gradient flows. The mean input norm is that of the batch. `attack_norm` = 0 is `Toy`. The
    reported loss is that of inputs nobody attacked, which shows what robustness costs. A step costs 2n evaluations of the
    output layer, n² × batch numbers.

    Fields that may be swept without recompiling: those of `Toy`, and `attack_norm`. The loss is sampled: `objective`
    must be "sampled".

    Elhage et al. 2022, "Superposition and Adversarial Robustness".
    """

    NAMES: ClassVar[dict[str, str]] = Toy.NAMES | {"attack_norm": "attack norm relative to the inputs'"}
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = (*Toy.ALWAYS_SAID, "attack_norm")

    attack_norm: Scalar = 0.1  # relative to the mean input norm

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.scalar("attack_norm", self.attack_norm)
        if self.objective != "sampled":
            raise ConfigError(f'objective must be "sampled" for attacked inputs, got {self.objective!r}.')
        super().check()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        super().check_values()
        check.in_range("attack_norm", self.attack_norm, at_least=0, at_most=100)

    def loss(self, model: ToyModel, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """The loss of a fresh batch under attack, with the penalty of `hidden_l1`."""
        x = self.features.sample(key, batch_size)
        norm = self.attack_norm * jnp.mean(jnp.linalg.norm(x, axis=0))
        attack = analytic_attack(jax.lax.stop_gradient(model), x, norm, self._of_examples)
        hidden = model.encode(x + jax.lax.stop_gradient(attack))
        return penalised(self, one_layer.weighted_error(self, model.activate(hidden) - x), hidden), {}

    def evaluation_task(self) -> Toy:
        """The task whose loss is reported after training: the same without attack or penalty."""
        return Toy(**{f.name: getattr(self, f.name) for f in fields(Toy)}).evaluation_task()

    def elements_per_step(self, batch_size: int) -> int:
        """The batch of outputs, once for every feature that might be attacked."""
        return self.n_features**2 * batch_size

    def _of_examples(
        self, outputs: Float[Array, "n_features batch"], x: Float[Array, "n_features batch"]
    ) -> Float[Array, " batch"]:
        return jnp.mean(
            jnp.asarray(self.importance)[:, None] * one_layer.power(outputs - x, self.loss_exponent), axis=0
        )
