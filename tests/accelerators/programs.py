"""Programs compiled for a device that is not here, as text; kept in a folder, if `SUPERPOS_AOT_PROGRAMS` names one.

JAX keeps only programs that it can run. A compiler makes the same program of the same text again, so the name of what is
kept is a digest of all that the compiler reads: the lowered program, the versions, the flags and the described device.
"""

import hashlib
import json
import os
import re
import time
import zlib
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from described import HERE

COMPILERS = ("jax", "libtpu", "nvidia")  # how the names of packages begin that compile


class Program(NamedTuple):
    """What a compiler said of a program."""

    text: str
    bytes: int  # of its arguments, results and temporaries
    seconds: float  # of the processor, when it was compiled


def compiled(lowered: Any, platform: str) -> Program:
    """Compile what was lowered for a platform, or read what came of it before."""

    def make() -> dict[str, Any]:
        begin = time.process_time()
        executable = lowered.compile()
        memory = executable.memory_analysis()
        n_bytes = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        return Program(executable.as_text(), int(n_bytes), round(time.process_time() - begin, 1))._asdict()

    return Program(**kept((lowered.as_text(), platform), make))


def kept(read: tuple[str, ...], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` says, or said before of the same lowered programs and whatever else it reads, with these compilers."""
    if not (folder := os.environ.get("SUPERPOS_AOT_PROGRAMS")):
        return make()
    names = [(d.name, d.version) for d in distributions() if d.name and d.name.lower().startswith(COMPILERS)]
    flags = re.sub(r"--xla_dump_to=\S+", "", os.environ.get("XLA_FLAGS", ""))  # where to write, not what
    everything = repr((read, flags, (HERE / "h100.pbtxt").read_text(), sorted(names)))
    path = Path(folder) / f"aot-{hashlib.sha256(everything.encode()).hexdigest()}"
    if path.exists():
        return json.loads(zlib.decompress(path.read_bytes()))
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(zlib.compress(json.dumps(made).encode()))
    beside.replace(path)  # whole, or not at all
    return made
