"""Questions of `demos/07_grokking`."""

from superpos.demos.question import Question

QUESTIONS: dict[str, Question] = {}
