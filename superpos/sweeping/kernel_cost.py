"""What a step costs in the fused kernel and in the tiled ones, of which the compiler knows nothing before it is asked."""

from typing import Any

import numpy as np

from superpos.chips.model import Cost, Share
from superpos.training.fused import rules
from superpos.training.tiled.cut import Cut

# Counted in what was compiled for an H100 (`tests/accelerators/fused_program.py` and `tiled_program.py`). Of the fused
# kernel: kernels from one point of the record to the next, and instructions of a program beside those for every sample:
# they sum up over threads and move weights.
KERNELS_PER_INTERVAL = 5
OPERATIONS_PER_PROGRAM = 2**18
ARRAYS_PER_PARAMETER = 3  # itself and two memories of its optimiser
NUMBERS_PER_MODEL = 20  # settings and what a state holds beside parameters
BYTES = 4
# Of the tiled ones: kernels of a step; products of matrices; and instructions of all threads beside the sums and products of
# these, for a feature of a sample of a model, to move a weight and to draw a number.
KERNELS_PER_STEP = 5
PRODUCTS = 5
PER_INPUT, PER_WEIGHT, PER_DRAW = 72, 130, 90


def kernel_cost(kernel: str, task: Any, config: Any, plain: Cost, block_size: int) -> Cost:
    """The cost of one step of a block by a kernel; `plain` is that of the plain program."""
    if kernel == "fused":
        return fused_cost(task, config, plain, block_size)
    return tiled_cost(task, config, block_size) if kernel == "tiled" else plain


def fused_cost(task: Any, config: Any, plain: Cost, block_size: int) -> Cost:
    """The cost of one step of a block of so many models; `plain` is that of the plain program.

    A program draws once for the models that it holds, and nothing but a record leaves it. Where there are fewer programs than
    processors, the others idle.
    """
    together = rules.models_together(task.n_features, task.n_hidden, task.bias, block_size)
    n_programs = max(block_size // together, rules.PROGRAMS)
    operations = (
        plain.vector_operations.shared
        + together * (plain.vector_operations.each + plain.matrix_operations.each / 2)  # a b + c is one instruction
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


def tiled_cost(task: Any, config: Any, block_size: int) -> Cost:
    """The cost of one step of a block of so many models.

    The draw is shared. What a part of the batch adds to the gradient is written once and read once. Where there are fewer
    programs than processors, the others idle.
    """
    cut = Cut.of(task.n_features, task.n_hidden, config.batch_size)
    n_inputs = cut.n_features * cut.batch_size
    padded = cut.tiles * cut.features * cut.parts * cut.samples
    n_parameters = task.n_features * (task.n_hidden + task.bias)
    state = BYTES * (ARRAYS_PER_PARAMETER * n_parameters + NUMBERS_PER_MODEL)
    gradients = BYTES * n_parameters * (cut.parts + 1)
    operations = padded * (PRODUCTS * cut.hidden + PER_INPUT) + PER_WEIGHT * cut.moves * cut.moved * cut.hidden
    idle = max(1.0, rules.PROGRAMS / (block_size * cut.parts))
    return Cost(
        kernels=Share(KERNELS_PER_STEP),
        bytes=Share(2.0 * BYTES * n_inputs, 3.0 * state + 2 * gradients),
        matrix_operations=Share(),
        vector_operations=Share(PER_DRAW * n_inputs, idle * operations),
        memory=Share(1.0 * BYTES * n_inputs, state + gradients),
    )
