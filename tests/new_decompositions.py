"""New decompositions that several tests compare with their twins."""

from typing import Any

import jax
import numpy as np


def model_of(task: Any, seed: int = 0) -> Any:
    """A new model with numbers of all sizes, so that no branch of a sigmoid is empty."""
    model = task.init(jax.random.key(seed, impl="unsafe_rbg"))  # draws compile in no time
    rng = np.random.default_rng(seed)
    leaves, structure = jax.tree.flatten(model)
    return jax.tree.unflatten(structure, [leaf + 0.7 * rng.standard_normal(leaf.shape) for leaf in leaves])
