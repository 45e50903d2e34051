"""Which models are trained together: compile families, then blocks of exactly B cells of one seed."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from superpos import check, chips
from superpos.errors import ConfigError
from superpos.sweeping import axis_checks
from superpos.sweeping.axes import LAWS, Axis, Rule
from superpos.sweeping.grid import Grid
from superpos.sweeping.sorting import distinct, firsts
from superpos.sweeping.step_cost import step_cost
from superpos.tasks.base import Task, numeric_fields, static_fields
from superpos.training.loop import TrainConfig, check_all, check_kinds, check_seed
from superpos.training.optimizers import named_leaves
from superpos.training.stopping import check_metric

log = logging.getLogger("superpos")

# They shape the record of a run, so results of two values would not fit one array.
RECORD_FIELDS = ("history", "snapshots", "metrics")


@dataclass(frozen=True)
class Family:
    """Cells that share every static field, and so one compilation. Leaves of task and config are base values."""

    task: Task
    config: TrainConfig
    cells: np.ndarray  # (k,) indices into the grid
    seeds: np.ndarray  # (k,)
    task_axes: dict[str, tuple[Axis, np.ndarray]]  # axis name -> what it sets, values (k,)
    config_axes: dict[str, tuple[Axis, np.ndarray]]

    def stacked(self, chosen: np.ndarray) -> tuple[Task, TrainConfig]:
        """Task and config of some of the cells: every leaf with one leading axis, swept or not.

        All leaves are stacked, so that a program depends on shapes alone and not on which fields happen to be swept.
        """
        return _stack(self.task, self.task_axes, chosen), _stack(self.config, self.config_axes, chosen)


@dataclass(frozen=True)
class Block:
    """B cells of one seed that are trained as one program; the last may be padded with copies of a real cell."""

    members: np.ndarray  # (B,) positions within the family
    n_real: int
    seed: int


def families(task: Task, config: TrainConfig, grid: Grid) -> list[Family]:
    """Split the grid by its static fields, and check every cell's settings.

    Raises:
        ConfigError: an axis names no field, or a cell's settings are not allowed.
    """
    check_kinds(task, config)
    if not isinstance(grid, Grid):
        raise ConfigError(f"grid must be a superpos.Grid, got {type(grid).__name__}.")
    field_names = _known(task, config)
    for name, axis in grid.axes.items():
        _check_field(field_names, name, axis)
        if any(isinstance(getattr(node, axis.field, None), tuple) for node in (task, config)):
            raise ConfigError(f"{axis.field} cannot be a grid axis.")
    static: dict[str, Any] = {}
    numeric: dict[str, dict[str, Axis]] = {"task": {}, "config": {}}
    columns = grid.columns()
    base = axis_checks.one_cell(task, config, grid.axes, columns, 0)  # what is swept is judged by values that are swept
    check_all(*base)
    for name, axis in grid.axes.items():
        owner = _owner(*base, name, axis)
        if owner == "static":
            static[name] = columns[name]
        elif owner != "seed":
            numeric[owner][name] = axis
    seeds = columns.get("seed", np.zeros(grid.n_cells, np.int64))
    if seeds.dtype.kind == "f":  # one fraction makes numbers of all of them: name the fraction
        seeds = seeds[np.argsort(seeds % 1 == 0, kind="stable")]
    for seed in (seeds.min(), seeds.max()) if seeds.dtype.kind in "iu" else seeds:
        check_seed(seed)

    axis_checks.check_labels(grid, numeric["task"] | numeric["config"])
    all_families, parts = [], []
    for values, cells in _groups(static, grid.n_cells):

        def chosen(node: Any, values: dict[str, Any] = values) -> Any:
            names = {f.name for f in fields(node)}
            return replace(node, **{grid.axes[n].field: v for n, v in values.items() if grid.axes[n].field in names})

        family_task, family_config = chosen(task), chosen(config)
        part = axis_checks.Part(
            *axis_checks.one_cell(family_task, family_config, grid.axes, columns, int(cells[0])), cells
        )
        check_all(part.task, part.config)
        parts.append(part)
        family_config = family_config.with_defaults(family_task)
        family = Family(
            task=_to_numpy(family_task, grid.axes),
            config=_to_numpy(family_config, grid.axes),
            cells=cells,
            seeds=seeds[cells],
            task_axes={n: (axis, columns[n][cells]) for n, axis in numeric["task"].items()},
            config_axes={n: (axis, columns[n][cells]) for n, axis in numeric["config"].items()},
        )
        _check_rules(family)
        check_metric(family.task, family.config)  # again: a bound may be an axis
        for batch in np.array_split(
            np.arange(len(cells)), math.ceil(len(cells) / 65_536)
        ):  # bounded memory for huge grids
            for node in family.stacked(batch):
                node.check_values()
        all_families.append(family)
    for sentence in axis_checks.check_effects(grid, columns, parts):
        log.warning("%s", sentence)
    return all_families


def stated(config: TrainConfig, families: list[Family]) -> TrainConfig:
    """The configuration as a result states it: what was left to the task is filled in where all families agree."""
    agreed = {}
    for name in (f.name for f in fields(config) if getattr(config, f.name) is None):
        values = {getattr(config.with_defaults(family.task), name) for family in families}
        agreed |= {name: values.pop()} if len(values) == 1 else {}
    return replace(config, **agreed)


def blocks(family: Family, block_size: int) -> Iterator[Block]:
    """Cut a family into blocks: cells of one seed, in grid order, B at a time."""
    order, starts, counts = _runs(family.seeds)
    for begin, count in zip(starts, counts, strict=True):
        members = order[begin : begin + count]
        for start in range(0, len(members), block_size):
            real = members[start : start + block_size]
            padding = np.full(block_size - len(real), real[-1])
            yield Block(np.concatenate([real, padding]), len(real), int(family.seeds[members[0]]))


def places(family: Family, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The block of every cell of the family, counted from 0, and its place in it: `blocks` for all cells at once."""
    order, starts, counts = _runs(family.seeds)
    of_seed = np.ceil(counts / block_size).astype(int)
    first = np.cumsum(of_seed) - of_seed
    along = np.arange(len(order)) - np.repeat(starts, counts)
    block, place = np.empty_like(order), np.empty_like(order)
    block[order] = np.repeat(first, counts) + along // block_size
    place[order] = along % block_size
    return block, place


