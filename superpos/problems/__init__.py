"""The ledger of open problems: what is asked, how it is run here, what was measured, and what is still open."""

from superpos.problems.ledger import Problem as Problem
from superpos.problems.ledger import all_problems as all_problems
from superpos.problems.ledger import numbered as numbered
