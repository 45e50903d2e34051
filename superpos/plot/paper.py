"""Figures for papers: at the width of a column or of the text, with 8 pt letters at final size, panels lettered.

A figure is designed wide. At less width its panels keep about their shape and flow, as words do, into as many rows as they
need; colour bars stay beside their panels, and keys that stood beside or below come below.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

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
# Inches of a panel with and without numbers on its y axis, below which a row is broken.
LEAST = {True: 1.05, False: 0.85}
KEY_LINE = 0.135  # inches
MANY = 4  # panels of one row share a letter
WATERMARK = "quick look"


def check_width(width: str | None) -> None:
    """Raise `ConfigError` for anything but None, "column" or "text"."""
    if width is not None and width not in WIDTHS:
        raise ConfigError(f'width must be "column" or "text", got {width!r}.')


def watermark(figure: Figure, text: str = WATERMARK) -> None:
    """Write across the picture that it is a quick look: trained too little to be shown to anybody."""
    points = 72 * min(0.13 * figure.get_figwidth(), 0.24 * figure.get_figheight())
    look = {"color": "#D55E00", "alpha": 0.25, "weight": "bold", "fontsize": points, "rotation": 20, "zorder": 1_000}
    across = figure.text(0.5, 0.5, text, ha="center", va="center", gid="watermark", **look)
    across.set_in_layout(False)


def fit(figure: Figure, width: str) -> None:
    """Lay a figure out anew at a paper's width. See the module for how.

    Raises:
        ConfigError: there is no such width.
    """
    check_width(width)
    figure.canvas.draw()  # so that a layout engine has placed everything
    panels = _panels(figure)
    keys = [_Key.of(legend) for part in (figure, *figure.subfigs) for legend in list(part.legends)]
    keys += [_Key.of(legend, panel) for panel in panels if (legend := _key_of(panel)) and not _is_inside(legend, panel)]
    figure.set_layout_engine("none")
    for text in figure.findobj(Text):
        text.set_fontsize(SMALL if float(text.get_fontsize()) < SMALL_BELOW else POINTS)
    rows = _rows(panels, WIDTHS[width])
    for _ in range(2):  # where labels end is known once they are there
        _lay_out(figure, rows, keys, width)
        figure.canvas.draw()
        keys += [_Key.of(legend, panel) for panel in panels if (legend := _key_of(panel)) and _is_large(legend, panel)]
        for panel in panels:
            panel.measure()
    keys = _merged(keys)
    letters = _lettered(rows)
    top = _lay_out(figure, rows, keys, width)
    for key in keys:
        named = "".join(dict.fromkeys(letters[panel] for panel in key.panels)) if len(set(letters.values())) > 1 else ""
        key.draw(figure, top / figure.get_figheight(), width, ", ".join(named))
        top -= key.height(width)
    _write_letters(figure, letters)


def _lay_out(figure: Figure, rows: "Sequence[Sequence[_Panel]]", keys: "Sequence[_Key]", width: str) -> float:
    """Size the figure and place its panels; inches from the bottom to the lowest of them, where keys begin."""
    shares: dict[int, float] = {}  # of the designed size, for every designed row: its parts look alike
    for row in rows:
        new = _widths(row, WIDTHS[width])[0] / row[0].designed[0]
        shares[row[0].row] = min(new, shares.get(row[0].row, new))
    for panel in (panel for row in rows for panel in row):
        panel.set_width(shares[panel.row] * panel.designed[0])
    heights = [_row_height(row) for row in rows]
    total = sum(heights) + sum(key.height(width) for key in keys) + 0.06
    figure.set_size_inches(WIDTHS[width], total)
    top = total - 0.03
    for row, height in zip(rows, heights, strict=True):
        _place(row, top, WIDTHS[width], total)
        top -= height
    return top


class _Panel:
    """One pair of axes with its colour bars: as it was designed, in inches, and as it is laid out."""

    def __init__(self, ax: Axes):
        frame = ax.get_position()  # with `aspect`, less than this is drawn
        parent, dpi = ax.figure.bbox, ax.figure.dpi
        self.ax, self.bars, self.row = ax, [], 0
        self.x, self.y = (parent.x0 + frame.x0 * parent.width) / dpi, (parent.y0 + frame.y0 * parent.height) / dpi
        self.width, self.height = frame.width * parent.width / dpi, frame.height * parent.height / dpi
        self.designed = self.width, self.height
        ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()]
        self.is_framed = ax.axison and bool(any(t.get_visible() and t.get_text() for t in ticks) or ax.get_ylabel())
        self.room = dict(ROOM if self.is_framed else BARE_ROOM)  # inches around it, until they are measured
        self.has_numbers = any(t.get_visible() and t.get_text() for t in ax.get_yticklabels())
        if self.is_framed:
            self.room["left"] -= 0.16 * (not ax.get_ylabel()) + 0.24 * (not self.has_numbers)

    def set_width(self, width: float) -> None:
        """Its size at a width: about in the designed proportions, higher where it gets much narrower."""
        designed_width, designed_height = self.designed
        share = width / designed_width
        self.width, self.height = width, designed_height * (max(share, 0.62) if self.is_framed else share)
        if self.is_framed:
            self.height = min(self.height, 1.15 * max(width, 1.3))

    def measure(self) -> None:
        """Take the room that its labels, ticks and colour bars need now."""
        boxes = [b for ax in (self.ax, *self.bars) if (b := ax.get_tightbbox()) is not None]
        frame, dpi = self.ax.get_window_extent(), self.ax.figure.dpi
        pad = 0.06 if self.is_framed else 0.03
        self.room = {
            "left": pad + max(0.0, frame.x0 - min(b.x0 for b in boxes)) / dpi,
            "right": pad + max(0.0, max(b.x1 for b in boxes) - frame.x1) / dpi,
            "bottom": pad + max(0.0, frame.y0 - min(b.y0 for b in boxes)) / dpi,
            "top": max(0.2, pad + max(0.0, max(b.y1 for b in boxes) - frame.y1) / dpi),  # a letter stands there
        }


class _Key(NamedTuple):
    """A legend that goes below the panels."""

    title: str
    handles: list[Any]
    labels: list[str]
    panels: "list[_Panel]"

    @classmethod
    def of(cls, legend: Legend, *panels: _Panel) -> "_Key":
        """A legend, which is removed from where it was."""
        labels = [text.get_text() for text in legend.get_texts()]
        handles, title = list(legend.legend_handles), legend.get_title().get_text()
        legend.remove()
        return cls(title, handles, labels, list(panels))

    def columns(self, width: str) -> int:
        """As many as the longest label allows."""
        longest = max((len(label) for label in self.labels), default=1)
        return max(1, min(len(self.labels), int(WIDTHS[width] / (0.42 + 0.058 * longest))))

    def height(self, width: str) -> float:
        """Inches that it takes."""
        return KEY_LINE * (-(-len(self.labels) // self.columns(width)) + bool(self.title or self.panels)) + 0.08

    def draw(self, figure: Figure, y: float, width: str, letters: str) -> None:
        """Write it below `y`, a share of the figure's height, with the letters of its panels."""
        figure.legend(
            self.handles, self.labels, title=": ".join(word for word in (letters, self.title) if word) or None,
            loc="upper center", bbox_to_anchor=(0.5, y), ncols=self.columns(width), fontsize=SMALL, title_fontsize=SMALL,
            handlelength=2.0, handleheight=1.0, columnspacing=1.0, borderaxespad=0, borderpad=0.2, labelspacing=0.35,
        )  # fmt: skip