def n_blocks(family: Family, block_size: int) -> int:
    """How many blocks the family is cut into."""
    counts = _runs(family.seeds)[2]
    return int(np.sum(np.ceil(counts / block_size)))


def _runs(seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells in the order of their seeds, and where the cells of each seed begin in it and how many they are."""
    order = np.argsort(seeds, kind="stable")
    ordered = seeds[order]
    starts = np.flatnonzero(firsts(ordered))
    return order, starts, np.diff(starts, append=len(order))


def default_block_size(task: Task, config: TrainConfig, platform: str) -> int:
    """B from the size of one model's batch and the kind of machine, and from nothing else.

    On an accelerator the smallest within a tenth of the best rate, by what a step costs (`superpos.chips`). On a CPU: small
    models gain from being many in one program; large ones fill the machine alone, and small blocks waste less on padding,
    which small sweeps of many seeds have most of, since a block holds one seed. (Measured on two cores: models a second grow
    with B up to 64 for 2→1 and 24 for 5→2, little beyond 4 for 20→5; 100→20 gains half from 2 to 4.)
    """
    if platform != "cpu":
        device = jax.local_devices()[0]
        kind = device.device_kind if device.platform == platform else ""
        return chips.block_size(chips.chip_of(platform, kind), step_cost(task, config))
    size = 2**17 / task.elements_per_step(config.batch_size)
    return int(np.clip(2 ** int(np.log2(max(1.0, size))), 4, 32))


def block_size_of(family: Family, platform: str) -> int:
    """The default, but on an accelerator no more than the cells of one seed need: a block of thousands would be padding."""
    size = default_block_size(family.task, family.config, platform)
    if platform == "cpu":
        return size
    most = int(_runs(family.seeds)[2].max())
    return min(size, max(4, 2 ** math.ceil(math.log2(most))))


def _owner(task: Task, config: TrainConfig, name: str, axis: Axis) -> str:
    """Who has the field an axis sets: "task", "config", "seed", or "static" for a field that needs its own compilation."""
    if axis.field == "seed":
        if axis.rule is not Rule.VALUE:
            raise ConfigError(f"seed cannot be set by the grid axis {name}; sweep it as seed=[…].")
        return "seed"
    if name != axis.field and name in _parameter_names(task):
        raise ConfigError(f"grid axis {name} sets {axis.target}, so it needs a name that is not taken.")
    if axis.field in numeric_fields(task):
        return "task"
    if axis.field in numeric_fields(config):
        return "config"
    if axis.rule is not Rule.VALUE:
        raise ConfigError(f"{axis.field} cannot be a grid axis.")
    return "static"


def _known(task: Task, config: TrainConfig) -> list[str]:
    return [f.name for f in (*fields(task), *fields(config)) if f.name not in RECORD_FIELDS]  # type: ignore[arg-type]


def _check_field(field_names: list[str], name: str, axis: Axis) -> None:
    """Refuse an axis that sets no field, or has the name of another."""
    if axis.field == "seed":
        return
    if name != axis.field and name in (*field_names, "seed"):
        raise ConfigError(f"grid axis {name} sets {axis.target}, so it needs a name that is not taken.")
    if axis.field not in field_names:
        extra = "" if axis.field == name else f" (axis {name})"
        if axis.field in RECORD_FIELDS:
            raise ConfigError(f"{axis.field} cannot be a grid axis{extra}: it shapes the record of every run.")
        hint = check.suggestion(axis.field, [*field_names, "seed"])
        listed = "" if hint else f" Axes: seed, {', '.join(field_names)}."
        raise ConfigError(f"grid has no axis {axis.field!r}{extra}.{hint}{listed}")


def _parameter_names(task: Task) -> list[str]:
    return [name for name, _ in named_leaves(jax.eval_shape(task.init, jax.random.key(0)))]


def _groups(static: dict[str, np.ndarray], n_cells: int) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Distinct combinations of the static columns, each with its cells in grid order."""
    code = np.zeros(n_cells, np.int64)
    for column in static.values():
        values, inverse = np.unique(column, return_inverse=True)
        code = code * len(values) + inverse
    for value in distinct(code):
        cells = np.flatnonzero(code == value)
        yield {name: column[cells[0]].item() for name, column in static.items()}, cells


def _to_numpy(node: Any, axes: dict[str, Axis]) -> Any:
    """The node with arrays as leaves. An optional number that is swept becomes one, so that programs expect it."""
    swept = {axis.field: axis for axis in axes.values() if axis.field in numeric_fields(node)}
    unset = {name: axis for name, axis in swept.items() if getattr(node, name) is None}
    node = replace(node, **{name: 0.0 if axis.vectors is None else axis.vectors[0] for name, axis in unset.items()})
    dtype = jnp.zeros((), float).dtype  # float64 only when JAX's x64 mode is on
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), node.broadcast())


