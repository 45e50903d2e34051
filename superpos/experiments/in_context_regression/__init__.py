r"""How do layers of attention fit a line to examples in their context? Open problem 3.13.

Sequences of examples (x, y) of a linear function that is another one every time, and a query. One layer of linear attention
is at best one step of gradient descent, whose rate and loss are known exactly (`theory.one_step`). Two layers are compared
with two steps, plain and preconditioned (`theory.best_descent`): by loss, by weights, by their errors, sequence by sequence,
and by what is left when a part of them is undone. Softmax attention is trained beside them.
"""

from superpos.experiments.in_context_regression.drawing import draw as draw
from superpos.experiments.in_context_regression.evaluation import evaluate as evaluate
from superpos.experiments.in_context_regression.measures import construction as construction
from superpos.experiments.in_context_regression.measures import left_by_parts as left_by_parts
from superpos.experiments.in_context_regression.measures import measure as measure
from superpos.experiments.in_context_regression.measures import measure_deep as measure_deep
from superpos.experiments.in_context_regression.measures import opposite_heads as opposite_heads
from superpos.experiments.in_context_regression.training import SIZES as SIZES
from superpos.experiments.in_context_regression.training import Size as Size
from superpos.experiments.in_context_regression.training import build as build
from superpos.experiments.in_context_regression.training import build_deep as build_deep
from superpos.experiments.in_context_regression.training import build_softmax as build_softmax

SOURCE = (
    "Nanda 2023, 200 Concrete Open Problems, 3.13; von Oswald et al. 2022, Transformers learn in-context by gradient "
    "descent; Ahn et al. 2023, Transformers learn to implement preconditioned gradient descent for in-context learning"
)
