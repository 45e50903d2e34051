"""The ledger of open problems as a page: the table of the package, with what the records of figures measured."""

import json
from pathlib import Path
from typing import Any

from gallery import plain
from sphinx.application import Sphinx

from superpos.experiments.claims import HOLDS, RED
from superpos.problems.ledger import STATES, Problem, all_problems, failed_beside, measured

INTRODUCTION = """\
# Open problems

Neel Nanda's [200 Concrete Open Problems in Mechanistic
Interpretability](https://www.alignmentforum.org/s/yivyHaCAmMJ3CqSyj) (2023) asks people to work on a numbered list. This is
the state of two parts of it here: 4.1 to 4.20, on superposition in toy models, and 3.1 to 3.29, on algorithmic problems. The
questions are in our words. *Answered* means that a figure measures it and the claims that the answer rests on hold;
others of the figure that failed stand below them, in red. *Partly* means that some of it is measured, or that the
switch is there. *Open* means that it can be built from what is here.

    superpos problems               # this list
    superpos problems 4.1           # one of them, with its evidence
    superpos problems 4.1 --run     # draw the figures that measure it
"""


def build(app: Sphinx) -> None:
    """Write open-problems.md."""
    folder = Path(app.srcdir)
    records = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in (folder / "gallery").glob("*.json")}
    text, page = text_of(records), folder / "open-problems.md"
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def text_of(records: dict[str, Any]) -> str:
    """The page: how many problems are in which state, a table of all, and each with its evidence."""
    problems = all_problems()
    counts = ", ".join(f"{sum(p.state == state for p in problems)} {state}" for state in STATES)
    rows = [f"| [{p.number}](#{anchor(p)}) | {plain(p.title)} | {p.state} |" for p in problems]
    table = "\n".join(["| number | problem | state |", "|---|---|---|", *rows])
    return "\n\n".join(
        [INTRODUCTION, f"**{len(problems)} problems: {counts}.**", table, *(entry(p, records) for p in problems)]
    )


def anchor(problem: Problem) -> str:
    """The target of a problem's heading."""
    return f"problem-{problem.number.replace('.', '-')}"


def entry(problem: Problem, records: dict[str, Any]) -> str:
    """One problem: question, answer, evidence, what is open, and how to run it."""
    parts = [f"({anchor(problem)})=\n## {problem.number} {plain(problem.title)}", plain(problem.question)]
    if problem.answer:
        parts.append(f"**Answer so far.** {plain(problem.answer)}")
    if rows := measured(problem, records) + failed_beside(problem, records, RED):
        lines = ["| claim | expected | measured | |", "|---|---|---|---|"]
        for row in rows:
            kind = "red" if row["verdict"] in RED else "holds" if row["verdict"] == HOLDS else "other"
            claim = f"[{plain(row['figure'])}](gallery/{row['figure']}.md): {plain(row['statement'])}"
            cells = f"{claim} | {plain(row['wanted'])} | {plain(row['measured'])}"
            lines.append(f"| {cells} | [{row['verdict']}]{{.{kind}}} |")
        parts.append(":::{div} claims\n" + "\n".join(lines) + "\n:::")
    for head, text in (("Open.", problem.open), ("Why not here.", problem.why_not)):
        if text:
            parts.append(f"**{head}** {plain(text)}")
    if problem.commands:
        parts.append("\n".join(f"    {command}" for command in problem.commands))
    return "\n\n".join(parts) + "\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """The page is written before Sphinx looks for it."""
    app.connect("builder-inited", build)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
