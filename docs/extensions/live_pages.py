"""Three live pages of the explorer, made from small sweeps that are trained while the site is built (under a minute).

With SUPERPOS_QUICK=1, as in tests of the site, they are of few cells, steps and architectures: they look as always and mean
little.
"""

import hashlib
import html
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import superpos as sp
from superpos.demos import size
from superpos.experiments import five_features

log = logging.getLogger(__name__)


def plane() -> sp.SweepResult:
    """5 features in 2 dimensions from dense to sparse: the sweep of `superpos demo`."""
    quick = replace(five_features.DEMO, densities=3, seeds=2, steps=20)
    return sp.sweep(
        *five_features.build(size(full=five_features.DEMO, quick=quick)),
        block_size=size(full=24, quick=6),
        progress=False,
    )


def space() -> sp.SweepResult:
    """Solids: 8 features in 3 dimensions, with the way that training took."""
    task = sp.tasks.Toy(n_features=8, n_hidden=3, objective="expected")
    densities, seeds = size(full=(16, 8), quick=(3, 2))
    grid = sp.Grid(feature_probability=np.geomspace(1, 0.02, densities), seed=range(seeds))
    snapshots = (0, 3, 10, 30, 60, 100, 150, 200, 250, 300)
    config = size(full=sp.TrainConfig(snapshots=snapshots), quick=sp.TrainConfig(steps=30, snapshots=snapshots[:4]))
    return sp.sweep(task, config, grid, progress=False)


def autoencoders() -> sp.SweepResult:
    """Four architectures of sparse autoencoders, several settings each, on a pentagon whose features are known."""
    toy = sp.tasks.Toy(n_features=5, n_hidden=2, feature_probability=0.05, objective="expected")
    best = sp.sweep(toy, grid=sp.Grid(seed=range(size(full=8, quick=2))), progress=False).best("seed")
    task = sp.tasks.SparseAutoencoder.of_toy(toy, best["W"], best["b"], n_latents=5)
    settings = {"relu": [0.1, 0.2, 0.4], "topk": [1, 2], "batch_topk": [0.3, 0.6], "jumprelu": [0.05, 0.1, 0.2]}
    if size(full=False, quick=True):  # every architecture is compiled
        settings = {name: settings[name] for name in ("relu", "topk")}
    grid = sp.sparsity_grid(settings, seed=range(2))
    config = size(full=sp.TrainConfig(steps=2_000), quick=sp.TrainConfig(steps=100, evaluation_samples=4_096))
    return sp.sweep(task, config, grid, progress=False)


PAGES: dict[str, tuple[Callable[[], sp.SweepResult], str]] = {
    "plane": (plane, "Five features in two dimensions"),
    "space": (space, "Eight features in three dimensions"),
    "autoencoders": (autoencoders, "Sparse autoencoders on a pentagon"),
}


def digest() -> str:
    """Of everything that a page depends on: superpos itself, this file and its sizes."""
    hasher = hashlib.sha256(Path(__file__).read_bytes() + size(full=b"full", quick=b"quick"))
    for file in sorted(Path(sp.__file__).parent.rglob("*")):
        if file.suffix in (".py", ".js", ".css", ".html"):
            hasher.update(file.read_bytes())
    return hasher.hexdigest()


def build(app: Sphinx) -> None:
    """Write live/explorer/live/NAME.html, again only after a change of superpos; they lie beside the site's own pages."""
    folder = Path(app.srcdir) / "live" / "explorer" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    seal = Path(app.srcdir) / "live" / ".digest"
    state = digest()
    if all((folder / f"{name}.html").exists() for name in PAGES) and seal.exists() and seal.read_text() == state:
        return
    for name, (train, title) in PAGES.items():
        log.info("training for the live page %r ...", title)
        sp.explorer.explore(train(), folder / f"{name}.html", title=title)
    seal.write_text(state)


class LivePage(SphinxDirective):
    """A live page inside one of the site's, and a link to it alone."""

    required_arguments = 1
    option_spec: ClassVar = {"title": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """A frame; narrow screens get the link only (`static/site.css`)."""
        name, title = self.arguments[0], html.escape(self.options["title"], quote=True)
        if name not in PAGES:
            raise self.error(f"There is no live page {name!r}; there are {', '.join(PAGES)}.")
        depth = self.env.docname.count("/")
        address = "../" * depth + f"explorer/live/{name}.html"
        frame = (
            f'<p class="live-link"><a href="{address}">Open the page by itself</a></p>\n'
            f'<iframe class="live" src="{address}" title="{title}" loading="lazy"></iframe>'
        )
        return [nodes.raw("", frame, format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Pages are written before Sphinx copies what lies beside the site's own."""
    app.connect("builder-inited", build)
    app.add_directive("live-page", LivePage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
