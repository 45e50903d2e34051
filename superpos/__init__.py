"""superpos: a JAX laboratory for superposition in toy models.

Names are imported when first used, so that `superpos --help` needs no jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from superpos import views as _views

__version__ = "0.2.0"

if TYPE_CHECKING:
    from superpos import analysis as analysis
    from superpos import data as data
    from superpos import demos as demos
    from superpos import experiments as experiments
    from superpos import explorer as explorer
    from superpos import landscapes as landscapes
    from superpos import models as models
    from superpos import plot as plot
    from superpos import tasks as tasks
    from superpos import theory as theory
    from superpos.analysis import Geometry as Geometry
    from superpos.analysis import feature_dimensionality as feature_dimensionality
    from superpos.analysis import geometry as geometry
    from superpos.data import FeatureDistribution as FeatureDistribution
    from superpos.errors import ConfigError as ConfigError
    from superpos.errors import DivergedError as DivergedError
    from superpos.errors import EngineError as EngineError
    from superpos.errors import Interrupted as Interrupted
    from superpos.errors import StoreError as StoreError
    from superpos.landscapes import landscape as landscape
    from superpos.landscapes import llc as llc
    from superpos.models import ToyModel as ToyModel
    from superpos.sweeping import Grid as Grid
    from superpos.sweeping import SweepResult as SweepResult
    from superpos.sweeping import cached as cached
    from superpos.sweeping import decay as decay
    from superpos.sweeping import engines as engines
    from superpos.sweeping import entry as entry
    from superpos.sweeping import open_result as open
    from superpos.sweeping import polish_best as polish_best
    from superpos.sweeping import sparsity_grid as sparsity_grid
    from superpos.sweeping import sweep as sweep
    from superpos.sweeping import vectors as vectors
    from superpos.theory import expected_loss as expected_loss
    from superpos.training import Run as Run
    from superpos.training import TrainConfig as TrainConfig
    from superpos.training import metrics as metrics
    from superpos.training import more as more
    from superpos.training import optimizers as optimizers
    from superpos.training import train as train
    from superpos.weight_files import load as load

# Where each public name lives, as "module" or "module:name there".
_HOME = {
    "ConfigError": "superpos.errors",
    "DivergedError": "superpos.errors",
    "EngineError": "superpos.errors",
    "FeatureDistribution": "superpos.data",
    "Geometry": "superpos.analysis",
    "Grid": "superpos.sweeping",
    "Interrupted": "superpos.errors",
    "Run": "superpos.training",
    "StoreError": "superpos.errors",
    "SweepResult": "superpos.sweeping",
    "ToyModel": "superpos.models",
    "TrainConfig": "superpos.training",
    "decay": "superpos.sweeping",
    "engines": "superpos.sweeping",
    "entry": "superpos.sweeping",
    "expected_loss": "superpos.theory",
    "feature_dimensionality": "superpos.analysis",
    "geometry": "superpos.analysis",
    "cached": "superpos.sweeping",
    "landscape": "superpos.landscapes",
    "llc": "superpos.landscapes",
    "load": "superpos.weight_files",
    "more": "superpos.training",
    "open": "superpos.sweeping:open_result",
    "polish_best": "superpos.sweeping",
    "sparsity_grid": "superpos.sweeping",
    "sweep": "superpos.sweeping",
    "train": "superpos.training",
    "vectors": "superpos.sweeping",
}
# Modules that are offered by their own names, two of them from the room of training.
_MODULES = {
    name: f"superpos.{name}"
    for name in (
        "analysis",
        "data",
        "demos",
        "experiments",
        "explorer",
        "landscapes",
        "models",
        "plot",
        "tasks",
        "theory",
    )
}
_MODULES |= {name: f"superpos.training.{name}" for name in ("metrics", "optimizers")}

__all__ = [*_HOME, *_MODULES, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _MODULES or (name in _HOME and _HOME[name] != "superpos.errors"):
        import_module("superpos.process").check_process()  # before JAX is imported
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'superpos' has no attribute {name!r}")
    home, _, other = _HOME[name].partition(":")
    value = getattr(import_module(home), other or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


# Who draws what objects show of themselves: the one place where lower rooms get something from higher ones.
_views.offer("picture", lambda: __getattr__("plot").overview)
_views.offer("html", lambda: __getattr__("plot").html)
_views.offer("page", lambda: __getattr__("explorer").explore)
