"""What a shape looks like in figures and pages, by rule: the hue says the largest shape, the texture what is beside it.

A name such as "pentagon + 2 × dedicated" is a sum of shapes. The fill is the colour of its main shape: the one with most
features, the first of equals. Everything else in the name, further copies of the main shape included, is drawn as marks on
that fill: one kind of mark for each kind of shape, more of them for more shapes. So a plain fill is one shape alone.

Shapes whose D are lines in the paper's figures have colours of their own (`superpos.theory.polytopes.COLORS`). Others have
one of three colours of their family: larger polygons yellow, larger simplices violet, solids in space red, polytopes in more
dimensions brown. Where three are too few, stars say how often the colours were gone through. An irregular group is grey, with
one dot for every feature beyond its dimensions (a star for five) and a bar for every dimension. The pages have the same rule
in `explorer/page/color.js`.
"""

import re
from collections import Counter
from functools import lru_cache
from typing import Any, NamedTuple

from superpos.theory.polytopes import (
    COLORS,
    MAX_POLYGON,
    SIMPLICES,
    known_shape,
    polygon_name,
    simplex_name,
    special_shapes,
)

# Okabe and Ito's colours, distinguishable with any colour vision (https://jfly.uni-koeln.de/color/), and two greys.
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#999999",
    "silver": "#B8B8B8",
    "pale": "#E8E8E8",
}
IRREGULAR, SHARED = "irregular", "shared feature"
# Marks, by the letters that Matplotlib's hatches have, of shapes that stand beside a larger one. A star is for the place in a
# family, a dot for an irregular group's surplus of features, a bar for its dimensions.
MARKS = {"dedicated": "|", "antipodal pair": "/", "triangle": "\\", "tetrahedron": "O", "pentagon": "o", SHARED: "+"}
OTHER_MARK, STAR, DOT, BAR = "x", "*", ".", "-"
LINES = "|/\\-+x"
# Chosen so that any two fills stay apart with any colour vision (tests/test_shape_colors.py says how far).
FAMILIES = {
    "polygon": (PALETTE["yellow"], "#FAF79E", "#665D19"),
    "simplex": ("#54278F", "#321339", "#5C26D9"),
    "solid": (PALETTE["red"], "#B82E45", "#521418"),
    "polytope": ("#6B3A12", "#CDB298", "#AC7753"),
}
MAX_SIMPLEX = MAX_POLYGON  # larger ones, which nobody has met, look alike
MOST = 7  # marks of one kind; more look alike
FIVE = 5  # dots of an irregular group are one star
_COPIES = re.compile(r"^(\d+) × (.+)$")
_GROUP = re.compile(r"^irregular \((\d+) features?, (\d+) dimensions?\)$")


def _brightness(color: str) -> float:
    """Luma of "#RRGGBB", from 0 to 255."""
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _mixed(color: str, grey: int, share: float) -> str:
    """A colour with so much of a grey in it."""
    parts = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round((1 - share) * part + share * grey):02X}" for part in parts)


class Look(NamedTuple):
    """How a shape is drawn: a fill, and marks on it, (letter, how many)."""

    fill: str  # "#RRGGBB"
    marks: tuple[tuple[str, int], ...]

    @property
    def hatch(self) -> str:
        """The marks as a hatch of Matplotlib, denser for more; empty for a plain fill."""
        return "".join(mark * (1 + (2 if mark in LINES else 1) * count) for mark, count in self.marks)

    @property
    def ink(self) -> str:
        """The colour of the marks: the fill, much darker where it is bright and much brighter where it is dark."""
        toward = 0 if _brightness(self.fill) > 100 else 255
        return _mixed(self.fill, toward, 0.65)

    @property
    def letters(self) -> str:
        """The colour of words about the shape on white: the fill, or a darker one where that is too bright to read."""
        return _mixed(self.fill, 0, 0.4) if _brightness(self.fill) > 175 else self.fill

    @property
    def dashes(self) -> Any:
        """A style of lines: solid for a plain fill, else a long dash and then one mark for every mark of the texture."""
        if not self.marks:
            return "solid"
        lengths = {STAR: 1.0, DOT: 1.0} | {
            mark: 2.0 + 0.8 * k for k, mark in enumerate((BAR, *MARKS.values(), OTHER_MARK))
        }
        return (0, [7.0, 1.5, *(part for mark, count in self.marks for part in [lengths[mark], 1.5] * count)])


