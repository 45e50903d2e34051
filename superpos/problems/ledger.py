"""Open problems of the field, as a table that ships with the package."""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from superpos import check
from superpos.errors import ConfigError

SOURCE = "Nanda 2023, 200 Concrete Open Problems in Mechanistic Interpretability"
ANSWERED, PARTLY, OPEN, ELSEWHERE = "answered", "partly", "open", "elsewhere"
STATES = (ANSWERED, PARTLY, OPEN, ELSEWHERE)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One open problem: a question in our words, and the state of its answer here.

    `figures` are names of experiments whose scripts in `figures/` measure it. Each of `evidence` is "figure: the beginning
    of a claim"; what was measured is in the figure's record. `command` is another way to run it. `open` is what remains,
    and `why_not` why it cannot be run here.
    """

    number: str
    title: str
    question: str
    state: str
    figures: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    command: str = ""
    answer: str = ""
    open: str = ""
    why_not: str = ""

    @property
    def commands(self) -> list[str]:
        """What to type in a clone to run it."""
        return [f"python figures/{name}.py" for name in self.figures] + [self.command] * bool(self.command)


@cache
def all_problems() -> tuple[Problem, ...]:
    """All problems of the ledger, those on superposition first, in the order of their numbers."""
    table = tomllib.loads((files("superpos.problems") / "ledger.toml").read_text(encoding="utf-8"))
    return tuple(_problem(row) for row in table["problem"])


def _problem(row: dict[str, Any]) -> Problem:
    lists: dict[str, Any] = {name: tuple(row.get(name, ())) for name in ("figures", "evidence")}
    return Problem(**(row | lists))


def numbered(number: str) -> Problem:
    """The problem of this number.

    >>> numbered("4.1").title
    'Dropout and privileged bases'

    Raises:
        ConfigError: there is no such problem.
    """
    by_number = {problem.number: problem for problem in all_problems()}
    if number not in by_number:
        raise ConfigError(f"number must be that of a problem, 4.1 to 4.20 or 3.1 to 3.29, got {check.short(number)}.")
    return by_number[number]


def measured(problem: Problem, records: Mapping[str, Any]) -> list[dict[str, str]]:
    """The claims that a problem's evidence names, from the records of published figures by their names.

    Each has "figure", "statement", "wanted", "measured" and "verdict", as the record has them.

    Raises:
        ConfigError: a figure has no record, or not exactly one claim that begins so.
    """
    rows = []
    for entry in problem.evidence:
        figure, beginning = entry.split(": ", 1)
        if figure not in records:
            raise ConfigError(f"evidence of problem {problem.number} is of {figure}, which has no record.")
        claims = [claim for claim in records[figure]["claims"] if claim["statement"].startswith(beginning)]
        if len(claims) != 1:
            raise ConfigError(
                f"evidence of problem {problem.number}: {len(claims)} claims of {figure} begin with {beginning!r}."
            )
        rows.append({"figure": figure} | claims[0])
    return rows


def failed_beside(problem: Problem, records: Mapping[str, Any], red: Collection[str]) -> list[dict[str, str]]:
    """What failed in a problem's figures and is none of its evidence: a reader of the answer should see it, too.

    `red` are the verdicts that say so. Each row is as in `measured`; figures without a record are left out.
    """
    listed = {(row["figure"], row["statement"]) for row in measured(problem, records)}
    return [
        {"figure": figure} | claim
        for figure in problem.figures
        if figure in records
        for claim in records[figure]["claims"]
        if claim["verdict"] in red and (figure, claim["statement"]) not in listed
    ]
