"""Where a stored result is read from: a folder, or one packed file. Names and sizes are known before anything is read."""

import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from superpos.errors import StoreError
from superpos.sweeping.store.atomic_io import TEMPORARY
from superpos.sweeping.store.handle import MAX_METADATA, METADATA, Held
from superpos.sweeping.store.writer import STATUS

# Beyond `SMALL`, what is read may take this many times what is on disk: sweeps that have just begun promise much.
SMALL = 64 * 2**20
MAX_EMPTY = 64
MAX_TABLES = 500_000
MAX_FILES = 250_000
MEMBER_BYTES = 46 + 8  # of a member in the directory of a zip file, with the shortest name: W/c.0.0
END_BYTES = 56 + 20 + 22 + 2**16  # of the end of a zip file, with the longest comment


class Source:
    """File sizes by folder and name ("" is the root), and their contents. Nothing but plain files below the path counts.

    Raises:
        StoreError: there are links, names that lead elsewhere, or compressed members of a packed file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.held = Held(path)
        self._zip = None if path.is_dir() else _open_zip(path)
        self.sizes = self._folder() if self._zip is None else _members(path, self._zip)

    def read(self, folder: str, name: str) -> bytes:
        """One file."""
        if self._zip is not None:
            return self._zip.read(f"{folder}/{name}" if folder else name)
        return self.held.read(f"{folder}/{name}" if folder else name)

    def size_now(self, folder: str, name: str) -> int | None:
        """The size of a plain file as it is now; None if there is none."""
        if self._zip is not None:
            return self.sizes.get(folder, {}).get(name)
        try:
            status = os.stat(self.held.name(f"{folder}/{name}"), dir_fd=self.held.descriptor, follow_symlinks=False)
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def on_disk(self, *folders: str) -> int:
        """Bytes that some folders take up, of which files with holes have fewer than their sizes say."""
        if self._zip is not None or not any(self._taken.values()):  # a file system that does not tell
            return sum(sum(self.sizes[folder].values()) for folder in folders)
        return sum(self._taken[folder] for folder in folders)

    def check_labels(self, promised: int, *folders: str) -> None:
        """Refuse labels, which are read at once, that take far more memory than their files take up."""
        if promised > max(SMALL, MAX_EMPTY * (on_disk := self.on_disk(*folders))):
            raise StoreError(f"{self.path} is refused: it promises {promised:,} bytes of labels and holds {on_disk:,}.")

    def spelt(self, words: list[str], numbers: np.ndarray) -> np.ndarray:
        """The words that numbers stand for. A long word of many cells takes memory that no file has."""
        needed = numbers.size * 4 * max(map(len, words), default=1)
        if needed > max(SMALL, MAX_EMPTY * self.on_disk(*self.sizes)):
            raise StoreError(f"{self.path} is refused: it promises {needed:,} bytes of words.")
        return np.asarray(np.asarray(words)[numbers])

    def metadata(self, folder: str = "") -> bytes:
        """The `zarr.json` of the group or of an array."""
        size = self.sizes.get(folder, {}).get(METADATA)
        if size is None:
            raise StoreError(f"{self.path} is damaged: {folder or 'the result'} has no {METADATA}.")
        if size > MAX_METADATA:
            raise StoreError(f"{self.path} is damaged: {folder}/{METADATA} of {size:,} bytes is too large.")
        raw = self.read(folder, METADATA)
        if raw.count(b"{") + raw.count(b"[") > MAX_TABLES:  # each takes a hundred bytes of memory
            raise StoreError(f"{self.path} is damaged: {folder}/{METADATA} has too many lists and tables.")
        return raw

    def group(self) -> Any:
        """The Zarr group, for reading."""
        import zarr
        from zarr.storage import LocalStore, ZipStore

        path = self.held.path
        store = LocalStore(path, read_only=True) if self._zip is None else ZipStore(path, read_only=True)
        return zarr.open_group(store, mode="r", zarr_format=3)

    def _folder(self) -> dict[str, dict[str, int]]:
        sizes: dict[str, dict[str, int]] = {"": {}}
        self._taken: dict[str, int] = {"": 0}
        # What is committed is looked at first: its data, written before, is then there when the others are looked at.
        for entry in sorted(_entries(self.path, self.path.name), key=lambda entry: entry.name != STATUS):
            folder = entry.name if entry.is_dir() else ""
            inside = _entries(entry.path, entry.name) if folder else [entry]
            files = {e.name: e.stat() for e in inside if e.is_file() and not e.name.endswith(TEMPORARY)}
            sizes[folder] = sizes.get(folder, {}) | {name: status.st_size for name, status in files.items()}
            taken = sum(min(status.st_size, 512 * getattr(status, "st_blocks", 0)) for status in files.values())
            self._taken[folder] = self._taken.get(folder, 0) + taken
        return sizes


def _entries(path: Path | str, name: str) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        listed = list(entries)
    if link := next((entry.name for entry in listed if entry.is_symlink()), None):
        raise StoreError(f"{name} is refused: {link} in it is a link.")
    return listed


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        if (n_members := _promised_members(path)) > MAX_FILES:
            raise StoreError(f"{path} is refused: it has {n_members:,} members.")
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError):
        raise StoreError(f"{path} is no superpos result.") from None


def _promised_members(path: Path) -> int:
    """At most how many members a zip file has, by the size of its directory: known before that takes memory."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END_BYTES))
        end = file.read()
    directory = 0
    for match in re.finditer(re.escape(b"PK\5\6"), end):  # a comment may hold others: whichever zipfile takes
        at = match.start()
        directory = max(directory, int.from_bytes(end[at + 12 : at + 16], "little"))
        if end[max(0, at - 20) : at].startswith(b"PK\6\7"):  # of a large file, in a record before
            directory = max(directory, int.from_bytes(end[max(0, at - 36) : max(0, at - 28)], "little"))
    return min(directory, size) // MEMBER_BYTES


def _members(path: Path, opened: zipfile.ZipFile) -> dict[str, dict[str, int]]:
    members = opened.infolist()
    sizes: dict[str, dict[str, int]] = {"": {}}
    for member in members:
        parts = member.filename.rstrip("/").split("/")
        if member.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\\" in member.filename:
            raise StoreError(f"{path} is refused: it has a member named {member.filename!r}.")
        if (member.external_attr >> 28) == 0xA:
            raise StoreError(f"{path} is refused: {member.filename!r} is a link.")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise StoreError(f"{path} is refused: {member.filename!r} is compressed, and superpos packs without.")
        if member.is_dir() or len(parts) > 2:
            continue
        folder, name = parts if len(parts) == 2 else ("", parts[0])
        if name in sizes.setdefault(folder, {}):
            raise StoreError(f"{path} is refused: it has two members named {member.filename!r}.")
        sizes[folder][name] = member.file_size
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise StoreError(f"{path} is refused: its members are larger than it is.")
    return sizes
