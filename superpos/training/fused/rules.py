"""Which trainings the kernels can do, and how the fused one is cut for them."""

from math import gcd
from typing import Any

import jax
import numpy as np

from superpos.errors import ConfigError
from superpos.tasks.objectives import Sampled, objective_of
from superpos.tasks.toy import Toy
from superpos.training.fused import draws
from superpos.training.fused.powers import next_power
from superpos.training.tiled import cut

KERNELS = ("auto", "plain", "fused", "tiled")
PLATFORMS = ("cpu", "gpu", "cuda", "rocm")
ACTIVATIONS = ("relu", "identity")
# Those that treat every parameter by itself; Muon multiplies matrices.
OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", "lion")

# A thread of a GPU has 255 registers. Each of its models takes one per parameter and one per sum over samples, so larger
# ones are not the kernel's: 20 → 5, the largest, takes all of them and a little more.
MAX_PARAMETERS = 120
REGISTERS = 208  # for these, beside what a step needs for a moment
PROGRAMS = 128  # that a block is cut into, at least, for models to share one: an H100 has 132 processors
THREADS_PER_WARP, MAX_WARPS = 32, 4


def check_kernel(kernel: Any, task: Any, config: Any, platform: str) -> None:
    """Raise `ConfigError`, naming the field, unless the kernel of this name trains such models on such devices."""
    if kernel == "plain":
        return
    if platform not in PLATFORMS:
        raise ConfigError(f'kernel must be "plain" on a {platform.upper()}, whose compiler has no such kernel yet.')
    if type(task) is not Toy:
        raise ConfigError(f'kernel must be "plain" for a {type(task).__name__}; "{kernel}" trains Toy alone.')
    if not isinstance(objective_of(task), Sampled):
        raise ConfigError(f'objective must be "sampled" for kernel="{kernel}".')
    if task.activation not in ACTIVATIONS:
        raise ConfigError(f'activation must be relu or identity for kernel="{kernel}", got {task.activation!r}.')
    if task.loss_exponent != 2:
        raise ConfigError(f'loss_exponent must be 2 for kernel="{kernel}", got {task.loss_exponent}.')
    if (sets := task.features.dependent_through) is not None:
        raise ConfigError(f'{sets} must be () for kernel="{kernel}", which draws independent features.')
    _check_size(kernel, task, config)
    if config.optimizer not in OPTIMIZERS:
        raise ConfigError(
            f'optimizer must be one of {", ".join(OPTIMIZERS)} for kernel="{kernel}", got {config.optimizer!r}.'
        )
    if config.unit_norm_pull is not None:
        raise ConfigError(f'unit_norm_pull must be None for kernel="{kernel}".')
    if not draws.can_be_drawn():
        raise ConfigError(
            'kernel must be "plain" where JAX draws by another generator than partitionable threefry2x32.'
        )
    if jax.dtypes.canonicalize_dtype(float) != np.float32:
        raise ConfigError('kernel must be "plain" in double precision.')


def _check_size(kernel: str, task: Any, config: Any) -> None:
    if kernel == "tiled":
        if task.n_hidden > cut.MAX_HIDDEN:
            raise ConfigError(
                f'n_hidden must be at most {cut.MAX_HIDDEN} for kernel="tiled", whose hidden layers stay in registers, '
                f"got {task.n_hidden}."
            )
        if (n_numbers := task.n_features * config.batch_size) > cut.MAX_INPUTS:
            raise ConfigError(
                f'n_features × batch_size must be at most {cut.MAX_INPUTS:,} for kernel="tiled", got {n_numbers:,}.'
            )
    elif (n_parameters := task.n_features * (task.n_hidden + 1)) > MAX_PARAMETERS:
        raise ConfigError(
            f'n_features × (n_hidden + 1) must be at most {MAX_PARAMETERS} for kernel="fused", whose models stay in '
            f'registers, got {n_parameters}; "tiled" trains larger ones.'
        )


def chosen_kernel(kernel: str) -> str:
    """The kernel that "auto" stands for: the plain one, until a GPU has confirmed the others."""
    return "plain" if kernel == "auto" else kernel


def models_together(n_features: int, n_hidden: int, bias: bool, block_size: int) -> int:
    """How many models of a block share a program and its draws: a power of two that divides the block.

    At most so many as fit in the registers of a thread, and as leave a program for every processor.

    >>> [models_together(*size, True, 512) for size in ((2, 1), (5, 2), (10, 2), (20, 5))]
    [4, 4, 2, 1]
    >>> [models_together(5, 2, True, block_size) for block_size in (512, 256, 100, 12)]
    [4, 2, 1, 1]
    """
    parameters = n_features * (n_hidden + bias)
    per_model = 2 * parameters + 1 + 2 * n_features  # with their sums, that of the loss, and the numbers of the task
    fitting = max(1, min(REGISTERS // per_model, block_size // PROGRAMS))
    return gcd(block_size, 1 << (fitting.bit_length() - 1))


def tile_and_warps(batch_size: int) -> tuple[int, int]:
    """Samples that are drawn at a time, one per thread, and the warps that do it."""
    threads = min(THREADS_PER_WARP * MAX_WARPS, next_power(batch_size))
    return threads, max(1, threads // THREADS_PER_WARP)
