"""The comparison as text: plain tables for reading, a Markdown table for docs/guide/benchmarks.md, and the machine's name."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

NONE = "–"


def number(x: float | None, unit: str = "") -> str:
    """Three digits and thousands separators: 12,300, 1.23, 0.00123; a dash for None."""
    if x is None:
        return NONE
    if x == 0:
        return f"0{unit}"
    return (f"{float(f'{x:.3g}'):,.0f}" if abs(x) >= 100 else f"{x:.3g}") + unit


def ratio(x: float | None) -> str:
    """1.53 as "1.5×"."""
    return NONE if x is None else f"{x:,.0f}×" if x >= 10 else f"{x:.2g}×"


def machine(device: str | None = None) -> str:
    """Processor, cores, what JAX computes on, and versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        named = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = named[0].split(":", 1)[1].strip() if named else cpu
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"{cpu}, {cores} cores"]
    if device and not device.startswith("cpu"):
        found.append(device)
    found.append(f"Python {platform.python_version()}")
    for package, name in (("jax", "JAX"), ("torch", "PyTorch")):
        try:
            found.append(f"{name} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def columns(title: str, head: list[str], rows: list[list[str]]) -> str:
    """A table in plain text: the first column to the left, the others to the right."""
    widths = [max(len(r[k]) for r in [head, *rows]) for k in range(len(head))]

    def line(cells: list[str]) -> str:
        pads = [c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "  ".join(pads).rstrip()

    return "\n".join([title, line(head), "  ".join("-" * w for w in widths), *map(line, rows)])


def throughput(results: dict[str, Any], flops: dict[str, int], sizes: dict[str, Any], peak: float | None) -> str:
    """Part 1: rate, ratio to PyTorch and share of the peak for every method."""
    head = ["model, models", "method", "model-steps/s", "÷ PyTorch", "of matmul peak"]
    rows = []
    for name, row in results.items():
        torch = _rate(row, "pytorch")
        for k, method in enumerate(("pytorch", "naive jax", "sampled", "expected")):
            rate = _rate(row, method)
            share = None if not rate or not peak or method == "expected" else 100 * rate * flops[name] / (peak * 1e9)
            against = rate / torch if rate and torch and method != "expected" else None
            rows.append([sizes[name] if k == 0 else "", method, number(rate), ratio(against), number(share, " %")])
    title = (
        f"Part 1: throughput, batch 1,024, compilation left out. Matrix product peak {number(peak)} GFLOP/s; share "
        "counts 10·n·m·1,024 operations a step.\nFeature probability from 1 to 1/20 over the models; importance 0.9^i "
        "up to 20 features, 1 above. An expected step is exact and needs no batch: its rate compares\n"
        "with no other. PyTorch has its own number of threads or one, whichever is faster."
    )
    return columns(title, head, rows)


def same_loss(results: dict[str, Any]) -> str:
    """Part 2: seconds per model to PyTorch's final loss, and to within 1 % of the best known one."""
    head = ["model, models", "method", "steps to target", "s per model", "PyTorch ÷ this", "s per model near best"]
    head += ["steps", "share near best"]
    rows = []
    for name, row in results.items():
        torch = row["to_target"]["pytorch"]
        missed = NONE if row["target"] is None else "not reached"
        for k, method in enumerate(("pytorch", "sampled", "expected")):
            to, near = row["to_target"][method], row["to_best"][method]
            against = torch["seconds"] / to["seconds"] if to and torch else None
            left = f"{name.replace('-', '→')}, {row['models']}" if k == 0 else ""
            cells = [number(to["steps"]), number(to["seconds"]), ratio(against)] if to else [missed, NONE, NONE]
            tail = ["not reached", NONE, NONE]
            if near:
                tail = [number(near["seconds"]), number(near["steps"]), number(100 * near["share"], " %")]
            rows.append([left, method, *cells, *tail])
        reference = row["reference"]
        extra = f"{reference[0]['models']} models" if reference else "none"
        known = f"target {number(row['target'])}, best {number(row['best'])}, long expected run: {extra}; "
        known += f"PyTorch ÷ the better of ours, near best: {ratio(row['good_ratio'])}"
        rows.append([f"  {known}", *[""] * (len(head) - 1)])
    title = (
        "Part 2: time to the same loss, p = 0.05 (2→1: 0.1), importance 1, exact losses. Target: PyTorch's median loss "
        "at the end of its training (learning rate 0.001);\nPyTorch counts as there once within 0.1 % of it. Each of "
        "ours is trained from scratch for each number of steps with its defaults; the fewest that arrive count.\n"
        "Near best: within 1 % of the lowest loss seen anywhere; seconds per model over the share of such models. "
        "Compilation left out. 400 features: the exact loss is too large."
    )
    return columns(title, head, rows)


def scaling(results: dict[str, Any]) -> str:
    """Part 3: rates by number of models and by size."""
    head = ["model", "models", "sampled, model-steps/s", "expected, model-steps/s", "cost of expected ÷ sampled step"]
    rows = [
        [f"{r['n']}→{r['m']}", number(r["models"]), number(r["sampled"]), number(r["expected"]), number(r["cost"])]
        for r in (*results["by_models"], *results["by_size"])
    ]
    title = (
        "Part 3: throughput by number of models and by size. A default training is 5,000 sampled or 300 expected\n"
        "steps: expected is cheaper while the last column is below 17."
    )
    return columns(title, head, rows)


def markdown(part1: dict[str, Any], part2: dict[str, Any], sizes: dict[str, Any], where: str) -> str:
    """The performance table of docs/guide/benchmarks.md."""
    lines = [
        "| model | models | PyTorch steps/s | naive JAX | superpos, sampled | superpos, expected steps/s "
        "| faster to a good model |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in dict.fromkeys([*part1, *part2]):
        row = part1.get(name, {})
        torch = _rate(row, "pytorch")

        def against(method: str, row: dict[str, Any] = row, torch: float | None = torch) -> str:
            rate = _rate(row, method)
            return NONE if not rate else f"{number(rate)} ({ratio(rate / torch)})" if torch else number(rate)

        good, same = (part2.get(name, {}).get(key) for key in ("good_ratio", "ratio"))
        size, models = sizes[name].split(", ")
        cells = [size, models, number(torch), against("naive jax"), against("sampled"), number(_rate(row, "expected"))]
        lines.append(f"| {' | '.join([*cells, NONE if good is None else f'{ratio(good)} ({ratio(same)})'])} |")
    lines += [
        "",
        "Steps/s are training steps × models a second, batch 1,024, compilation left out; in brackets against PyTorch. A good "
        "model has an exact loss within 1 % of the lowest known, at p = 0.05 (2→1: 0.1): seconds per model over the share of "
        "good ones, for PyTorch (learning rate 0.001 as published) stopped where that is least in 10,000 steps, over the better "
        "of our two objectives, whole sweeps timed; in brackets until the median loss is at or below PyTorch's last one, "
        f"PyTorch counting only until it is within 0.1 % of that. {where}.",
        "",
    ]
    return "\n".join(lines)


def _rate(row: dict[str, Any], method: str) -> float | None:
    found = row.get(method)
    return found["rate"] if found else None
