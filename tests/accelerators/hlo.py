"""Read an optimised program of XLA, as text: its loops, and what one pass through a loop launches and moves."""

import math
import re
from dataclasses import dataclass, field

BYTES = {"f32": 4, "s32": 4, "u32": 4, "pred": 1, "f64": 8, "u64": 8, "s64": 8, "bf16": 2, "f16": 2, "s8": 1, "u8": 1}

# What launches nothing: names, views and the loops themselves.
FREE = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "while", "conditional", "call", "after-all",
    "partition-id", "replica-id", "opt-barrier", "copy-done", "add-dependency",
}  # fmt: skip

INSTRUCTION = re.compile(r"\s*(?:ROOT )?%([\w.\-]+) = (\((?:[^()]|\([^()]*\))*\)|\S+) ([a-z\-]+)\((.*)")
COMPUTATION = re.compile(r"(ENTRY )?%([\w.\-]+) \(")
COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")
HOST = ("infeed", "outfeed", "send", "recv")


@dataclass
class Loop:
    """A while loop: what one pass costs, loops inside left out."""

    kernels: int = 0
    bytes: int = 0  # of all operands and results, as if each were read or written whole
    trip_count: int | None = None  # None if the compiler does not know it
    inside: list["Loop"] = field(default_factory=list)

    def all_kernels(self) -> int:
        """Kernels of one pass with the loops inside; one of unknown length counts once."""
        return self.kernels + sum((loop.trip_count or 1) * loop.all_kernels() for loop in self.inside)

    def all_bytes(self) -> int:
        """Bytes of one pass with the loops inside; one of unknown length counts once."""
        return self.bytes + sum((loop.trip_count or 1) * loop.all_bytes() for loop in self.inside)


def loops(text: str) -> list[Loop]:
    """The outermost loops of a program, with those inside."""
    computations, entry = {}, ""
    for part in re.split(r"\n(?=(?:ENTRY )?%[\w.\-]+ \()", text):
        if match := COMPUTATION.match(part):
            computations[match[2]] = part
            entry = match[2] if match[1] else entry
    return _pass(computations, entry).inside


def _pass(computations: dict[str, str], name: str) -> Loop:
    """One pass through a computation, as a loop of its own."""
    shapes: dict[str, str] = {}
    found = Loop()
    for line in computations.get(name, "").splitlines():
        if not (match := INSTRUCTION.match(line)):
            continue
        result, shape, operation, rest = match.groups()
        shapes[result] = shape
        if operation == "while":
            body = re.search(r"body=%([\w.\-]+)", rest)
            inner = _pass(computations, body[1] if body else "")
            trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', rest)
            inner.trip_count = int(trips[1]) if trips else None
            found.inside.append(inner)
        elif operation == "call" and (called := re.search(r"to_apply=%([\w.\-]+)", rest)):
            inner = _pass(computations, called[1])
            found.kernels, found.bytes = found.kernels + inner.kernels, found.bytes + inner.bytes
            found.inside += inner.inside
        elif operation not in FREE:
            operands = re.findall(r"%([\w.\-]+)", rest.split(")")[0])
            found.kernels += 1
            found.bytes += n_bytes(shape) + sum(n_bytes(shapes.get(operand, "")) for operand in operands)
    return found


def n_bytes(shape: str) -> int:
    """Bytes of a shape such as f32[512,2], or of all in a tuple."""
    arrays = re.findall(r"\b([a-z]+\d*)\[([\d,]*)\]", shape)
    return sum(BYTES.get(kind, 0) * math.prod(int(d) for d in lengths.split(",") if d) for kind, lengths in arrays)


def operations(text: str) -> set[str]:
    """Names of all operations of a program, those inside fusions too."""
    return {match[3] for line in text.splitlines() if (match := INSTRUCTION.match(line))}


def forbidden(text: str) -> list[str]:
    """What a program for an accelerator must not hold: doubles, transfers to the host, collectives."""
    named = {operation.removesuffix("-start").removesuffix("-done") for operation in operations(text)}
    bad = sorted(named & {*COLLECTIVES, *HOST})
    bad += ["f64"] * bool(re.search(r"\bf64\[", text))
    return bad + sorted(set(re.findall(r'custom_call_target="([^"]*callback[^"]*)"', text)))


def imprecise_products(lowered: str) -> list[str]:
    """Products of floats in a lowered program (StableHLO) that do not ask for all bits of their operands."""
    products = [
        line.strip() for line in lowered.splitlines() if re.search(r"stablehlo\.(dot_general|convolution|dot)\b", line)
    ]
    return [line for line in products if "xf32>" in line and "precision = [HIGHEST, HIGHEST]" not in line]
