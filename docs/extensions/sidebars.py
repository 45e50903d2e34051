"""The tree of pages in the sidebar, made once for all pages of one folder that stand beside each other in it.

The theme makes it anew for every page, which took a third of the site's time: most of several hundred pages of the reference
differ there only in which link is the current one.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment.adapters.toctree import _get_toctree_ancestors

CURRENT = '<li class="toctree-l{} current active"><a class="current reference internal" href="#">'
OTHER = '<li class="toctree-l{}"><a class="reference internal" href="{}">'


def moved(tree: str, link_from: str, link_to: str) -> str | None:
    """The tree of the page at `link_from` as its neighbour at `link_to` has it; None where they differ in more."""
    levels = re.findall(CURRENT.replace("{}", r"(\d+)"), tree)
    if len(levels) != 1 or tree.count(OTHER.format(levels[0], link_to)) != 1:
        return None
    tree = tree.replace(CURRENT.format(levels[0]), OTHER.format(levels[0], link_from))
    return tree.replace(OTHER.format(levels[0], link_to), CURRENT.format(levels[0]))


def _tree(
    app: Sphinx, made: dict[Any, tuple[str, str]], page: str, generate: Callable[..., Any], **options: Any
) -> str:
    """The theme's tree for a page; of one that has no pages below it, by way of a neighbour's that was made before."""
    above = tuple(_get_toctree_ancestors(app.env.toctree_includes, page))[1:]
    folder = page.rpartition("/")[0]
    if not above or app.env.toctree_includes.get(page):
        return str(generate(**options))
    if (above, folder) in made:
        neighbour, tree = made[above, folder]
        relative = partial(app.builder.get_relative_uri, folder + "/" * bool(folder))
        if (found := moved(tree, relative(neighbour), relative(page))) is not None:
            return found
    tree = str(generate(**options))
    made[above, folder] = page, tree
    return tree


def setup(app: Sphinx) -> dict[str, Any]:
    """The function that `templates/sbt-sidebar-nav.html` calls."""
    made: dict[Any, tuple[str, str]] = {}

    def add(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
        context["sidebar_tree"] = partial(_tree, app, made, page)

    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
