"""The notebooks of `demos/` as pages, with the outputs that are stored in them."""

from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx

BADGE = "colab-badge.svg"  # a picture from elsewhere; the theme's button does the same


def build(app: Sphinx) -> None:
    """Copy demos/*.ipynb to notebooks/, those that have changed."""
    source, folder = Path(app.srcdir).parent / "demos", Path(app.srcdir) / "notebooks"
    books = sorted(source.glob("[0-9]*.ipynb"))
    for file in folder.glob("*.ipynb"):
        if file.name not in {book.name for book in books}:
            file.unlink()
    for book in books:
        place, text = folder / book.name, without_badge(book)
        if not place.exists() or place.read_text(encoding="utf-8") != text:
            place.write_text(text, encoding="utf-8")


def without_badge(file: Path) -> str:
    """A notebook's text without the paragraph that shows the badge."""
    book = nbformat.read(file, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "markdown" and BADGE in cell.source:
            cell.source = "\n\n".join(part for part in cell.source.split("\n\n") if BADGE not in part)
    return nbformat.writes(book)


def setup(app: Sphinx) -> dict[str, Any]:
    """Notebooks are copied before Sphinx looks for pages."""
    app.connect("builder-inited", build)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
