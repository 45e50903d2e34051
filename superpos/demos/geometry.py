"""Questions of `demos/03_geometry`."""

from superpos.demos.question import Question

QUESTIONS: dict[str, Question] = {}
