"""Compile every task for a device that is not here, and say what its programs cost, as JSON, one line for each.

    python tests/accelerators/measure.py gpu ["toy 5→2" …]
    python tests/accelerators/measure.py gpu tpu --write      # renews table.json

It needs the extra `aot`.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import hlo
import jax
import programs
from cases import cases
from described import HERE, devices

import superpos as sp
from superpos.sweeping import mesh as meshes
from superpos.sweeping.compiled import lay_out, segment_size, shapes_of


def measured(name: str, platform: str, mesh: Any) -> Iterator[dict[str, Any]]:
    """What the three stages of a task cost on a platform at the block size that `sweep` chooses."""
    task, grid = cases()[name]
    layout = lay_out(task, sp.TrainConfig(), grid, platform=platform)
    family, block_size = layout.families[0], layout.block_sizes[0]
    shapes = shapes_of(family, block_size, segment_size(family, block_size, platform), mesh.size, platform)
    shapes = shapes._replace(n_intervals=2)  # of a single one the compiler would make no loop
    for stage, lowered in meshes.lowered(mesh, shapes):
        program = programs.compiled(lowered, platform)
        cost = {
            "platform": platform,
            "case": name,
            "stage": stage,
            "jax": jax.__version__,
            "block_size": block_size,
            "seconds": program.seconds,
            "bytes": program.bytes,
            "forbidden": hlo.forbidden(program.text),
            "imprecise": hlo.imprecise_products(lowered.as_text()),
        }
        if stage == "advance":
            step = step_loop(program.text, shapes.chunk)
            cost |= {
                "trip_count": step.trip_count,
                "kernels": step.all_kernels(),
                "step_bytes": step.all_bytes(),
            }
        yield cost


def step_loop(text: str, chunk: int | None) -> hlo.Loop:
    """The loop over steps: inside those over blocks, over intervals and, where there are chunks, over these."""
    (loop,) = hlo.loops(text)
    for _ in range(2 if chunk is None else 3):
        loop = max(loop.inside, key=hlo.Loop.all_bytes)
    return loop


def main(*arguments: str) -> None:
    """Print what was measured, and write it to the table if asked."""
    platforms = [a for a in arguments if a in ("gpu", "tpu")]
    names = [a for a in arguments if a not in ("gpu", "tpu", "--write")] or list(cases())
    path = HERE / "table.json"
    table = json.loads(path.read_text()) if path.exists() else {}
    for platform in platforms:
        mesh = meshes.cell_mesh(devices(platform))
        for name in names:
            for cost in measured(name, platform, mesh):
                print(json.dumps(cost, ensure_ascii=False), flush=True)
                if cost["stage"] == "advance":
                    columns = ("jax", "block_size", "trip_count", "kernels", "step_bytes")
                    table.setdefault(platform, {})[name] = {column: cost[column] for column in columns}
    if "--write" in arguments:
        path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
