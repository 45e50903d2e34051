"""A folder or file that is held by what it is, not by its name: what has its path later may be another one.

An open descriptor keeps it: it cannot be reused for something else, and names below it are looked up in it wherever it was
moved to. Where the system has no such look-up, names are looked up by path, and only the comparisons protect.
"""

import hashlib
import os
import stat
import weakref
from pathlib import Path

from superpos.errors import StoreError

METADATA = "zarr.json"
MAX_METADATA = 16 * 2**20  # bytes of it
# Whether files can be named relative to an open folder (POSIX).
RELATIVE = {os.open, os.stat, os.unlink, os.rename} <= os.supports_dir_fd


class Held:
    """A store, or a packed file, as it was when this was made. `descriptor` is that of the open folder, None without one.

    What `check` catches: at the moment it is called, the path leads to another folder or file, to none, or to one that says
    other things of itself. Whoever reads checks before and after, so a result that was swapped for another is never read as
    the first. What it does not catch: a swap that is undone between two checks (the first result is back by then). Files
    that are named relative to the open folder are the right ones all the same; those that Zarr opens by path in between,
    numbers of a large result, may then be those of the other. Their checksums hold, and so do their sizes.
    """

    def __init__(self, path: Path):
        self.path = Path(os.path.abspath(path))
        self.descriptor: int | None = None
        if RELATIVE and self.path.is_dir():
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            weakref.finalize(self, os.close, self.descriptor)
        self._stat = os.stat(self.path if self.descriptor is None else self.descriptor)
        self._said = self._says()

    def name(self, relative: str) -> Path:
        """How a file in it is named, for calls that are given `descriptor` as their folder."""
        return Path(relative) if self.descriptor is not None else self.path / relative

    def read(self, relative: str) -> bytes:
        """One file in it."""
        with open(os.open(self.name(relative), os.O_RDONLY, dir_fd=self.descriptor), "rb") as file:
            return file.read()

    def has(self, relative: str) -> bool:
        """Whether there is such a file in it."""
        try:
            os.stat(self.name(relative), dir_fd=self.descriptor)
        except OSError:
            return False
        return True

    def here(self) -> bool:
        """Whether its path still leads to it, and it still says what it said."""
        try:
            return os.path.samestat(self._stat, os.stat(self.path)) and self._says() == self._said
        except OSError:
            return False

    def is_other(self, other: "Held") -> bool:
        """Whether these are two folders, or one that says other things by now."""
        return not os.path.samestat(self._stat, other._stat) or self._said != other._said

    def check(self, what: str) -> None:
        """Raise `StoreError` if it is not here any longer; `what` it was completes the sentence."""
        if not self.here():
            raise StoreError(f"{self.path} is no longer {what}: it was moved, removed or replaced.")

    def _says(self) -> str:
        """What a store says of itself, which never changes: its attributes."""
        try:  # no link, no pipe, and nothing that would fill memory: whoever reads it refuses those by name
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            with open(os.open(self.name(METADATA), flags, dir_fd=self.descriptor), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_METADATA:
                    return ""
                return hashlib.sha256(file.read(MAX_METADATA)).hexdigest()
        except OSError:  # a packed file, or none of ours
            now = os.stat(self.path)
            return f"{now.st_size} {now.st_mtime_ns}" if stat.S_ISREG(now.st_mode) else ""
