"""A sweep as a page or a widget."""

from pathlib import Path
from typing import Any

from superpos.errors import ConfigError
from superpos.explorer.assemble import page, write_page
from superpos.explorer.pack import pack
from superpos.sweep import SweepResult

TITLE_CHARACTERS = 80


def explore(result: SweepResult, path: str | Path | None = None, *, title: str = "Superposition explorer") -> Any:
    """Write one self-contained HTML page to explore the sweep in, or show it as a widget.

    The page has a map of the sweep, the geometry of the chosen model, its training, and live training in the browser. It
    needs no network and opens from disk. Given a `path`, it is written there and the path is returned. Without one, a
    notebook gets a widget (`pip install superpos[widget]`), and anything else the file `superpos-explorer.html`.

    Raises:
        ConfigError: the result holds models without W, which the page cannot draw.
        StoreError: the page cannot be written.
    """
    if not isinstance(result, SweepResult):
        raise ConfigError(f"result must be a SweepResult, got {type(result).__name__}.")
    if path is None and _in_notebook():
        from superpos.explorer.widget import widget

        return widget(pack(result))
    target = "superpos-explorer.html" if path is None else path
    return write_page(target, page("explorer.js", {**pack(result), "title": title}, title=title[:TITLE_CHARACTERS]))


def _in_notebook() -> bool:
    """Whether there is a front end that shows widgets."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")