def _key_of(panel: _Panel) -> Legend | None:
    return panel.ax.get_legend()


def _is_inside(legend: Legend, panel: _Panel) -> bool:
    box = legend.get_window_extent()
    return bool(panel.ax.get_window_extent().contains((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))


def _is_large(legend: Legend, panel: _Panel) -> bool:
    """Whether a legend leaves too little of its panel free."""
    box, frame = legend.get_window_extent(), panel.ax.get_window_extent()
    return box.width * box.height > 0.22 * frame.width * frame.height or box.width > 0.8 * frame.width


def _merged(keys: Sequence[_Key]) -> list[_Key]:
    """Keys that say the same once, for all their panels."""
    merged: dict[tuple[Any, ...], _Key] = {}
    for key in keys:
        same = merged.setdefault((key.title, tuple(key.labels)), key)
        if same is not key:
            same.panels.extend(key.panels)
    return list(merged.values())


def _panels(figure: Figure) -> list[_Panel]:
    """All axes that are not inside others, in reading order; colour bars with the nearest panel to their left."""
    visible = [ax for ax in figure.axes if ax.get_visible()]
    bars = [ax for ax in visible if ax.get_label() == "<colorbar>"]
    panels = [_Panel(ax) for ax in visible if ax not in bars]
    panels.sort(key=lambda p: (-round((p.y + p.height) / 0.35), p.x))
    for bar in bars:
        box = _Panel(bar)
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
    for number, row in enumerate(designed):
        for panel in row:
            panel.row = number
        n_parts = 1
        while n_parts < len(row) and not _fits(row, n_parts, width):
            n_parts += 1
        per_part = -(-len(row) // n_parts)
        rows += [row[k : k + per_part] for k in range(0, len(row), per_part)]
    return rows


def _fits(row: Sequence[_Panel], n_parts: int, width: float) -> bool:
    per_part = -(-len(row) // n_parts)
    parts = [row[k : k + per_part] for k in range(0, len(row), per_part)]
    return all(new >= LEAST[p.has_numbers] for part in parts for p, new in zip(part, _widths(part, width), strict=True))


def _widths(row: Sequence[_Panel], width: float) -> list[float]:
    """Inches of every panel of a row without its letters, in the proportions of the design; none grows by more than half."""
    free = width - sum(p.room["left"] + p.room["right"] for p in row)
    share = free / sum(p.designed[0] for p in row)
    return [min(share, 1.5) * p.designed[0] for p in row]


def _row_height(row: Sequence[_Panel]) -> float:
    return max(p.height for p in row) + max(p.room["top"] for p in row) + max(p.room["bottom"] for p in row)


def _place(row: Sequence[_Panel], top: float, width: float, total: float) -> None:
    """Put the panels of a row side by side, in the middle of the width."""
    above, tallest = max(p.room["top"] for p in row), max(p.height for p in row)
    taken = sum(p.width + p.room["left"] + p.room["right"] for p in row)
    x = (width - taken) / 2
    for p in row:
        x += p.room["left"]
        y = top - above - tallest + (tallest - p.height) / 2 * (not p.is_framed)
        y = top - above - p.height if p.is_framed else y
        _set_position(p.ax, x / width, y / total, p.width / width, p.height / total)
        for k, bar in enumerate(p.bars):
            at = x + p.width + 0.08 + 0.5 * k
            _set_position(bar, at / width, y / total, 0.09 / width, p.height / total)
            bar.set_aspect("auto")
        x += p.width + p.room["right"]


def _set_position(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Place axes by shares of the whole figure, also those of a part of one."""
    part = getattr(ax.figure, "bbox_relative", None)
    if part is not None:
        x, y = (x - part.x0) / part.width, (y - part.y0) / part.height
        width, height = width / part.width, height / part.height
    ax.set_position((x, y, width, height))


def _lettered(rows: Sequence[Sequence[_Panel]]) -> dict[_Panel, str]:
    """The letter of every panel; those of one designed row share one if they are many."""
    letters: dict[_Panel, str] = {}
    previous = None
    panels = [p for row in rows for p in row]
    in_row = Counter(p.row for p in panels)
    for panel in panels:
        if previous is None or previous.row != panel.row or in_row[panel.row] < MANY:
            letters[panel] = chr(ord("a") + len(set(letters.values())) % 26)
        else:
            letters[panel] = letters[previous]
        previous = panel
    return letters


def _write_letters(figure: Figure, letters: dict[_Panel, str]) -> None:
    """Write each letter above the first panel that has it; none where there is one alone."""
    if len(set(letters.values())) < 2:
        return
    width, height = figure.get_size_inches()
    first: dict[str, _Panel] = {}
    for panel, letter in letters.items():
        first.setdefault(letter, panel)
    for letter, panel in first.items():
        box = panel.ax.get_window_extent().transformed(figure.transFigure.inverted())
        x = max(0.005, box.x0 - (panel.room["left"] - 0.02) / width)
        y = min(0.998, box.y1 + (panel.room["top"] - 0.01) / height)
        figure.text(x, y, letter, fontsize=POINTS + 1, weight="bold", ha="left", va="top", gid=f"letter-{letter}")
