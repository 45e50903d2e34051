"""Figures for papers: at the width of a column or of the text, with 8 pt letters at final size, panels lettered.

A figure is designed wide. At less width its panels keep about their shape and flow, as words do, into as many rows as they
need; colour bars stay beside their panels, and keys that stood beside or below come below. What would be higher than a page
is drawn with smaller panels, more of them side by side.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from superpos.errors import ConfigError
from superpos.plot.paper_keys import POINTS, Key, merged, write_beside
from superpos.plot.paper_panels import Panel, is_in_the_way, is_inside, key_of, orientation_of_bar, relieve_texts

WIDTHS = {"column": 3.25, "text": 6.75}  # inches
HIGHEST = 9.0  # inches; a page has no more
# Inches of a panel with and without numbers on its y axis, below which a row is broken.
LEAST = {"column": {True: 1.05, False: 0.85}, "text": {True: 1.2, False: 0.6}}
# Tried one after the other until the picture is no higher than a page: a factor of these widths, and one of heights.
SQUEEZES = (
    *((1.0, 1.0), (1.0, 0.85), (1.0, 0.75), (1.0, 0.65), (1.0, 0.55), (0.85, 0.75), (0.85, 0.65), (0.85, 0.55)),
    *((0.7, 0.75), (0.7, 0.6), (0.7, 0.45), (0.55, 0.7), (0.55, 0.55), (0.55, 0.4), (0.45, 0.4), (0.45, 0.3)),
)
HOPELESS = 1.15  # times that height, once labels are there: not worth another drawing
SAME_ROW = 0.35  # inches by which the tops of panels that were designed beside each other may differ
BAR_ROOM = 0.55  # of a colour bar with its numbers and label, until they are measured
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
    figure.draw_without_rendering()  # so that a layout engine has placed everything
    panels, keys = _panels_and_keys(figure)
    figure.set_layout_engine("none")
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):  # ticks that are made later, too
        axis.set_tick_params("both", labelsize=POINTS)
    for text in figure.findobj(Text):
        text.set_fontsize(POINTS)
    in_row = Counter(panel.row for panel in panels)
    for narrowness, steepness in SQUEEZES:
        for panel in panels:
            if not panel.bars and not panel.twins:  # its label was as long as the last layout let it be
                panel.needs["right"] = min(panel.needs["right"], 0.1)
            is_one_of_many = narrowness < 1 and in_row[panel.row] > MANY
            longest = 0.42 * WIDTHS[width]
            panel.measure_title(narrowness * LEAST[width][False] if is_one_of_many else longest, longest)
        places: list[float] = []
        for k in range(4):  # where labels end is known once they are there
            if k < 2:
                rows = _rows(panels, width, narrowness, rows if k else ())
                letters = _lettered(rows)
                _begin(rows, letters)
            before, top = places, _lay_out(figure, rows, keys, width, steepness)
            places = [figure.get_figheight(), *(edge for panel in panels for edge in panel.ax.get_position().bounds)]
            if k > 1 and np.allclose(before, places, atol=1e-3):
                break
            is_measured = k > 1 or (narrowness, steepness) != SQUEEZES[0]
            if is_measured and figure.get_figheight() > HOPELESS * HIGHEST and (narrowness, steepness) != SQUEEZES[-1]:
                break
            figure.draw_without_rendering()
            for panel in panels:
                panel.measure()
            keys += [Key.of(legend, p) for p in panels if (legend := key_of(p)) and is_in_the_way(legend, p)]
            keys = merged(keys)
        else:
            top = _lay_out(figure, rows, keys, width, steepness)
        if figure.get_figheight() <= HIGHEST:
            break
    drawn = []
    for key in keys:
        named = "".join(sorted({letters[panel] for panel in key.panels})) if len(set(letters.values())) > 1 else ""
        drawn.append((key.draw(figure, top / figure.get_figheight(), ", ".join(named)), ", ".join(named)))
        top -= key.height(WIDTHS[width])
    _write_letters(figure, letters)
    figure.draw_without_rendering()
    for legend, named in drawn:
        write_beside(figure, legend, named)
    for panel in panels:
        relieve_texts(panel.ax)


def _panels_and_keys(figure: Figure) -> "tuple[list[Panel], list[Key]]":
    """The panels of a figure, and the keys that are to stand below them, which are taken from where they were."""
    panels = _panels(figure)
    keys = []
    for part in _parts(figure):
        around = [] if part is figure else [panel for panel in panels if panel.ax in _axes_of(part)]
        keys += [Key.of(legend, *around) for legend in list(part.legends)]
    for panel in list(panels):
        ax, legend = panel.ax, key_of(panel)
        if legend and not is_inside(legend, panel):
            keys.append(Key.of(legend, panel))
        elif legend and not ax.axison and not (ax.lines or ax.patches or ax.collections or ax.images):
            keys.append(Key.of(legend))  # axes that only hold a key
            panels.remove(panel)
            ax.set_visible(False)
    return panels, keys


def _parts(figure: Any) -> list[Any]:
    """A figure and its parts, those of parts included."""
    return [figure, *(part for child in figure.subfigs for part in _parts(child))]


def _axes_of(part: Any) -> list[Axes]:
    """The axes of a part of a figure, those of its parts included."""
    return [ax for inner in _parts(part) for ax in inner.axes]


def _begin(rows: "Sequence[Sequence[Panel]]", letters: "dict[Panel, str]") -> None:
    """Tell panels what stands beside and below them, and which of them bear a letter."""
    seen: set[str] = set()
    for k, row in enumerate(rows):
        under: Sequence[Panel | None] = rows[k + 1] if k + 1 < len(rows) else ()
        if not _stand_above(row, under):
            under = [None] * len(row)
        for panel, below in zip(row, under, strict=True):
            panel.begin(panel is row[0], below)
            panel.ax.xaxis.label.set_visible(True)
            panel.is_lettered = letters[panel] not in {*seen, ""}
            seen.add(letters[panel])
    for row, under in pairwise(rows):
        for panel, below in zip(row, under, strict=False) if len(row) == len(under) else ():
            if panel.goes_on_in(below):  # it says below what the x axis is of both
                below.ax.set_xlabel(panel.ax.get_xlabel() or below.ax.get_xlabel())
                panel.ax.xaxis.label.set_visible(False)
                panel.ax.tick_params(axis="x", which="both", labelbottom=False)


def _stand_above(row: "Sequence[Panel]", under: "Sequence[Panel | None]") -> bool:
    """Whether every panel of a row has the same x axis as the one below it."""
    return len(row) == len(under) and all(
        p is not None and panel.shares(p, "x") for panel, p in zip(row, under, strict=True)
    )


def _lay_out(
    figure: Figure, rows: "Sequence[Sequence[Panel]]", keys: "Sequence[Key]", width: str, steepness: float
) -> float:
    """Size the figure and place its panels; inches from the bottom to the lowest of them, where keys begin."""
    for panel in (panel for row in rows for panel in row):
        panel.room = dict(panel.needs)
    in_row = Counter(panel.row for row in rows for panel in row)
    kinds = {row: _are_of_a_kind([p for r in rows for p in r if p.row == row]) for row in in_row}
    many = [row for row in in_row if in_row[row] >= MANY and kinds[row]]
    alone = [r[0] for r in rows if len(r) == 1 and r[0].is_free and not r[0].bars and r[0].row not in many]
    for side in ("left", "right"):  # panels below each other begin and end together
        common = max((panel.room[side] for panel in alone), default=0.0)
        for panel in alone:
            panel.room[side] = common
    for number in in_row:
        parts = [row for row in rows if row[0].row == number]
        if kinds[number] and len(parts) > 1 and len({len(part) for part in parts}) == 1:
            for column in zip(*parts, strict=True):  # panels of a kind stand right below each other
                for k, side in enumerate(("left", "right")):
                    common = max(panel.sides(panel.width)[k] for panel in column)
                    for panel in column:
                        panel.room[side] = common
    shares: dict[int, float] = {}  # of the designed size, for every designed row: its parts look alike
    apart: dict[Panel, float] = {}  # of panels beside others that are of another kind
    for row in rows:
        new = _widths(row, WIDTHS[width])[0] / row[0].designed[0]
        shares[row[0].row] = min(new, shares.get(row[0].row, new))
        if len(row) > 1 and not _are_of_a_kind(row):
            for panel in row:
                apart[panel] = new
    for panel in (panel for row in rows for panel in row):
        free = WIDTHS[width] - sum(panel.sides(WIDTHS[width]))
        fills = panel in alone and width == "column"
        panel.set_width(free if fills else apart.get(panel, shares[panel.row]) * panel.designed[0], steepness)
    heights = [_row_height(row) for row in rows]
    total = sum(heights) + sum(key.height(WIDTHS[width]) for key in keys) + 0.06
    figure.set_size_inches(WIDTHS[width], total)
    top = total - 0.03
    for row, height in zip(rows, heights, strict=True):
        _place(row, top, WIDTHS[width], total)
        top -= height
    return top


def _panels(figure: Figure) -> list[Panel]:
    """All axes that are not inside others, in reading order; colour bars with the nearest panel to their left."""
    for ax in figure.axes:
        if not (ax.axison or ax.has_data() or ax.texts or ax.get_legend()):
            ax.set_visible(False)  # there was nothing to show
    visible = [ax for ax in figure.axes if ax.get_visible()]
    bars = [ax for ax in visible if orientation_of_bar(ax) == "vertical"]
    panels: list[Panel] = []
    for panel in (Panel(ax) for ax in visible if ax not in bars):
        twin_of = next((other for other in panels if panel.is_twin_of(other)), None)
        if twin_of is None:
            panels.append(panel)
        else:
            twin_of.twins.append(panel.ax)
    panels.sort(key=lambda p: -(p.y + p.height))
    highest = -1.0
    for number, panel in enumerate(panels):
        if not number or panel.y + panel.height < highest - SAME_ROW:
            highest, row = panel.y + panel.height, number
        panel.row = row
    panels.sort(key=lambda p: (p.row, p.x))
    for bar in bars:
        box = Panel(bar)
        source = getattr(getattr(getattr(bar, "_colorbar", None), "mappable", None), "axes", None)
        rows = {panel.row for panel in panels if panel.ax is source}
        beside = [panel for panel in panels if panel.row in rows] or panels
        nearest = min(
            beside, key=lambda p: abs(p.x + p.width - box.x) + abs(p.y + p.height / 2 - box.y - box.height / 2)
        )
        nearest.bars.append(bar)
        nearest.needs["right"] += BAR_ROOM
    return panels


def _rows(
    panels: Sequence[Panel], width: str, narrowness: float, before: Sequence[list[Panel]] = ()
) -> list[list[Panel]]:
    """Panels in rows: those of one designed row stay together as long as each is wide enough.

    Else they are broken: evenly if they are of a kind or there is room, others into rows of as many as fit, evenly if that
    takes no more rows.
    Rows that have been laid out `before` are broken anew only in a column, if the height of all their panels is free.
    """
    for panel in panels:
        panel.room = dict(panel.needs)
    rows: list[list[Panel]] = []
    for number, group in groupby(panels, key=lambda panel: panel.row):
        row = list(group)
        if before and (width == "text" or not all(panel.is_free for panel in row)):
            rows += [part for part in before if part[0].row == number]
            continue
        if _are_of_a_kind(row) or narrowness == 1:
            per_part = len(row)
            while per_part > 1 and not all(_fits(part, width, narrowness) for part in _parted(row, per_part)):
                per_part = min(per_part - 1, -(-len(row) // (-(-len(row) // per_part) + 1)))
            rows += _parted(row, per_part)
            continue
        parts: list[list[Panel]] = [[]]
        for panel in row:
            if parts[-1] and not _fits([*parts[-1], panel], width, narrowness):
                parts.append([])
            parts[-1].append(panel)
        even = _parted(row, -(-len(row) // len(parts)))
        rows += even if all(_fits(part, width, narrowness) for part in even) else parts
    return rows


def _parted(row: list[Panel], per_part: int) -> list[list[Panel]]:
    return [row[k : k + per_part] for k in range(0, len(row), per_part)]


def _are_of_a_kind(row: Sequence[Panel]) -> bool:
    return not any(panel.stands_alone(beside) for panel, beside in zip(row[1:], row, strict=False))


def _fits(part: Sequence[Panel], width: str, narrowness: float) -> bool:
    widths = zip(part, _widths(part, WIDTHS[width]), strict=True)
    return all(new >= narrowness * LEAST[width][panel.has_numbers] for panel, new in widths)


def _widths(row: Sequence[Panel], width: float) -> list[float]:
    """Inches of every panel of a row without its letters, in the proportions of the design; none grows by more than half."""
    low, high = 0.05, 1.5
    for _ in range(20):  # words beside narrower panels take more room
        share = (low + high) / 2
        if sum(_taken(p, share * p.designed[0]) for p in row) <= width:
            low = share
        else:
            high = share
    return [low * p.designed[0] for p in row]


def _taken(panel: Panel, width: float) -> float:
    return width + sum(panel.sides(width))


def _row_height(row: Sequence[Panel]) -> float:
    return max(p.height for p in row) + max(p.room["top"] for p in row) + max(p.room["bottom"] for p in row)


def _place(row: Sequence[Panel], top: float, width: float, total: float) -> None:
    """Put the panels of a row side by side, in the middle of the width."""
    above, tallest = max(p.room["top"] for p in row), max(p.height for p in row)
    x = (width - sum(_taken(p, p.width) for p in row)) / 2
    for p in row:
        left, right = p.sides(p.width)
        x += left
        y = top - above - tallest + (tallest - p.height) / 2 * (not p.is_framed)
        y = top - above - p.height if p.is_framed else y
        _set_position(p.ax, x / width, y / total, p.width / width, p.height / total)
        if p.is_bar:
            p.ax.set_aspect("auto")
            p.ax.set_box_aspect(None)
        for twin in p.twins:
            _set_position(twin, x / width, y / total, p.width / width, p.height / total)
        for k, bar in enumerate(p.bars):
            at = x + p.width + 0.08 + 0.5 * k
            _set_position(bar, at / width, y / total, 0.09 / width, p.height / total)
            bar.set_aspect("auto")
        x += p.width + right


def _set_position(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Place axes by shares of the whole figure, also those of a part of one."""
    part, whole = ax.figure.bbox, ax.get_figure(root=True).bbox  # type: ignore[union-attr]
    x, y = (x * whole.width - part.x0) / part.width, (y * whole.height - part.y0) / part.height
    width, height = width * whole.width / part.width, height * whole.height / part.height
    ax.set_position((x, y, width, height))


