"""What the README says works."""

import inspect
import re
from pathlib import Path

import pytest

import superpos as sp
from superpos.cli.demo import demo
from superpos.cli.phase import phase

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks():
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_first_fifteen_lines_run(tmp_path, monkeypatch):
    """At a smaller size."""
    monkeypatch.chdir(tmp_path)
    code = blocks()[0].replace("5_000", "60").replace("0.01, 64", "0.01, 3").replace("range(16)", "range(2)")
    assert code.count("60") == 2
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["result"].sizes == {"feature_probability": 3, "seed": 2}
    assert sp.open("results/five_features.zarr").sizes == names["result"].sizes


def test_the_other_examples_run():
    names: dict = {}
    exec(compile("import numpy as np\nimport superpos as sp\n" + blocks()[1], "README.md", "exec"), names)
    assert "p²/6" in blocks()[2] and "# 0.001667" in blocks()[2]
    smaller = blocks()[2].replace("0.01, 48", "0.01, 2").replace("range(16)", "range(2)")
    exec(compile(smaller, "README.md", "exec"), names)
    assert names["exact"].sizes == {"feature_probability": 2, "seed": 2}
    assert float(sp.expected_loss(names["W"], None, 0.1)) == pytest.approx(0.1**2 / 6, rel=1e-4)


def test_files_the_readme_names_exist():
    for path in re.findall(r"`((?:sweeps|figures|superpos|tests|docs)/[\w./]+\w)`", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_demo_is_what_the_readme_promises():
    defaults = {name: p.default for name, p in inspect.signature(demo).parameters.items()}
    assert (defaults["densities"], defaults["seeds"], defaults["steps"]) == (48, 16, 300)
    assert "768 models" in README and "48 densities × 16 seeds" in README
    defaults = {name: p.default for name, p in inspect.signature(phase).parameters.items()}
    assert defaults["cells"] ** 2 * defaults["seeds"] == 32_768 and "32,768 models" in README
