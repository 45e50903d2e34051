"""Questions of `demos/02_phase_diagrams`."""

from superpos.demos.question import Question

QUESTIONS: dict[str, Question] = {}
