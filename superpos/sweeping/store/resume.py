"""The running side of a store: what is still to be trained, and committing it chunk by chunk."""

import json
import logging
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from superpos.config import compared, task_from_dict, train_config_from_dict
from superpos.errors import ConfigError, StoreError, shortened
from superpos.identity import code_difference
from superpos.sweeping import variables
from superpos.sweeping.attributes import attributes, coordinates, kernel_of
from superpos.sweeping.grid import Grid
from superpos.sweeping.layout import Layout
from superpos.sweeping.plan import Block
from superpos.sweeping.store import atomic_io, reader, writer
from superpos.sweeping.store.contents import SAVED, Contents
from superpos.sweeping.store.handle import Held
from superpos.sweeping.variables import BlockResult, Field
from superpos.tasks.base import Task
from superpos.training.loop import TrainConfig

log = logging.getLogger("superpos")

RESUME = ("auto", "never", "must")


class Committed(NamedTuple):
    """A chunk that is on disk, and what its models came to."""

    chunk: int
    n_models: int
    losses: np.ndarray
    n_diverged: int


class StoredSweep:
    """A store that a sweep writes to. Blocks are handed in as they come; a chunk is written when it has all of its blocks."""

    def __init__(
        self,
        held: Held,
        layout: Layout,
        digest: str,
        committed: Iterable[int] = (),
        fields: dict[str, Field] | None = None,
    ):
        self.held, self.path, self.layout, self.digest = held, held.path, layout, digest
        self.fields = variables.fields(layout.families) if fields is None else fields
        self._committed, self._lock = set(committed), threading.Lock()
        self._pending: dict[int, tuple[dict[str, np.ndarray], np.ndarray, set[int]]] = {}

    @property
    def pending(self) -> list[int]:
        """Chunks that are not committed."""
        return [c for c in range(self.layout.n_chunks) if c not in self._committed]

    def add(self, family: int, number: int, block: Block, result: BlockResult) -> Committed | None:
        """Take one block's result. If it was the last of its chunk, commit the chunk and say so.

        Raises:
            StoreError: it could not be written, or its path leads elsewhere by now. What was committed before stays.
        """
        chunk = number // self.layout.blocks_per_chunk
        blocks = self.layout.blocks_in(chunk)
        with self._lock:
            if chunk not in self._pending:
                n_slots = len(blocks) * self.layout.width
                arrays = {name: variables.empty(field, n_slots) for name, field in self.fields.items()}
                self._pending[chunk] = (arrays, np.full(n_slots, writer.PADDING, np.int8), set(blocks))
            arrays, status, left = self._pending[chunk]
            slots = self.layout.slots(number - blocks.start, block)
            for name, values in variables.values(result).items():
                variables.write_corner(arrays[name], slots, values)
            status[slots] = writer.DONE
            left.discard(number)
            if left:
                return None
            del self._pending[chunk]
        try:
            writer.write_chunk(self.held, chunk, self.layout.chunk, arrays, status)
        except StoreError:
            raise
        except OSError as error:
            self.check()
            raise atomic_io.failed(self.path, error) from error
        self._committed.add(chunk)
        real = status == writer.DONE
        diverged = int((arrays["diverged_step"][real] >= 0).sum())
        return Committed(chunk, int(real.sum()), arrays["loss"][real], diverged)

    def mark(self, chunks: Iterable[int]) -> None:
        """Note chunks that somebody else has committed."""
        self._committed |= {c for c in chunks if self.held.has(f"{writer.STATUS}/{writer.key(c, 1)}")}

    def check(self) -> None:
        """Raise `StoreError` if the path leads to another store by now, or to none."""
        self.held.check(writer.JOINED)

    def clean(self) -> None:
        """Remove what dead writers left behind."""
        self.check()
        for name in (*self.fields, writer.STATUS):
            atomic_io.clean(self.path / name)


def start(
    target: Path, task: Task, config: TrainConfig, grid: Grid, layout: Layout, *, resume: str, overwrite: bool
) -> StoredSweep:
    """Create the store, or go on with the one that is there.

    Raises:
        ConfigError: there is one and `resume` is "never", there is none and it is "must", or it is of another sweep; the
            message says what differs.
        StoreError: it is damaged, or cannot be written.
    """
    if not target.exists() and resume == "must":
        raise ConfigError(f"resume is must, and there is nothing at {target} to go on with.")
    if target.exists() and resume == "never" and not overwrite:
        raise ConfigError(f"output {target} exists, and resume is never; {writer.INSTEAD}.")
    fields = None
    if overwrite or not target.exists():
        attrs = {**attributes(task, config, grid, layout), "dims": grid.sizes}
        fields = variables.fields(layout.families)
        labels = coordinates(config, grid, layout)
        blueprint = writer.Blueprint(attrs, fields, labels, layout.grid_index, layout.chunk)
        writer.create(target, blueprint, overwrite=overwrite)
        del labels, blueprint  # ten million labels take their memory
    return join(target, task, config, grid, layout, fields)  # known by tracing every family, which takes long


