"""What a step costs in the fused kernel, from what the same step costs in the plain one."""

from typing import Any

import numpy as np

from superpos.chips.model import Cost, Share
from superpos.training.fused import rules

# Counted in what was compiled for an H100 (`tests/accelerators/fused_program.py`): kernels from one point of the record to
# the next, and instructions of a program beside those for every sample: they sum up over threads and move weights.
KERNELS_PER_INTERVAL = 5
OPERATIONS_PER_PROGRAM = 2**18
ARRAYS_PER_PARAMETER = 3  # itself and two memories of its optimiser
NUMBERS_PER_MODEL = 20  # settings and what a state holds beside parameters
BYTES = 4


def fused_cost(task: Any, config: Any, plain: Cost, block_size: int) -> Cost:
    """The cost of one step of a block of so many models; `plain` is that of the plain program.

    A program draws once for the models that it holds, and nothing but a record leaves it. Where there are fewer programs than
    processors, the others idle.
    """
    together = rules.models_together(task.n_features, task.n_hidden, task.bias, block_size)
    n_programs = max(block_size // together, rules.PROGRAMS)
    operations = (
        plain.vector_operations.shared
        + together * (plain.vector_operations.each + plain.matrix_operations.each)
        + OPERATIONS_PER_PROGRAM
    )
    steps_per_interval = float(np.mean(np.diff([0, *config.with_defaults(task).boundaries()])))
    n_parameters = task.n_features * (task.n_hidden + task.bias)
    state = BYTES * (ARRAYS_PER_PARAMETER * n_parameters + NUMBERS_PER_MODEL)
    return Cost(
        kernels=Share(KERNELS_PER_INTERVAL / steps_per_interval),
        bytes=Share(0.0, 2 * state / steps_per_interval),
        matrix_operations=Share(),
        vector_operations=Share(n_programs * operations),
        memory=Share(0.0, state),
    )
