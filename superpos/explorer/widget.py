"""The explorer as a notebook widget, of the same modules as the page."""

from typing import Any

from superpos.errors import ConfigError
from superpos.explorer.assemble import PAGE, as_json, bundle


def widget(data: dict[str, Any]) -> Any:
    """A widget (`anywidget`) that shows packed data; its state lives as long as the notebook's view of it.

    Raises:
        ConfigError: anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise ConfigError(
            "explore in a notebook needs anywidget: pip install superpos[widget], or give a path."
        ) from None

    class Explorer(anywidget.AnyWidget):
        """`superpos.explorer` in a cell."""

        _esm = bundle("widget.js") + "\nexport default { render };\n"
        _css = (PAGE / "style.css").read_text(encoding="utf-8")
        data = traitlets.Unicode().tag(sync=True)

    return Explorer(data=as_json({"title": "Superposition explorer", **data}))
