"""A compilation cache on disk, so that the second start is fast. Without a place for it, everything works, only slower."""

import logging
import os
import warnings
from pathlib import Path

from superpos.process import check_process


def cache_folder() -> str | None:
    """Where JAX keeps compiled programs, or None."""
    import jax

    return jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]


def use_compilation_cache() -> None:
    """Let JAX keep compiled programs in the user's cache folder, unless a cache was already chosen.

    `JAX_COMPILATION_CACHE_DIR` chooses another folder; `SUPERPOS_CACHE=off` leaves JAX as it is. Where there is no such
    folder (no home, not writable, full), programs are compiled again.

    Raises:
        EngineError: JAX cannot work in this process.
    """
    import jax

    check_process()
    if cache_folder() or os.environ.get("SUPERPOS_CACHE") == "off" or (folder := _folder()) is None:
        return
    # A full disk or a damaged entry is a warning per program, which nobody asked for and some make an error of.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry", UserWarning)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _folder() -> Path | None:
    """Our folder among the user's caches, made if need be; None if there can be none."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if not base.is_absolute():  # unset, or not allowed by the standard, which says to ignore it
            base = Path(os.environ.get("HOME", "~")).expanduser() / ".cache"
        if not base.is_absolute():
            return None
        folder = base / "superpos" / "jax"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, ValueError):  # read-only; a user without a home; no path
        return None
    return folder if os.access(folder, os.R_OK | os.W_OK | os.X_OK) else None


def _says_something(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Matplotlib created a temporary cache directory")


# Said by Matplotlib, when it is imported where there is no home. It works all the same.
logging.getLogger("matplotlib").addFilter(_says_something)
