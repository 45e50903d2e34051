"""Repeated random tokens: the task that induction heads solve."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import Scalar
from superpos.data.sequences import Repeats, repeated_tokens
from superpos.errors import ConfigError
from superpos.models.transformer import POSITIONS, Transformer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.registry import register


@register("repeated_tokens")
@dataclass(frozen=True, kw_only=True)
class RepeatedTokens(Task):
    r"""Predict the next token of a random segment that has been seen before.

    $$L = -\frac{1}{|P|} \sum_{i \in P} \log \mathrm{softmax}(\text{logits}_i)_{t_{i+1}},$$

    in nats, the mean over the positions P of a batch at which the next token can be known: the repeat has begun. Every
    sequence has a segment length of its own, uniform from `shortest_period` to `longest_period` (both included), and `gap`
    unrelated tokens between its copies. With both ends equal the distance is fixed, and one layer copies from that distance
    without looking at a token: a trap, worth setting on purpose. A model that knows only the distribution of lengths, and
    no token, spreads its guess over (longest − shortest + 1) distances.

    The model is a `Transformer` without MLP by default, whose positions enter queries and keys alone. Initial weights are
    normal, of standard deviation `init_scale` / √d_model, of W_U `init_scale` / √d_vocab.

    Fields that may be swept without recompiling: `shortest_period`, `longest_period`, `gap` and `init_scale`.

    Olsson et al. 2022, "In-context Learning and Induction Heads".
    """

    SIZES: ClassVar[dict[str, str]] = {
        "d_vocab": "{} tokens", "n_positions": "{} positions", "n_layers": "{} layers", "n_heads": "{} heads",
        "d_model": "d_model {}", "shortest_period": "periods {:g}", "longest_period": "to {:g}",
    }  # fmt: skip
    PAGE: ClassVar[str] = "induction"

    d_vocab: int = jax.tree.static(default=64)  # shape of W_E
    n_positions: int = jax.tree.static(default=64)  # shape of the data
    n_layers: int = jax.tree.static(default=2)  # shape of W_Q
    n_heads: int = jax.tree.static(default=4)  # shape of W_Q
    d_model: int = jax.tree.static(default=64)  # shape of W_E
    d_mlp: int = jax.tree.static(default=0)  # which parameters exist
    shortest_period: Scalar = 16
    longest_period: Scalar = 32
    gap: Scalar = 0  # unrelated tokens between two copies
    init_scale: Scalar = 1.0
    positions: str = jax.tree.static(default="queries_keys")  # chooses code

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        for name in ("d_vocab", "n_positions", "n_layers", "n_heads", "d_model"):
            check.integer(
                name, getattr(self, name), at_least=2 if name in ("d_vocab", "n_positions") else 1, at_most=65_536
            )
        check.integer("d_mlp", self.d_mlp, at_most=65_536)
        if self.d_model % self.n_heads:
            raise ConfigError(f"d_model must be a multiple of n_heads = {self.n_heads}, got {self.d_model}.")
        for name in ("shortest_period", "longest_period", "gap", "init_scale"):
            check.scalar(name, getattr(self, name))
        check.one_of("positions", self.positions, POSITIONS)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        for name, least in (("shortest_period", 2), ("longest_period", 2), ("gap", 0)):
            values = check.finite_array(name, getattr(self, name))
            check.in_range(name, getattr(self, name), at_least=least, at_most=self.n_positions - 2)
            if values is not None and (values % 1 != 0).any():
                raise ConfigError(f"{name} must be a whole number of tokens, got {values[values % 1 != 0].flat[0]:g}.")
        shortest, longest, gap = (
            check.finite_array(n, getattr(self, n)) for n in ("shortest_period", "longest_period", "gap")
        )
        if shortest is not None and longest is not None and gap is not None:  # none of them is traced
            if np.any(shortest > longest):
                raise ConfigError("shortest_period must be at most longest_period.")
            if np.any(longest + gap > self.n_positions - 2):
                raise ConfigError(f"longest_period + gap must be at most n_positions - 2 = {self.n_positions - 2}.")
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    def broadcast(self) -> "RepeatedTokens":
        """The same task with every numeric field a float array."""
        names = ("shortest_period", "longest_period", "gap", "init_scale")
        return replace(self, **{name: jnp.asarray(getattr(self, name), float) for name in names})

    def init(self, key: PRNGKeyArray) -> Transformer:
        """A new model."""
        sizes = {n: getattr(self, n) for n in ("d_vocab", "n_positions", "n_layers", "n_heads", "d_model", "d_mlp")}
        return Transformer.random(key, **sizes, bias=self.d_mlp > 0, scale=self.init_scale, positions=self.positions)

    def sample(self, key: PRNGKeyArray, n_sequences: int) -> Repeats:
        """Sequences, each with its own period; all fields get a leading axis."""
        draw = partial(
            repeated_tokens,
            d_vocab=self.d_vocab,
            n_positions=self.n_positions,
            shortest=self.shortest_period,
            longest=self.longest_period,
            gap=self.gap,
        )
        return jax.vmap(draw)(jax.random.split(key, n_sequences))

    def loss(self, model: Transformer, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Mean loss where the next token can be known, in nats, and how often the likeliest token is the right one."""
        data = self.sample(key, batch_size)
        loss, accuracy = repeat_loss(jax.vmap(model)(data.tokens), data)
        return loss, {"accuracy": accuracy}

    def expected_loss(self, model: Transformer) -> None:
        """None: held-out sequences must estimate it."""
        return None

    def training_defaults(self) -> dict[str, Any]:
        """2,500 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 2_500, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def elements_per_step(self, batch_size: int) -> int:
        """Residual streams, attention patterns and logits of a batch."""
        per_token = (1 + self.n_layers) * 6 * self.d_model + self.n_layers * (
            self.n_heads * self.n_positions + self.d_mlp
        )
        return (per_token + self.d_vocab) * self.n_positions * batch_size


def next_token_losses(logits: Float[Array, "*batch d_vocab"], target: Any) -> Float[Array, "*batch"]:
    """−log of the probability of every target, in nats."""
    chosen = jnp.sum(logits * jax.nn.one_hot(target, logits.shape[-1], dtype=logits.dtype), -1)
    return jax.nn.logsumexp(logits, -1) - chosen


def repeat_loss(
    logits: Float[Array, "batch n_positions d_vocab"], data: Repeats
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean loss over the scored positions of a batch, in nats, and the share of them whose likeliest token is right."""
    logits, target = logits[:, :-1], data.tokens[:, 1:]
    scored = data.scored[:, :-1].astype(logits.dtype)
    n_scored = jnp.maximum(jnp.sum(scored), 1)
    right = (jnp.argmax(logits, -1) == target).astype(logits.dtype)
    accuracy = jnp.sum(jax.lax.stop_gradient(right) * scored) / n_scored
    return jnp.sum(next_token_losses(logits, target) * scored) / n_scored, accuracy
