"""Questions of `demos/06_computing_in_superposition`."""

from superpos.demos.question import Question

QUESTIONS: dict[str, Question] = {}
