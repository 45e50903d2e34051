"""Files that are there in full or not at all, and stay after a power cut."""

import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
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
_HIDDEN = re.compile(r"\.(.+)\.[a-z0-9_]{8}", re.DOTALL)  # a folder of `folder_beside`
_WRITTEN = re.compile(r".+\.\d+-[0-9a-f]{8}\.tmp", re.DOTALL)  # a file of `write`


def encode(values: np.ndarray) -> tuple[memoryview, bytes]:
    """An array as Zarr's `bytes` and `crc32c` codecs store it: little-endian numbers, not copied, and their CRC32C."""
    raw = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
    return raw, checksum(raw)


def checksum(raw: bytes | memoryview) -> bytes:
    """CRC32C, four bytes, little-endian."""
    bytes_ = np.frombuffer(raw, np.uint8)
    bytes_.flags.writeable = False  # what the library asks for
    return google_crc32c.value(bytes_).to_bytes(CHECKSUM_BYTES, "little")


def sha256(*pieces: bytes | memoryview) -> str:
    """SHA-256 of a file of these pieces, in hexadecimal digits."""
    sum_ = hashlib.sha256()
    for piece in pieces:
        sum_.update(piece)
    return sum_.hexdigest()


def write(path: Path, data: bytes | Sequence[bytes | memoryview], folder: int | None = None) -> None:
    """Write a file, of one piece or several, under a temporary name, wait until it is on disk, then rename it.

    The folder is synced by the caller. The temporary file is locked while it lives, so that `clean` can tell those of the
    living from those of the dead.
    `folder` is the descriptor of an open folder that the path is relative to.
    """
    while True:
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
        try:
            _lock(descriptor)
            for piece in (data,) if isinstance(data, bytes) else data:
                left = memoryview(piece)
                while left:
                    left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
            try:
                os.replace(temporary, path, src_dir_fd=folder, dst_dir_fd=folder)
            except FileNotFoundError:
                continue  # cleaned away by another process before the lock was there
            return
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(descriptor)


def clean(folder: Path, of: str = "") -> None:
    """Remove temporary files of writers that are dead; with `of`, only those of the file of that name."""
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        is_temporary = entry.name.startswith(f"{of}." if of else "") and entry.name.endswith(TEMPORARY)
        if is_temporary and entry.is_file(follow_symlinks=False):
            _end_file(entry.path)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A folder under a hidden name beside the target, gone afterwards; if the process is killed, `clean_beside` ends it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder, descriptor = _owned_folder(target)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(descriptor)


def _owned_folder(target: Path) -> tuple[Path, int]:
    """A new hidden folder, and the descriptor of its owner's file, which stays locked until it is closed."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        descriptor = None
        try:
            descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            if _lock(descriptor) is not None and os.fstat(descriptor).st_nlink:
                os.write(descriptor, _machine())
                return folder, descriptor
        except FileNotFoundError:
            pass  # taken for one of a dead process before it was locked: try again
        except BaseException:
            _remove(folder)
            raise
        if descriptor is not None:
            os.close(descriptor)


def clean_beside(target: Path) -> None:
    """End what dead processes of this machine left in the target's folder, whatever they were writing there.

    What one had moved out of another's way is moved back.
    """
    try:
        with os.scandir(target.parent) as entries:
            listed = list(entries)
    except OSError:
        return
    for entry in listed:
        if (hidden := _HIDDEN.fullmatch(entry.name)) and entry.is_dir(follow_symlinks=False):
            _end(Path(entry.path), target.with_name(hidden[1]))
        elif _WRITTEN.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            _end_file(entry.path)


def _end(folder: Path, target: Path) -> None:
    try:
        descriptor = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        with suppress(OSError):
            folder.rmdir()  # of a process that died at once, if it is empty; else not such a folder, or not ours to touch
        return
    with suppress(OSError):
        # An owner without a name died before it wrote it.
        if os.read(descriptor, 1_000) in (b"", _machine()) and _lock(descriptor):
            if (folder / MOVED_AWAY).exists() and not target.exists():
                (folder / MOVED_AWAY).rename(target)
            _remove(folder)
    os.close(descriptor)


def _end_file(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return  # gone meanwhile, or not ours to touch
    try:
        if _lock(descriptor):
            Path(path).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a hidden folder, its owner's file last: whatever is left until then has an owner."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name != OWNER:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        if all(path.name == OWNER for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def _machine() -> bytes:
    return socket.gethostname().encode()


def sync(path: Path, folder: int | None = None) -> None:
    """Wait until a file, or the names in a folder, are on disk; with `folder`, the path is relative to it."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY, dir_fd=folder)
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


def _lock(descriptor: int) -> bool | None:
    """True if it is locked now, False where there are no locks, None if somebody else has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError:
        return False
    return True
