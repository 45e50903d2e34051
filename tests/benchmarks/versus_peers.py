"""superpos against the usual PyTorch loop and a plain JAX one: speed, time to the same loss, scaling.

python tests/benchmarks/versus_peers.py --only 2-1 5-2 --parts 1 2

Everything is measured on one machine, one method after another, each in a process of its own. The PyTorch loop needs
`pip install 'superpos[bench]'`; without it the others are measured alone. The whole is meant to take about 25 minutes
on two idle cores; `--parts`, `--only`, `--seconds` and `--limit` shorten it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import parts as measured
import tables
import tyro
from child import answer, measure
from workloads import WORKLOADS, Plan, Workload, quick_workload
from workloads import quick as quick_plan


def chosen(only: tuple[str, ...], quick: bool) -> list[Workload]:
    """The workloads named in `only`, or all; in quick form the two smallest unless named."""
    names = [name for given in only for name in given.split(",") if name]
    known = [w.name for w in WORKLOADS]
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"versus_peers: no workload {unknown[0]!r}; there are {', '.join(known)}.")
    names = names or (known[:2] if quick else known)
    return [quick_workload(w) if quick else w for w in WORKLOADS if w.name in names]


def main(
    only: tuple[str, ...] = (),
    parts: tuple[str, ...] = ("1", "2", "3"),
    seconds: float = 5.0,
    limit: float = 60.0,
    quick: bool = False,
    markdown: Path | None = None,
    json_path: Annotated[Path | None, tyro.conf.arg(name="json")] = None,
) -> None:
    """Measure and print.

    Args:
        only: sizes such as 2-1,5-2; all if none.
        parts: 1 throughput, 2 time to the same loss, 3 scaling (of its own sizes, by features always; by models where
            named in `only`).
        seconds: length of one timing.
        limit: runs of part 2 predicted to take longer than this many seconds are left out.
        quick: tiny lengths, to see that everything runs.
        markdown: where to write the table of docs/guide/benchmarks.md.
        json_path: where to write all raw results.
    """
    wanted = {part for given in parts for part in given.split(",")}
    if not wanted <= {"1", "2", "3"}:
        sys.exit("versus_peers: parts are 1, 2 and 3.")
    plan = Plan(seconds=seconds, limit=limit)
    plan = quick_plan(plan) if quick else plan
    workloads = chosen(only, quick)
    sizes = {w.name: f"{w.n}→{w.m}, {w.models}" for w in workloads}

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # before anything of ours runs
    peak = measure("peak", seconds=plan.seconds) or {}
    results: dict[str, Any] = {"machine": tables.machine(peak.get("device")), "load": load, "peak": peak}
    results |= {"part1": {}, "part2": {}}

    def keep() -> None:  # after every row: an interrupted run loses nothing
        if json_path is not None:
            json_path.write_text(json.dumps(results, indent=1))
        if markdown is not None:
            text = tables.markdown(results["part1"], results["part2"], sizes, results["machine"])
            markdown.write_text(text)

    print(results["machine"], flush=True)
    # PyTorch's threads wait for each other: one busy neighbour can make it look many times slower than it is.
    if results["load"] > 0.5:
        print(f"versus_peers: the machine is busy (load {results['load']:.1f}); ratios are not fair", file=sys.stderr)
    if "1" in wanted:
        for workload in workloads:
            results["part1"][workload.name] = measured.throughput(workload, plan)
            keep()
        flops = {w.name: w.flops for w in workloads}
        print("\n" + tables.throughput(results["part1"], flops, sizes, peak.get("gflops")), flush=True)
    if "2" in wanted:
        for workload in workloads:
            if workload.seeds:
                results["part2"][workload.name] = measured.same_loss(workload, plan)
                keep()
        if results["part2"]:
            print("\n" + tables.same_loss(results["part2"]), flush=True)
    if "3" in wanted:
        results["part3"] = measured.scaling(plan, {w.name for w in workloads} if only else None)
        keep()
        print("\n" + tables.scaling(results["part3"]), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        answer(sys.argv[2])
    else:
        tyro.cli(main, description=__doc__)
