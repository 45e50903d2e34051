"""superpos: a JAX laboratory for superposition in toy models.

Names are imported when first used, so that `superpos --help` needs no jax.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from superpos import analysis as analysis
    from superpos import data as data
    from superpos import demos as demos
    from superpos import experiments as experiments
    from superpos import explorer as explorer
    from superpos import metrics as metrics
    from superpos import models as models
    from superpos import optimizers as optimizers
    from superpos import plot as plot
    from superpos import tasks as tasks
    from superpos import theory as theory
    from superpos.analysis import Geometry as Geometry
    from superpos.analysis import feature_dimensionality as feature_dimensionality
    from superpos.analysis import geometry as geometry
    from superpos.continuing import more as more
    from superpos.data import FeatureDistribution as FeatureDistribution
    from superpos.errors import ConfigError as ConfigError
    from superpos.errors import DivergedError as DivergedError
    from superpos.errors import EngineError as EngineError
    from superpos.errors import Interrupted as Interrupted
    from superpos.errors import StoreError as StoreError
    from superpos.models import ToyModel as ToyModel
    from superpos.sweep import Grid as Grid
    from superpos.sweep import SweepResult as SweepResult
    from superpos.sweep import cached as cached
    from superpos.sweep import decay as decay
    from superpos.sweep import engines as engines
    from superpos.sweep import entry as entry
    from superpos.sweep import open_result as open
    from superpos.sweep import polish_best as polish_best
    from superpos.sweep import sparsity_grid as sparsity_grid
    from superpos.sweep import sweep as sweep
    from superpos.sweep import vectors as vectors
    from superpos.theory import expected_loss as expected_loss
    from superpos.train import Run as Run
    from superpos.train import TrainConfig as TrainConfig
    from superpos.train import train as train
    from superpos.weight_files import load as load

# Where each public name lives, as "module" or "module:name there".
_HOME = {
    "ConfigError": "superpos.errors",
    "DivergedError": "superpos.errors",
    "EngineError": "superpos.errors",
    "FeatureDistribution": "superpos.data",
    "Geometry": "superpos.analysis",
    "Grid": "superpos.sweep",
    "Interrupted": "superpos.errors",
    "Run": "superpos.train",
    "StoreError": "superpos.errors",
    "SweepResult": "superpos.sweep",
    "ToyModel": "superpos.models",
    "TrainConfig": "superpos.train",
    "decay": "superpos.sweep",
    "engines": "superpos.sweep",
    "entry": "superpos.sweep",
    "expected_loss": "superpos.theory",
    "feature_dimensionality": "superpos.analysis",
    "geometry": "superpos.analysis",
    "cached": "superpos.sweep",
    "load": "superpos.weight_files",
    "more": "superpos.continuing",
    "open": "superpos.sweep:open_result",
    "polish_best": "superpos.sweep",
    "sparsity_grid": "superpos.sweep",
    "sweep": "superpos.sweep",
    "train": "superpos.train",
    "vectors": "superpos.sweep",
}
_MODULES = (
    "analysis", "data", "demos", "experiments", "explorer", "metrics", "models", "optimizers", "plot", "tasks", "theory",
)  # fmt: skip

__all__ = [*_HOME, *_MODULES, "__version__"]  # noqa: PLE0604


class _Package(ModuleType):
    """`superpos.train` and `superpos.sweep` are functions, although modules of these names hold them.

    The import system binds a submodule to its package once it is loaded; here the function of the same name is bound
    instead. `from superpos.train import …` finds the module all the same.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("train", "sweep") and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _MODULES or (name in _HOME and _HOME[name] != "superpos.errors"):
        import_module("superpos.process").check_process()  # before JAX is imported
    if name in _MODULES:
        return import_module(f"superpos.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'superpos' has no attribute {name!r}")
    home, _, other = _HOME[name].partition(":")
    value = getattr(import_module(home), other or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
