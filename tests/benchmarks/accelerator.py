"""All that an accelerator must show, in one command and under eight minutes; for the day one is at hand.

    python tests/benchmarks/accelerator.py                 # on a GPU or TPU: measures
    python tests/benchmarks/accelerator.py --dry           # on any machine: predicts, and compiles for an H100 if it can
    python tests/benchmarks/accelerator.py --tiny          # on any machine: runs every part with next to nothing in it

It writes accelerator.json after every part, and a table beside it, accelerator.md. A part that fails says why, and the
next one begins. Run it again: compiled programs are kept, so the second time more of the figures fit in.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if "--dry" in sys.argv:  # before JAX starts: the plugin that compiles for a card finds none
    os.environ["JAX_PLATFORMS"] = "cpu"

import accelerator_cases as cases
import tyro

SECONDS = 460.0  # of all parts


def main(
    out: Path = Path("accelerator.json"),
    dry: bool = False,
    tiny: bool = False,
    seconds: float = SECONDS,
    chip: str = "H100",
) -> int:
    """Measure, or predict, and write what was found.

    Args:
        out: the JSON file; the table lies beside it.
        dry: predict by the model of a chip, and compile every task for it where the plugin is installed; run nothing.
        tiny: tiny sizes.
        seconds: no part begins after these.
        chip: which one is predicted, such as H100 or "TPU v5e".
    """
    import accelerator_parts as parts

    scale = cases.tiny() if tiny else cases.full()
    begin, found = time.perf_counter(), {}

    def left() -> float:
        return seconds - (time.perf_counter() - begin)

    def keep(name: str, value: Any) -> None:
        found[name] = value
        beside = out.with_suffix(".partial")
        beside.write_text(json.dumps(found, indent=1, ensure_ascii=False), "utf-8")
        beside.replace(out)
        out.with_suffix(".md").write_text(table(found), "utf-8")

    if dry:
        keep(f"PREDICTIONS for {chip}: nothing was run", parts.dry(scale, chip))
        keep("compiled ahead of time", compiled(scale, chip))
        print(table(found))
        return 0
    for name, part in parts.PARTS.items():
        if left() < 0:
            keep(name, {"left out": "no time was left"})
            continue
        started = time.perf_counter()
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            value = part(scale)
        except Exception as error:  # the other parts must still be measured
            value = {"error": f"{type(error).__name__}: {str(error)[:500]}"}
        keep(name, value | {"part took": time.perf_counter() - started})
    for name in scale.figures:
        if left() > 20:
            keep(f"figure {name}", parts.figure(name, scale.figure_flag, left(), out.parent / "accelerator_figures"))
    print(table(found))
    return int(
        any(
            "error" in part or any(isinstance(v, dict) and v.get("ok") is False for v in part.values())
            for part in found.values()
        )
    )


def compiled(scale: cases.Scale, chip: str) -> dict[str, Any]:
    """What compiling ahead of time says of every task, by the tests of accelerators; a sentence where that cannot be."""
    folder = Path(__file__).parents[1] / "accelerators"
    if chip != "H100":
        return {"left out": "only an H100 is compiled for here"}
    if not (folder / "measure.py").exists():
        return {"left out": "tests/accelerators is not there"}
    command = [sys.executable, str(folder / "measure.py"), "gpu"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        reason = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return {"left out": f"it needs the extra aot: {reason[:200]}"}
    from superpos.chips import KNOWN

    rows, known = {}, KNOWN[chip]
    kept = ("block_size", "kernels", "step_bytes", "bytes", "trip_count")
    for line in lines:
        if line["stage"] == "advance":
            seconds = line["kernels"] * known.launch + line["step_bytes"] / known.bandwidth
            rows[line["case"]] = {k: line[k] for k in kept} | {
                "predicted, arithmetic left out": line["block_size"] / seconds
            }
    return rows


def table(found: dict[str, Any]) -> str:
    """Everything as Markdown."""
    out = []
    for part, values in found.items():
        out += [f"## {part}", ""]
        rows = {k: v for k, v in values.items() if isinstance(v, dict)}
        out += [f"- {k}: {_short(v)}" for k, v in values.items() if not isinstance(v, dict | list)]
        for name, listed in values.items():
            rows |= (
                {f"{name}, block of {row['block_size']}": row for row in listed if isinstance(row, dict)}
                if isinstance(listed, list)
                else {}
            )
        if "rates" in rows:  # predictions lie one deeper
            rows = rows["rates"]
        if rows:
            columns = list(
                dict.fromkeys(c for row in rows.values() for c in row if c != "block_size" or "block" not in part)
            )
            out += ["", f"| | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
            out += [
                f"| {name} | {' | '.join(_short(row.get(c, '–')) for c in columns)} |" for name, row in rows.items()
            ]
        out.append("")
    return "\n".join(out)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return str(value)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(tyro.cli(main, description=__doc__))
