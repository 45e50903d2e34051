"""Fit a line to the examples in a sequence, by layers of self-attention."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import OptionalScalar, Scalar
from superpos.data.linear_functions import RegressionSequences, n_normals, regression_sequences
from superpos.models.vector_transformer import ATTENTION, VectorTransformer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.registry import register
from superpos.theory.in_context_regression import linear_attention_loss


@register("in_context_regression")
@dataclass(frozen=True, kw_only=True)
class InContextRegression(Task):
    r"""Say $w \cdot x_q$ after N examples $(x_i, y_i)$ of a linear function that is another one in every sequence.

    $$L = E\,(\hat y - w \cdot x_q)^2, \qquad y_i = w \cdot x_i + \sigma \varepsilon_i, \qquad
      w \sim N(0, \omega^2 I), \quad x_i, x_q \sim N(0, s^2 I), \quad \varepsilon_i \sim N(0, 1).$$

    The tokens are $(x_i, y_i)$ and the query $(x_q, 0)$, and the model is a `VectorTransformer` of `n_layers` layers of
    `n_heads` heads. A model that says 0 has the loss d ω² s², d = `n_dims`. The target has no noise, so least squares has the
    loss 0 where N ≥ d and σ = 0. One layer of linear attention is at best one step of gradient descent
    (`theory.one_step`), and its loss is known exactly (`theory.linear_attention_loss`).

    Initial weights are normal, of standard deviation `init_scale` / (d + 1).

    Fields that may be swept without recompiling: N = `n_examples`, up to the static `most_examples`; σ = `noise`;
    ω = `weight_scale`; s = `input_scale`; and `init_scale`.

    Garg et al. 2022, "What Can Transformers Learn In-Context?"; von Oswald et al. 2022, "Transformers learn in-context by
    gradient descent", section 2.
    """

    SIZES: ClassVar[dict[str, str]] = {
        "n_dims": "inputs of {} dimensions", "n_layers": "{} layers", "n_heads": "{} heads",
    }  # fmt: skip
    UNSAID: ClassVar[tuple[str, ...]] = ("most_examples",)
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = ("n_examples", "attention")
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_dims", "n_examples", "n_layers", "n_heads", "attention")

    n_dims: int = jax.tree.static(default=5)  # shape of P
    most_examples: int = jax.tree.static(default=20)  # shape of the data
    n_layers: int = jax.tree.static(default=1)  # shape of P
    n_heads: int = jax.tree.static(default=1)  # shape of P
    attention: str = jax.tree.static(default="linear")  # chooses code
    n_examples: OptionalScalar = None  # N; None is most_examples
    noise: Scalar = 0.0
    weight_scale: Scalar = 1.0
    input_scale: Scalar = 1.0
    init_scale: Scalar = 1.0

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name, most in {"n_dims": 1_024, "most_examples": 4_096, "n_layers": 64, "n_heads": 1_024}.items():
            check.integer(name, getattr(self, name), at_least=1, at_most=most)
        check.one_of("attention", self.attention, ATTENTION)
        for name in ("noise", "weight_scale", "input_scale", "init_scale"):
            check.scalar(name, getattr(self, name))
        if self.n_examples is not None:
            check.scalar("n_examples", self.n_examples)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        if self.n_examples is not None:
            check.in_range("n_examples", self.n_examples, at_least=1, at_most=self.most_examples)
            check.whole_numbers("n_examples", self.n_examples)
        check.in_range("noise", self.noise, at_least=0, at_most=100)
        for name in ("weight_scale", "input_scale"):
            check.in_range(name, getattr(self, name), above=0, at_most=100)
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    @property
    def _length(self) -> Any:
        return self.most_examples if self.n_examples is None else self.n_examples

    def init(self, key: PRNGKeyArray) -> VectorTransformer:
        """A new model."""
        n = self.n_dims + 1
        drawn = jax.random.normal(key, (2, self.n_layers, self.n_heads, n, n), float)
        P, Q = self.init_scale / n * drawn
        return VectorTransformer(P, Q, attention=self.attention)

    def sample(self, key: PRNGKeyArray, n_sequences: int) -> RegressionSequences:
        """Fresh sequences; all fields get a last axis of so many."""
        normals = jax.random.normal(key, (n_normals(self.n_dims, self.most_examples), n_sequences), float)
        values = {name: getattr(self, name) for name in ("noise", "weight_scale", "input_scale")}
        return regression_sequences(normals, self.n_dims, self._length, **values)

    def loss(self, model: VectorTransformer, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Mean squared error on fresh sequences."""
        data = self.sample(key, batch_size)
        return jnp.mean((model(data.tokens, data.present) - data.target) ** 2), {}

    def expected_loss(self, model: VectorTransformer) -> Float[Array, ""] | None:
        """The exact loss of one layer of linear attention; None elsewhere, where fresh sequences must estimate it."""
        if self.n_layers > 1 or self.attention != "linear":
            return None
        scales = {name: getattr(self, name) for name in ("noise", "weight_scale", "input_scale")}
        return linear_attention_loss(model.P[0], model.Q[0], self._length, **scales)

    def broadcast(self) -> "InContextRegression":
        """The same task with every numeric field a float array."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), replace(self, n_examples=self._length))

    def training_defaults(self) -> dict[str, Any]:
        """2,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 2_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def elements_per_step(self, batch_size: int) -> int:
        """The tokens of a batch, and of every layer the matrix that multiplies them, or its attention pattern."""
        n_coordinates, n_tokens = self.n_dims + 1, self.most_examples + 1
        if self.attention == "linear":
            return (n_coordinates * n_tokens + 4 * self.n_layers * n_coordinates**2) * batch_size
        reading = 1 + (self.n_layers - 1) * n_tokens
        return (n_coordinates * n_tokens + (n_coordinates + 2 * self.n_heads * n_tokens) * reading) * batch_size
