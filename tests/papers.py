"""What a figure for a paper must be, whichever it is: no higher than a page, and everything in it can be read."""

from matplotlib.text import Text

from superpos.plot import paper
from superpos.plot.paper_keys import POINTS


def written(figure):
    """Everything that is written in a figure, with its box; without numbers at ticks that are out of sight."""
    figure.draw_without_rendering()
    unseen = set()
    for ax in figure.axes:
        hidden = not ax.get_visible()
        if hidden or not ax.axison or ax.name == "3d":
            unseen |= {id(text) for axis in ax._axis_map.values() for text in axis.findobj(Text)}
            unseen |= {id(text) for text in ax.findobj(Text)} if hidden else set()
            continue
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-6 * (high - low)
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            out_of_sight = [tick for tick in ticks if not low - slack <= tick.get_loc() <= high + slack]
            unseen |= {id(label) for tick in out_of_sight for label in (tick.label1, tick.label2)}
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    texts = [text for text in texts if id(text) not in unseen and text.get_gid() != "watermark"]
    return {text: text.get_window_extent() for text in texts}


def wrong_with(figure):
    """What is wrong with a figure that was laid out for a paper, as sentences; none if nothing is."""
    boxes = written(figure)
    said = [f"{figure.get_figheight():.2f} in high"] if figure.get_figheight() > paper.HIGHEST else []
    said += [f"{t.get_text()!r} has {t.get_fontsize()} pt" for t in boxes if t.get_fontsize() < POINTS]
    page = figure.bbox.padded(2)
    said += [
        f"{text.get_text()!r} is cut"
        for text, box in boxes.items()
        if not (page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1))
    ]
    upright = [(text, box.padded(-1)) for text, box in boxes.items() if text.get_rotation() % 90 == 0]
    said += [
        f"{text.get_text()!r} overlaps {other.get_text()!r}"
        for k, (text, box) in enumerate(upright)
        for other, second in upright[:k]
        if box.overlaps(second)
    ]
    panels = [ax.get_window_extent() for ax in figure.axes if ax.get_visible()]
    letters = [(text, box) for text, box in upright if (text.get_gid() or "").startswith("letter")]
    said += [f"letter {t.get_text()} stands in a panel" for t, box in letters if any(box.overlaps(p) for p in panels)]
    said += [f"the legend of {ax.get_title()!r} is in the way" for ax in figure.axes if has_legend_in_the_way(ax)]
    return said


def has_legend_in_the_way(ax):
    """Whether the legend of axes lies on one of their curves, takes a quarter of them, or nearly all of their width."""
    if not ax.get_visible() or ax.get_legend() is None:
        return False
    box, frame = ax.get_legend().get_window_extent(), ax.get_window_extent()
    paths = [line.get_path().transformed(line.get_transform()) for line in ax.lines if line.get_visible()]
    is_large = box.width * box.height > frame.width * frame.height / 4 or box.width > 0.85 * frame.width
    return is_large or any(path.intersects_bbox(box, filled=False) for path in paths)
