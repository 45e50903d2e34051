"""Keys of a figure for a paper, which stand below its panels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from superpos.plot.paper_panels import LETTER, Panel

POINTS = 8.0  # of all letters, at final size
LINE = 0.15  # inches
HANDLE = 0.4  # of what stands left of a label, and between columns


class Key(NamedTuple):
    """A legend that goes below the panels."""

    title: str
    handles: list[Any]
    labels: list[str]
    lengths: list[float]  # of the labels
    panels: list[Panel]

    @classmethod
    def of(cls, legend: Legend, *panels: Panel) -> "Key":
        """A legend, which is removed from where it was."""
        texts = legend.get_texts()
        labels = [text.get_text() for text in texts]
        dpi = texts[0].get_figure(root=True).dpi if texts else 1.0  # type: ignore[union-attr]
        lengths = [text.get_window_extent().width / dpi * POINTS / float(text.get_fontsize()) for text in texts]
        handles, title = list(legend.legend_handles), legend.get_title().get_text()
        legend.remove()
        return cls(title, handles, labels, lengths, list(panels))

    def columns(self, width: float) -> int:
        """As many as fit in so many inches; each is as wide as its longest label."""
        for n in range(len(self.labels), 1, -1):
            if sum(HANDLE + max(column) for column in np.array_split(self.lengths, n)) <= width - LETTER:
                return n
        return 1

    def height(self, width: float) -> float:
        """Inches that it takes in a figure so wide."""
        return LINE * (-(-len(self.labels) // self.columns(width)) + bool(self.title)) + 0.06

    def draw(self, figure: Figure, y: float, letters: str) -> Legend:
        """Write it below `y`, a share of the figure's height; with the letters of its panels, if it has a title."""
        title = ": ".join(word for word in (letters, self.title) if word) if self.title else None
        return figure.legend(
            self.handles, self.labels, title=title, loc="upper center", bbox_to_anchor=(0.5, y),
            ncols=self.columns(figure.get_figwidth()), fontsize=POINTS, title_fontsize=POINTS, handlelength=2.0,
            handleheight=1.0, columnspacing=1.0, borderaxespad=0, borderpad=0.2, labelspacing=0.35,
        )  # fmt: skip


def merged(keys: Sequence[Key]) -> list[Key]:
    """Keys that say the same, or a part of what another says, once: for all their panels."""
    once: list[Key] = []
    for key in keys:
        for k, other in enumerate(once):
            part, whole = sorted((key, other), key=lambda one: len(one.labels))
            if part.title == whole.title and set(part.labels) <= set(whole.labels):
                whole.panels.extend(part.panels)
                once[k] = whole
                break
        else:
            once.append(key)
    return once


def write_beside(figure: Figure, legend: Legend, letters: str) -> None:
    """Write the letters of its panels left of a key without a title, which makes room. The figure has been drawn."""
    if letters and not legend.get_title().get_text():
        to_shares = figure.transFigure.inverted()
        box, first, anchor = (
            part.transformed(to_shares)
            for part in (
                legend.get_window_extent(), legend.get_texts()[0].get_window_extent(), legend.get_bbox_to_anchor()
            )
        )  # fmt: skip
        word = figure.text(0.005, first.y0, letters, fontsize=POINTS)
        room = 0.015 + word.get_window_extent().transformed(to_shares).width
        aside = max(0.0, min(room - box.x0, 1 - box.x1))
        legend.set_bbox_to_anchor((anchor.x0 + aside, anchor.y0), transform=figure.transFigure)
        word.set_x(max(0.005, box.x0 + aside - room))
