"""Claims, published figures, and the page that shows them."""

import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import superpos as sp
from superpos.experiments import Claims, publish, size_suffix
from superpos.experiments.publishing import index, totals
from superpos.experiments.run_scripts import Finished
from superpos.script import run
from superpos.theory.polytopes import polygon
from superpos.theory.uniform import benefits, structures, winners

ROOT = Path(__file__).parents[1]


def published(folder, name, *, judged=True, holds=True, theorem=None):
    claims = Claims("A & B 2022", judged=judged)
    if theorem is not None:
        claims.identity("three sides", "a < b + c", 1, theorem)
    claims.check("one < two", "at least 1", 2, holds)
    claims.needs_full("large things", "larger", "too small here")
    figure, _ = plt.subplots()
    return publish(figure, "A caption <b>.", claims, path=folder / name)


@pytest.mark.slow
def test_a_failed_claim_ends_with_status_one_and_everything_is_written(tmp_path, capsys):
    assert published(tmp_path, "f", holds=False).status == 1
    assert {p.name for p in tmp_path.iterdir()} == {"f.svg", "f.png", "f.pdf", "f.txt", "f.json"}
    assert "FAIL" in capsys.readouterr().out
    done = published(tmp_path, "g")
    assert done.files[-1].name == "g.json" and done.status == 0


@pytest.mark.slow
def test_a_quick_look_judges_nothing_and_the_picture_says_so(tmp_path, capsys):
    published(tmp_path, "q", judged=False, holds=False)
    claims = json.loads((tmp_path / "q.json").read_text())["claims"]
    assert {claim["verdict"] for claim in claims} == {"not judged"} and claims[0]["measured"] == "2"
    out = capsys.readouterr().out
    assert "2 claims were measured and not judged" in out and "one < two" not in out and "FAIL" not in out
    assert 'id="watermark"' in (tmp_path / "q.svg").read_text()
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png", ".txt", ".json"}  # a PDF is for a paper
    published(tmp_path, "f")
    assert 'id="watermark"' not in (tmp_path / "f.svg").read_text()


@pytest.mark.slow
def test_a_record_says_its_size_and_how_long_its_script_has_run(tmp_path, monkeypatch):
    published(tmp_path, "f_full")
    outside = json.loads((tmp_path / "f_full.json").read_text())
    assert (outside["size"], outside["seconds"]) == ("full", None)
    monkeypatch.setattr(sys, "argv", ["f.py"])

    def main():
        time.sleep(0.11)
        published(tmp_path, "f")

    run(main)
    inside = json.loads((tmp_path / "f.json").read_text())
    assert inside["size"] == "laptop" and 0.1 <= inside["seconds"] < 60


def test_identities_stand_apart_are_not_counted_and_must_hold_at_any_size(tmp_path, capsys):
    published(tmp_path, "f", theorem=True)
    out = capsys.readouterr().out
    assert "2 claims: 1 pass, 1 needs --full; 1 identity" in out
    assert out.index("three sides") > out.index("large things")
    assert json.loads((tmp_path / "f.json").read_text())["claims"][0]["verdict"] == "identity"
    page = index(tmp_path, [("f", None)]).read_text()
    assert "<p>2 claims: 1 pass, 1 needs --full; 1 identity.</p>" in page
    assert page.index("three sides") > page.index("large things")
    violated = published(tmp_path, "g", judged=False, theorem=False)  # although claims of a quick look are not judged
    assert violated.status == 1 and "identity VIOLATED" in capsys.readouterr().out
    said = "4 claims: 1 pass, 1 needs --full, 2 not judged; 2 identities, 1 VIOLATED. Red: 1 of g."
    assert totals(tmp_path, ["f", "g"]) == said
    assert '<td class="FAIL">identity VIOLATED</td>' in index(tmp_path, [("g", None)]).read_text()


def test_the_index_shows_every_figure_its_claims_and_what_is_missing(tmp_path):
    published(tmp_path, "f")
    page = index(tmp_path, [("f", 12.3), ("absent", None)]).read_text()
    for text in (
        'src="f.svg"',
        "A caption &lt;b&gt;.",
        "Drawn in 12 s.",
        "A &amp; B 2022",
        "one &lt; two",
        "needs --full",
    ):
        assert text in page
    assert "2 claims: 1 pass, 1 needs --full. 1 figures are missing." in page and "It was not drawn." in page
    assert "http" not in page  # it needs nothing from anywhere


