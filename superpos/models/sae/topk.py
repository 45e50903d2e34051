"""TopK autoencoders: so many latents for each input."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from superpos.errors import ConfigError
from superpos.models.sae.base import Architecture, PreActivations, TrainingLatents
from superpos.models.sae.registry import register_architecture
from superpos.models.sae.sparse_activations import top_k


@register_architecture("topk")
class TopK(Architecture):
    r"""The k largest of $\mathrm{ReLU}(a)$ for each input; no penalty. k is kept as `n_active`.

    As in the paper there is no $b_\mathrm{enc}$ (their code and SAELens have one): with it some latent fires on every empty
    input. Gao et al. 2024, "Scaling and evaluating sparse autoencoders".
    """

    label = "TopK"
    color = "orange"
    sparsity_field = "k"
    encoder_bias = False
    own_scale = False

    def statistics(self, k: Any) -> dict[str, Any]:
        """k, the setting."""
        return {"n_active": k}

    def latents(self, model: Any, pre: PreActivations) -> Float[Array, "n_latents batch"]:
        """The k largest."""
        return top_k(pre.positive, model.n_active[...])

    def training_latents(self, model: Any, pre: PreActivations, task: Any) -> TrainingLatents:
        """The k largest, with the k of the task."""
        return TrainingLatents(top_k(pre.positive, task.k), None)

    def check_k(self, k: np.ndarray, size: np.ndarray) -> None:
        """k must be a whole number, and at most the number of latents."""
        if np.any(k % 1):
            raise ConfigError(f'k must be a whole number for architecture="topk", got {float(k[k % 1 > 0].flat[0]):g}.')
        super().check_k(k, size)
