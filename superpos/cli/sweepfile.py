"""Sweep files: TOML with strict keys, every one of which the command line can override."""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from superpos import check
from superpos.config import task_from_dict, train_config_from_dict
from superpos.errors import ConfigError
from superpos.sweeping import Grid, decay, entry, exponential_law, power_law, vectors
from superpos.sweeping.sorting import distinct
from superpos.tasks.registry import task_class
from superpos.theory import arrangement
from superpos.training.loop import TrainConfig

SECTIONS = ("task", "train", "grid", "design", "points", "sweep")
DESIGN_KEYS = ("kind", "n_cells", "random_seed")
SWEEP_KEYS = ("block_size", "kernel", "blocks_per_device", "memory_budget", "init")
SPACES = ("values", "linspace", "geomspace", "range", "uniform", "loguniform")
LAWS = {"power_law": power_law, "exponential_law": exponential_law}
RULES = ("entry", "decay", "vectors", *LAWS)
MAX_VALUES = 10_000_000
LARGEST = 1e15


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says."""

    task: Any
    config: TrainConfig
    grid: Grid
    options: dict[str, Any]  # keyword arguments of `superpos.sweep`


def read(path: Path, overrides: Sequence[str] = ()) -> SweepFile:
    """Read a sweep file and apply overrides such as "task.n_hidden=3" or "grid.seed={range=4}".

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown, or a value is not allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"sweep file {path} cannot be read: {reason}.") from None
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of more digits than Python reads
        raise ConfigError(f"sweep file {path} is not valid TOML: {error}.") from None
    names = [override.partition("=")[0] for override in overrides]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"override {twice[0]} is given twice.")
    for override in overrides:
        _override(data, override)
    for section in data:
        check.known_key(section, SECTIONS, f"sweep file {path}")
        if section != "points" and not isinstance(data[section], Mapping):
            raise ConfigError(f"sweep file {path}: {section} must be a table, written [{section}].")
    if "task" not in data:
        raise ConfigError(f"sweep file {path} has no [task].")
    options = data.get("sweep", {})
    for key in options:
        check.known_key(key, SWEEP_KEYS, "sweep")
    task, grid = task_from_dict(data["task"]), _grid(data)
    given = {"init": _init(options["init"], task, grid)} if "init" in options else {}
    return SweepFile(task, train_config_from_dict(data.get("train", {})), grid, {**options, **given})


def _init(given: Any, task: Any, grid: Grid) -> Any:
    """Where models start: the path of a result, or known shapes, such as { shapes = "pentagon", noise = 0.1 }."""
    if isinstance(given, str):
        return given
    if not isinstance(given, Mapping) or "shapes" not in given:
        raise ConfigError('sweep.init must be the path of a result, or a table such as { shapes = ["pentagon"] }.')
    for key in given:
        check.known_key(key, ("shapes", "length", "noise"), "sweep.init")
    names = given["shapes"] if isinstance(given["shapes"], list) else [given["shapes"]]
    seeds = grid.columns().get("seed") if given.get("noise") else None
    return arrangement(
        names,
        getattr(task, "n_features", 1),
        getattr(task, "n_hidden", 1),
        length=given.get("length", 1.0),
        noise=given.get("noise", 0.0),
        seed=0 if seeds is None else distinct(seeds),
    )


def _override(data: dict[str, Any], override: str) -> None:
    match = re.fullmatch(r"([A-Za-z_]+)\.([A-Za-z_0-9]+)=(.*)", override, re.DOTALL)
    if not match:
        raise ConfigError(f"override {override!r} must look like task.n_hidden=3.")
    section, key, text = match.groups()
    check.known_key(section, [s for s in SECTIONS if s != "points"], "an override")
    if section in ("task", "train"):
        cls: Any = TrainConfig
        if section == "task":
            table = data.get("task", {})
            kind = str(table.get("kind", "toy")) if isinstance(table, Mapping) else "toy"
            cls = task_class(kind)
        check.known_key(key, [f.name for f in fields(cls)] + ["kind"] * (section == "task"), section)
    try:
        parsed = tomllib.loads(f"value = {text}")
        value = parsed["value"] if list(parsed) == ["value"] else text
    except (ValueError, RecursionError):
        value = text  # a bare word: train.schedule=constant
    data.setdefault(section, {})
    if not isinstance(data[section], dict):
        raise ConfigError(f"{section} must be a table, written [{section}].")
    data[section][key] = value