@pytest.mark.slow
def test_all_figures_are_built_into_one_folder(tmp_path, quick_environment):
    command = [sys.executable, ROOT / "figures" / "all.py", "--quick", "--only", "five_features"]
    command += ["--out", tmp_path / "out", "--results", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | quick_environment)
    assert done.returncode == 0, done.stderr
    assert 'id="five_features_quick"' in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.slow
def test_red_claims_and_crashes_are_told_apart(tmp_path, capsys):
    """Three scripts: one publishes a red claim, one crashes, one is fine."""
    every = runpy.run_path(str(ROOT / "figures" / "all.py"))["main"]

    def scripts(files, *_):
        for file in files:
            if file.stem != "capacity":
                published(tmp_path, file.stem, holds=file.stem == "adversarial")
            yield Finished(file, int(file.stem != "adversarial"), 1.0, "printed")

    every.__globals__["run_scripts"] = scripts
    with pytest.raises(SystemExit) as stopped:
        every(only=("five_features", "capacity", "adversarial"), out=tmp_path)
    assert stopped.value.code == "figures: red claims: 1 (five_features); crashed: capacity"
    told = "4 claims: 1 pass, 1 FAIL, 2 needs --full. Red: 1 of five_features. 1 figures are missing."
    assert told in capsys.readouterr().out.splitlines()
    with pytest.raises(SystemExit, match="there is no 'nothing'"):
        every(only=("nothing",), out=tmp_path)


@pytest.mark.parametrize(
    ("script", "wrong", "said"),
    [
        ("figures/phase_diagram.py", ["--hidden", "7"], "n_hidden must be 1"),
        ("figures/five_features.py", ["--full", "--quick"], "full and quick exclude each other"),
        ("sweeps/phase_diagram.py", ["--n-hidden", "7"], "n_hidden must be 1"),
    ],
)
def test_a_script_ends_a_wrong_setting_with_one_sentence(script, wrong, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), *wrong])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(sys.argv[0], run_name="__main__")
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.startswith(f"{Path(script).stem}: {said}") and error.count("\n") == 1


def test_scripts_leave_their_command_line_to_one_function():
    for path in (*(ROOT / "figures").glob("*.py"), *(ROOT / "sweeps").glob("*.py")):
        text = path.read_text()
        assert "    run(main)\n" in text and "tyro" not in text.replace('"tyro"', ""), path.name


def test_one_size_at_a_time():
    assert [size_suffix(*size) for size in ((False, False), (True, False), (False, True))] == [
        "",
        "_full",
        "_quick",
    ]
    with pytest.raises(sp.ConfigError, match="full and quick exclude each other"):
        size_suffix(True, True)


def test_gaps_are_those_of_the_polygon():
    np.testing.assert_allclose(sp.analysis.angle_gaps(polygon(5).T), 72, rtol=1e-5)
    with pytest.raises(sp.ConfigError, match=r"W must have shape \(2, any\), got shape \(3, 4\)"):
        sp.analysis.angle_gaps(np.ones((3, 4)))


@pytest.mark.slow
def test_the_best_structure_at_every_density():
    """Winners, benefits and optima as derived for n ≫ m; a feature alone gains exactly its v per dimension."""
    x = np.array([1.2, 1.4, 1.6, 3, 4.8, 10])
    assert winners(1 / x[[1, 4]], order=16) == [
        "triangle",
        "pentagon",
    ]  # among all; the others in test_winning_structures
    found = {
        s.shape.name: s
        for s in benefits(1 / x[2:], [s for s in structures() if s.name in ("dedicated", "antipodal pair", "pentagon")])
    }
    np.testing.assert_allclose(found["dedicated"].benefit, 1, atol=1e-8)
    np.testing.assert_allclose(found["antipodal pair"].benefit[:2], [1.073, 1.568], atol=1e-3)
    np.testing.assert_allclose(found["antipodal pair"].squared_norm[:2], [0.70, 1.02], atol=0.01)
    np.testing.assert_allclose(found["pentagon"].bias[2], -0.125, atol=0.01)
    crossing = benefits([0.2249], [s for s in structures() if s.name in ("antipodal pair", "pentagon")])
    assert crossing[0].benefit[0] == pytest.approx(crossing[1].benefit[0], rel=1e-3)


@pytest.mark.parametrize("wrong", [1.0, 0.0, [[0.5]], []])
def test_densities_of_structures_are_checked(wrong):
    with pytest.raises(sp.ConfigError, match="feature_probability"):
        benefits(wrong)
