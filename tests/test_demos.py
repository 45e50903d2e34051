"""The notebooks: in step with their sources, executed from a clean kernel, and their questions."""

import ast
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import superpos as sp

DEMOS = Path(__file__).parents[1] / "demos"
BUILD = runpy.run_path(str(DEMOS / "build.py"))
SOURCES = BUILD["sources"]()
CHECK = re.compile(r"sp\.demos\.check\(")
each_notebook = pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)


def promised_minutes(book) -> int:
    """The minutes of computing that a notebook promises at its top."""
    return int(re.search(r"\*\*Time\.\*\* (\d+) minutes? of computing on two cores", book.cells[0].source)[1])


def run(path, *, quick: bool) -> float:
    """Execute a notebook with its worked answers; every check says right, and there is a picture. Returns seconds."""
    book = BUILD["solved"](BUILD["notebook"](path))
    seconds = BUILD["execute"](book, quick=quick)
    pictures = 0
    for cell in book.cells:
        if cell.cell_type == "code":
            said = [o.data.get("text/plain", "") for o in cell.outputs if o.output_type == "execute_result"]
            assert len(CHECK.findall(cell.source)) == sum(text.startswith("Right: ") for text in said), said
            pictures += sum("image/png" in o.get("data", {}) for o in cell.outputs)
    assert pictures
    return seconds


@each_notebook
def test_the_notebook_is_made_from_its_source(path):
    written = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert written == BUILD["as_text"](BUILD["notebook"](path)), "run python demos/build.py"


@each_notebook
def test_a_notebook_has_its_parts(path):
    book = BUILD["notebook"](path)
    text = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    code = "\n".join(c.source for c in book.cells if c.cell_type == "code")
    assert 12 <= len(book.cells) <= 26 and promised_minutes(book) <= 10
    for part in ("**Question.**", "**Predict.**", "**Change", "What to try next", "Open"):
        assert part in text, part
    assert CHECK.search(code) and "sp.plot." in code


