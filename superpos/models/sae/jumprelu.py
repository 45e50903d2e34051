"""JumpReLU autoencoders: a threshold for every latent is learned."""

from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.models.sae.base import Architecture, LatentParameter, PreActivations, TrainingLatents
from superpos.models.sae.registry import register_architecture
from superpos.models.sae.sparse_activations import above, jump_relu


@register_architecture("jumprelu")
class JumpReLU(Architecture):
    r"""$z = a\,H(a - \theta)$ with $\theta = e^{\mathrm{log\_threshold}}$, and $S = \sum_j H(a_j - \theta_j)$, the number of
    active latents; θ learns through a rectangle of width `bandwidth`.

    Rajamanoharan et al. 2024, "Jumping Ahead: Improving Reconstruction Fidelity with JumpReLU Sparse Autoencoders" (there
    without $b_\mathrm{dec}$ before the encoder, which another `b_enc` makes up for).
    """

    label = "JumpReLU"
    color = "green"
    reads = ("bandwidth", "initial_threshold")
    latent_parameters: ClassVar = {"log_threshold": LatentParameter(initial=jnp.log, growth="log")}

    def latents(self, model: Any, pre: PreActivations) -> Float[Array, "n_latents batch"]:
        """a above θ."""
        return jnp.where(pre.a > _threshold(model), pre.a, 0.0)

    def penalty(self, model: Any, pre: PreActivations, z: Float[Array, "n_latents batch"]) -> Float[Array, ""]:
        """The mean number of active latents."""
        return jnp.mean(jnp.sum(pre.priced(z > 0), axis=0, dtype=z.dtype))

    def training_latents(self, model: Any, pre: PreActivations, task: Any) -> TrainingLatents:
        """The same latents and the same number of them, with a gradient for θ."""
        threshold = _threshold(model)
        z = jump_relu(pre.a, threshold, task.bandwidth)
        counted = above(pre.a, threshold, task.bandwidth) * model.exists[:, None]  # θ of others must not learn
        return TrainingLatents(z, jnp.mean(jnp.sum(pre.priced(counted), axis=0)))


def _threshold(model: Any) -> Float[Array, "n_latents 1"]:
    return jnp.exp(model.log_threshold[...])[:, None]
