"""A compilation cache on disk, so that the second start is fast."""

import os
from pathlib import Path


def cache_folder() -> str | None:
    """Where JAX keeps compiled programs, or None."""
    import jax

    return jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]


def use_compilation_cache() -> None:
    """Let JAX keep compiled programs in the user's cache folder, unless a cache was already chosen.

    `JAX_COMPILATION_CACHE_DIR` chooses another folder; `SUPERPOS_CACHE=off` leaves JAX as it is.
    """
    import jax

    if cache_folder() or os.environ.get("SUPERPOS_CACHE") == "off":
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "superpos" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only home costs a slower start, nothing else
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
