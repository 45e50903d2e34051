"""A claim of a paper beside what was measured."""

from dataclasses import dataclass, field
from typing import Any

HOLDS, FAILS, NEEDS_FULL, NOT_JUDGED = "pass", "FAIL", "needs --full", "not judged"


@dataclass(frozen=True)
class Claim:
    """One statement, what it asks for, what was measured, and whether it held."""

    statement: str
    wanted: str
    measured: str
    verdict: str


@dataclass
class Claims:
    """The claims of one figure. With `judged=False` (a quick look, trained too little) they are measured, not judged."""

    source: str  # the paper and its section
    judged: bool = True
    claims: list[Claim] = field(default_factory=list)

    def add(self, statement: str, wanted: str, measured: Any, holds: Any) -> None:
        """Note one claim; `measured` is shown as it is."""
        verdict = (HOLDS if holds else FAILS) if self.judged else NOT_JUDGED
        self.claims.append(Claim(statement, wanted, str(measured), verdict))

    def needs_full(self, statement: str, wanted: str, why: str) -> None:
        """Note a claim that this size cannot show, and why."""
        self.claims.append(Claim(statement, wanted, why, NEEDS_FULL if self.judged else NOT_JUDGED))

    @property
    def failed(self) -> list[Claim]:
        """Claims that were judged and did not hold."""
        return [claim for claim in self.claims if claim.verdict == FAILS]
