"""Questions of `demos/08_induction_heads`."""

from superpos.demos.question import Question

QUESTIONS: dict[str, Question] = {}
