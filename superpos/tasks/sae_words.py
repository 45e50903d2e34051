"""A sparse autoencoder's task in words."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from superpos.tasks.base import Task


class SaidInWords(Task):
    """What captions and results say of sparse autoencoders."""

    SIZES: ClassVar[dict[str, str]] = Task.SIZES | {"n_latents": "{} latents"}
    UNSAID: ClassVar[tuple[str, ...]] = ("directions", "output_bias", "exclusive_children")
    SUMMARY: ClassVar[tuple[str, ...]] = ("n_features", "n_hidden", "n_latents", "architecture")
    TRAINS_AUTOENCODERS: ClassVar[bool] = True
    PAGE: ClassVar[str] = "viewer"

    @classmethod
    def describe(cls, settings: Mapping[str, Any], swept: set[str]) -> list[str]:
        """The task in words. Of one that reads no toy model the output of one is not said."""
        unused = () if settings.get("output_bias") else ("activation", "importance")
        phrases = super().describe({name: v for name, v in settings.items() if name not in unused}, swept)
        directions = settings["directions"]
        if directions is None:
            return [*phrases, "random subspaces" if settings.get("manifolds") else "random directions"]
        n_models = f"{np.shape(directions)[0]} toy models" if np.ndim(directions) == 3 else "one toy model"
        return [*phrases, f"directions of {n_models}"]
