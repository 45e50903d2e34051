"""What objects show of themselves: a picture, HTML, a page.

A model, a run, a grid and a result have methods for them. What draws stands above these in the house and imports them, so
they ask here for a view by its name, and the front of the package (`superpos/__init__.py`) says who draws it. Nothing is
imported before it is asked for.
"""

from collections.abc import Callable
from typing import Any, Literal

View = Literal["picture", "html", "page"]
_LOADERS: dict[str, Callable[[], Callable[..., Any]]] = {}


def offer(view: View, loader: Callable[[], Callable[..., Any]]) -> None:
    """Say who draws a view: `loader` imports the function and returns it."""
    _LOADERS[view] = loader


def draw(view: View, value: Any, *arguments: Any, **options: Any) -> Any:
    """The view of a value, drawn by whoever offers it."""
    return _LOADERS[view]()(value, *arguments, **options)
