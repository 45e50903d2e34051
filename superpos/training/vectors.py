"""All parameters of a model as one vector, and the memories of its optimiser likewise.

Accelerators start a kernel for every array that is updated, and one more to see whether all of it is in bounds.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from superpos.tasks.base import Task
from superpos.training import optimizers

# Optimisers that treat every parameter by itself.
ELEMENTWISE = ("adamw", "adam", "sgd", "rmsprop", "lion")


# Of more the bytes that joining moves take longer than the kernels that it saves.
FEW_PARAMETERS = 1_024


class Vectors(NamedTuple):
    """How a model becomes a vector and is itself again."""

    example: Any  # shapes of the model's arrays

    @classmethod
    def of(cls, task: Any, config: Any, model: Any) -> "Vectors | None":
        """The form for a training; None where something wants the arrays themselves."""
        if config.optimizer not in ELEMENTWISE or type(task).after_step is not Task.after_step:
            return None
        if "batch_size" in task.unread():  # no samples, as for the expected loss: compiled for an H100 it saved nothing
            return None
        leaves = jax.tree.leaves(model)
        if len({leaf.dtype for leaf in leaves}) > 1 or sum(leaf.size for leaf in leaves) > FEW_PARAMETERS:
            return None
        return cls(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), model))

    def joined(self, tree: Any) -> Any:
        """A tree in which every model is a vector."""
        return jax.tree.map(self._vector, tree, is_leaf=self._is_model)

    def parted(self, tree: Any) -> Any:
        """The inverse: every vector as long as the model is a model."""
        size = sum(leaf.size for leaf in jax.tree.leaves(self.example))
        return jax.tree.map(lambda leaf: self.model(leaf) if leaf.shape == (size,) else leaf, tree)

    def model(self, vector: Any) -> Any:
        """The model that a vector stands for."""
        leaves, structure = jax.tree.flatten(self.example)
        ends = np.cumsum([leaf.size for leaf in leaves])
        parts = [vector[end - leaf.size : end].reshape(leaf.shape) for leaf, end in zip(leaves, ends, strict=True)]
        return jax.tree.unflatten(structure, parts)

    def optimizer(self, config: Any) -> optax.GradientTransformation:
        """The optimiser of a configuration, for vectors."""
        mask = None
        if not config.decay_bias:
            weight = optimizers.is_weight(self.example)
            ones = jax.tree.map(lambda leaf, is_weight: np.full(leaf.shape, is_weight), self.example, weight)
            mask = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(ones)]).astype(float)
        return optimizers.build(config, mask)

    def _is_model(self, node: Any) -> bool:
        leaves, structure = jax.tree.flatten(node)
        if structure != jax.tree.structure(self.example):
            return False
        pairs = zip(leaves, jax.tree.leaves(self.example), strict=True)
        return all(leaf.shape == like.shape and leaf.dtype == like.dtype for leaf, like in pairs)

    def _vector(self, node: Any) -> Any:
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(node)]) if self._is_model(node) else node