def join(
    target: Path,
    task: Task,
    config: TrainConfig,
    grid: Grid,
    layout: Layout,
    fields: dict[str, Field] | None = None,
) -> StoredSweep:
    """Go on with a store, if it is of the very same sweep."""
    contents = resumable(target)
    held = contents.source.held
    attrs = attributes(task, config, grid, layout)
    if differing := difference(contents, attrs, coordinates(config, grid, layout), grid.sizes):
        raise ConfigError(f"{target} holds another sweep: {'; '.join(differing)}; {writer.INSTEAD}.")
    if contents.chunk % layout.width or not np.array_equal(contents.grid_index, layout.grid_index):
        raise StoreError(f"{target} is damaged: its cells do not lie where these settings put them.")
    layout = replace(layout, chosen_blocks_per_chunk=contents.chunk // layout.width)
    committed = set(np.flatnonzero(contents.committed).tolist())
    for number in sorted(committed):
        if name := contents.broken(number):
            log.warning("%s: %s lacks chunk %d or holds it damaged: it is trained again", target, name, number)
            committed.discard(number)
            with suppress(FileNotFoundError):
                os.unlink(held.name(f"{writer.STATUS}/{writer.key(number, 1)}"), dir_fd=held.descriptor)
    stored = StoredSweep(held, layout, contents.attributes["digest"], committed, fields)
    stored.clean()
    return stored


def resumable(target: Path) -> Contents:
    """What a store holds, checked.

    Raises:
        StoreError: it is damaged, or an earlier version wrote it.
    """
    contents = reader.opened(target)
    if contents.attributes["format"] == SAVED:
        raise StoreError(f"{target} holds a result that was saved, which is no sweep to go on with.")
    if contents.attributes["format"] != variables.FORMAT:
        raise StoreError(f"{target} was written by an earlier version of superpos, which does not resume.")
    return contents


def difference(contents: Contents, attrs: dict[str, Any], coords: dict[str, Any], dims: dict[str, int]) -> list[str]:
    """What differs between a store and a sweep, in words: "task.n_hidden is 2 there and 3 here"."""
    differing: list[str] = []
    unsaid = {"code"} | ({"cpu_threads"} - set(contents.attributes))  # stores of version 0.1 do not say the threads
    unsaid |= {"kernel"}  # nor do those of the plain one name it
    if (there := kernel_of(contents.attributes)) != (here := kernel_of(attrs)):
        differing.append(f"kernel is {there} there and {here} here")
    for part in dict.fromkeys((*(part for part in attrs if part not in unsaid), "init", "dims")):
        stored, current = contents.attributes.get(part), dims if part == "dims" else attrs.get(part)
        differing += _differing(part, compared(stored), compared(json.loads(json.dumps(current))))
    if changed := code_difference(contents.attributes.get("code"), attrs.get("code")):
        differing.append(changed)
    if not differing:
        for name, (_, values) in coords.items():
            same = name in contents.variables and np.array_equal(contents.column(name), values)
            differing += [] if same else [f"the values of {name} are other ones"]
    return differing


def restored(contents: Contents) -> tuple[Task, TrainConfig, Grid, dict[str, Any]]:
    """Task, configuration, grid, block size and kernel of a store: what another process needs to train a part of it.

    The block size is None where families have different ones, which only the default choice makes.
    """
    attrs = contents.attributes
    columns = {axis["name"]: contents.column(axis["name"]) for axis in attrs["grid"]["axes"]}
    grid = Grid.restored(attrs["grid"], contents.sizes, columns)
    block_size = attrs["block_size"][0] if len(attrs["block_size"]) == 1 else None
    how = {"block_size": block_size, "kernel": kernel_of(attrs)}
    return task_from_dict(attrs["task"]), train_config_from_dict(attrs["train"]), grid, how


def beside(target: Path, what: str) -> Path:
    """The folder next to a store for what differs from run to run: five.zarr → five.log."""
    target = Path(os.path.abspath(target))  # "." has no name
    return target.with_name(f"{target.name.removesuffix('.zarr')}.{what}")


def _differing(name: str, stored: Any, current: Any) -> list[str]:
    if isinstance(stored, dict) and isinstance(current, dict):
        keys = sorted(current.keys() | stored.keys())
        return [line for key in keys for line in _differing(f"{name}.{key}", stored.get(key), current.get(key))]
    if stored == current or name == "versions.python":
        return []
    return [f"{name} is {shortened(json.dumps(stored))} there and {shortened(json.dumps(current))} here"]
