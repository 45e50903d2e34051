"""Colours of shapes mean one thing: by rule, the same in figures and pages, apart for every kind of eyes."""

import json
import os
from itertools import combinations
from pathlib import Path

import pytest
from color_vision import VISIONS, ciede2000, distance, lab
from test_explorer import PAGE, node

import superpos as sp
from superpos.plot.shape_colors import FAMILIES, PALETTE, kinds, rule, shape_color, shape_look

CENSUS = json.loads((Path(__file__).parent / "fixtures" / "shape_census.json").read_text())
NAMES = list(CENSUS["names"])
# Least CIEDE2000 difference of any two fills, and of the fills of any two names in the census with one texture.
LEAST = {"normal": 9.9, "protanopia": 8.5, "deuteranopia": 6.5, "tritanopia": 8.0}


def test_no_two_of_all_shapes_that_ten_thousand_models_form_look_the_same():
    assert sum(CENSUS["names"].values()) > 10_000 and len(NAMES) > 100
    names_by_look: dict[object, list[str]] = {}
    for name in {*NAMES, *kinds(), "diverged", "missing", "nothing represented"}:
        names_by_look.setdefault(shape_look(name), []).append(name)
    assert [names for names in names_by_look.values() if len(names) > 1] == []


@pytest.mark.parametrize("vision", VISIONS)
def test_fills_are_apart_with_any_colour_vision(vision):
    fills = sorted({shape_color(name) for name in [*NAMES, *kinds(), "nothing represented"]})
    nearest = min((distance(a, b, vision), a, b) for a, b in combinations(fills, 2))
    assert nearest[0] >= LEAST[vision], nearest


def test_the_distance_is_ciede2000():
    """Pairs of Sharma, Wu and Dalal 2005 (https://doi.org/10.1002/col.20070), table 1; white and black as everyone sees them."""
    for first, second, expected in [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ]:
        assert ciede2000(first, second) == pytest.approx(expected, abs=1e-4)
    for vision in VISIONS:
        assert lab("#FFFFFF", vision) == pytest.approx([100, 0, 0], abs=0.1)
    assert distance("#FF0000", "#00FF00", "deuteranopia") < 0.6 * distance("#FF0000", "#00FF00")


@pytest.mark.parametrize(
    ("shape", "color", "marks"),
    [
        ("pentagon", "orange", ""),
        ("2 × antipodal pair", "blue", "/"),
        ("antipodal pair + 2 × dedicated", "blue", "||"),
        ("triangle + antipodal pair + dedicated", "green", "/|"),
        ("dedicated + antipodal pair", "blue", "|"),
        ("2 × triangle + 2 × antipodal pair", "green", "//\\"),
        ("hexagon + shared feature", "yellow", "+"),
        ("square pyramid", "red", ""),
        ("irregular (5 features, 2 dimensions)", "silver", "--..."),
        ("pentagon + irregular (3 features, 2 dimensions)", "orange", "--."),
        ("triangle + irregular (4 features, 2 dimensions)", "silver", "--..\\"),
    ],
)
def test_the_hue_is_that_of_the_largest_shape_and_marks_say_what_is_beside_it(shape, color, marks):
    look = shape_look(shape)
    assert look.fill == PALETTE[color] == sp.plot.shape_color(shape)
    assert "".join(mark * n for mark, n in look.marks) == marks
    assert (look.hatch == "") == (look.dashes == "solid") == (marks == "")


def test_families_go_through_their_colours_and_then_get_stars():
    polygons = [shape_look(name) for name in ("hexagon", "heptagon", "octagon", "9-gon", "12-gon")]
    assert [look.fill for look in polygons] == [*FAMILIES["polygon"], FAMILIES["polygon"][0], FAMILIES["polygon"][0]]
    assert [look.marks for look in polygons[2:]] == [(), (("*", 1),), (("*", 2),)]


def test_marks_can_be_seen_on_every_fill():
    for kind in kinds().values():
        look = shape_look("pentagon")._replace(fill=kind.fill)
        assert distance(look.fill, look.ink) > 25, kind.fill
        assert distance(look.letters, "#FFFFFF") > 20, kind.fill


LOOKS = """
import { readFileSync } from "node:fs";
const { shapeColors, shapeLook } = await import(process.argv[2]);
const { rule, names } = JSON.parse(readFileSync(0, "utf8"));
const colorOf = shapeColors(rule);
console.log(JSON.stringify(names.map((name) => [name, shapeLook(rule, name), colorOf(name, false), colorOf(name, true)])));
"""


def test_the_page_follows_the_same_rule(tmp_path):
    """On the census and on names that no sweep has found, down to words that no shape has."""
    script = tmp_path / "looks.mjs"
    script.write_text(LOOKS)
    odd = [
        "9 × pentagon",
        "constructor",
        "",
        " + ",
        "3 × irregular (2 features, 1 dimension) + 2 × dedicated",
        "irregular",
    ]
    names = [*NAMES, *kinds(), *odd, "diverged", "missing", "nothing represented"]
    said = json.dumps({"rule": rule(), "names": names})
    done = node(str(script), (PAGE / "color.js").as_uri(), input=said, env={**os.environ, "NODE_NO_WARNINGS": "1"})
    assert done.returncode == 0, done.stderr
    for name, look, light, dark in json.loads(done.stdout):
        expected = shape_look(name)
        assert look == {"fill": expected.fill, "marks": [list(mark) for mark in expected.marks]}, name
        assert light == expected.fill and (dark != "#000000"), name
