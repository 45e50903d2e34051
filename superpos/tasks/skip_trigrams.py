"""Skip trigrams whose answer depends on source and destination together, for fewer attention heads than they need."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.arrays import Scalar
from superpos.data.skip_trigrams import SkipTrigram, skip_trigram
from superpos.models.transformer import Transformer
from superpos.tasks.base import Metrics, Task
from superpos.tasks.induction import next_token_losses
from superpos.tasks.registry import register


@register("skip_trigrams")
@dataclass(frozen=True, kw_only=True)
class SkipTrigrams(Task):
    r"""Say what follows "… A … B": the answer to the source A, which stands anywhere, before the destination B at the end.

    $$L = -\frac{1}{|\text{batch}|} \sum \log \mathrm{softmax}(\text{logits at } B)_C, \qquad
      C = (A + B \bmod G) \bmod S,$$

    in nats, with sources A = 0 … S − 1, destinations B = 0 … D − 1 and G = `n_groups`. There are S · D skip trigrams
    A … B → C. With one group the answer depends on the source alone, and a head that attends to it serves them all. With
    more, the same source has another answer for the destinations of every group (OV-incoherent skip trigrams): what a head
    moves from a source does not depend on B, only how strongly it attends does. A head for every group serves them all.
    The destination alone says nothing of the answer: without attention the least loss is log S. With it the least is 0.

    The model is a `Transformer` of one layer without MLP. Every head has `d_head` dimensions, however many there are. The
    other positions hold one of `n_fillers` tokens that say nothing. Initial weights are normal, of standard deviation
    `init_scale` / √d_model, of W_U `init_scale` / √d_vocab. The history has `accuracy`.

    Fields that may be swept without recompiling: `n_groups` and `init_scale`.

    Jermyn, Olah and Henighan 2023, "Attention Head Superposition" (Circuits Updates, May 2023). There one source is asked
    for, which may be absent; here there are several, one of which is always there.
    """

    SIZES: ClassVar[dict[str, str]] = {
        "n_sources": "{} sources", "n_destinations": "{} destinations", "length": "{} tokens before", "n_heads": "{} heads",
        "d_head": "d_head {}", "d_model": "d_model {}",
    }  # fmt: skip
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_sources", "n_destinations", "n_groups", "n_heads", "d_head", "d_model")

    n_sources: int = jax.tree.static(default=8)  # shape of W_E
    n_destinations: int = jax.tree.static(default=8)  # shape of W_E
    n_fillers: int = jax.tree.static(default=4)  # shape of W_E
    length: int = jax.tree.static(default=5)  # shape of the data
    n_heads: int = jax.tree.static(default=2)  # shape of W_Q
    d_head: int = jax.tree.static(default=8)  # shape of W_Q
    d_model: int = jax.tree.static(default=32)  # shape of W_E
    n_groups: Scalar = 8
    init_scale: Scalar = 1.0

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        check.integer("n_sources", self.n_sources, at_least=2, at_most=4_096)
        for name in ("n_destinations", "n_fillers"):
            check.integer(name, getattr(self, name), at_least=1, at_most=4_096)
        check.integer("length", self.length, at_least=1, at_most=4_096)
        for name in ("n_heads", "d_head", "d_model"):
            check.integer(name, getattr(self, name), at_least=1, at_most=65_536)
        check.scalar("n_groups", self.n_groups)
        check.scalar("init_scale", self.init_scale)
        self.check_values()

    def check_values(self) -> None:
        """The part of `check` that looks at numeric values; leaves may have a leading axis of cells."""
        check.whole_numbers("n_groups", self.n_groups)
        check.in_range("n_groups", self.n_groups, at_least=1, at_most=min(self.n_sources, self.n_destinations))
        check.in_range("init_scale", self.init_scale, at_least=0, at_most=100)

    @property
    def d_vocab(self) -> int:
        """How many different tokens there are; sources are answers, too."""
        return self.n_sources + self.n_destinations + self.n_fillers

    def init(self, key: PRNGKeyArray) -> Transformer:
        """A new model."""
        sizes = {name: getattr(self, name) for name in ("n_heads", "d_head", "d_model", "d_vocab")}
        return Transformer.random(key, **sizes, n_layers=1, n_positions=self.length + 1, scale=self.init_scale)

    def sample(self, key: PRNGKeyArray, n_sequences: int) -> SkipTrigram:
        """Sequences with their answers; all fields get a leading axis."""
        shares = jax.random.uniform(key, (n_sequences, self.length + 3))
        sizes = {name: getattr(self, name) for name in ("n_sources", "n_destinations", "n_fillers", "n_groups")}
        return jax.vmap(partial(skip_trigram, **sizes))(shares)

    def loss(self, model: Transformer, key: PRNGKeyArray, batch_size: int) -> tuple[Float[Array, ""], Metrics]:
        """Mean loss of a batch, and how often the answer is the likeliest token."""
        data = self.sample(key, batch_size)
        logits = jax.vmap(lambda t: model(t, last_only=True))(data.tokens)
        loss = jnp.mean(next_token_losses(logits, data.answer))
        right = jnp.argmax(jax.lax.stop_gradient(logits), -1) == data.answer
        return loss, {"accuracy": jnp.mean(right.astype(loss.dtype))}

    def expected_loss(self, model: Transformer) -> None:
        """None: fresh sequences must estimate it."""
        return None

    def broadcast(self) -> "SkipTrigrams":
        """The same task with every numeric field a float array."""
        return replace(self, n_groups=jnp.asarray(self.n_groups, float), init_scale=jnp.asarray(self.init_scale, float))

    def training_defaults(self) -> dict[str, Any]:
        """2,000 steps of Adam with its usual memories, at a learning rate of 0.003."""
        return {"steps": 2_000, "learning_rate": 3e-3, "beta1": 0.9, "beta2": 0.999}

    def elements_per_step(self, batch_size: int) -> int:
        """Residual streams, attention patterns and logits of a batch."""
        n_positions = self.length + 1
        per_token = 3 * self.d_model + self.n_heads * (4 * self.d_head + n_positions)
        return (per_token * n_positions + self.d_vocab) * batch_size
