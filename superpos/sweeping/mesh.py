"""One mesh axis over the cells, and the compiled programs that run a block on every device."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from superpos.identity import code_token
from superpos.models.products import traced_for
from superpos.sweeping.run_once import run_once_options
from superpos.tasks.base import Task
from superpos.training.loop import Intervals, TrainConfig, advance, finish, init

CELLS = PartitionSpec("cells")
EVERYWHERE = PartitionSpec()
LAPACK = 'custom_call_target="lapack'  # as a compiled program names its functions


def cell_mesh(devices: list[Any]) -> Mesh:
    """A one-dimensional mesh. Auto axes: JAX's default (Explicit) breaks a vmapped scan inside jit."""
    return jax.make_mesh((len(devices),), ("cells",), axis_types=(AxisType.Auto,), devices=devices)


class Programs(NamedTuple):
    """The three compiled stages of one compile family. Arrays lead with (block, cell)."""

    start: Any  # (tasks, configs, seeds, starts) -> states
    advance: Any  # (tasks, configs, seeds, states, intervals) -> (states, records)
    finish: Any  # (tasks, configs, states) -> losses
    n_intervals: int  # per call of `advance`
    bytes: int  # device memory while the hungriest stage runs, by the compiler's own account
    calls_lapack: bool  # on a CPU; where two calls of such a program run side by side, XLA may wait for ever


class Shapes(NamedTuple):
    """What programs depend on beside the devices. A new value must find the old program, so leaves are shapes here."""

    structure: Any  # of task, configuration and the weights that one model starts from
    leaves: tuple[jax.ShapeDtypeStruct, ...]  # of one model
    n_blocks: int
    block_size: int
    n_intervals: int  # per call of `advance`
    chunk: int | None  # steps between two looks for an interval's end; for the fused kernel, of the longest one
    kernel: str  # a name of `superpos.training.kernels.rules.KERNELS` but "auto"
    code: str | None


def shapes(
    task: Task,
    config: TrainConfig,
    n_blocks: int,
    block_size: int,
    n_intervals: int,
    start: Any = None,
    *,
    chunk: int | None = None,
    kernel: str = "plain",
) -> Shapes:
    """The shapes of programs that train `n_blocks` blocks of `block_size` cells per call.

    `start` is an example of the weights that one model starts from, or None; `chunk` and `kernel` are for `advance`.
    """
    one_model = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (task, config, start))
    leaves, structure = jax.tree.flatten(one_model)
    return Shapes(structure, tuple(leaves), n_blocks, block_size, n_intervals, chunk, kernel, code_token(task, config))


@lru_cache(maxsize=128)
def programs(mesh: Mesh, of: Shapes) -> Programs:
    """Compile the stages; same shapes, same programs."""
    once = run_once_options(mesh.devices.flat[0].platform)
    # Side by side, and while the next is traced: to compile a small sweep takes longer than to train it.
    with ThreadPoolExecutor(3) as pool:
        compiling = {
            name: pool.submit(stage.compile, compiler_options={} if name == "advance" else once)
            for name, stage in lowered(mesh, of)
        }
    start, advance, finish = (compiling[name].result() for name in ("start", "advance", "finish"))
    used = max(_bytes(advance.memory_analysis()), _bytes(finish.memory_analysis()))
    count = place_everywhere(mesh, np.int32(of.n_blocks // mesh.size))
    calls_lapack = any(LAPACK in stage.as_text() for stage in (start, advance, finish))
    begin, go_on, end = (_Counted(stage, count) for stage in (start, advance, finish))
    return Programs(begin, go_on, end, of.n_intervals, used, calls_lapack)


def lowered(mesh: Mesh, of: Shapes) -> Iterator[tuple[str, Any]]:
    """The stages by name before they are compiled, for devices that are here or only described.

    The first is small: a core that would wait for the next to be traced compiles it. Then the longest.
    """
    cells, everywhere = NamedSharding(mesh, CELLS), NamedSharding(mesh, EVERYWHERE)

    def shaped(lead: tuple[int, ...], sharding: Any, tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype, sharding=sharding), tree)

    one_model = jax.tree.unflatten(of.structure, of.leaves)
    task, config, given = shaped((of.n_blocks, of.block_size), cells, one_model)
    seeds = jax.ShapeDtypeStruct((of.n_blocks,), jnp.uint32, sharding=cells)
    column: Any = jax.ShapeDtypeStruct((of.n_intervals,), jnp.int32, sharding=everywhere)
    todo = Intervals(column, column, column, column)
    number = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)
    options: dict[str, Any] = {"mesh": mesh, "code": of.code}
    start = _start.lower(number, task, config, seeds, given, **options)
    yield "start", start
    states = shaped((), cells, start.out_info)
    how = {"chunk": of.chunk, "kernel": of.kernel}
    yield "advance", _advance.lower(number, task, config, seeds, states, todo, **how, **options)
    yield "finish", _finish.lower(number, task, config, states, **options)


class _Counted(NamedTuple):
    """A compiled stage and the number of blocks it runs on every device."""

    compiled: Any
    count: Any

    def __call__(self, *arguments: Any) -> Any:
        return self.compiled(self.count, *arguments)

    def as_text(self) -> str:
        """The compiled program."""
        return self.compiled.as_text()


