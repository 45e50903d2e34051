"""The notebooks of `demos/` as pages, with the outputs that are stored in them."""

from pathlib import Path
from typing import Any

import nbformat
from addresses import colab, repository
from sphinx.application import Sphinx

BADGE = "colab-badge.svg"  # a picture that lies elsewhere


def build(app: Sphinx) -> None:
    """Copy demos/*.ipynb to notebooks/, those that have changed."""
    source, folder = Path(app.srcdir).parent / "demos", Path(app.srcdir) / "notebooks"
    books = sorted(source.glob("[0-9]*.ipynb"))
    for file in folder.glob("*.ipynb"):
        if file.name not in {book.name for book in books}:
            file.unlink()
    for book in books:
        place, text = folder / book.name, page_of(book)
        if not place.exists() or place.read_text(encoding="utf-8") != text:
            place.write_text(text, encoding="utf-8")


def page_of(file: Path) -> str:
    """A notebook's text, with a link to Colab in place of the badge where the repository's address is known."""
    book, link = nbformat.read(file, as_version=4), colab(repository(), file.name)
    first = book.cells[0]
    first.source = "\n\n".join(part for part in first.source.split("\n\n") if BADGE not in part)
    if link:
        first.source += f"\n\n[Open in Colab]({link})"
    return nbformat.writes(book)


def setup(app: Sphinx) -> dict[str, Any]:
    """Notebooks are copied before Sphinx looks for pages."""
    app.connect("builder-inited", build)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
