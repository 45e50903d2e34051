"""Figures at the widths of a paper."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

import superpos as sp
from superpos.experiments import Claims, publish
from superpos.plot import paper


def designed():
    """A row of four bare panels above two framed ones, one with a colour bar, with a key beside the other."""
    figure = plt.figure(figsize=(9, 5), layout="constrained")
    grid = figure.add_gridspec(2, 4)
    for k in range(4):
        ax = figure.add_subplot(grid[0, k])
        ax.set(xticks=[], yticks=[], title=f"panel {k}")
    left, right = figure.add_subplot(grid[1, :2]), figure.add_subplot(grid[1, 2:])
    left.plot([0, 1], label="a line"), left.plot([1, 0], label="another line")
    left.set(xlabel="x", ylabel="y")
    left.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    right.set(xlabel="x", ylabel="y")
    figure.colorbar(right.imshow(np.eye(3)), ax=right)
    return figure


def boxes(figure):
    return [ax.get_window_extent() for ax in figure.axes]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "rows"), [("column", 4), ("text", 2)])
def test_a_figure_has_the_width_of_the_paper_and_letters_of_eight_points(width, rows):
    figure = designed()
    paper.fit(figure, width)
    figure.canvas.draw()
    assert figure.get_figwidth() == {"column": 3.25, "text": 6.75}[width]
    shown = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    assert {t.get_fontsize() for t in shown if not (t.get_gid() or "").startswith("letter")} <= {7, 8}
    panels = boxes(figure)
    assert len({round(box.y1) for box in panels[:6]}) == rows
    assert all(not a.overlaps(b) for k, a in enumerate(panels) for b in panels[:k])
    inside = figure.bbox.padded(1)
    assert all(inside.contains(*corner) for box in panels for corner in (box.min, box.max))
    letters = {t.get_text(): t.get_gid() for t in figure.texts if t.get_gid()}
    assert letters == {"a": "letter-a", "b": "letter-b", "c": "letter-c"}
    assert [t.get_text() for t in figure.texts if not t.get_gid()] == ["b"]  # beside the key of the second panel
    key = figure.legends[0]
    assert [t.get_text() for t in key.get_texts()] == ["a line", "another line"]
    assert key.get_window_extent().y1 < min(box.y0 for box in panels)


@pytest.mark.slow
def test_a_colour_bar_stays_beside_its_panel():
    figure = designed()
    paper.fit(figure, "column")
    *_, right, bar = boxes(figure)
    assert 0 < bar.x0 - right.x1 < 20 and bar.y0 == pytest.approx(right.y0) and bar.y1 == pytest.approx(right.y1)


@pytest.mark.slow
def test_published_pictures_are_exactly_so_wide(tmp_path):
    claims = Claims("A & B 2022")
    with sp.plot.style():
        files = publish(designed(), "Caption.", claims, path=tmp_path / "f", width="column").files
    assert [file.name for file in files] == [f"f_column.{kind}" for kind in ("svg", "png", "pdf", "txt", "json")]
    width = re.search(rb'<svg[^>]* width="([\d.]+)pt"', (tmp_path / "f_column.svg").read_bytes())
    assert width and float(width[1]) == pytest.approx(3.25 * 72)
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", (tmp_path / "f_column.pdf").read_bytes())
    assert box and float(box[1]) == pytest.approx(3.25 * 72)
    again = publish(designed(), "Caption.", claims, path=tmp_path / "f", width="column")  # replaces its own
    assert again.files == files


def test_other_widths_are_refused(tmp_path, unchecked):
    with pytest.raises(sp.ConfigError, match='^width must be "column" or "text", got \'page\'.$'):
        publish(designed(), "Caption.", Claims("A"), path=tmp_path / "f", width="page")
    assert not list(tmp_path.iterdir())


def text_boxes(figure):
    """Boxes of everything written in a figure, but for numbers at ticks that are out of sight."""
    figure.canvas.draw()
    at_ticks = {
        id(tick.label1) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()
    }
    drawn = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in at_ticks]
    return {text: text.get_window_extent() for text in drawn}


def crowded():
    """Eight narrow panels with long titles and shared axes, above one with notes that touch and one with many numbers."""
    figure = plt.figure(figsize=(10, 6), layout="constrained")
    above, below = figure.subfigures(2, 1)
    for k, ax in enumerate(above.subplots(1, 8, sharey=True)):
        ax.plot([0, 1])
        ax.set_title(f"a title of many words, 1 − S = 0.0{k}")
    left, right = below.subplots(1, 2)
    left.set_ylabel("a label that is longer than its panel is high")
    for k in range(3):
        left.annotate(f"level {k}", (1, 1 + 0.001 * k), (0, 0), textcoords="offset points")
    right.bar(range(40), 1.0)
    for k in range(40):
        right.text(k, 0.5, str(10 + k), ha="center")
    return figure


@pytest.mark.slow
@pytest.mark.parametrize("width", ["column", "text"])
@pytest.mark.parametrize("make", [designed, crowded])
def test_no_words_overlap_and_no_picture_is_higher_than_a_page(make, width):
    with sp.plot.style():
        figure = make()
        paper.fit(figure, width)
        words = text_boxes(figure)
    assert figure.get_figheight() <= paper.HIGHEST == 9.0
    assert min(text.get_fontsize() for text in words) >= 6
    boxes = [(text.get_text(), box.padded(-1)) for text, box in words.items()]
    assert [(a, b) for k, (a, first) in enumerate(boxes) for b, second in boxes[:k] if first.overlaps(second)] == []
    numbered = [ax for ax in figure.axes if ax.yaxis.get_tick_params(which="major").get("labelleft", True)]
    assert len(numbered) > 2  # a shared axis has numbers in every row into which its panels were broken
