"""What a step costs in the fused kernel and in the tiled ones, of which the compiler knows nothing before it is asked."""

import math
from typing import Any

import numpy as np

from superpos.chips.model import Cost, Share
from superpos.training.fused import cut as fused
from superpos.training.tiled.cut import Cut

# Counted in what was compiled for an H100 (`tests/accelerators/kernel_costs.py`). Of the fused kernel: kernels from one point
# of the record to the next beside those that draw and train some steps.
KERNELS_PER_INTERVAL = 4
ARRAYS_PER_PARAMETER = 3  # itself and two memories of its optimiser
NUMBERS_PER_MODEL = 20  # settings and what a state holds beside parameters
BYTES = 4
# Of the tiled ones: kernels of a step; products of matrices; and instructions of all threads beside the sums and products of
# these, for a feature of a sample of a model, to move a weight and to draw a number.
KERNELS_PER_STEP = 5
PRODUCTS = 5
PROGRAMS = 128  # which an H100 has processors for
PER_INPUT, PER_WEIGHT, PER_DRAW = 72, 130, 90


def kernel_cost(kernel: str, task: Any, config: Any, plain: Cost, block_size: int) -> Cost:
    """The cost of one step of a block by a kernel; `plain` is that of the plain program."""
    if kernel == "fused":
        return fused_cost(task, config, plain, block_size)
    return tiled_cost(task, config, block_size) if kernel == "tiled" else plain


def fused_cost(task: Any, config: Any, plain: Cost, block_size: int) -> Cost:
    """The cost of one step of a block of so many models; `plain` is that of the plain program.

    What is drawn passes through memory, and a record. Where there are fewer warps than the processors do at a time, the
    others idle.
    """
    cut = fused.Cut.of(task.n_features, task.n_hidden, config.batch_size, block_size)
    operations = plain.vector_operations.each + plain.matrix_operations.each / 2  # a b + c is one instruction
    idle = max(1.0, fused.WARPS / (block_size * cut.warps))
    lengths = np.diff([0, *config.with_defaults(task).boundaries()])
    n_steps = fused.steps_at_once(task.n_features, config.batch_size, int(lengths.max()))
    kernels = KERNELS_PER_INTERVAL + 2 * math.ceil(lengths.max() / n_steps)
    n_inputs = task.n_features * config.batch_size
    n_parameters = task.n_features * (task.n_hidden + task.bias)
    state = BYTES * (ARRAYS_PER_PARAMETER * n_parameters + NUMBERS_PER_MODEL)
    return Cost(
        kernels=Share(kernels / np.mean(lengths)),
        bytes=Share(2.0 * BYTES * n_inputs, 2 * state / np.mean(lengths)),
        matrix_operations=Share(),
        vector_operations=Share(plain.vector_operations.shared, idle * operations),
        memory=Share(1.0 * BYTES * n_inputs * n_steps, state),
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
    idle = max(1.0, PROGRAMS / (block_size * cut.parts))
    return Cost(
        kernels=Share(KERNELS_PER_STEP),
        bytes=Share(2.0 * BYTES * n_inputs, 3.0 * state + 2 * gradients),
        matrix_operations=Share(),
        vector_operations=Share(PER_DRAW * n_inputs, idle * operations),
        memory=Share(1.0 * BYTES * n_inputs, state + gradients),
    )
