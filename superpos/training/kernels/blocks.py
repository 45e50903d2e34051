"""From a kernel's function of the models of a block to one of a single model, which a `vmap` maps over them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def of_one_model(of_block: Callable[..., Any], interpret: bool) -> Callable[..., Any]:
    """The function of (model, what models share, …) for `of_block` of models, whose leaves lead with an axis.

    A model is any tree; the result may have any structure, with the same axis.
    """

    def of_models(models: Any, *shared: Any) -> Any:
        n_models = len(jax.tree.leaves(models)[0])
        if not interpret or n_models > 1:
            return of_block(models, *shared)
        # An axis of one is none for XLA on a CPU: sums along what is left are cut as their surroundings suggest, and a
        # program for two devices rounded otherwise than one for one. So there a model has a copy of itself beside it.
        twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), models)
        return jax.tree.map(lambda leaf: leaf[:1], of_block(twice, *shared))

    @jax.custom_batching.custom_vmap
    def one(model: Any, *shared: Any) -> Any:
        alone = of_models(jax.tree.map(lambda leaf: leaf[None], model), *shared)
        return jax.tree.map(lambda leaf: leaf[0], alone)

    @one.def_vmap
    def _(axis_size: int, batched: Any, model: Any, *shared: Any) -> Any:
        if any(jax.tree.leaves(batched[1:])):
            raise NotImplementedError("models of one block have one seed, and their steps are the same")

        def lead(leaf: Any, is_batched: bool) -> Any:
            return leaf if is_batched else jnp.broadcast_to(leaf, (axis_size, *leaf.shape))

        result = of_models(jax.tree.map(lead, model, batched[0]), *shared)
        return result, jax.tree.map(lambda _: True, result)

    return one
