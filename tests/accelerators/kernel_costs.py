"""Compile our own kernels for an H100 that is not here, and say what they hold and what they cost, as JSON by size.

    XLA_FLAGS="--xla_dump_to=DUMP --xla_dump_emitter_re=ptx" python tests/accelerators/kernel_costs.py fused:5,2 tiled:400,30
    … kernel_costs.py tiled:400,30 tiled:80,20 --write      # renews their rows of table.json

It needs the extra `aot`. A third number is the number of models of a block. Registers, spills and shared memory are ptxas'
account; kernels and bytes are XLA's program's; instructions are those of the PTX. A prediction of seconds adds three
parts: what is launched, moved and computed.
"""

import json
import os
import re
import sys
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from typing import Any

import hlo
import jax
import jax.numpy as jnp
import programs
import ptx
from described import HERE, devices
from jax.sharding import AxisType, SingleDeviceSharding

import superpos as sp
from superpos.chips import KNOWN
from superpos.models.products import traced_for
from superpos.tasks.base import materialize
from superpos.training import loop
from superpos.training.fused.cut import Cut as FusedCut
from superpos.training.fused.kernel import train_steps as fused_steps
from superpos.training.kernels import draw
from superpos.training.tiled.cut import Cut
from superpos.training.tiled.kernel import train_steps as tiled_steps

BLOCKS = {"fused": 512, "tiled": 32}
STEPS_PER_INTERVAL = 50  # of 5,000 steps with a record of 100 points

# What is assumed of an H100: launches and memory as block sizes are chosen by, and every instruction of a thread is one
# operation, of which each of 132 × 128 lanes does one in a cycle of 1.98 GHz. Sums and products of floats do; whole numbers
# take two cycles and divisions more, which `cautious` counts. Of the plain program only products are counted.
H100 = KNOWN["H100"]
PROCESSORS, LANES, CLOCK = 132, 128, 1.98e9
# A kernel is lowered with the places of its lines, which must not say where this clone lies.
jax.config.update("jax_hlo_source_file_canonicalization_regex", re.escape(f"{HERE.parents[1]}{os.sep}"))
TABLED = ("jax", "block_size", "kernels_per_step", "bytes_per_step", "of_kernels")


@cache
def h100() -> Any:
    """The card, as it is described to the compiler."""
    return devices("gpu")[0]


def named_card() -> AbstractContextManager[Any]:
    """What newer JAX asks which card a kernel is for: without a GPU it does not look at where the arrays are."""
    if jax.__version_info__ < (0, 11):
        return nullcontext()
    card = jax.sharding.AbstractDevice(device_kind="NVIDIA H100", num_cores=None, platform="gpu")
    mesh = jax.sharding.AbstractMesh((1,), ("cells",), (AxisType.Auto,), abstract_device=card)
    return jax.sharding.use_abstract_mesh(mesh)


def settings(n_features: int, n_hidden: int) -> tuple[Any, Any]:
    """Task and configuration of a size."""
    task = sp.tasks.Toy(n_features=n_features, n_hidden=n_hidden)
    return materialize(task), sp.TrainConfig().with_defaults(task).broadcast()


def lowered(n_features: int, n_hidden: int, block_size: int, kernel: str) -> Any:
    """The program that takes a block through its intervals, before it is compiled."""
    task, config = settings(n_features, n_hidden)
    on_card = SingleDeviceSharding(h100())

    def shaped(tree: Any, *lead: int) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype, sharding=on_card), tree)

    states = shaped(jax.eval_shape(lambda: loop.init(task, config, jnp.uint32(0))), block_size)
    todo = shaped(loop.Intervals(*[jax.ShapeDtypeStruct((2,), jnp.int32)] * 4))
    seed = shaped(jax.ShapeDtypeStruct((), jnp.uint32))
    steps: dict[str, Any] = {
        "plain": {"chunk": STEPS_PER_INTERVAL},
        "fused": {"train_steps": partial(fused_steps, interval=STEPS_PER_INTERVAL, interpret=False)},
        "tiled": {"train_steps": partial(tiled_steps, chunk=STEPS_PER_INTERVAL, interpret=False)},
    }[kernel]
    block = jax.vmap(partial(loop.advance, **steps), in_axes=(0, 0, None, 0, None))
    with traced_for("gpu"), named_card():  # the first as a sweep does
        return jax.jit(block).lower(shaped(task, block_size), shaped(config, block_size), seed, states, todo)


def compiled(n_features: int, n_hidden: int, block_size: int, kernel: str) -> hlo.Loop:
    """What takes a block through an interval: one pass of the loop over intervals."""
    with named_card():
        (interval,) = hlo.loops(lowered(n_features, n_hidden, block_size, kernel).compile().as_text())
    return interval


