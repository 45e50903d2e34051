"""A kernel from a program: what it reads and writes are trees, of which each program has its part."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton


def call(
    name: str,
    program: Callable[..., None],
    grid: tuple[int, ...],
    given: list[tuple[Any, int]],
    results: list[tuple[Any, int]],
    *,
    warps: int,
    interpret: bool,
    in_place: int | None = None,
) -> Any:
    """A kernel by the programs of a grid. Trees of what it reads and writes are given with how many axes of the grid lead.

    `in_place` numbers the tree among the given whose arrays become those of the first result.
    """
    trees = [tree for tree, _ in given], [tree for tree, _ in results]
    (inputs, of_inputs), (outputs, of_outputs) = map(jax.tree.flatten, trees)

    def spec(leaf: Any, lead: int) -> pl.BlockSpec:
        rest = leaf.shape[lead:]
        return pl.BlockSpec((*[None] * lead, *rest), lambda *place: (*place[:lead], *[0] * len(rest)))

    def of_references(*references: Any) -> None:
        read, written = references[: len(inputs)], references[len(inputs) :]
        program(*jax.tree.unflatten(of_inputs, read), *jax.tree.unflatten(of_outputs, written))

    aliases = {}
    if in_place is not None:
        first = len(jax.tree.leaves(trees[0][:in_place]))
        aliases = {first + k: k for k in range(len(jax.tree.leaves(trees[0][in_place])))}
    result = pl.pallas_call(
        of_references,
        grid=grid,
        in_specs=[spec(leaf, lead) for tree, lead in given for leaf in jax.tree.leaves(tree)],
        out_specs=[spec(leaf, lead) for tree, lead in results for leaf in jax.tree.leaves(tree)],
        out_shape=outputs,
        compiler_params=None if interpret else triton.CompilerParams(num_warps=warps, num_stages=1),
        input_output_aliases=aliases,
        interpret=interpret,
        name=name,
    )(*inputs)
    trees = jax.tree.unflatten(of_outputs, result)
    return trees[0] if len(trees) == 1 else trees
