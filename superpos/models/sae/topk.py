"""TopK autoencoders: so many latents for each input."""

from typing import Any

from jaxtyping import Array, Float

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
    whole_k = True
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
