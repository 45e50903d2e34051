"""Figures for papers: at the width of a column or of the text, with 8 pt letters at final size, panels lettered.

A figure is designed wide. At less width its panels keep about their shape and flow, as words do, into as many rows as they
need; colour bars stay beside their panels, and keys that stood beside or below come below.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from superpos.errors import ConfigError

WIDTHS = {"column": 3.25, "text": 6.75}  # inches
POINTS = 8.0  # of letters, at final size; small ones, such as those of lines, are a seventh smaller
SMALL, SMALL_BELOW = 7.0, 8.2
ROOM = {"left": 0.52, "right": 0.1, "bottom": 0.42, "top": 0.26}  # inches around a panel with ticks and labels
BARE_ROOM = {"left": 0.04, "right": 0.04, "bottom": 0.08, "top": 0.22}  # around one without
LEAST = {True: 1.05, False: 0.62}  # width in inches of panels with and without ticks, below which a row is broken
KEY_LINE = 0.135  # inches
WATERMARK = "quick look"


def check_width(width: str | None) -> None:
    """Raise `ConfigError` for anything but None, "column" or "text"."""
    if width is not None and width not in WIDTHS:
        raise ConfigError(f'width must be "column" or "text", got {width!r}.')


def watermark(figure: Figure, text: str = WATERMARK) -> None:
    """Write across the picture that it is a quick look: trained too little to be shown to anybody."""
    figure.text(
        0.5, 0.5, text, ha="center", va="center", rotation=24, fontsize=0.16 * 72 * figure.get_figwidth(), color="#D55E00",
        alpha=0.22, weight="bold", zorder=1_000, gid="watermark",
    ).set_in_layout(False)  # fmt: skip


def fit(figure: Figure, width: str) -> None:
    """Lay a figure out anew at a paper's width. See the module for how.

    Raises:
        ConfigError: there is no such width.
    """
    check_width(width)
    figure.canvas.draw()  # so that a layout engine has placed everything
    panels = _panels(figure)
    keys = _taken_off(figure, panels)
    figure.set_layout_engine("none")
    for text in figure.findobj(Text):
        text.set_fontsize(SMALL if text.get_fontsize() < SMALL_BELOW else POINTS)
    rows = _rows(panels, WIDTHS[width])
    heights = [_row_height(row) for row in rows]
    below = sum(_key_height(key, width) for key in keys) + 0.04 * len(keys)
    total = sum(heights) + below + 0.06
    figure.set_size_inches(WIDTHS[width], total)
    top = total - 0.03
    for row, height in zip(rows, heights, strict=True):
        _place(row, top, height, WIDTHS[width], total)
        top -= height
    for key in keys:
        _key(figure, key, top / total, width)
        top -= _key_height(key, width) + 0.04
    _letters(figure, rows)


class _Panel:
    """One pair of axes as it was designed, in inches, with its colour bars."""

    def __init__(self, ax: Axes, size: np.ndarray):
        box = ax.get_position()
        self.ax, self.bars = ax, []
        self.x, self.y = box.x0 * size[0], box.y0 * size[1]
        self.width, self.height = box.width * size[0], box.height * size[1]
        ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()]
        self.is_framed = ax.axison and bool(any(t.get_visible() and t.get_text() for t in ticks) or ax.get_ylabel())

    @property
    def room(self) -> dict[str, float]:
        """Inches that letters around the panel take."""
        room = dict(ROOM if self.is_framed else BARE_ROOM)
        if self.ax.get_xlabel():
            room["bottom"] = max(room["bottom"], 0.18 + 0.13 * (1 + self.ax.get_xlabel().count("\n")))
        if self.is_framed and not self.ax.get_ylabel():
            room["left"] -= 0.16
        if self.ax.get_title():
            room["top"] = 0.1 + 0.13 * (1 + self.ax.get_title().count("\n"))
        room["right"] += 0.5 * len(self.bars)
        return room


def _panels(figure: Figure) -> list[_Panel]:
    """All axes that are not inside others, in reading order; colour bars with the nearest panel to their left."""
    size = figure.get_size_inches()
    shown = [ax for ax in figure.axes if ax.get_visible()]
    bars = [ax for ax in shown if ax.get_label() == "<colorbar>"]
    panels = [_Panel(ax, size) for ax in shown if ax not in bars]
    panels.sort(key=lambda p: (-round((p.y + p.height) / 0.35), p.x))
    for bar in bars:
        box = _Panel(bar, size)
        nearest = min(
            panels, key=lambda p: abs(p.x + p.width - box.x) + abs(p.y + p.height / 2 - box.y - box.height / 2)
        )
        nearest.bars.append(bar)
    return panels


def _rows(panels: Sequence[_Panel], width: float) -> list[list[_Panel]]:
    """Panels in rows: those of one designed row stay together as long as each is wide enough, else they are broken evenly."""
    designed: list[list[_Panel]] = []
    for panel in panels:
        last = designed[-1][-1] if designed else None
        beside = last is not None and abs(last.y + last.height - panel.y - panel.height) < 0.35 and panel.x > last.x
        if beside:
            designed[-1].append(panel)
        else:
            designed.append([panel])
    rows = []
    for row in designed:
        n_parts = 1
        while n_parts < len(row) and not _fits(row, n_parts, width):
            n_parts += 1
        per_part = -(-len(row) // n_parts)
        rows += [row[k : k + per_part] for k in range(0, len(row), per_part)]
    for row in rows:
        for panel, new in zip(row, _widths(row, width), strict=True):
            panel.height *= new / panel.width if not panel.is_framed else max(new / panel.width, 0.62)
            panel.height = min(panel.height, 1.15 * new) if panel.is_framed else panel.height
            panel.width = new
    return rows


def _fits(row: Sequence[_Panel], n_parts: int, width: float) -> bool:
    per_part = -(-len(row) // n_parts)
    parts = [row[k : k + per_part] for k in range(0, len(row), per_part)]
    return all(new >= LEAST[p.is_framed] for part in parts for p, new in zip(part, _widths(part, width), strict=True))


def _widths(row: Sequence[_Panel], width: float) -> list[float]:
    """Inches of every panel of a row without its letters, in the proportions of the design; none grows by more than half."""
    free = width - sum(p.room["left"] + p.room["right"] for p in row)
    share = free / sum(p.width for p in row)
    return [min(share, 1.5) * p.width for p in row]


def _row_height(row: Sequence[_Panel]) -> float:
    return max(p.height for p in row) + max(p.room["top"] for p in row) + max(p.room["bottom"] for p in row)


def _place(row: Sequence[_Panel], top: float, height: float, width: float, total: float) -> None:
    """Put the panels of a row side by side, in the middle of the width."""
    above, tallest = max(p.room["top"] for p in row), max(p.height for p in row)
    taken = sum(p.width + p.room["left"] + p.room["right"] for p in row)
    x = (width - taken) / 2
    for p in row:
        x += p.room["left"]
        y = top - above - tallest + (tallest - p.height) / 2 * (not p.is_framed)
        y = top - above - p.height if p.is_framed else y
        p.ax.set_position((x / width, y / total, p.width / width, p.height / total))
        for k, bar in enumerate(p.bars):
            at = x + p.width + 0.08 + 0.5 * k
            bar.set_position((at / width, y / total, 0.09 / width, p.height / total))
            bar.set_aspect("auto")
        x += p.width + p.room["right"]


def _taken_off(figure: Figure, panels: Sequence[_Panel]) -> list[tuple[str, list[Any], list[str]]]:
    """Keys outside of the panels, (title, handles, labels), which go below; they are removed from where they were."""
    outside: list[Legend] = list(figure.legends)
    for panel in panels:
        legend, frame = panel.ax.get_legend(), panel.ax.get_window_extent()
        if legend is not None:
            box = legend.get_window_extent()
            middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
            if not frame.contains(*middle):
                outside.append(legend)
    keys = []
    for legend in outside:
        labels = [text.get_text() for text in legend.get_texts()]
        keys.append((legend.get_title().get_text(), list(legend.legend_handles), labels))
        legend.remove()
    return keys


def _columns(labels: Sequence[str], width: str) -> int:
    longest = max((len(label) for label in labels), default=1)
    return max(1, min(len(labels), int(WIDTHS[width] / (0.42 + 0.058 * longest))))


def _key_height(key: tuple[str, list[Any], list[str]], width: str) -> float:
    title, _, labels = key
    return KEY_LINE * (-(-len(labels) // _columns(labels, width)) + bool(title)) + 0.06


def _key(figure: Figure, key: tuple[str, list[Any], list[str]], y: float, width: str) -> None:
    title, handles, labels = key
    figure.legend(
        handles, labels, title=title or None, loc="upper center", bbox_to_anchor=(0.5, y), ncols=_columns(labels, width),
        fontsize=SMALL, title_fontsize=SMALL, handlelength=2.0, handleheight=1.0, columnspacing=1.0,
        borderaxespad=0, borderpad=0.2, labelspacing=0.35,
    )  # fmt: skip


def _letters(figure: Figure, rows: Sequence[Sequence[_Panel]]) -> None:
    """a, b, c … above the panels; panels without ticks that follow one another share the letter of the first."""
    groups: list[_Panel] = []
    previous = None
    for panel in (p for row in rows for p in row):
        if panel.is_framed or previous is None or previous.is_framed:
            groups.append(panel)
        previous = panel
    if len(groups) < 2:
        return
    width, height = figure.get_size_inches()
    for k, panel in enumerate(groups):
        box = panel.ax.get_position()
        x = max(0.005, box.x0 - (panel.room["left"] - 0.03) / width)
        y = min(0.995, box.y1 + (panel.room["top"] - 0.02) / height)
        letter = chr(ord("a") + k % 26)
        figure.text(x, y, letter, fontsize=POINTS + 1, weight="bold", ha="left", va="top", gid=f"letter-{letter}")
