"""Every figure, its claims, and one page that shows them all.

    python figures/all.py [--full] [--quick] [--width column] [--only five_features …] [--jobs 2]

Each script runs in a process of its own, so one that fails does not stop the others. Two run side by side unless `--jobs`
says otherwise: much of a small figure uses one core. The totals over all claims are printed at the end. Status 1 if a claim
failed or a script crashed; the last line says which.
"""

import json
import sys
import time
from pathlib import Path

from superpos import check
from superpos.experiments.claims import RED
from superpos.experiments.publishing import Width, free_index, index, totals
from superpos.experiments.run_scripts import run_scripts
from superpos.experiments.sizes import size_suffix
from superpos.plot.written import free_figure
from superpos.script import run

HERE = Path(__file__).parent
SCRIPTS = sorted(file.stem for file in HERE.glob("*.py") if file.stem != "all")
IMPORTED_ONCE = ["superpos.sweeping", "superpos.theory", "superpos.experiments.uniform_levels", "tyro"]


def main(
    full: bool = False,
    quick: bool = False,
    only: tuple[str, ...] = (),
    jobs: int = 2,
    width: Width = None,
    results: Path = Path("results"),
    out: Path = Path("results/gallery"),
) -> None:
    """Build all figures into one folder with an index page."""
    if unknown := [name for name in only if name not in SCRIPTS]:
        sys.exit(f"figures: there is no {unknown[0]!r}; there are {', '.join(SCRIPTS)}.")
    check.integer("jobs", jobs, at_least=1, at_most=64)
    flags = ["--full"] * full + ["--quick"] * quick + ["--results", str(results), "--out", str(out)]
    flags += [] if width is None else ["--width", width]
    names, suffix = list(only or SCRIPTS), size_suffix(full, quick) + (f"_{width}" if width else "")
    free_index(out)
    for record in [free_figure(out / f"{name}{suffix}", [".json"])[".json"][0] for name in names]:
        record.unlink(missing_ok=True)  # an old one would hide a failure; what is none stops it all before
    out.mkdir(parents=True, exist_ok=True)
    begin, seconds, red, crashed = time.perf_counter(), {}, {}, []
    for done in run_scripts([HERE / f"{name}.py" for name in names], flags, jobs, IMPORTED_ONCE):
        name = done.script.stem
        print(f"— {name}, {done.seconds:.0f} s\n{done.printed}", flush=True)
        seconds[name] = done.seconds
        if done.status:
            red[name] = red_claims(out / f"{name}{suffix}.json")
            crashed += [name] * (not red[name])
        index(out, [(f"{n}{suffix}", seconds[n]) for n in names if n in seconds])  # a look at what is there already
    minutes = (time.perf_counter() - begin) / 60
    print(f"{out / 'index.html'}: {len(names)} figures in {minutes:.1f} minutes")
    print(totals(out, [f"{name}{suffix}" for name in names]))
    if crashed or red:
        told = [f"red claims: {sum(red.values())} ({', '.join(sorted(n for n in red if red[n]))})"] * any(red.values())
        told += [f"crashed: {', '.join(sorted(crashed))}"] * bool(crashed)
        sys.exit(f"figures: {'; '.join(told)}")


def red_claims(file: Path) -> int:
    """How many claims of a published figure are red; 0 where there is no figure, since its script crashed."""
    claims = json.loads(file.read_text())["claims"] if file.exists() else []
    return sum(claim["verdict"] in RED for claim in claims)


if __name__ == "__main__":
    run(main)
