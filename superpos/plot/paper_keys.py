"""Keys of a figure for a paper, which stand below its panels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.legend import Legend

from superpos.plot.paper_panels import LETTER, Panel

SMALL = 7.0  # points
LINE = 0.135  # inches


class Key(NamedTuple):
    """A legend that goes below the panels."""

    title: str
    handles: list[Any]
    labels: list[str]
    panels: list[Panel]

    @classmethod
    def of(cls, legend: Legend, *panels: Panel) -> "Key":
        """A legend, which is removed from where it was."""
        labels = [text.get_text() for text in legend.get_texts()]
        handles, title = list(legend.legend_handles), legend.get_title().get_text()
        legend.remove()
        return cls(title, handles, labels, list(panels))

    def columns(self, width: float) -> int:
        """As many as the longest label allows in so many inches."""
        longest = max((len(label) for label in self.labels), default=1)
        return max(1, min(len(self.labels), int((width - LETTER) / (0.42 + 0.047 * longest))))

    def height(self, width: float) -> float:
        """Inches that it takes in a figure so wide."""
        return LINE * (-(-len(self.labels) // self.columns(width)) + bool(self.title)) + 0.06

    def draw(self, figure: Figure, y: float, letters: str) -> Legend:
        """Write it below `y`, a share of the figure's height; with the letters of its panels, if it has a title."""
        title = ": ".join(word for word in (letters, self.title) if word) if self.title else None
        return figure.legend(
            self.handles, self.labels, title=title, loc="upper center", bbox_to_anchor=(0.5, y),
            ncols=self.columns(figure.get_figwidth()), fontsize=SMALL, title_fontsize=SMALL, handlelength=2.0,
            handleheight=1.0, columnspacing=1.0, borderaxespad=0, borderpad=0.2, labelspacing=0.35,
        )  # fmt: skip


def merged(keys: Sequence[Key]) -> list[Key]:
    """Keys that say the same once, for all their panels."""
    once: dict[tuple[Any, ...], Key] = {}
    for key in keys:
        same = once.setdefault((key.title, tuple(key.labels)), key)
        if same is not key:
            same.panels.extend(key.panels)
    return list(once.values())


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
        word = figure.text(0.005, first.y0, letters, fontsize=SMALL)
        room = 0.015 + word.get_window_extent().transformed(to_shares).width
        aside = max(0.0, min(room - box.x0, 1 - box.x1))
        legend.set_bbox_to_anchor((anchor.x0 + aside, anchor.y0), transform=figure.transFigure)
        word.set_x(max(0.005, box.x0 + aside - room))
