"""Matryoshka autoencoders: the first latents alone must reconstruct the input, too."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from superpos.models.sae.batch_topk import BatchTopK
from superpos.models.sae.registry import register_architecture
from superpos.models.sae.sparse_activations import ceiling
from superpos.models.toy import FULL_PRECISION


@register_architecture("matryoshka")
class Matryoshka(BatchTopK):
    r"""Latents as of `BatchTopK`; the error is summed over the reconstructions from the first
    $\lceil f \cdot \text{dictionary\_size} \rceil$ latents, for every f of `prefixes` (Bussmann et al. 2025).

    Balanced (Chanin, Dulka and Garriga-Alonso 2025, "Feature Hedging"): the error of every prefix has a weight of its own in
    that sum, `prefix_weights`, that of the last 1. A small weight of the early ones lets their latents hedge less; without
    any they absorb, as those of `BatchTopK` do."""

    label = "Matryoshka"
    color = "black"
    reads = ("prefixes", "prefix_weights")

    def residuals(
        self, model: Any, z: Float[Array, "n_latents batch"], h: Float[Array, "n_hidden batch"], task: Any
    ) -> list[Float[Array, "n_hidden batch"]]:
        """What every prefix leaves over, times the root of its weight."""
        residuals = [h - part for part in _prefix_reconstructions(model, z, task.prefixes, task.size)]
        if task.prefix_weights is None:
            return residuals
        roots = jnp.sqrt(task.prefix_weights)
        return [*(roots[i] * residual for i, residual in enumerate(residuals[:-1])), residuals[-1]]


def _prefix_reconstructions(
    model: Any, z: Float[Array, "n_latents batch"], prefixes: tuple[float, ...], size: Float[Array, ""] | int
) -> list[Float[Array, "n_hidden batch"]]:
    """Reconstructions from the first ⌈f · size⌉ latents, for every f of `prefixes`: each adds its own to the last."""
    place = jnp.arange(z.shape[0])[:, None]
    total = 0.0 if model.b_dec is None else model.b_dec[...][:, None]
    decoder, start, reconstructions = model.decoder, 0, []
    for fraction in prefixes:
        stop = ceiling(jnp.asarray(fraction, float), size)
        part = jnp.where((place >= start) & (place < stop), z, 0.0)
        total = total + jnp.dot(decoder, part, precision=FULL_PRECISION)
        reconstructions.append(total)
        start = stop
    return reconstructions
