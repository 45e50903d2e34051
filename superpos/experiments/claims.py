"""A claim of a paper beside what was measured, and apart from it what no model could ever contradict."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

HOLDS, FAILS, NEEDS_FULL, NOT_JUDGED = "pass", "FAIL", "needs --full", "not judged"
# Of a theorem: that it holds says something of the program and nothing of what was trained.
IDENTITY, VIOLATED = "identity", "identity VIOLATED"
IDENTITIES = (IDENTITY, VIOLATED)
RED = (FAILS, VIOLATED)


@dataclass(frozen=True)
class Claim:
    """One statement, what is expected if it holds, what was measured, and the verdict."""

    statement: str
    expected: str
    measured: str
    verdict: str

    def record(self) -> dict[str, str]:
        """The claim as published files have it, where what is expected is called "wanted"."""
        return {
            "statement": self.statement,
            "wanted": self.expected,
            "measured": self.measured,
            "verdict": self.verdict,
        }


@dataclass
class Claims:
    """The claims of one figure. With `judged=False` (a quick look, trained too little) they are measured, not judged."""

    source: str  # the paper and its section
    judged: bool = True
    claims: list[Claim] = field(default_factory=list)

    def check(self, statement: str, expected: str, measured: Any, passed: Any) -> None:
        """Judge one claim; `measured` is shown as it is."""
        verdict = (HOLDS if passed else FAILS) if self.judged else NOT_JUDGED
        self.claims.append(Claim(statement, expected, str(measured), verdict))

    def identity(self, statement: str, expected: str, measured: Any, passed: Any) -> None:
        """Note a theorem, true of every model however it was trained, as a check of the program.

        It is not counted among the claims. It is judged in a quick look, too, and one that is violated is a failure.
        """
        self.claims.append(Claim(statement, expected, str(measured), IDENTITY if passed else VIOLATED))

    def needs_full(self, statement: str, expected: str, why: str) -> None:
        """Note a claim that this size cannot show, and why."""
        self.claims.append(Claim(statement, expected, why, NEEDS_FULL if self.judged else NOT_JUDGED))

    @property
    def failed(self) -> list[Claim]:
        """Claims that were judged and did not hold, and violated identities."""
        return [claim for claim in self.claims if claim.verdict in RED]


def tally(verdicts: Iterable[str]) -> str:
    """How many claims there are and how they fared, in words, and how many identities beside them.

    >>> tally(["pass", "pass", "FAIL", "identity"])
    '3 claims: 2 pass, 1 FAIL; 1 identity'
    """
    listed_verdicts = list(verdicts)
    n_identities = sum(verdict in IDENTITIES for verdict in listed_verdicts)
    n_claims, broken = len(listed_verdicts) - n_identities, listed_verdicts.count(VIOLATED)
    counts = ", ".join(
        f"{listed_verdicts.count(v)} {v}" for v in (HOLDS, FAILS, NEEDS_FULL, NOT_JUDGED) if v in listed_verdicts
    )
    text = f"{n_claims} claim{'s' * (n_claims != 1)}" + f": {counts}" * bool(counts)
    text += f"; {n_identities} identit{'y' if n_identities == 1 else 'ies'}" * bool(n_identities)
    return text + f", {broken} VIOLATED" * bool(broken)
