"""Programs compiled for a device that is not here, as text; kept in a folder, if `SUPERPOS_AOT_PROGRAMS` names one.

JAX keeps only programs that it can run. A compiler makes the same program of the same text again, so the name of what is
kept is a digest of all that the compiler reads: the lowered program, the versions, the flags and the described device.
"""

import hashlib
import json
import os
import time
import zlib
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
    kept = _file(lowered.as_text(), platform)
    if kept is not None and kept.exists():
        return Program(**json.loads(zlib.decompress(kept.read_bytes())))
    begin = time.process_time()
    executable = lowered.compile()
    memory = executable.memory_analysis()
    n_bytes = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    program = Program(executable.as_text(), int(n_bytes), round(time.process_time() - begin, 1))
    if kept is not None:
        beside = kept.with_suffix(f".{os.getpid()}")
        beside.write_bytes(zlib.compress(json.dumps(program._asdict()).encode()))
        beside.replace(kept)  # whole, or not at all
    return program


def _file(text: str, platform: str) -> Path | None:
    folder = os.environ.get("SUPERPOS_AOT_PROGRAMS")
    if not folder:
        return None
    versions = sorted(
        f"{d.name} {d.version}" for d in distributions() if d.name and d.name.lower().startswith(COMPILERS)
    )
    read = (text, platform, os.environ.get("XLA_FLAGS", ""), (HERE / "h100.pbtxt").read_text(), *versions)
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path / f"aot-{hashlib.sha256(repr(read).encode()).hexdigest()}"
