"""The ledger of open problems: complete, true to the records of figures, and at hand from the command line."""

import json
import sys
from pathlib import Path

import pytest

from superpos.cli.problems import problems as command
from superpos.errors import ConfigError
from superpos.experiments.claims import RED
from superpos.problems.ledger import STATES, all_problems, failed_beside, measured, numbered

ROOT = Path(__file__).parents[1]
RECORDS = {f.stem: json.loads(f.read_text(encoding="utf-8")) for f in (ROOT / "docs" / "gallery").glob("*.json")}


def test_every_number_of_both_lists_is_there_once():
    numbers = [problem.number for problem in all_problems()]
    assert numbers == [f"4.{k}" for k in range(1, 21)] + [f"3.{k}" for k in range(1, 30)]


@pytest.mark.parametrize("problem", all_problems(), ids=lambda problem: problem.number)
def test_an_entry_says_what_its_state_promises(problem):
    assert problem.state in STATES and problem.question.endswith(("?", "trees."))
    assert bool(problem.why_not) == (problem.state == "elsewhere")
    assert bool(problem.answer) == (problem.state in ("answered", "partly"))
    assert problem.open or problem.why_not
    for figure in problem.figures:
        assert (ROOT / "figures" / f"{figure}.py").exists() and figure in RECORDS
    rows = measured(problem, RECORDS)
    assert {row["figure"] for row in rows} <= set(problem.figures)
    if problem.state == "answered":
        verdicts = {row["verdict"] for row in rows}
        assert "pass" in verdicts and verdicts <= {"pass", "identity"}  # a theorem is evidence, but not alone


def test_evidence_that_a_record_does_not_have_is_refused():
    problem = numbered("4.4")
    with pytest.raises(ConfigError, match=r"evidence of problem 4\.4 is of nonuniform_density, which has no record"):
        measured(problem, {})
    with pytest.raises(ConfigError, match=r"evidence of problem 4\.4: 0 claims of nonuniform_density begin with"):
        measured(problem, {"nonuniform_density": {"claims": []}})


def test_what_failed_beside_the_evidence_is_shown(capsys):
    """An answer may rest on claims that hold; those of its figures that failed are not left unsaid."""
    problem = numbered("4.14")
    failed = failed_beside(problem, RECORDS, RED)
    red = [c["statement"] for c in RECORDS["two_hidden_layers"]["claims"] if c["verdict"] == "FAIL"]
    assert red and [row["statement"] for row in failed] == red
    command("4.14")
    shown = capsys.readouterr().out
    assert all(statement in shown for statement in red)
    assert failed_beside(numbered("4.1"), RECORDS, RED) == []  # dropout has none


def test_the_command_lists_all_and_shows_one(capsys):
    command()
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["4.1", "answered"]
    command("4.5")
    shown = capsys.readouterr().out
    record = next(
        c for c in RECORDS["boolean_superposition"]["claims"] if c["statement"].startswith("OR, L2: beats the naive")
    )
    assert record["measured"] in shown and "python figures/boolean_superposition.py" in shown


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"number": "5.1"}, "number must be that of a problem"),
        ({"number": None, "run": True}, "number must say which problem to run"),
        ({"number": "4.1", "quick": True}, "quick goes with --run"),
        ({"number": "3.19", "run": True}, r"run: no figure measures problem 3\.19 yet"),
    ],
)
def test_wrong_calls_get_one_sentence(call, sentence):
    with pytest.raises(ConfigError, match=sentence):
        command(**call)


def test_a_problem_runs_the_scripts_of_its_figures(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(command.__module__ + "._clone", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"run: .*dropout\.py is not there; the scripts of figures are in a clone"):
        command("4.1", run=True)
    (tmp_path / "figures").mkdir()
    script = tmp_path / "figures" / "dropout.py"
    script.write_text("import sys; print('called with', sys.argv[1:])")
    command("4.1", run=True, quick=True)
    ran = capfd.readouterr().out
    assert "python figures/dropout.py --quick" in ran and "called with ['--quick']" in ran
    script.write_text("raise SystemExit(2)")
    with pytest.raises(SystemExit) as ended:
        command("4.1", run=True)
    assert ended.value.code == 1


def test_the_page_says_what_the_records_measured():
    sys.path.insert(0, str(ROOT / "docs" / "extensions"))
    try:
        pytest.importorskip("sphinx")
        from open_problems import text_of
    finally:
        sys.path.pop(0)
    page = text_of(RECORDS)
    assert page.count("\n## ") == 49 and "gallery/dropout.md" in page
