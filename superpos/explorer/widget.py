"""The pages as notebook widgets, of the same modules."""

from typing import Any

from superpos.errors import ConfigError
from superpos.explorer.assemble import PAGE, as_json, bundle
from superpos.extras import install_command


def widget(data: dict[str, Any], entry: str = "explorer", styles: tuple[str, ...] = ("style.css", "story.css")) -> Any:
    """A widget (`anywidget`) that shows packed data; its state lives as long as the notebook's view of it.

    `entry` is "explorer" or "viewer", which have the modules `explorer_widget.js` and `viewer_widget.js`.

    Raises:
        ConfigError: anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise ConfigError(
            f"explore in a notebook needs anywidget: {install_command('widget')}, or give a path."
        ) from None

    class Explorer(anywidget.AnyWidget):
        """`superpos.explorer` in a cell."""

        _esm = bundle(f"{entry}_widget.js") + "\nexport default { render };\n"
        _css = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in styles)
        data = traitlets.Unicode().tag(sync=True)

    return Explorer(data=as_json({"title": "Superposition explorer", **data}))
