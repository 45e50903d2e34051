"""Questions of `demos/04_dynamics`."""

from superpos.demos.question import Question

QUESTIONS: dict[str, Question] = {}
