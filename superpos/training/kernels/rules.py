"""Which trainings the kernels can do."""

from typing import Any

import jax
import numpy as np

from superpos.errors import ConfigError
from superpos.tasks.objectives import Sampled, objective_of
from superpos.tasks.toy import Toy
from superpos.training.kernels import draws

KERNELS = ("auto", "plain", "fused", "tiled")
PLATFORMS = ("cpu", "gpu", "cuda", "rocm")
ACTIVATIONS = ("relu", "identity")
# Those that treat every parameter by itself; Muon multiplies matrices.
OPTIMIZERS = ("adamw", "adam", "sgd", "rmsprop", "lion")

# A thread of a GPU has 255 registers. The fused kernel takes one per parameter and one per sum over samples, so larger models
# are not its own: 20 → 5, the largest, takes all of them and a little more.
MAX_PARAMETERS = 120
MAX_HIDDEN = 64  # of the tiled one
MAX_INPUTS = 2**30  # of a batch: places in it are whole numbers of 32 bits


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
    if (n_numbers := task.n_features * config.batch_size) > MAX_INPUTS:
        raise ConfigError(
            f'n_features × batch_size must be at most {MAX_INPUTS:,} for kernel="{kernel}", got {n_numbers:,}.'
        )
    if kernel == "tiled":
        if task.n_hidden > MAX_HIDDEN:
            raise ConfigError(
                f'n_hidden must be at most {MAX_HIDDEN} for kernel="tiled", whose hidden layers stay in registers, '
                f"got {task.n_hidden}."
            )
    elif (n_parameters := task.n_features * (task.n_hidden + 1)) > MAX_PARAMETERS:
        raise ConfigError(
            f'n_features × (n_hidden + 1) must be at most {MAX_PARAMETERS} for kernel="fused", whose models stay in '
            f'registers, got {n_parameters}; "tiled" trains larger ones.'
        )


def chosen_kernel(kernel: str) -> str:
    """The kernel that "auto" stands for: the plain one, until a GPU has confirmed the others."""
    return "plain" if kernel == "auto" else kernel
