"""Learn arithmetic modulo p by one hidden layer, from a part of its table."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.models.pair_mlp import NEURONS, PairMLP
from superpos.tasks.modular_table import ModularTable
from superpos.tasks.registry import register


@register("modular_mlp")
@dataclass(frozen=True, kw_only=True)
class ModularMLP(ModularTable):
    r"""Answer a ∘ b modulo p by a hidden layer of two one-hot inputs, full batch: $z_c = \sum_k W_{ck} f(A_{ka} + B_{kb})$.

    The loss, and which pairs train, are those of `ModularAddition`. (Gromov has the squared error instead.) f is
    `hidden_activation`, "square", "relu" or "gelu". Initial weights of A and B are normal with standard deviation
    `init_scale` / √2, so that a neuron's input has `init_scale`; those of W_out with `init_scale` / √n_hidden.

    `theory.fourier_mlp` writes weights that solve it with the square.

    Gromov 2023, "Grokking modular arithmetic", section 2; Nanda 2023, open problem 3.3.
    """

    SIZES: ClassVar[dict[str, str]] = {"p": "modulo {}", "n_hidden": "{} neurons"}

    n_hidden: int = jax.tree.static(default=128)  # shape of A
    hidden_activation: str = jax.tree.static(default="square")  # chooses code

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        super().check()
        check.integer("n_hidden", self.n_hidden, at_least=1, at_most=2**14)
        check.one_of("hidden_activation", self.hidden_activation, tuple(NEURONS))

    def init(self, key: PRNGKeyArray) -> PairMLP:
        """A new model."""
        shapes = {"A": (self.n_hidden, self.p), "B": (self.n_hidden, self.p), "W_out": (self.p, self.n_hidden)}
        scales = {"A": 0.5**0.5, "B": 0.5**0.5, "W_out": self.n_hidden**-0.5}
        keys = dict(zip(shapes, jax.random.split(key, 3), strict=True))
        weights = {
            name: self.init_scale * scales[name] * jax.random.normal(keys[name], shape)
            for name, shape in shapes.items()
        }
        return PairMLP(**weights, hidden_activation=self.hidden_activation)

    def _inputs(self, model: PairMLP) -> Float[Array, "pairs neuron"]:
        by_pair = model.A[...].T[:, None] + model.B[...].T[None]
        return by_pair.reshape(self.p**2, self.n_hidden)

    def _neurons(self, model: PairMLP, x: Float[Array, "pairs neuron"]) -> Float[Array, "pairs neuron"]:
        return model.neurons(x)

    def _answers(self, model: PairMLP, x: Float[Array, "pairs neuron"]) -> Float[Array, "pairs p"]:
        return model.answers(model.neurons(x))

    def training_defaults(self) -> dict[str, Any]:
        """Two thousand steps of Adam with memories of .9 and .98 and a strong weight decay."""
        return {"steps": 2_000, "learning_rate": 5e-3, "beta1": 0.9, "beta2": 0.98, "weight_decay": 1.0}

    def elements_per_step(self, batch_size: int) -> int:
        """All pairs at the neurons and at the answers."""
        return self.p**2 * (self.n_hidden + self.p)
