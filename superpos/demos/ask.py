"""`check` judges answers, `answer_or` stands in for one that is missing; `size` makes a notebook small for a test."""

import os
from importlib import import_module
from typing import Any, TypeVar

from superpos.check import suggestion
from superpos.demos.question import Question, Verdict
from superpos.errors import ConfigError, one_line

# One module per notebook, each with its QUESTIONS, in the order of the notebooks.
MODULES = (
    "thirty_lines",
    "superposition",
    "phase_diagrams",
    "geometry",
    "dynamics",
    "features_back_out",
    "computing",
    "grokking",
    "induction_heads",
    "in_the_wild",
    "landscapes",
    "travel_together",
    "take_a_problem",
    "beyond_directions",
    "taken_apart",
)
QUICK = "SUPERPOS_QUICK"
Value = TypeVar("Value")


def questions() -> dict[str, Question]:
    """Every question of every notebook, by name."""
    return {name: q for m in MODULES for name, q in import_module(f"superpos.demos.{m}").QUESTIONS.items()}


def check(name: str, *answer: Any) -> Verdict:
    """Tell a right answer from a wrong one, with a sentence that helps. A wrong answer never raises.

    An answer is measured, by the lab's own analysers or against theory; some questions take what was measured as a second
    answer. Dots (`...`) are an answer not given yet.

    Raises:
        ConfigError: there is no such question.
    """
    all_questions = questions()
    if name not in all_questions:
        hint = suggestion(name, all_questions) if isinstance(name, str) else ""
        raise ConfigError(f"there is no question {name!r}.{hint} Questions: {', '.join(all_questions)}.")
    question = all_questions[name]
    if not answer or any(part is ... or part is None for part in answer):
        return Verdict(False, f"no answer here so far; replace the dots by {question.form}.")
    try:
        return question.judge(*answer)
    except Exception as error:  # an answer may be anything, and a student should get on
        return Verdict(False, f"this cannot be read as {question.form} ({type(error).__name__}: {one_line(error)}).")


def answer_or(answer: Any, stand_in: Value) -> Value:
    """An answer that later cells need, or a stand-in where it is dots still, so that a notebook runs on without it."""
    return stand_in if answer is ... or answer is None else answer


def size(*, full: Value, quick: Value) -> Value:
    """`full`, or `quick` where the environment variable SUPERPOS_QUICK is 1, as in tests of the notebooks."""
    return quick if os.environ.get(QUICK) == "1" else full