def _bytes(memory: Any) -> int:
    if not memory:  # not every backend tells
        return 0
    return int(memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes)


def place(mesh: Mesh, tree: Any) -> Any:
    """Put host arrays that lead with blocks onto the devices; with several processes, each its own blocks."""
    return _put(NamedSharding(mesh, CELLS), tree)


def local(leaf: Any) -> np.ndarray:
    """What this process's devices hold of an array, on the host, in the order of the leading axis."""
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    shards = {shard.index[0].start or 0: shard.data for shard in leaf.addressable_shards}
    return np.concatenate([np.asarray(shards[start]) for start in sorted(shards)])


def place_everywhere(mesh: Mesh, tree: Any) -> Any:
    """Put a host array on every device."""
    return _put(NamedSharding(mesh, EVERYWHERE), tree)


def _put(sharding: NamedSharding, tree: Any) -> Any:
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), tree)


# A block is B models of one seed. Seed and step decide the draw, so inside a block it is made once, unbatched, for all
# models. These three lines are the only vmaps over models in the package. Blocks follow one another in a loop and
# never share arithmetic: a cell's bits depend on B alone, not on the number of blocks, calls or devices.
_start_block = jax.vmap(init, in_axes=(0, 0, None, 0))
_finish_block = jax.vmap(finish, in_axes=(0, 0, 0))


def _advance_block(chunk: int | None) -> Any:
    return jax.vmap(partial(advance, chunk=chunk), in_axes=(0, 0, None, 0, None))


def _over_blocks(mesh: Mesh, one_block: Any, count: Any, *blocks: Any, shared: Any = None) -> Any:
    """Train block after block on every device: `count` of them, which the compiler must not know.

    A loop that runs once is none for XLA, and a slice of one row of one is none either: it would fuse across their edges
    and round otherwise. So the count is data, and there is always a spare row.
    """
    shared = () if shared is None else (shared,)

    def on_one_device(count: Any, blocks: Any, shared: Any) -> Any:
        blocks = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:1]]), blocks)

        def at(k: Any) -> Any:
            return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, k, keepdims=False), blocks)

        n_blocks = len(jax.tree.leaves(blocks)[0])
        block = jax.eval_shape(at, 0)
        # Traced once, for the shapes of its results and for the loop: tracing takes longer than compiling a small model.
        # A new function each time: JAX remembers traces by function, and what the task's code was then.
        traced, shapes = jax.make_jaxpr(lambda *arguments: one_block(*arguments), return_shape=True)(*block, *shared)
        structure, arithmetic = jax.tree.structure(shapes), jaxpr_as_fun(traced)
        empty = jax.tree.map(lambda leaf: jnp.zeros((n_blocks, *leaf.shape), leaf.dtype), shapes)

        def body(k: Any, results: Any) -> Any:
            new = jax.tree.unflatten(structure, arithmetic(*jax.tree.leaves((at(k), shared))))
            return jax.tree.map(
                lambda all_, result: jax.lax.dynamic_update_index_in_dim(all_, result, k, 0), results, new
            )

        return jax.tree.map(lambda leaf: leaf[:-1], jax.lax.fori_loop(0, count, body, empty))

    # check_vma: carries that start as constants would need marking by hand; there is no collective to get wrong.
    specs = (EVERYWHERE, CELLS, EVERYWHERE)
    mapped = jax.shard_map(on_one_device, mesh=mesh, in_specs=specs, out_specs=CELLS, check_vma=False)
    with traced_for(mesh.devices.flat[0].platform):
        return mapped(count, blocks, shared)


@partial(jax.jit, static_argnames=("mesh", "code"))
def _start(count: Any, task: Any, config: Any, seeds: Any, given: Any, *, mesh: Mesh, code: str | None) -> Any:
    return _over_blocks(mesh, _start_block, count, task, config, seeds, given)


@partial(jax.jit, static_argnames=("mesh", "chunk", "kernel", "code"), donate_argnums=4)
def _advance(
    count: Any,
    task: Any,
    config: Any,
    seeds: Any,
    states: Any,
    todo: Any,
    *,
    mesh: Mesh,
    chunk: int | None,
    kernel: str,
    code: str | None,
) -> Any:
    one_block = _advance_block(chunk) if kernel == "plain" else _block_by(kernel, chunk, mesh.devices.flat[0].platform)
    return _over_blocks(mesh, one_block, count, task, config, seeds, states, shared=todo)


def _block_by(kernel: str, chunk: int | None, platform: str) -> Any:
    """`_advance_block` by a kernel of our own, which a CPU interprets."""
    from superpos.training.fused.kernel import train_steps as fused
    from superpos.training.tiled.kernel import train_steps as tiled

    steps = partial(fused, interval=chunk) if kernel == "fused" else partial(tiled, chunk=chunk)
    through = partial(steps, interpret=platform == "cpu")
    return jax.vmap(partial(advance, train_steps=through), in_axes=(0, 0, None, 0, None))


@partial(jax.jit, static_argnames=("mesh", "code"))
def _finish(count: Any, task: Any, config: Any, states: Any, *, mesh: Mesh, code: str | None) -> Any:
    return _over_blocks(mesh, _finish_block, count, task, config, states)