def _lettered(rows: Sequence[Sequence[Panel]]) -> dict[Panel, str]:
    """The letter of every panel; those of one designed row share one if they are many of a kind."""
    letters: dict[Panel, str] = {}
    previous = None
    panels = [p for row in rows for p in row]
    in_row = Counter(p.row for p in panels)
    for panel in panels:
        if panel.is_bar:
            letters[panel] = ""
            continue
        if previous is None or previous.row != panel.row or in_row[panel.row] < MANY or panel.stands_alone(previous):
            letters[panel] = chr(ord("a") + len(set(letters.values()) - {""}) % 26)
        else:
            letters[panel] = letters[previous]
        previous = panel
    return letters


def _write_letters(figure: Figure, letters: dict[Panel, str]) -> None:
    """Write each letter above the first panel that has it; none where there is one alone."""
    if len(set(letters.values()) - {""}) < 2:
        return
    width, height = figure.get_size_inches()
    first: dict[str, Panel] = {}
    for panel, letter in letters.items():
        first.setdefault(letter, panel)
    first.pop("", None)
    for letter, panel in first.items():
        box = panel.ax.get_window_extent().transformed(figure.transFigure.inverted())
        x = max(0.005, box.x0 - (panel.sides(panel.width)[0] - 0.02) / width)
        y = min(0.998, box.y1 + (panel.room["top"] - 0.01) / height)
        figure.text(x, y, letter, fontsize=POINTS + 1, weight="bold", ha="left", va="top", gid=f"letter-{letter}")
