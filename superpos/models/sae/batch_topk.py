"""BatchTopK autoencoders: so many latents for each input on average."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from superpos.models.sae.base import Architecture, PreActivations, TrainingLatents
from superpos.models.sae.registry import register_architecture
from superpos.models.sae.sparse_activations import batch_top_k

# Weight of one step in the running mean of the smallest value kept by a batch's top k.
THRESHOLD_RATE = 0.01


@register_architecture("batch_topk")
class BatchTopK(Architecture):
    r"""In training the k × batch largest of $\mathrm{ReLU}(a)$ of a batch; no penalty.

    Afterwards $z = \mathrm{ReLU}(a)$ where it exceeds `threshold`, the running mean of the smallest value that was kept.
    Bussmann et al. 2024, "BatchTopK Sparse Autoencoders".
    """

    label = "BatchTopK"
    color = "red"
    sparsity_field = "k"
    own_scale = False

    def statistics(self, k: Any) -> dict[str, Any]:
        """The threshold."""
        return {"threshold": 0.0}

    def latents(self, model: Any, pre: PreActivations) -> Float[Array, "n_latents batch"]:
        """ReLU(a) above the threshold."""
        return jnp.where(pre.a > model.threshold[...], pre.positive, 0.0)

    def training_latents(self, model: Any, pre: PreActivations, task: Any) -> TrainingLatents:
        """The k × batch largest, and the smallest of them."""
        z, smallest = batch_top_k(pre.positive, task.k)
        return TrainingLatents(z, None, smallest)

    def after_step(self, before: Any, model: Any, seen: Float[Array, ""], step: Any) -> None:
        """Move the threshold's running mean, at first a plain one, towards the smallest value that was kept."""
        old = before.threshold[...]
        rate = jnp.maximum(THRESHOLD_RATE, 1 / (step + 1.0))
        model.threshold[...] = old + rate * (jax.lax.stop_gradient(seen) - old)

    def rescale(self, model: Any, lengths: Float[Array, " n_latents"], exists: Bool[Array, " n_latents"]) -> None:
        """The threshold grows as latents do."""
        super().rescale(model, lengths, exists)
        model.threshold[...] = model.threshold[...] * jnp.max(jnp.where(exists, lengths, 0.0), initial=0.0)
