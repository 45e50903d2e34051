"""`superpos problems`: the ledger of open problems, and a way to run what answers them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from superpos.console import words_are_the_result


def problems(
    number: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(help="such as 4.1; without it all are listed")
    ] = None,
    run: Annotated[bool, tyro.conf.arg(help="draw the figures that measure it; needs a clone")] = False,
    quick: Annotated[bool, tyro.conf.arg(help="with --run: a look in seconds, trained too little to judge")] = False,
) -> None:
    """List open problems of the field, or show one: the question, the answer so far, its evidence, and what is open.

    The numbers are those of Nanda 2023, "200 Concrete Open Problems in Mechanistic Interpretability".
    """
    words_are_the_result()
    from superpos.errors import ConfigError
    from superpos.problems.ledger import all_problems, numbered

    if number is None:
        if run or quick:
            raise ConfigError("number must say which problem to run.")
        for problem in all_problems():
            print(f"{problem.number:>5}  {problem.state:9}  {problem.title}")
        return
    problem = numbered(number)
    if not run:
        if quick:
            raise ConfigError("quick goes with --run.")
        _show(problem)
        return
    if not problem.figures:
        raise ConfigError(
            f"run: no figure measures problem {number} yet" + (f"; {problem.command}" if problem.command else ".")
        )
    scripts = [_clone() / "figures" / f"{name}.py" for name in problem.figures]
    if lacking := [script for script in scripts if not script.exists()]:
        raise ConfigError(f"run: {lacking[0]} is not there; the scripts of figures are in a clone of the repository.")
    failed = 0
    for script in scripts:
        print(f"— python figures/{script.name}{' --quick' if quick else ''}", flush=True)
        failed |= subprocess.run([sys.executable, str(script), *["--quick"] * quick], check=False).returncode
    if failed:
        raise SystemExit(1)


def _show(problem: Any) -> None:
    from superpos.errors import ConfigError
    from superpos.experiments.claims import RED
    from superpos.problems.ledger import failed_beside, measured

    print(f"{problem.number}  {problem.title} ({problem.state})\n\n{problem.question}")
    for head, text in (("Answer so far", problem.answer), ("Open", problem.open), ("Why not here", problem.why_not)):
        if text:
            print(f"\n{head}: {text}")
    if problem.evidence:
        folder = _clone() / "docs" / "gallery"
        records = {
            name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in problem.figures
            if (folder / f"{name}.json").exists()
        }
        print("\nMeasured:")
        try:
            for row in measured(problem, records) + failed_beside(problem, records, RED):
                print(f"  {row['verdict']:>12}  {row['statement']}: {row['measured']}  ({row['figure']})")
        except ConfigError:
            print("  the records of published figures are in a clone of the repository")
    if problem.commands:
        print("\nRun it:")
        for command in problem.commands:
            print(f"  {command}")


def _clone() -> Path:
    """The folder that holds the package: a clone of the repository where it was installed with -e, or the working folder."""
    import superpos

    beside = Path(superpos.__file__).parents[1]
    return beside if (beside / "figures").is_dir() else Path.cwd()
