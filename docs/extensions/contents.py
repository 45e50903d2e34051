"""The table of contents of the front page: those named first, then whatever else lies in a folder."""

from fnmatch import fnmatch
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.directives.other import TocTree


class Pages(TocTree):
    """A hidden toctree that takes patterns such as `guide/*` and does not mind a page that is not there yet."""

    def run(self) -> list[nodes.Node]:
        """Replace names and patterns by the pages that there are, each once."""
        pages: list[str] = []
        for pattern in self.content:
            pages += [page for page in sorted(self.env.found_docs) if fnmatch(page, pattern) and page not in pages]
        self.content = type(self.content)(pages, items=[(self.env.docname, self.lineno)] * len(pages))
        self.options["hidden"] = None
        return super().run() if pages else []


def setup(app: Sphinx) -> dict[str, Any]:
    """The directive."""
    app.add_directive("pages", Pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