@each_notebook
def test_what_is_left_to_the_reader_is_used_by_checks_alone(path):
    """So that a notebook whose dots are still there runs from top to bottom."""
    book = BUILD["notebook"](path)
    trees = [ast.parse(c.source) for c in book.cells if c.cell_type == "code"]
    asked = set().union(*(BUILD["assigned"](c.source, dots=True) for c in book.cells if c.cell_type == "code"))
    assert asked
    for tree in trees:
        allowed = {
            id(part)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "sp.demos.check"
            for part in ast.walk(call)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in asked and isinstance(node.ctx, ast.Load):
                assert id(node) in allowed, node.id


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_in_its_quick_form(path):
    run(path, quick=True)


@pytest.mark.long
@each_notebook
def test_a_notebook_keeps_its_time_promise(path):
    assert run(path, quick=False) <= 60 * promised_minutes(BUILD["notebook"](path))


def test_every_question_takes_dots_and_nonsense_and_an_unknown_one_is_refused():
    for name in sp.demos.questions():
        assert repr(sp.demos.check(name, ...)).startswith("Not yet: no answer here so far")
        verdict = sp.demos.check(name, "nonsense")
        assert not verdict.right and "cannot be read as" in verdict.sentence
    with pytest.raises(sp.ConfigError, match=r"no question 'pentagn'\. Did you mean pentagon\?"):
        sp.demos.check("pentagn", 1)


def test_size_is_chosen_by_the_environment(monkeypatch):
    monkeypatch.delenv("SUPERPOS_QUICK", raising=False)
    assert sp.demos.size(full=3, quick=1) == 3
    monkeypatch.setenv("SUPERPOS_QUICK", "1")
    assert sp.demos.size(full=3, quick=1) == 1


def polygon(n: int, rows: int = 2) -> np.ndarray:
    """W of n unit columns 360°/n apart in the first two of some rows."""
    turn = 2 * np.pi * np.arange(n) / n
    return np.concatenate([[np.cos(turn), np.sin(turn)], np.zeros((rows - 2, n))])


AXIS = np.array([[0.0], [0], [1]])
BIPYRAMID = np.hstack([polygon(5, 3), AXIS, -AXIS])


def branch(jump_at: float) -> sp.theory.Branch:
    """A solution of two features in one dimension whose second column appears at one value."""
    values = np.geomspace(0.1, 1, 31)
    W = np.stack([np.ones_like(values), -1.0 * (values >= jump_at)], axis=1)[:, None]
    return sp.theory.Branch(values, W, np.zeros((31, 2)), values, values)


def logistic(*, eta: float = 0.1, p: float = 0.3) -> xr.Dataset:
    """a(t) of three lone features by the closed form, all from the same small start."""
    steps, importance = np.arange(0, 3_000, 5), np.array([1.0, 0.5, 0.25])
    rate = 8 * eta * importance * p / 3
    share = 1 / (1 + np.exp(5 - rate[:, None] * steps))
    return xr.Dataset(
        {"share": (("importance", "snapshot"), share), "step": ("snapshot", steps)}, {"importance": importance}
    )


D_STAR = xr.DataArray([1.0, 0.52, 0.5, 0.49, 0.2], {"feature_probability": [1.0, 0.5, 0.33, 0.25, 0.05]})
GROWN = (logistic(), 0.1, 0.3)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("how_many_fit", (5, polygon(5)), (2, polygon(5))),
        ("pentagon", (polygon(5),), (polygon(6)[:, :5],)),
        ("pentagon", (polygon(5),), (polygon(5) * [1, 1, 1, 1, 2.0],)),
        ("pentagon", (polygon(5),), (polygon(4),)),
        ("boundary", (lambda p: 2 * p / (4 - 5 * p),), (lambda p: p / (2 - p),)),
        ("boundary_without_bias", (lambda p: p / (2 - p),), (lambda p: 2 * p / (4 - 5 * p),)),
        ("boundary", (lambda p: p / 2 / (1 - 1.25 * p),), (lambda p: -p,)),
        ("triple_point", (0.57,), (0.5,)),
        ("hysteresis", ("after", branch(0.6), 0.2), ("at", branch(0.6), 0.2)),
        ("hysteresis", ("at", branch(0.2), 0.2), ("after", branch(0.2), 0.2)),
        ("dimensionalities", (0.5, 0.667, 0.4), (0.5, 0.667, 0.2)),
        ("packing_bound", (3,), (4,)),
        ("packing_bound", (3,), (2.5,)),
        ("tegum", (BIPYRAMID,), (np.hstack([polygon(6, 3), 0.4 * AXIS]),)),
        ("tegum", (np.hstack([polygon(6, 3), AXIS]),), (polygon(7, 3),)),
        ("plateau", (0.5, D_STAR), (0.4, D_STAR)),
        ("levels", ([0, 0.5], [0.0, 0.501, 0.499]), ([0.5], [0.0, 0.5, 0.5])),
        ("levels", ([0.5], [0.5, 0.5]), ([0, 0.5], [0.5, 0.5])),
        (
            "growth_rate",
            (lambda eta, i, p: 8 * eta * i * p / 3, *GROWN),
            (lambda eta, i, p: 4 * eta * i * p / 3, *GROWN),
        ),
        ("growth_rate", (lambda eta, i, p: 8 * eta * i * p / 3, *GROWN), (lambda eta, i, p: 8 * eta * p / 3, *GROWN)),
        ("delay", (4, logistic()), (2, logistic())),
    ],
)
def test_a_right_answer_and_a_wrong_one(name, right, wrong):
    verdict = sp.demos.check(name, *right)
    assert verdict.right, verdict
    verdict = sp.demos.check(name, *wrong)
    assert not verdict.right and "cannot be read" not in verdict.sentence, verdict