class Kind(NamedTuple):
    """What the rule knows of one kind of shape."""

    fill: str
    features: int
    mark: str  # of one that is beside another
    stars: int  # of one that is the main shape


@lru_cache
def kinds() -> dict[str, Kind]:
    """Every shape with a name of its own, and how it looks."""
    looks = {
        name: Kind(PALETTE[color], len(known_shape(name).vertices), MARKS.get(name, OTHER_MARK), 0)
        for name, color in COLORS.items()
    }
    specials = sorted(special_shapes(), key=lambda shape: len(shape.vertices))
    families: dict[str, list[tuple[str, int]]] = {
        "polygon": [(polygon_name(k), k) for k in range(6, MAX_POLYGON + 1)],
        "simplex": [(simplex_name(k), k) for k in range(len(SIMPLICES) + 1, MAX_SIMPLEX + 1)],
        "solid": [(shape.name, len(shape.vertices)) for shape in specials if shape.dimensions == 3],
        "polytope": [(shape.name, len(shape.vertices)) for shape in specials if shape.dimensions > 3],
    }
    for family, members in families.items():
        fills, new = FAMILIES[family], [member for member in members if member[0] not in looks]
        for rank, (name, features) in enumerate(dict(new).items()):
            looks[name] = Kind(fills[rank % len(fills)], features, OTHER_MARK, rank // len(fills))
    looks[SHARED] = Kind(PALETTE["silver"], 1, MARKS[SHARED], 0)
    looks[IRREGULAR] = Kind(PALETTE["silver"], 2, DOT, 1)  # one whose size is not said
    return looks


# Words in place of a shape.
WORDS = {
    "nothing represented": Look(PALETTE["pale"], ()),
    "diverged": Look(PALETTE["pale"], (("x", 1),)),
    "missing": Look(PALETTE["pale"], (("-", 1),)),
}


def shape_look(shape: str) -> Look:
    """Fill and marks of a shape or a sum of shapes: "pentagon", "2 × antipodal pair", "triangle + dedicated"."""
    return _look(shape)


@lru_cache(maxsize=4096)
def _look(shape: str) -> Look:
    if shape in WORDS:
        return WORDS[shape]
    parts = [_part(word) for word in shape.split(" + ")]
    main = max(range(len(parts)), key=lambda k: (parts[k][0].features, -k))
    marks = Counter[str]()
    for k, (kind, copies, group) in enumerate(parts):
        marks.update({kind.mark: 0 if group else copies - (k == main)})
        for surplus, dimensions in group:  # of an irregular group, which shows its size wherever it stands
            marks.update({STAR: copies * (surplus // FIVE), DOT: copies * (surplus % FIVE), BAR: copies * dimensions})
        if k == main:
            marks.update({STAR: kind.stars})
    return Look(parts[main][0].fill, tuple((m, min(n, MOST)) for m, n in sorted(marks.items()) if n))


def shape_color(shape: str) -> str:
    """The fill of a shape or of a sum of shapes: the colour of the largest of them."""
    return shape_look(shape).fill


def rule() -> dict[str, Any]:
    """What a page needs to follow the rule, as plain data (`superpos/explorer/page/color.js`)."""
    return {
        "kinds": {name: list(kind) for name, kind in kinds().items()},
        "words": {word: [look.fill, [list(mark) for mark in look.marks]] for word, look in WORDS.items()},
        "irregular": IRREGULAR,
        "other": list(_OTHER),
        "marks": {"star": STAR, "dot": DOT, "bar": BAR},
        "most": MOST,
        "five": FIVE,
    }


_OTHER = Kind(FAMILIES["polytope"][-1], 2, OTHER_MARK, 3)  # a name that nobody knows


def _part(word: str) -> tuple[Kind, int, list[tuple[int, int]]]:
    """One summand of a name: its kind, how many copies, and the sizes of an irregular group."""
    copies, name = (int(found[1]), found[2]) if (found := _COPIES.match(word)) else (1, word)
    if group := _GROUP.match(name):
        features, dimensions = int(group[1]), int(group[2])
        return (
            kinds()[IRREGULAR]._replace(features=features, stars=0),
            copies,
            [(max(features - dimensions, 0), dimensions)],
        )
    return kinds().get(name, _OTHER), copies, []
