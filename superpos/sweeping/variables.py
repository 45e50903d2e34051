"""What training fills: the variables of a result, and the values that one block's training has for them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from superpos.errors import ConfigError
from superpos.sweeping.plan import Family
from superpos.training.metrics import recorded
from superpos.training.optimizers import named_leaves
from superpos.training.stopping import stops

# Version of the form on disk, in every result's attributes.
FORMAT = 2


class BlockResult(NamedTuple):
    """What one block's training returns; every leaf leads with the cells of the block."""

    model: Any  # the trained parameters
    snapshots: Any  # the parameters at every snapshot, on a second axis; None without snapshots
    loss: np.ndarray
    history: Any  # a `superpos.training.run_record.Record`: loss and metrics, (cell, record)
    diverged_step: np.ndarray  # -1 for a healthy model
    stopped_step: np.ndarray | None  # None where nothing stops a training early


class Field(NamedTuple):
    """One variable over the cells: dimensions, shape and type of what one cell holds."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def fill(self) -> Any:
        """What a cell without a model holds: NaN, or -1 where numbers are whole."""
        return np.nan if self.dtype.kind == "f" else -1


def check_names(family: Family, labels: Iterable[str]) -> None:
    """Refuse a task whose parameters or record have the name of a label of cells: a result holds both by name.

    Raises:
        ConfigError: one has.
    """
    taken = {*labels, "seed", "snapshot", "record", "snapshot_step", "record_step"}
    model = jax.eval_shape(lambda: family.task.broadcast().init(jax.random.key(0)))
    for name, _ in named_leaves(model):
        if name in {*taken, "loss", "loss_history", "diverged_step", "stopped_step"}:
            raise ConfigError(f"parameter {name} of the model has the name of something else in a result; rename it.")


def fields(families: list[Family]) -> dict[str, Field]:
    """The variables that training fills: parameters, snapshots, losses, records.

    Families of other shapes share an array: it is as large as the largest, and each fills its corner.
    """
    filled: dict[str, Field] = {}

    def add(name: str, dims: tuple[str, ...], shape: tuple[int, ...], dtype: Any) -> None:
        if name in filled:
            shape = tuple(max(a, b) for a, b in zip(shape, filled[name].shape, strict=True))
        filled[name] = Field(dims, shape, np.dtype(dtype))

    for family in families:
        task, config = family.task, family.config
        model = jax.eval_shape(lambda task=task: task.broadcast().init(jax.random.key(0)))
        for name, leaf in named_leaves(model):
            dims = getattr(model, "DIMS", {}).get(name) or tuple(f"{name}_{k}" for k in range(leaf.ndim))
            add(name, dims, leaf.shape, leaf.dtype)
            if config.snapshots:
                shape = (len(config.snapshots), *leaf.shape)
                add(f"{name}_snapshots", ("snapshot", *dims), shape, leaf.dtype)
        points = (len(config.boundaries()),)
        loss, metrics = recorded(task, config)
        add("loss", (), (), loss.dtype)
        add("loss_history", ("record",), points, loss.dtype)
        for name, metric in metrics.items():
            add(f"{name}_history", ("record",), points, metric.dtype)
        add("diverged_step", (), (), np.int32)
        if stops(config):
            add("stopped_step", (), (), np.int32)
    return filled


def values(result: BlockResult) -> dict[str, np.ndarray]:
    """What one block's training returned, by the names of `fields`; cells lead."""
    arrays: dict[str, np.ndarray] = {"loss": result.loss, "diverged_step": result.diverged_step}
    if result.stopped_step is not None:
        arrays["stopped_step"] = result.stopped_step
    arrays["loss_history"] = result.history.loss
    arrays |= {f"{name}_history": metric for name, metric in result.history.metrics.items()}
    arrays |= dict(named_leaves(result.model))
    arrays |= {f"{name}_snapshots": leaf for name, leaf in named_leaves(result.snapshots)}
    return arrays


def empty(field: Field, n_cells: int) -> np.ndarray:
    """An array for some cells that hold nothing yet."""
    return np.full((n_cells, *field.shape), field.fill, field.dtype)


def write_corner(target: np.ndarray, cells: Any, values: np.ndarray) -> None:
    """Write the values of some cells into the corner of `target` that has their shape."""
    target[(cells, *(slice(size) for size in values.shape[1:]))] = values
