"""One panel of a figure for a paper: its axes with their colour bars, as designed and as laid out, and the words around them.

Lengths are inches. Words that are wider than their panel are broken into lines; ticks that would touch are turned or thinned.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

ROOM = {"left": 0.52, "right": 0.1, "bottom": 0.42, "top": 0.26}  # around a panel with ticks and labels
BARE_ROOM = {"left": 0.04, "right": 0.04, "bottom": 0.08, "top": 0.22}  # around one without
BAND = 0.2  # height of a panel that was designed as a band
LEAST_HEIGHT, LOW, LOWEST = 0.9, 0.5, 0.42  # of a panel with ticks and labels, and of one where there is little room
STEEP, FLAT = 0.7, 0.4  # with less steepness there is little room, and hardly any
STEEPEST = 0.72  # height over width of a wide panel with ticks and labels
OVERHANG = 0.2  # by how much words may be wider than their panel
TICK = 0.125  # of a line of words beside the y axis
SMALL_SQUARE, SMALLEST_SQUARE = 0.9, 0.75  # width of a panel whose height is not free, where there is little room
BAR = 0.09  # height of a colour bar that lies
PAD = 0.03
TITLE_PAD = 0.06  # beside a title that is wider than its panel
LETTER = 0.17  # kept free for a panel's letter


class Panel:
    """One pair of axes with its colour bars: as it was designed, and as it is laid out."""

    def __init__(self, ax: Axes):
        frame = ax.get_position()  # with `aspect`, less than this is drawn
        parent, dpi = ax.figure.bbox, ax.figure.dpi
        self.ax, self.row, self.is_lettered = ax, 0, False
        self.is_bar = orientation_of_bar(ax) == "horizontal"  # one beside a panel is part of that
        self.bars: list[Axes] = []
        self.twins: list[Axes] = []  # on the same place, with another y axis
        if (words := ax.get_title("left")) and not ax.get_title():  # in the middle, as others are
            ax.set_title("", loc="left")
            ax.set_title(words)
        for number in numbers_in(ax):
            number.set_in_layout(False)
        self.x, self.y = (parent.x0 + frame.x0 * parent.width) / dpi, (parent.y0 + frame.y0 * parent.height) / dpi
        self.width, self.height = frame.width * parent.width / dpi, frame.height * parent.height / dpi
        self.designed = self.width, self.height
        self.has_numbers = self._had_numbers = bool(_labels(ax, "y"))
        shared = any(_labels(other, axis) for axis in "xy" for other in _siblings(ax, axis))
        self.is_framed = ax.axison and bool(shared or ax.get_ylabel())
        self.needs = dict(ROOM if self.is_framed else BARE_ROOM)  # inches around it, until they are measured
        if self.is_framed:
            self.needs["left"] -= 0.16 * (not ax.get_ylabel()) + 0.24 * (not self.has_numbers)
        self.room = dict(self.needs)  # what it is given: no less
        self.title = 0.0  # its width
        self._words = {text: text.get_text() for text in (ax.title, ax.xaxis.label, ax.yaxis.label)}
        self._n_names = len(_labels(ax, "y")) * _has_names(ax, "y")  # each needs a line
        self.designed_labels = ax.get_xlabel(), ax.get_ylabel()
        self._shows = {axis: _shows_labels(ax, axis) for axis in "xy"}

    @property
    def is_free(self) -> bool:
        """Whether its height may be any."""
        return self.is_framed and not self.is_bar and self.ax.get_aspect() == "auto" and self.ax.name != "3d"

    def set_width(self, width: float, steepness: float = 1.0) -> None:
        """Its size at a width: about in the designed proportions, higher where it gets much narrower.

        With less `steepness`, panels whose height is free are so much less high.
        """
        designed_width, designed_height = self.designed
        if not self.is_free and steepness < STEEP:
            width = max(steepness * width, min(width, SMALL_SQUARE if steepness > FLAT else SMALLEST_SQUARE))
        share = width / designed_width
        self.width, self.height = width, designed_height * share
        if self.is_bar:
            self.height = BAR
            return
        if self.is_framed and self.ax.name != "3d":
            self.height = min(designed_height * max(share, 0.62), 1.15 * max(width, 1.3))
        if self.is_free:
            highest = max(STEEPEST * width, 1.3)
            least = LEAST_HEIGHT if steepness >= STEEP else LOW if steepness >= FLAT else LOWEST
            least = min(least, max(designed_height, BAND))
            self.height = max(steepness * min(self.height, highest), least, TICK * self._n_names)
        elif self.is_framed and self.ax.name != "3d":
            ratio = float(self.ax.get_aspect()) * self.ax.get_data_ratio() if self.ax.get_adjustable() == "box" else 1.0
            self.height = min(self.height, ratio * width)

    def begin(self, first_in_row: bool, below: "Panel | None") -> None:
        """Write words anew, and the ticks that a panel beside or below it had for both, if it is there no longer.

        `below` is the panel with the same x axis that stands right below it, or None.
        """
        for text, words in self._words.items():
            text.set_text(words)
        axes: list[tuple[Literal["x", "y"], bool]] = [("x", below is None), ("y", first_in_row)]
        for axis, alone in axes:
            sibling = _labelled_sibling(self.ax, axis)
            shows = self._shows[axis] or (alone and sibling is not None)
            self.ax.tick_params(axis=axis, which="major", **{f"label{'bottom' if axis == 'x' else 'left'}": shows})
            if shows and not self._shows[axis] and sibling is not None:
                label = getattr(sibling, f"{axis}axis").label.get_text()
                getattr(self.ax, f"{axis}axis").label.set_text(label)
        gained = first_in_row and not self._shows["y"] and _labelled_sibling(self.ax, "y") is not None
        self.has_numbers = self._had_numbers or gained

    def is_twin_of(self, other: "Panel") -> bool:
        """Whether it is on the same place as another, as `Axes.twinx` makes it."""
        same_place = abs(self.x - other.x) + abs(self.y - other.y) + abs(self.width - other.width) < 0.01
        return same_place and self.shares(other, "x")

    def shares(self, other: "Panel", axis: str) -> bool:
        """Whether it has an axis in common with another panel."""
        return other.ax in _siblings(self.ax, axis)

    def stands_alone(self, beside: "Panel") -> bool:
        """Whether it shows something else than the panel beside it: it shares no axis with it, and its labels are others."""
        labels = [{*panel.designed_labels, ""} for panel in (self, beside)]
        apart = not (self.shares(beside, "x") or self.shares(beside, "y"))
        return self.is_framed and beside.is_framed and apart and bool(labels[0] - labels[1])

    def goes_on_in(self, below: "Panel") -> bool:
        """Whether the panel below it, of the same designed row, has the same x axis, with the same label or without one."""
        labels = {panel.ax.get_xlabel() for panel in (self, below)} - {""}
        return self.row == below.row and len(labels) < 2 and self.ax.get_xlim() == below.ax.get_xlim()

    def sides(self, width: float) -> tuple[float, float]:
        """The room that it needs left and right of it if it is so wide: for its labels, and for a title that is wider."""
        overhang = max(0.0, (self.title - width) / 2) + TITLE_PAD
        return max(self.room["left"], overhang + LETTER * self.is_lettered), max(self.room["right"], overhang)

    def measure(self) -> None:
        """Break words, thin ticks, and take the room that its labels, ticks and colour bars need now."""
        dpi, frame, title = self.ax.figure.dpi, self.ax.get_window_extent(), self.ax.title
        left, right = self.sides(self.width)
        overhang = min(left - LETTER * self.is_lettered, right) - TITLE_PAD  # titles stand in the middle
        _break(title, self._words[title], (self.width + 2 * overhang) * dpi + 1)
        for label, longest in (
            (self.ax.xaxis.label, frame.width + OVERHANG * dpi),
            (self.ax.yaxis.label, frame.height),
        ):
            _break(label, self._words[label] or label.get_text(), longest, upright=label is self.ax.yaxis.label)
        for bar in self.bars:
            label = bar.yaxis.label
            _break(label, " ".join(label.get_text().split()), frame.height + OVERHANG * dpi, upright=True)
        _relieve_ticks(self.ax)
        box = title.get_window_extent() if title.get_text() else frame
        title.set_visible(False)
        boxes = [b for ax in (self.ax, *self.bars, *self.twins) if (b := ax.get_tightbbox()) is not None]
        title.set_visible(True)
        pad = 2 * PAD if self.is_framed else PAD
        label = self.ax.yaxis.label.get_window_extent() if self.ax.get_ylabel() else frame
        above = self.is_lettered * (0.2 + max(0.0, (label.y1 - frame.y1) / dpi))  # the letter stands there
        self.needs = {
            "left": pad + max(0.0, frame.x0 - min(b.x0 for b in boxes)) / dpi,
            "right": pad + max(0.0, max(b.x1 for b in boxes) - frame.x1) / dpi,
            "bottom": pad + max(0.0, frame.y0 - min(b.y0 for b in boxes)) / dpi,
            "top": max(above, pad + max(0.0, max(box.y1, *(b.y1 for b in boxes)) - frame.y1) / dpi),
        }

    def measure_title(self, longest: float, longest_name: float) -> None:
        """Take the width of its title, in two lines where it can be broken; in more of them if two were over `longest`.

        Names at its y axis become no longer than `longest_name`.
        """
        title = self.ax.title
        _break(title, self._words[title], 0.0, most=2)
        if title.get_window_extent().width > longest * self.ax.figure.dpi:
            _break(title, self._words[title], longest * self.ax.figure.dpi, most=6)
        if self._n_names:
            labels = _labels(self.ax, "y")
            for text in labels:
                words = " ".join(text.get_text().split()).replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}")
                _break(text, words, longest_name * self.ax.figure.dpi)
            names = [text.get_text() for text in labels]
            self.ax.set_yticks([text.get_position()[1] for text in labels], names)
            self._n_names = len(names) * max(1 + name.count("\n") for name in names)
        self.title = title.get_window_extent().width / self.ax.figure.dpi if title.get_text() else 0.0


def orientation_of_bar(ax: Axes) -> str | None:
    """ "vertical" or "horizontal" for axes that are a colour bar."""
    return getattr(getattr(ax, "_colorbar", None), "orientation", None)


def key_of(panel: Panel) -> Legend | None:
    """The legend of its axes."""
    return panel.ax.get_legend()


def is_inside(legend: Legend, panel: Panel) -> bool:
    """Whether a legend stands in its panel."""
    box = legend.get_window_extent()
    return bool(panel.ax.get_window_extent().contains((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))


def is_in_the_way(legend: Legend, panel: Panel) -> bool:
    """Whether a legend leaves too little of its panel free, or lies on a curve."""
    box, frame = legend.get_window_extent(), panel.ax.get_window_extent()
    is_large = box.width * box.height > 0.22 * frame.width * frame.height or box.width > 0.8 * frame.width
    return is_large or any(
        line.get_path().transformed(line.get_transform()).intersects_bbox(box, False)
        for line in panel.ax.lines
        if line.get_visible()
    )


def numbers_in(ax: Axes) -> list[Text]:
    """Numbers written in a panel, as on bars or in the squares of a map."""
    return [text for text in ax.texts if text.get_visible() and re.fullmatch(r"\d*\.?\d+", text.get_text().strip())]


def relieve_texts(ax: Axes) -> None:
    """Make room between what is written in a panel.

    Numbers, as on bars, that would stand on others are hidden, all of them if that is many; so are words that would stand on
    earlier ones. Notes at lines are moved up, and numbers at ticks on which they stand are hidden.
    """
    numbers = numbers_in(ax)
    free: list[Bbox] = []
    for text in numbers:
        box = text.get_window_extent()
        if any(_overlap(box, other) for other in free):
            text.set_visible(False)
        else:
            free.append(box)
    if len(free) < 0.75 * len(numbers):
        for text in numbers:
            text.set_visible(False)
    words = [t for t in ax.texts if t.get_visible() and t not in numbers and not isinstance(t, Annotation)]
    for k, text in enumerate(words):
        earlier = [other for other in words[:k] if other.get_visible()]
        text.set_visible(not any(_overlap(text.get_window_extent(), other.get_window_extent()) for other in earlier))
    notes = [text for text in ax.texts if isinstance(text, Annotation) and text.anncoords == "offset points"]
    placed: list[Bbox] = []
    for note in sorted(notes, key=lambda note: note.get_window_extent().y0):
        box = note.get_window_extent()
        higher = max((other.y1 - box.y0 for other in placed if _overlap(box, other)), default=0.0)
        note.xyann = (note.xyann[0], note.xyann[1] + 72 * higher / ax.figure.dpi)
        placed.append(box.translated(0, higher))
    for number in (label for axis in "xy" for label in _labels(ax, axis) if not _has_names(ax, axis)):
        number.set_visible(not any(_overlap(number.get_window_extent(), box) for box in placed))


def _overlap(first: Bbox, second: Bbox, gap: float = 0.0) -> bool:
    """Whether two boxes share points, or are nearer than `gap` pixels."""
    return bool(
        min(first.x1, second.x1) + gap > max(first.x0, second.x0)
        and min(first.y1, second.y1) + gap > max(first.y0, second.y0)
    )


def _labels(ax: Axes, axis: str) -> list[Text]:
    """The words and numbers at the ticks of an axis, within its limits."""
    ticks = [tick for tick in getattr(ax, f"{axis}axis").get_major_ticks() if _is_within(ax, axis, tick.get_loc())]
    return [tick.label1 for tick in ticks if tick.label1.get_visible() and tick.label1.get_text()]


def _is_within(ax: Axes, axis: str, location: float) -> bool:
    low, high = sorted(getattr(ax, f"{axis}axis").get_view_interval())
    slack = 1e-6 * (high - low)
    return bool(low - slack <= location <= high + slack)


def _has_names(ax: Axes, axis: str) -> bool:
    """Whether words stand at the ticks, and not numbers."""
    return any(re.search("[A-Za-z]{2}", text.get_text()) and "$" not in text.get_text() for text in _labels(ax, axis))


def _shows_labels(ax: Axes, axis: str) -> bool:
    shows: dict[str, Any] = getattr(ax, f"{axis}axis").get_tick_params(which="major")
    return bool(shows.get("labelbottom" if axis == "x" else "labelleft", True))


def _siblings(ax: Axes, axis: str) -> list[Axes]:
    group = ax.get_shared_x_axes() if axis == "x" else ax.get_shared_y_axes()
    return list(group.get_siblings(ax))


def _labelled_sibling(ax: Axes, axis: str) -> Axes | None:
    """One of the axes that share an axis with these and has its numbers written."""
    others = [other for other in _siblings(ax, axis) if other is not ax and _shows_labels(other, axis)]
    return max(others, key=lambda other: bool(getattr(other, f"{axis}axis").label.get_text()), default=None)


def _break(text: Text, words: str, longest: float, upright: bool = False, most: int = 6) -> None:
    """Break words into as few lines as make each no longer than `longest` pixels. Formulas are not broken."""

    def length() -> float:
        box = text.get_window_extent()
        return box.height if upright else box.width

    if not text.get_visible() or not words.strip():
        return
    text.set_text(words)
    pieces = re.findall(r"(?:\$[^$]*\$|[^ \n$]| (?=−)|(?<=[=−]) )+", words)
    for n_lines in range(2 + words.count("\n"), min(most, len(pieces)) + 1):
        if length() <= longest:
            return
        text.set_text("\n".join(_even_lines(pieces, n_lines)))


def _even_lines(pieces: Sequence[str], n_lines: int) -> list[str]:
    """Words in lines of about equal length."""
    total, lines, count = sum(len(piece) + 1 for piece in pieces), [[] for _ in range(n_lines)], 0
    for piece in pieces:
        middle = count + (len(piece) + 1) / 2
        lines[min(n_lines - 1, int(n_lines * middle / total))].append(piece)
        count += len(piece) + 1
    return [" ".join(line) for line in lines if line]


def _relieve_ticks(ax: Axes) -> None:
    """Turn names at the x axis that touch; leave out every other number where numbers do, at both axes."""
    for axis in "xy":
        _relieve_minor(ax, axis)
        labels = _labels(ax, axis)
        for text in labels if axis == "x" else ():
            text.set(rotation=0, ha="center")
        if not _touch(labels):
            continue
        if _has_names(ax, axis) and axis == "y":
            continue
        if _has_names(ax, axis):
            for text in labels:
                text.set(rotation=35, ha="right", rotation_mode="anchor", va="top")
            continue
        decades = [text for text in labels if re.fullmatch(r"(1|0\.)0*1?", text.get_text())]
        if len(decades) > 1:
            for text in labels:
                text.set_visible(text in decades)
            labels = decades
        while len(labels) > 2 and _touch(labels):
            for text in labels[1::2]:
                text.set_visible(False)
            labels = labels[::2]


def _relieve_minor(ax: Axes, axis: str) -> None:
    """Leave out numbers at minor ticks that would touch others."""
    minor = [tick for tick in getattr(ax, f"{axis}axis").get_minor_ticks() if _is_within(ax, axis, tick.get_loc())]
    free = _labels(ax, axis)
    for text in [tick.label1 for tick in minor]:
        if text.get_visible() and text.get_text():
            if _touch([*free, text]):
                text.set_visible(False)
            else:
                free.append(text)


def _touch(labels: Sequence[Text]) -> bool:
    boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: (box.x0, box.y0))
    return any(_overlap(a, b, gap=4.0) for a, b in pairwise(boxes))