def seconds_of(n_programs: int, warps: int, instructions: Counter[str]) -> dict[str, float]:
    """Of one kernel. Programs follow one another on a processor, as if it held one."""
    rounds, threads = -(-n_programs // PROCESSORS), 32 * warps
    return {
        how: rounds * threads / LANES / CLOCK * sum(weight(name) * n for name, n in instructions.items())
        for how, weight in (("seconds_per_step", lambda name: 1), ("cautious_seconds_per_step", ptx.cycles))
    }


def plain_cost(n_features: int, n_hidden: int, block_size: int) -> dict[str, Any]:
    """What the plain program costs, per step of a block."""
    step = step_of(compiled(n_features, n_hidden, block_size, "plain"))
    batch_size = settings(n_features, n_hidden)[1].batch_size
    computed = 2 * 3 * 2 * n_features * n_hidden * block_size * batch_size  # products of matrices alone
    return {
        "kernels_per_step": step.all_kernels(),
        "bytes_per_step": step.all_bytes(),
        "seconds_per_step": launched_and_moved(step) + computed / (2 * PROCESSORS * LANES * CLOCK),
    }


def step_of(interval: hlo.Loop) -> hlo.Loop:
    """The loop over steps, inside that over chunks."""
    (chunk,) = interval.inside
    (step,) = chunk.inside
    return step


def launched_and_moved(loop: hlo.Loop) -> float:
    """Seconds of one pass, but for what is computed."""
    return loop.all_kernels() * H100.launch + loop.all_bytes() / H100.bandwidth


def fused_cost(n_features: int, n_hidden: int, block_size: int) -> dict[str, Any]:
    """What the fused kernel holds, and what it and the plain program cost, per step of a block."""
    name = "train_toy_models"
    interval = compiled(n_features, n_hidden, block_size, "fused")
    batch_size = settings(n_features, n_hidden)[1].batch_size
    cut = FusedCut.of(n_features, n_hidden, batch_size, block_size)
    of_tile, rest = ptx.of_tile_and_rest(name)
    tiles = -(-batch_size // cut.tile)
    of_step = Counter({k: tiles * of_tile[k] + rest[k] for k in of_tile | rest})
    draws = STEPS_PER_INTERVAL * draw.programs_per_step(n_features, batch_size)
    of_interval = Counter(dict.fromkeys(seconds_of(1, 1, Counter()), launched_and_moved(interval)))
    of_interval.update(seconds_of(draws, draw.WARPS, ptx.repeated("draw_inputs", 1, 0)))
    seconds = seconds_of(block_size, cut.warps, of_step)
    return {
        **ptx.of_ptxas(name),
        "shared_memory": ptx.shared_memory(name),
        "warps": cut.warps,
        "instructions_per_sample": of_tile.total() / cut.samples,
        "instructions_per_step": of_step.total(),
        "kernels_per_interval": interval.kernels,
        "bytes_per_interval": interval.bytes,
        "read_from_cache": 4 * block_size * n_features * batch_size,
        **{how: each + of_interval[how] / STEPS_PER_INTERVAL for how, each in seconds.items()},
    }


def tiled_cost(n_features: int, n_hidden: int, block_size: int) -> dict[str, Any]:
    """What the tiled kernels hold, and what they and the plain program cost, per step of a block."""
    step = step_of(compiled(n_features, n_hidden, block_size, "tiled"))
    cut = Cut.of(n_features, n_hidden, settings(n_features, n_hidden)[1].batch_size)
    draws = draw.programs_per_step(n_features, cut.batch_size)
    kernels = {  # programs, warps; how often its loops go round, and how many there are
        "draw_inputs": (draws, draw.WARPS, 1, 0),
        "tile_gradients": (block_size * cut.parts, 8, cut.tiles, 3),
        "move_weights": (block_size, 16, cut.moves, 2),
    }
    of_kernels, seconds = {}, Counter({how: launched_and_moved(step) for how in seconds_of(1, 1, Counter())})
    for name, (n_programs, warps, times, n_loops) in kernels.items():
        instructions = ptx.repeated(name, times, n_loops)
        of_kernels[name] = {
            **ptx.of_ptxas(name),
            "shared_memory": ptx.shared_memory(name),
            "instructions": instructions.total(),
            "imprecise": ptx.imprecise(name),
        }
        seconds.update(seconds_of(n_programs, warps, instructions))
    return {
        "block_size": block_size,
        "kernels_per_step": step.all_kernels(),
        "bytes_per_step": step.all_bytes(),
        "of_kernels": of_kernels,
        **seconds,
    }


def all_costs(kernel: str, n_features: int, n_hidden: int, block_size: int) -> dict[str, Any]:
    """Those of a kernel, and of the plain program."""
    size = n_features, n_hidden, block_size
    return (fused_cost if kernel == "fused" else tiled_cost)(*size) | {"plain": plain_cost(*size)}


def main(*arguments: str) -> None:
    """Print what the kernels cost, and write the tiled ones to the table if asked."""
    path = HERE / "table.json"
    table = json.loads(path.read_text())
    for argument in arguments:
        if argument == "--write":
            continue
        kernel, sizes = argument.split(":")
        size = [*map(int, sizes.split(","))]
        n, m, block_size = (*size, BLOCKS[kernel])[:3]
        cost = {"size": size, "kernel": kernel, "jax": jax.__version__}
        texts = [lowered(n, m, block_size, each).as_text() for each in (kernel, "plain")]
        readers = [path.read_text() for path in sorted(HERE.glob("*.py"))]  # what is said of a program, they say
        cost |= programs.kept((*texts, *readers), partial(all_costs, kernel, n, m, block_size))
        print(json.dumps(cost), flush=True)
        if kernel == "tiled":
            table.setdefault("kernels", {})[f"toy {n}→{m}, tiled"] = {column: cost[column] for column in TABLED}
    if "--write" in arguments:
        path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
