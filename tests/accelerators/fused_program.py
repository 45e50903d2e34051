"""Compile the fused kernel for an H100 that is not here, and say what it holds and what it costs, as JSON by size.

    XLA_FLAGS="--xla_dump_to=DUMP --xla_dump_emitter_re=ptx" python tests/accelerators/fused_program.py 5,2 20,5

It needs the extra `aot`, and reads in DUMP what the compiler wrote there. Registers, spills and shared memory are ptxas'
account; kernels and bytes are XLA's program's; instructions are those of the PTX. A prediction of seconds adds three
parts: what is launched, moved and computed.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any

import hlo
import jax
import jax.numpy as jnp
from described import devices
from jax.sharding import AxisType, SingleDeviceSharding

import superpos as sp
from superpos.chips import KNOWN
from superpos.models.products import traced_for
from superpos.tasks.base import materialize
from superpos.training import loop
from superpos.training.fused.kernel import Shape, train_steps

BLOCK = 512
STEPS_PER_INTERVAL = 50  # of 5,000 steps with a record of 100 points

# What is assumed of an H100: launches and memory as block sizes are chosen by, and every instruction of a thread is one
# operation, of which each of 132 × 128 lanes does one in a cycle of 1.98 GHz. Sums and products of floats do; whole numbers
# take two cycles and divisions more, which `cautious` counts. Of the plain program only products are counted.
H100 = KNOWN["H100"]
PROCESSORS, LANES, CLOCK = 132, 128, 1.98e9
NAME = "train_toy_models"


def dump() -> Path:
    """The folder that XLA was told to write to."""
    return Path(os.environ["XLA_FLAGS"].split("--xla_dump_to=")[1].split()[0])


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


def compiled(n_features: int, n_hidden: int, fused: bool) -> tuple[Any, Any]:
    """The program that takes a block through its intervals, and how its kernel is cut."""
    task = sp.tasks.Toy(n_features=n_features, n_hidden=n_hidden)
    config = sp.TrainConfig().with_defaults(task)
    task, config = materialize(task), config.broadcast()
    on_card = SingleDeviceSharding(h100())

    def shaped(tree: Any, *lead: int) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype, sharding=on_card), tree)

    states = shaped(jax.eval_shape(lambda: loop.init(task, config, jnp.uint32(0))), BLOCK)
    todo = shaped(loop.Intervals(*[jax.ShapeDtypeStruct((2,), jnp.int32)] * 4))
    seed = shaped(jax.ShapeDtypeStruct((), jnp.uint32))
    steps = {"train_steps": partial(train_steps, interpret=False)} if fused else {"chunk": STEPS_PER_INTERVAL}
    block = jax.vmap(partial(loop.advance, **steps), in_axes=(0, 0, None, 0, None))
    with traced_for("gpu"), named_card():  # the first as a sweep does
        program = jax.jit(block).lower(shaped(task, BLOCK), shaped(config, BLOCK), seed, states, todo).compile()
    return program, Shape.of(task, config, interpret=False)


def of_ptxas() -> dict[str, int]:
    """Registers of a thread, bytes that it spills and keeps on a stack, and barriers, of the kernel compiled last."""
    import nvidia.cuda_nvcc as nvcc

    ptxas = str(Path(next(iter(nvcc.__path__))) / "bin" / "ptxas")
    command = [ptxas, "-v", "--gpu-name", "sm_90a", str(ptx_file()), "-o", os.devnull]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    patterns = {
        "registers": r"Used (\d+) registers",
        "spill_stores": r"(\d+) bytes spill stores",
        "spill_loads": r"(\d+) bytes spill loads",
        "stack": r"(\d+) bytes stack frame",
    }
    return {name: int(match[1]) for name, pattern in patterns.items() if (match := re.search(pattern, report))}


def ptx_file() -> Path:
    """The PTX of the kernel that was compiled last."""
    files = [path for path in dump().glob("*.ptx") if f".entry {NAME}" in path.read_text()]
    return max(files, key=lambda path: path.stat().st_mtime_ns)


def shared_memory() -> int:
    """Bytes of shared memory of a program, as XLA launches it."""
    written = sorted(dump().glob("*thunk_sequence*"), key=lambda path: path.stat().st_mtime_ns)
    launches = "".join(path.read_text() for path in written)
    return int(re.findall(NAME + r".*?shared_memory: (\d+) bytes", launches)[-1])


def instructions() -> tuple[Counter[str], Counter[str]]:
    """Instructions of a thread: of one pass through the loop over tiles, and of the rest of a step."""
    lines = ptx_file().read_text().splitlines()
    labels = {line.rstrip(": "): k for k, line in enumerate(lines) if re.match(r"\$L\w+:", line)}
    jumps = [(k, m[1]) for k, line in enumerate(lines) if (m := re.search(r"bra(?:\.uni)?\s+(\$L\w+);", line))]
    loops = [(labels[to], k) for k, to in jumps if labels.get(to, k) < k]

    def counted(first: int, last: int) -> Counter[str]:
        names = (re.match(r"\s+(?:@!?%p\d+\s+)?([a-z][\w.]*)", line) for line in lines[first : last + 1])
        return Counter(match[1] for match in names if match)

    without_barrier = [span for span in loops if not any("bar.sync" in line for line in lines[slice(*span)])]
    tile = max(without_barrier, key=lambda span: span[1] - span[0])
    step = min((s for s in loops if s[0] < tile[0] and tile[1] < s[1]), key=lambda span: span[1] - span[0])
    return counted(*tile), counted(*step) - counted(*tile)


def cycles(instruction: str) -> int:
    """Cycles in which 128 lanes do so many of an instruction: by the throughputs of compute capability 9.0."""
    kind = instruction.split(".")[0]
    if kind in ("add", "sub", "mul", "fma") and instruction.endswith("f32"):
        return 1
    return 16 if kind in ("div", "sqrt", "rcp") else 8 if kind == "cvt" else 4 if kind == "shfl" else 2


def cost(n_features: int, n_hidden: int) -> dict[str, Any]:
    """What the kernel holds, and what it and the plain program cost by the model above, per step of a block."""
    program, shape = compiled(n_features, n_hidden, fused=True)
    (interval,) = hlo.loops(program.as_text())
    of_tile, rest = instructions()
    names = of_tile | rest
    tiles = -(-shape.problem.batch_size // shape.problem.tile)
    threads = 32 * shape.warps
    programs = BLOCK // shape.together(BLOCK)
    rounds = -(-programs // PROCESSORS)  # programs that follow one another on a processor, as if it held one
    computing = {
        how: rounds
        * threads
        / LANES
        / CLOCK
        * sum(weight(name) * (tiles * of_tile[name] + rest[name]) for name in names)
        for how, weight in (("seconds_per_step", lambda name: 1), ("cautious_seconds_per_step", cycles))
    }
    per_step = (interval.kernels * H100.launch + interval.bytes / H100.bandwidth) / STEPS_PER_INTERVAL
    costs = {
        "size": [n_features, n_hidden],
        "jax": jax.__version__,
        **of_ptxas(),
        "shared_memory": shared_memory(),
        "models_per_program": shape.together(BLOCK),
        "instructions_per_tile": of_tile.total(),
        "instructions_per_step": tiles * of_tile.total() + rest.total(),
        "kernels_per_interval": interval.kernels,
        "bytes_per_interval": interval.bytes,
        **{how: per_step + seconds for how, seconds in computing.items()},
    }
    plain, _ = compiled(n_features, n_hidden, fused=False)
    (interval,) = hlo.loops(plain.as_text())
    (chunk,) = interval.inside
    (step,) = chunk.inside
    computed = 2 * 3 * 2 * n_features * n_hidden * BLOCK * shape.problem.batch_size  # products of matrices alone
    costs["plain"] = {
        "kernels_per_step": step.all_kernels(),
        "bytes_per_step": step.all_bytes(),
        "seconds_per_step": step.all_kernels() * H100.launch
        + step.all_bytes() / H100.bandwidth
        + computed / (2 * PROCESSORS * LANES * CLOCK),
    }
    return costs


if __name__ == "__main__":
    for size in sys.argv[1:]:
        print(json.dumps(cost(*map(int, size.split(",")))), flush=True)
