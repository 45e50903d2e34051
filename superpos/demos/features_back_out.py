"""Questions of `demos/05_taking_features_back_out`."""

from superpos.demos.question import Question

QUESTIONS: dict[str, Question] = {}
