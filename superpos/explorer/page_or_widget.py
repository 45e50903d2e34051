"""A sweep as a page or a widget."""

import os
from pathlib import Path
from typing import Any

from superpos import arrays, check, console
from superpos.analysis.recovery import N_INPUTS
from superpos.errors import ConfigError
from superpos.explorer.assemble import free_page, page, write_page
from superpos.explorer.induction_page import pack_induction
from superpos.explorer.modular_page import pack_modular
from superpos.explorer.page_data import pack
from superpos.explorer.viewer import STYLES, pack_dictionaries
from superpos.sweeping import SweepResult, foreign_models
from superpos.tasks.registry import described_as
from superpos.training.run_record import Run

TITLE_CHARACTERS = 80
# What is shown: title, module, style sheets.
EXPLORER = ("Superposition explorer", "explorer", ("style.css", "story.css"))
VIEWER = ("Feature viewer", "viewer", STYLES)
# Of transformers, by the page of their task, which is the module: title, style sheets, and what packs the result.
TRANSFORMERS = {
    "modular": ("Modular arithmetic", ("style.css", "transformer.css"), pack_modular),
    "induction": ("Induction heads", ("style.css", "transformer.css"), pack_induction),
}


def explore(
    result: Any,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    n_inputs: int | None = None,
    landscape: Any = None,
    overwrite: bool = False,
) -> Any:
    """Write one self-contained HTML page to explore the sweep in, or show it as a widget.

    Of toy models, the page has a map of the sweep, the geometry of the chosen model, its training, and live training in
    the browser. With the `landscape` of the same task, a table of `superpos.landscape` over densities of the sweep, it
    shows the minima at the chosen model's density, and marks the one in which this model ended. Of sparse autoencoders,
    crosscoders, transcoders and decompositions of weights it is a feature viewer: scores of all of them, the latents or
    subcomponents of those that fit (`pack_dictionaries`), and any two side by side; they are judged on `n_inputs` inputs
    (16,384). Of transformers it shows how they learned: of `ModularAddition` the losses with the phases of grokking,
    spectrum, circles and neurons; of `RepeatedTokens` the attention of every head, and its scores.

    `result` is a sweep's, or of toy models also one model, one run, or bare weights W (n_hidden, n_features) of anybody's.
    One autoencoder or transformer gets a page as a sweep of one seed.

    A page needs no network and opens from disk. Given a `path`, it is written there and the path is returned. Without one, a
    notebook gets a widget (`pip install superpos[widget]`), and anything else the file `superpos-explorer.html`. An earlier
    page is replaced, any other file only with `overwrite`.

    Raises:
        ConfigError: the result holds other models than these, or more than the page can draw; it is a run of an
            autoencoder or a transformer; the landscape is of another task; or something else is at the path.
        StoreError: the page cannot be written.
    """
    if path is not None:
        arrays.of_kind("path", path, (str, os.PathLike))
    if title is not None:
        arrays.of_kind("title", title, str)
    check.boolean("overwrite", overwrite)
    if isinstance(result, Run) and result.task.PAGE:  # a toy model's is ""
        raise ConfigError(
            f"a page of one {type(result.task).__name__} is made from a sweep, which keeps what it shows: "
            f'sp.sweep(task, config, sp.Grid(seed=[{int(result.seed)}])).explore("page.html").'
        )
    if not isinstance(result, SweepResult):
        try:
            result = SweepResult(foreign_models.dataset_of("result", result))
        except ConfigError as error:
            raise ConfigError(
                f"result must be a SweepResult, a run, or a model with a W, or W itself: {error}"
            ) from None
    kind = result.attrs["task"]["kind"]
    entry = described_as(kind).PAGE
    if entry != "viewer" and n_inputs is not None:
        raise ConfigError(f"n_inputs is for sparse autoencoders and decompositions; this result holds {kind} models.")
    if landscape is not None and kind != "toy":
        raise ConfigError(f"landscape is for toy models; this result holds {kind} models.")
    if not result.has_page:
        kinds = (
            "toy models, decompositions of weights, sparse autoencoders and transcoders, modular addition and repeated"
        )
        raise ConfigError(f"pages exist for {kinds} tokens; this result holds {kind} models.")
    target = "superpos-explorer.html" if path is None else path
    widgets = path is None and console.in_kernel()
    if not widgets:
        free_page(target, overwrite=overwrite)  # before anything is computed
    if entry in TRANSFORMERS:
        name, styles, pack_transformer = TRANSFORMERS[entry]
        data = pack_transformer(result)
    elif entry == "viewer":
        (name, entry, styles), inputs = VIEWER, N_INPUTS if n_inputs is None else n_inputs
        data = pack_dictionaries(result, n_inputs=inputs)
    else:
        (name, entry, styles), data = EXPLORER, pack(result, landscape)
    title = name if title is None else title
    data = {**data, "title": title}
    if widgets:
        from superpos.explorer.widget import widget

        return widget(data, entry, styles)
    html = page(f"{entry}.js", data, title=title[:TITLE_CHARACTERS], styles=styles)
    return write_page(target, html, overwrite=overwrite)
