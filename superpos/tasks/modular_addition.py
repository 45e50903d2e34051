"""Learn arithmetic modulo p from a part of its table."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from superpos import check
from superpos.errors import ConfigError
from superpos.models.activations import ACTIVATIONS
from superpos.models.toy import FULL_PRECISION
from superpos.models.transformer import Transformer
from superpos.tasks.modular_table import ModularTable
from superpos.tasks.registry import register

HIDDEN_ACTIVATIONS = ("relu", "gelu")


@register("modular_addition")
@dataclass(frozen=True, kw_only=True)
class ModularAddition(ModularTable):
    r"""Answer "a b =" with a ∘ b modulo p, by one layer of a transformer, full batch.

    Tokens 0 … p − 1 are numbers, p is "="; the logits z of the p numbers after "=" are the answer, and the loss is the mean
    over the training pairs of $-\log\mathrm{softmax}(z)_c$, c the right answer. It is computed as
    $\mathrm{softplus}\,\log\sum_{j \ne c} e^{z_j - z_c}$: the plain difference $\log\sum_j e^{z_j} - z_c$ in single precision
    is 0, and so is its gradient, once the margin passes 17, which memorisation reaches long before circuits form. Prieto
    et al. 2025, "Grokking at the Edge of Numerical Stability", call it softmax collapse; `docs/guide/transformers.md` has
    trainings with both.

    A permutation of all p² pairs is drawn from `data_seed` (or given as `order`, of numbers a·p + b); the first
    `train_fraction` · p² of them train, the others test. `loss` after training is the test loss; the history has the
    training `accuracy`, `test_loss` and `test_accuracy`. `TrainConfig.batch_size` has no meaning.

    `train_fraction`, `data_seed`, `order` and `init_scale` may be swept without recompiling. So that one program serves
    all fractions, gradients go through the first `gradient_pairs` pairs (default: all), of which those that do not train
    count 0; a number just large enough saves time. So does a number of `test_pairs`: the first of those that give no
    gradient, a random sample, which are looked at in every step (default: all). After training all are looked at.

    Initial weights are normal with standard deviation `init_scale` / √d_model (√(p + 1) for W_U), biases 0. There is no
    layer norm. Defaults are the published ones; `hidden_activation` is that of the neurons.

    Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability", section 3; Power et al. 2022.
    """

    SIZES: ClassVar[dict[str, str]] = {
        "p": "modulo {}", "n_heads": "{} heads", "d_model": "d_model {}", "d_mlp": "d_mlp {}"
    }  # fmt: skip
    PAGE: ClassVar[str] = "modular"
    ALWAYS_SAID: ClassVar[tuple[str, ...]] = ()

    d_model: int = jax.tree.static(default=128)  # shape of W_E
    n_heads: int = jax.tree.static(default=4)  # shape of W_Q
    d_mlp: int = jax.tree.static(default=512)  # shape of W_in
    hidden_activation: str = jax.tree.static(default="relu")  # chooses code

    def check(self) -> None:
        """Raise `ConfigError`, naming the field, for settings that are not allowed."""
        super().check()
        for name in ("d_model", "n_heads", "d_mlp"):
            check.integer(name, getattr(self, name), at_least=1, at_most=2**14)
        if self.d_model % self.n_heads:
            raise ConfigError(f"d_model must be a multiple of n_heads = {self.n_heads}, got {self.d_model}.")
        check.one_of("hidden_activation", self.hidden_activation, HIDDEN_ACTIVATIONS)

    def init(self, key: PRNGKeyArray) -> Transformer:
        """A new model."""
        sizes: dict[str, Any] = {
            "d_vocab": self.p + 1,
            "d_model": self.d_model,
            "n_heads": self.n_heads,
            "d_mlp": self.d_mlp,
        }
        how = {"scale": self.init_scale, "activation": self.hidden_activation}
        return Transformer.random(key, n_positions=3, n_layers=1, bias=True, **how, **sizes)

    def _answers(self, model: Transformer, x: Float[Array, "pairs d_model"]) -> Float[Array, "pairs p"]:
        post = self._neurons(model, x)
        x = x + jnp.dot(post, model.W_out[0], precision=FULL_PRECISION) + model.b_out[0][None]
        return jnp.dot(x, model.W_U[...][:, : self.p], precision=FULL_PRECISION)

    def _neurons(self, model: Transformer, x: Float[Array, "pairs d_model"]) -> Float[Array, "pairs d_mlp"]:
        pre: Array = jnp.dot(x, model.W_in[0], precision=FULL_PRECISION) + model.b_in[0][None]
        return ACTIVATIONS[self.hidden_activation](pre)

    def _inputs(self, model: Transformer) -> Float[Array, "pairs d_model"]:
        # One query alone matters, and the only keys and values are those of p tokens at two places and of "=": they are
        # computed once, and pairs come from broadcasting them.
        W_E, W_pos, product = model.W_E[...], model.W_pos[...], partial(jnp.einsum, precision=FULL_PRECISION)
        first, second, equals = W_E[: self.p] + W_pos[:1], W_E[: self.p] + W_pos[1:2], W_E[self.p] + W_pos[2]
        query = product("d,hde->he", equals, model.W_Q[0]) / (self.d_model // self.n_heads) ** 0.5
        key = product("he,hde->hd", query, model.W_K[0])
        through = product("hde,hef->hdf", model.W_V[0], model.W_O[0])
        at_a, at_b, at_equals = (product("td,hd->ht", x, key) for x in (first, second, equals[None]))
        grid = (self.n_heads, self.p, self.p)
        scores = [jnp.broadcast_to(s, grid) for s in (at_a[:, :, None], at_b[:, None], at_equals[:, :, None])]
        to_a, to_b, to_equals = jax.nn.softmax(jnp.stack(scores), axis=0)
        from_a, from_b = (product("td,hdf->htf", x, through) for x in (first, second))
        x = equals[None, None] + product("hab,hf->abf", to_equals, product("d,hdf->hf", equals, through))
        x = x + product("hab,haf->abf", to_a, from_a) + product("hab,hbf->abf", to_b, from_b)
        return x.reshape(self.p**2, self.d_model)

    def training_defaults(self) -> dict[str, Any]:
        """25,000 steps of Adam with memories of .9 and .98, at a learning rate of 0.001."""
        return {"steps": 25_000, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.98}

    def elements_per_step(self, batch_size: int) -> int:
        """All pairs at the neurons."""
        return self.p**2 * (self.d_mlp + self.p + self.n_heads * self.d_model)
