"""Colours, sizes, captions and saving: the one place that decides how figures look."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine

from superpos.models.sae import ARCHITECTURES
from superpos.plot.shape_colors import PALETTE as PALETTE
from superpos.plot.written import MARK, free_figure
from superpos.sweeping import outputs
from superpos.tasks.base import Task
from superpos.tasks.registry import is_known, task_class
from superpos.training.train_config import TrainConfig

# Negative blue, zero white, positive orange: readable in print and with any colour vision.
DIVERGING = LinearSegmentedColormap.from_list("superpos", [PALETTE["blue"], "#FFFFFF", PALETTE["red"]])
_RC: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 220,
    "savefig.bbox": "tight",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.8,
    "pdf.fonttype": 42,  # letters stay letters
    "svg.fonttype": "path",
    "svg.hashsalt": "superpos",  # the same figure twice is the same file
}


@contextmanager
def style() -> Iterator[None]:
    """The lab's look, for the figures made inside the `with`."""
    with mpl.rc_context(_RC):
        yield


def use_style() -> None:
    """The lab's look for all figures from here on, as a notebook wants it."""
    mpl.rcParams.update(_RC)


def architecture_color(name: str) -> str:
    """Colour of an architecture of sparse autoencoders, grey for one that this process does not know."""
    color = ARCHITECTURES[name].color if name in ARCHITECTURES else "grey"
    return PALETTE.get(color, color if color.startswith("#") else PALETTE["grey"])


def architecture_label(name: str) -> str:
    """What an architecture of sparse autoencoders is called, its bare name where this process does not know it."""
    return ARCHITECTURES[name].label if name in ARCHITECTURES else name


def current_axes(ax: Axes | None) -> Axes:
    """`ax`, or the current axes of pyplot."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.gca()


def save(
    figure: Figure,
    caption: str = "",
    *,
    path: str | Path,
    overwrite: bool = False,
    pdf: bool = False,
    exact: bool = False,
) -> list[Path]:
    """Write PATH.svg, PATH.png and, if there is one, the caption as PATH.txt. Returns the files.

    With `pdf`, PATH.pdf is written, too; with `exact`, pictures are as large as the figure and not cut to what is drawn.

    Files of an earlier figure are replaced, others only with `overwrite`.

    Raises:
        ConfigError: something else is there, or it is inside a result. Nothing is written.
        StoreError: a file cannot be written.
    """
    endings = [".svg", ".png", *[".pdf"] * pdf, *[".txt"] * bool(caption)]
    places = free_figure(path, endings, overwrite=overwrite)
    pictures: dict[str, dict[str, Any]] = {
        ".svg": {"Date": None, "Source": MARK},
        ".png": {"Software": None, "Source": MARK},
        ".pdf": {"Creator": MARK, "Producer": None, "CreationDate": None},
    }
    data = {".txt": f"{caption}\n".encode()}
    with mpl.rc_context(_RC | ({"savefig.bbox": None} if exact else {})), _laid_out(figure, exact):
        # Cut once for all files: to measure what is drawn, each of them would draw it a second time.
        cut = None if exact else figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
        for ending, said in pictures.items():
            if ending not in endings:
                continue
            figure.savefig(buffer := BytesIO(), format=ending[1:], metadata=said, bbox_inches=cut)
            data[ending] = buffer.getvalue()
    for ending, (_, place) in places.items():
        outputs.write(place, data[ending])
    return [named for named, _ in places.values()]


@contextmanager
def _laid_out(figure: Figure, exact: bool) -> Iterator[None]:
    """Lay a figure out once for all its files: each of them would do it again, which takes longer than to draw it.

    One that nothing lays out, as for a paper, is only measured, and where it is not cut not even that.
    """
    engine = figure.get_layout_engine()
    if not exact or not isinstance(engine, PlaceHolderLayoutEngine | None):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine or "none")


def caption(attrs: dict[str, Any], text: str = "") -> str:
    """A caption from a result's attributes, so that it cannot disagree with what was trained."""
    task, train = attrs["task"], attrs["train"]
    if not train:  # nothing is known of how these models were trained
        sizes = ", ".join(f"{task[f]} {f.removeprefix('n_')}" for f in ("n_features", "n_hidden") if f in task)
        return f"{text} Models from elsewhere{': ' if sizes else ''}{sizes}.".strip()
    swept = {axis["field"] for axis in attrs["grid"]["axes"]}
    kind, settings = task["kind"], {name: value for name, value in task.items() if name != "kind"}
    cls = task_class(kind) if is_known(kind) else Task  # a class that is not here is said field by field
    data = cls.describe_data(settings, swept, TrainConfig.describe_batch(train, swept))
    training = ", ".join([*TrainConfig.describe(train, swept), *data])
    phrases = "; ".join([*cls.describe(settings, swept), training])
    made_with = f"Made with superpos {attrs['superpos']}, JAX {attrs['versions']['jax']}."
    return f"{text} {phrases}. {made_with}".lstrip()
