"""ReLU autoencoders with an L1 penalty."""

from typing import Any

from jaxtyping import Array, Float

from superpos.models.sae.base import Architecture, PreActivations
from superpos.models.sae.registry import register_architecture


@register_architecture("relu")
class ReLU(Architecture):
    r"""$z = \mathrm{ReLU}(a)$, $S = \sum_j z_j$ (decoder columns have length 1).

    Bricken et al. 2023, "Towards Monosemanticity"; Sharkey et al. 2022; Cunningham et al. 2023.
    """

    label = "ReLU + L1"
    color = "blue"

    def latents(self, model: Any, pre: PreActivations) -> Float[Array, "n_latents batch"]:
        """ReLU(a)."""
        return pre.positive
