"""Where a stored result is read from: a folder, or one packed file. Names and sizes are known before anything is read."""

import os
import zipfile
from pathlib import Path
from typing import Any

from superpos.errors import StoreError
from superpos.sweep.files import TEMPORARY

METADATA = "zarr.json"
FIRST = "status"
MOST_METADATA = 64 * 2**20
MOST_FILES = 5_000_000


class Source:
    """File sizes by folder and name ("" is the root), and their contents. Nothing but plain files below the path counts.

    Raises:
        StoreError: there are links, names that lead elsewhere, or compressed members of a packed file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._zip = None if path.is_dir() else _open_zip(path)
        self.sizes = _folder(path) if self._zip is None else _members(path, self._zip)

    def read(self, folder: str, name: str) -> bytes:
        """One file."""
        if self._zip is not None:
            return self._zip.read(f"{folder}/{name}" if folder else name)
        return (self.path / folder / name).read_bytes()

    def metadata(self, folder: str = "") -> bytes:
        """The `zarr.json` of the group or of an array."""
        size = self.sizes.get(folder, {}).get(METADATA)
        if size is None:
            raise StoreError(f"{self.path} is damaged: {folder or 'the result'} has no {METADATA}.")
        if size > MOST_METADATA:
            raise StoreError(f"{self.path} is damaged: {folder}/{METADATA} of {size:,} bytes is too large.")
        return self.read(folder, METADATA)

    def group(self) -> Any:
        """The Zarr group, for reading."""
        import zarr
        from zarr.storage import LocalStore, ZipStore

        store = LocalStore(self.path, read_only=True) if self._zip is None else ZipStore(self.path, read_only=True)
        return zarr.open_group(store, mode="r", zarr_format=3)


def _folder(path: Path) -> dict[str, dict[str, int]]:
    sizes: dict[str, dict[str, int]] = {"": {}}
    # What is committed is looked at first: its data, written before, is then there when the other folders are looked at.
    for entry in sorted(_entries(path, path.name), key=lambda entry: entry.name != FIRST):
        if entry.is_dir():
            inside = _entries(entry.path, entry.name)
            sizes[entry.name] = {
                e.name: e.stat().st_size for e in inside if e.is_file() and not e.name.endswith(TEMPORARY)
            }
        elif entry.is_file():
            sizes[""][entry.name] = entry.stat().st_size
    return sizes


def _entries(path: Path | str, shown: str) -> list[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        found = list(entries)
    if link := next((entry.name for entry in found if entry.is_symlink()), None):
        raise StoreError(f"{shown} is refused: {link} in it is a link.")
    return found


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError):
        raise StoreError(f"{path} is no superpos result.") from None


def _members(path: Path, opened: zipfile.ZipFile) -> dict[str, dict[str, int]]:
    members = opened.infolist()
    if len(members) > MOST_FILES:
        raise StoreError(f"{path} is refused: it has {len(members):,} members.")
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