def _grid(data: Mapping[str, Any]) -> Grid:
    design = data.get("design", {})
    for key in design:
        check.known_key(key, DESIGN_KEYS, "design")
    kind = design.get("kind", "points" if "points" in data else "product")
    check.one_of("design.kind", kind, ("product", "zipped", "random", "points"))
    for key in ("n_cells", "random_seed"):
        if key in design and kind != "random":
            raise ConfigError(f"design.{key} belongs to random designs, and this one is {kind}.")
    if kind == "points":
        if "grid" in data or not isinstance(data.get("points"), list):
            raise ConfigError("points must be a list of tables, written [[points]], without a [grid].")
        return Grid.points(data["points"])
    if "points" in data:
        raise ConfigError(f"points are listed, but design.kind is {kind}.")
    if not data.get("grid"):
        raise ConfigError("grid is missing; write [grid] with axes such as seed = { range = 8 }.")
    for name in ("self", "cls", "n_cells", "random_seed"):
        if name in data["grid"]:
            raise ConfigError(f"grid has no axis {name!r}.")
    axes = {name: _axis(name, spec) for name, spec in data["grid"].items()}
    if kind == "random":
        if "n_cells" not in design:
            raise ConfigError("design.n_cells is missing: how many cells shall a random design draw?")
        check.integer("design.n_cells", design["n_cells"], at_least=1, at_most=MAX_VALUES)
        return Grid.random(design["n_cells"], random_seed=design.get("random_seed", 0), **axes)
    return Grid.zipped(**axes) if kind == "zipped" else Grid(**axes)


def _axis(name: str, spec: Any) -> Any:
    if not isinstance(spec, Mapping):
        return spec  # a list, or something Grid refuses with a sentence of its own
    for key in spec:
        check.known_key(key, (*SPACES, *RULES, "total"), f"grid.{name}")
    chosen, rules = ([key for key in keys if key in spec] for keys in (SPACES, RULES))
    if len(chosen) != 1 or len(rules) > 1:
        raise ConfigError(f"grid.{name} must have one of {', '.join(SPACES)}, and at most one of {', '.join(RULES)}.")
    if "total" in spec and not {*rules} & {*LAWS}:
        raise ConfigError(f"grid.{name}.total belongs to {' and '.join(LAWS)}.")
    values = _space(f"grid.{name}", chosen[0], spec[chosen[0]])
    if "vectors" in spec:
        if chosen != ["values"] or len(spec) > 2:
            raise ConfigError(
                f"grid.{name}.vectors names a field, and its vectors are in values, without anything else."
            )
        return vectors(str(spec["vectors"]), values)
    for law, axis_of_law in LAWS.items():
        if law in spec:
            return axis_of_law(str(spec[law]), values, total=spec.get("total"))
    if "decay" in spec:
        return decay(str(spec["decay"]), values)
    if "entry" in spec:
        match = re.fullmatch(r"(\w+)\[(-?\d{1,9})\]", str(spec["entry"]))
        if not match:
            raise ConfigError(f'grid.{name}.entry must name an entry such as "importance[-1]", got {spec["entry"]!r}.')
        return entry(match[1], int(match[2]), values)
    return values


def _space(name: str, kind: str, given: Any) -> Any:
    if kind == "values":
        return given
    numbers = given if isinstance(given, list) else [given]
    if not all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= LARGEST for x in numbers):
        raise ConfigError(f"{name}.{kind} must hold numbers of at most {LARGEST:g}.")
    if kind == "range":
        if not 1 <= len(numbers) <= 3 or not all(isinstance(x, int) for x in numbers) or numbers[2:] == [0]:
            raise ConfigError(f"{name}.range must be a number, [start, stop] or [start, stop, step], got {given!r}.")
        values = range(*numbers)
        if len(values) > MAX_VALUES:
            raise ConfigError(f"{name}.range holds more than {MAX_VALUES:,} values.")
        return values
    if kind in ("uniform", "loguniform"):
        from scipy import stats

        lowest = 0 if kind == "loguniform" else -math.inf
        if len(numbers) != 2 or not lowest < numbers[0] < numbers[1]:
            raise ConfigError(f"{name}.{kind} must be [low, high] with low < high{' and low > 0' * (not lowest)}.")
        low, high = numbers
        return stats.loguniform(low, high) if kind == "loguniform" else stats.uniform(low, high - low)
    if len(numbers) != 3 or not isinstance(numbers[2], int) or not 1 <= numbers[2] <= MAX_VALUES:
        raise ConfigError(f"{name}.{kind} must be [first, last, number of values], got {given!r}.")
    if kind == "geomspace" and (0 in numbers[:2] or (numbers[0] < 0) != (numbers[1] < 0)):
        raise ConfigError(f"{name}.geomspace must run between numbers of one sign, got {given!r}.")
    return (np.geomspace if kind == "geomspace" else np.linspace)(*numbers)
