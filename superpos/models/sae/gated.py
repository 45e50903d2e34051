"""Gated autoencoders: whether a latent is active, and how much, are told apart."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.models.sae.base import Architecture, LatentParameter, PreActivations, mean_error
from superpos.models.sae.registry import register_architecture
from superpos.models.toy import FULL_PRECISION


@register_architecture("gated")
class Gated(Architecture):
    r"""$z = H(a) \odot \mathrm{ReLU}(e^{r_\mathrm{mag}} \odot W_\mathrm{enc}(h - b_\mathrm{dec}) + b_\mathrm{mag})$; `b_enc`
    is the gate's bias.

    $S = \sum_j \mathrm{ReLU}(a_j)$, and the error of $D\,\mathrm{ReLU}(a) + b_\mathrm{dec}$, with D and $b_\mathrm{dec}$ held
    fixed, is added. Rajamanoharan et al. 2024, "Improving Dictionary Learning with Gated Sparse Autoencoders".
    """

    label = "Gated"
    color = "purple"
    latent_parameters: ClassVar = {"r_mag": LatentParameter(growth="log"), "b_mag": LatentParameter(growth="factor")}
    scaled_by_encoder = False  # a gate's own size is its own

    def latents(self, model: Any, pre: PreActivations) -> Float[Array, "n_latents batch"]:
        """What open gates let through."""
        magnitude = jax.nn.relu(jnp.exp(model.r_mag[...])[:, None] * pre.projection + model.b_mag[...][:, None])
        return jnp.where(pre.a > 0, magnitude, 0.0)

    def penalty(self, model: Any, pre: PreActivations, z: Float[Array, "n_latents batch"]) -> Float[Array, ""]:
        r"""$E \sum_j \mathrm{ReLU}(a_j)$, of the gates."""
        return jnp.mean(jnp.sum(pre.priced(pre.positive), axis=0))

    def auxiliary_error(self, model: Any, pre: PreActivations, h: Float[Array, "n_hidden batch"]) -> Float[Array, ""]:
        """Error of the reconstruction from the gates by a decoder that this does not train (section 3.2)."""
        h_hat = jnp.dot(jax.lax.stop_gradient(model.decoder), pre.positive, precision=FULL_PRECISION)
        if model.b_dec is not None:
            h_hat = h_hat + jax.lax.stop_gradient(model.b_dec[...])[:, None]
        return mean_error(h, h_hat)
