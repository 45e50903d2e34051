"""Open a stored result of any format: everything is checked against everything else before memory is taken."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from superpos.errors import StoreError, one_line
from superpos.sweeping.store import atomic_io, legacy
from superpos.sweeping.store.backend import Source
from superpos.sweeping.store.contents import OPENED, SAVED, Contents
from superpos.sweeping.store.grid_contents import Saved
from superpos.sweeping.store.handle import METADATA, Held
from superpos.sweeping.store.writer import JOINED


def read(path: str | Path, same_as: Held | None = None) -> xr.Dataset:
    """The dataset in grid form; with `same_as`, it must be the very store that is held.

    Raises:
        StoreError: there is none at `path`, or it is damaged or not ours. Damage inside a chunk of a large result is
            noticed when the chunk is read.
    """
    contents = opened(path)
    held = contents.source.held
    if same_as is not None and held.is_other(same_as):
        raise StoreError(f"{path} is no longer {JOINED}: it was replaced.")
    with blaming(path):
        if contents.attributes["format"] == 1:
            dataset = legacy.read(contents.source, contents.attributes)
        else:
            dataset = contents.dataset()
        held.check(OPENED)
        return dataset


def opened(path: str | Path) -> Contents:
    """What is at `path`, checked as far as that goes without reading the numbers.

    Raises:
        StoreError: there is nothing, or it is damaged or not ours.
    """
    try:
        target = Path(path).expanduser()
        if not (exists := target.exists()) and target.name:
            atomic_io.clean_beside(target)  # a process may have died while it replaced this result
            exists = target.exists()
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise StoreError(f"path of a result cannot be used: {one_line(error)}.") from None
    if not exists:
        raise StoreError(f"there is no result at {path}.")
    with blaming(path):
        source = Source(target)
        attributes = _attributes(source)
        if attributes["format"] == SAVED:
            contents: Contents = Saved(source, attributes)
        else:
            contents = Contents(source, attributes)
        source.held.check(OPENED)
        return contents


def _attributes(source: Source) -> dict[str, Any]:
    if METADATA not in source.sizes[""]:
        raise StoreError(f"{source.path} is no superpos result.")
    root = json.loads(source.metadata())
    attributes = root.get("attributes") if isinstance(root, dict) else None
    if not isinstance(attributes, dict) or not {"superpos", "format"} <= set(attributes):
        raise StoreError(f"{source.path} is no superpos result.")
    return attributes


@contextmanager
def blaming(path: str | Path) -> Iterator[None]:
    """Whatever the reader trips over, the file is at fault."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        if isinstance(error, PermissionError):
            raise StoreError(f"{path} cannot be read: {one_line(error)}.") from None
        raise StoreError(f"{path} is damaged: {type(error).__name__}: {one_line(error)}.") from error
