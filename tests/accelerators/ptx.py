"""Read what XLA and ptxas say of a kernel that was compiled for an H100: registers, shared memory, instructions.

XLA writes it down with XLA_FLAGS="--xla_dump_to=DUMP --xla_dump_emitter_re=ptx".
"""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple


def dump() -> Path:
    """The folder that XLA was told to write to."""
    return Path(os.environ["XLA_FLAGS"].split("--xla_dump_to=")[1].split()[0])


def ptx_file(kernel: str) -> Path:
    """The PTX of the kernel of this name that was compiled last."""
    files = [path for path in dump().glob("*.ptx") if re.search(rf"\.entry {kernel}\b", path.read_text())]
    return max(files, key=lambda path: path.stat().st_mtime_ns)


def of_ptxas(kernel: str) -> dict[str, int]:
    """Registers of a thread, bytes that it spills and keeps on a stack."""
    import nvidia.cuda_nvcc as nvcc

    ptxas = str(Path(next(iter(nvcc.__path__))) / "bin" / "ptxas")
    command = [ptxas, "-v", "--gpu-name", "sm_90a", str(ptx_file(kernel)), "-o", os.devnull]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    patterns = {
        "registers": r"Used (\d+) registers",
        "spill_stores": r"(\d+) bytes spill stores",
        "spill_loads": r"(\d+) bytes spill loads",
        "stack": r"(\d+) bytes stack frame",
    }
    return {name: int(match[1]) for name, pattern in patterns.items() if (match := re.search(pattern, report))}


def shared_memory(kernel: str) -> int:
    """Bytes of shared memory of a program, as XLA launches it."""
    written = sorted(dump().glob("*thunk_sequence*"), key=lambda path: path.stat().st_mtime_ns)
    launches = "".join(path.read_text() for path in written)
    return int(re.findall(kernel + r".*?shared_memory: (\d+) bytes", launches)[-1])


class Span(NamedTuple):
    """A loop: its first and last line."""

    first: int
    last: int


def read(kernel: str) -> tuple[list[str], list[Span]]:
    """Lines of the PTX, and its loops."""
    lines = ptx_file(kernel).read_text().splitlines()
    labels = {line.rstrip(": "): k for k, line in enumerate(lines) if re.match(r"\$L\w+:", line)}
    jumps = [(k, m[1]) for k, line in enumerate(lines) if (m := re.search(r"bra(?:\.uni)?\s+(\$L\w+);", line))]
    return lines, [Span(labels[to], k) for k, to in jumps if labels.get(to, k) < k]


def counted(lines: list[str]) -> Counter[str]:
    """Instructions by name."""
    names = (re.match(r"\s+(?:@!?%p\d+\s+)?([a-z][\w.]*)", line) for line in lines)
    return Counter(match[1] for match in names if match)


def repeated(kernel: str, times: int, n_loops: int) -> Counter[str]:
    """Instructions of a thread whose `n_loops` longest loops that lie in no other go round so many times."""
    lines, spans = read(kernel)
    outer = [a for a in spans if not any(b.first <= a.first and a.last <= b.last and a != b for b in spans)]
    total = counted(lines)
    for span in sorted(outer, key=lambda span: span.first - span.last)[:n_loops]:
        for name, number in counted(lines[span.first : span.last + 1]).items():
            total[name] += (times - 1) * number
    return total


def cycles(instruction: str) -> int:
    """Cycles in which 128 lanes do so many of an instruction: by the throughputs of compute capability 9.0."""
    kind = instruction.split(".")[0]
    if kind in ("add", "sub", "mul", "fma") and instruction.endswith("f32"):
        return 1
    return 16 if kind in ("div", "sqrt", "rcp") else 8 if kind == "cvt" else 4 if kind == "shfl" else 2


def of_tile_and_rest(kernel: str) -> tuple[Counter[str], Counter[str]]:
    """Instructions of a thread: of one pass through a loop over tiles inside that over steps, and of the rest of a step."""
    lines, spans = read(kernel)
    innermost = [a for a in spans if not any(a.first <= b.first and b.last <= a.last and a != b for b in spans)]
    tile = max(innermost, key=lambda span: span.last - span.first)
    around = [span for span in spans if span.first <= tile.first and tile.last <= span.last and span != tile]
    step = min(around, key=lambda span: span.last - span.first)
    of_tile, of_step = (counted(lines[span.first : span.last + 1]) for span in (tile, step))
    return of_tile, of_step - of_tile


def imprecise(kernel: str) -> list[str]:
    """Products of matrices that do not multiply all bits of single precision: units for matrices do not."""
    return sorted(
        name for name in counted(ptx_file(kernel).read_text().splitlines()) if "mma" in name or "tf32" in name
    )
