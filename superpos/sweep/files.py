"""Files that are there in full or not at all, and stay after a power cut."""

import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import google_crc32c
import numpy as np

from superpos.errors import StoreError

try:
    import fcntl
except ImportError:  # no such locks on this system: what dead writers leave is then left alone
    fcntl = None

TEMPORARY = ".tmp"
OWNER = "owner"  # in a temporary folder: the name of the machine that made it, locked by the process while it lives
MOVED_AWAY = "old"  # in a temporary folder: what stood where the new one goes
CHECKSUM_BYTES = 4


def encode(values: np.ndarray) -> bytes:
    """An array as Zarr's `bytes` and `crc32c` codecs store it: little-endian numbers, then their CRC32C."""
    raw = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return raw + checksum(raw)


def checksum(raw: bytes) -> bytes:
    """CRC32C, four bytes, little-endian."""
    return google_crc32c.value(raw).to_bytes(CHECKSUM_BYTES, "little")


def write(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, wait until it is on disk, then rename it. The folder is synced by the caller.

    The temporary file is locked while it lives, so that `clean` can tell those of the living from those of the dead.
    """
    while True:
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _lock(descriptor)
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
            try:
                os.replace(temporary, path)
            except FileNotFoundError:
                continue  # cleaned away by another process before the lock was there
            return
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)


def clean(folder: Path, of: str = "") -> None:
    """Remove temporary files of writers that are dead; with `of`, only those of the file of that name."""
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        ours = entry.name.startswith(f"{of}." if of else "") and entry.name.endswith(TEMPORARY)
        if ours and entry.is_file(follow_symlinks=False):
            try:
                descriptor = os.open(entry.path, os.O_RDWR)
            except OSError:
                continue  # gone meanwhile, or not ours to touch
            try:
                if _lock(descriptor):
                    Path(entry.path).unlink(missing_ok=True)
            finally:
                os.close(descriptor)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A folder under a hidden name beside the target, gone afterwards; if the process is killed, `clean_beside` ends it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        descriptor = os.open(folder / OWNER, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _lock(descriptor)  # before the name is there: without it nobody touches the folder
            os.write(descriptor, _machine())
            yield folder
        finally:
            os.close(descriptor)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clean_beside(target: Path) -> None:
    """End the folders of dead processes of this machine; what one had moved out of the target's way is moved back."""
    hidden = re.compile(re.escape(f".{target.name}.") + "[a-z0-9_]{8}")
    try:
        with os.scandir(target.parent) as entries:
            found = [Path(e.path) for e in entries if hidden.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for folder in found:
        try:
            descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # not such a folder, gone meanwhile, or not ours to touch
        with suppress(OSError):
            if os.read(descriptor, 1_000) == _machine() and _lock(descriptor):
                if (folder / MOVED_AWAY).exists() and not target.exists():
                    (folder / MOVED_AWAY).rename(target)
                shutil.rmtree(folder)
        os.close(descriptor)


def _machine() -> bytes:
    return socket.gethostname().encode()


def sync(folder: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Wait until a folder and everything in it is on disk."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def failed(target: Path, error: OSError) -> StoreError:
    """The one sentence about an output that could not be written."""
    reason = error.strerror or str(error)
    try:
        near = next(p for p in (target, *target.parents) if p.exists())
        free = shutil.disk_usage(near).free
    except (OSError, StopIteration):
        return StoreError(f"output {target} could not be written: {reason}.")
    return StoreError(f"output {target} could not be written: {reason} ({free:,} bytes are free there).")


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody else has it, or this file system has no locks
        return False
    return True