def _check_rules(family: Family) -> None:
    """Refuse axes that do not fit the field they set, and two that set the same entry."""
    entries: dict[tuple[str, int], str] = {}
    for name, (axis, _) in (family.task_axes | family.config_axes).items():
        node = family.task if axis.field in numeric_fields(family.task) else family.config
        base = getattr(node, axis.field)
        if axis.rule is Rule.VALUE:
            check.finite_array(f"grid axis {axis.field}", axis.values)
            continue
        if np.ndim(base) != 1:
            raise ConfigError(f"grid axis {axis.target}: {axis.field} is one number, not a vector with entries.")
        if axis.rule in LAWS:
            for value in (np.min(axis.values), np.max(axis.values)):  # the flattest and the steepest
                axis.law(float(value), len(base))
        if axis.rule is Rule.VECTOR and axis.vectors.shape[1] != len(base):
            raise ConfigError(
                f"grid axis {name} holds vectors of {axis.vectors.shape[1]} numbers, and {axis.field} has {len(base)}."
            )
        if axis.rule is Rule.ENTRY:
            if not -len(base) <= axis.index < len(base):
                raise ConfigError(f"grid axis {axis.target}: {axis.field} has {len(base)} entries.")
            place = (axis.field, axis.index % len(base))
            if place in entries:
                raise ConfigError(f"grid axes {entries[place]} and {name} both set {axis.field}[{place[1]}].")
            entries[place] = name


def _stack(node: Any, axes: dict[str, tuple[Axis, np.ndarray]], chosen: np.ndarray) -> Any:
    leaves = {}
    for name in numeric_fields(node):
        if (base := getattr(node, name)) is not None:
            leaves[name] = np.tile(base, (len(chosen),) + (1,) * base.ndim)
    for axis, column in sorted(axes.values(), key=lambda item: item[0].rule.order):
        leaf, value = leaves[axis.field], column[chosen].astype(np.float64)
        if axis.rule is Rule.VECTOR:
            leaf[...] = axis.vectors[value.astype(int)]
            continue
        if axis.rule in LAWS:
            exponents, which = np.unique(value, return_inverse=True)
            leaf[...] = np.stack([axis.law(x, leaf.shape[1]) for x in exponents])[which]
            continue
        with np.errstate(over="ignore"):  # a value too large for float32 becomes inf, which the checks refuse
            if axis.rule is Rule.VALUE:
                leaf[...] = value.reshape((-1,) + (1,) * (leaf.ndim - 1))
            elif axis.rule is Rule.DECAY:
                leaf *= value[:, None] ** np.arange(leaf.shape[1])
            else:
                leaf[:, axis.index] = value
    return replace(node, **leaves)


def with_settings(task: Task, config: TrainConfig, axes: dict[str, Axis], values: dict[str, Any]) -> tuple[Any, Any]:
    """The task and configuration of one cell: base settings and one value for every axis (`seed` is left out)."""
    statics = {
        axis.field: values[name]
        for name, axis in axes.items()
        if axis.field in (*static_fields(task), *static_fields(config))
    }
    task, config = (replace(n, **{k: v for k, v in statics.items() if k in static_fields(n)}) for n in (task, config))  # type: ignore[type-var]
    settled = []
    node: Any
    for node in (task, config.with_defaults(task)):
        node = _to_numpy(node, axes)
        node_axes = {n: (a, np.array([values[n]])) for n, a in axes.items() if a.field in numeric_fields(node)}
        settled.append(jax.tree.map(lambda leaf: leaf[0], _stack(node, node_axes, np.array([0]))))
    return settled[0], settled[1]
