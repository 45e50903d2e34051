"""What the notebooks in `demos/` need beyond the lab itself: questions that judge an answer, stand-ins
for answers that later cells need, and two sizes to run at."""

from superpos.demos.ask import answer_or as answer_or
from superpos.demos.ask import check as check
from superpos.demos.ask import questions as questions
from superpos.demos.ask import size as size
from superpos.demos.question import Question as Question
from superpos.demos.question import Verdict as Verdict
