"""Files that commands write: pages, figures, exports, packed results. One rule decides what may be replaced.

Replaced without a word is only what is recognisably an earlier picture or page of the same kind; any other file needs
`overwrite`, files that hold models (`DATA`) even for one of their kind. Never replaced are folders, devices and packed
results (but by another packed one); nothing is written inside a result.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from superpos.errors import ConfigError, StoreError, one_line
from superpos.sweeping.store import atomic_io, writer

HEAD_BYTES = 4_096


def free(path: str | Path, kind: str, is_own: Callable[[bytes], bool], *, overwrite: bool = False) -> Path:
    """The path, made absolute, if a file of this kind may be written there. `is_own` judges the beginning of an old file.

    A symbolic link is followed and stays one: what it leads to is judged. Files that hold the models themselves (`DATA`)
    are replaced only with `overwrite`, even by one of their kind: nobody can draw them again.

    Raises:
        ConfigError: something else is there, or the path cannot be used.
    """
    target = writer.outside(path)
    try:
        if not target.exists():
            if not target.name:
                raise ConfigError(f"output {path} is no name of a file.")
            return target
        if not stat.S_ISREG(target.stat().st_mode):
            raise ConfigError(f"output {path} exists and is no file, so it is not replaced; choose another path.")
        with target.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise ConfigError(f"output path cannot be used: {one_line(error)}.") from None
    if is_packed(head) and kind != PACKED:
        raise ConfigError(f"output {path} is a packed result, so it is not replaced; choose another path.")
    if not overwrite and kind in DATA and is_own(head):
        raise ConfigError(
            f"output {path} exists and is a {kind} already; choose another path, or overwrite it on purpose (--overwrite, "
            "overwrite=True)."
        )
    if not overwrite and not is_own(head):
        raise ConfigError(
            f"output {path} exists and is no {kind} of superpos, so it is not replaced; choose another path, or overwrite "
            "it on purpose."
        )
    return target


def is_packed(head: bytes) -> bool:
    """Whether a file begins as `superpos pack` begins: with a stored `zarr.json` that names superpos."""
    return head.startswith(b"PK\3\4") and head[30:39] == b"zarr.json" and b'"superpos"' in head


PACKED = "packed result"
# Kinds of files that hold models, and how to tell them: exports by their format alone, whoever wrote them.
DATA: dict[str, Callable[[bytes], bool]] = {
    PACKED: is_packed,
    ".nc file": lambda head: head.startswith(b"\x89HDF"),
    ".parquet file": lambda head: head.startswith(b"PAR1"),
    ".safetensors file": lambda head: head[8:].startswith(b'{"'),  # after the length of its list
}


def write(target: Path, data: bytes) -> Path:
    """Write a file, whole or not at all; what dead writers left beside it is removed.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_io.clean_beside(target)
        atomic_io.write(target, data)
    except OSError as error:
        raise atomic_io.failed(target, error) from error
    return target


def write_by(target: Path, writer: Callable[[Path], object]) -> Path:
    """Like `write`, by a function that writes to the path it is given: a file of the same ending in a hidden folder beside.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_io.clean_beside(target)
        with atomic_io.folder_beside(target) as folder:
            temporary = folder / f"new{target.suffix}"
            writer(temporary)
            atomic_io.sync(temporary)
            os.replace(temporary, target)
        atomic_io.sync(target.parent)
    except StoreError:
        raise
    except OSError as error:
        raise atomic_io.failed(target, error) from error
    return target
