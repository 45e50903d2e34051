"""What the README says works."""

import inspect
import re
from pathlib import Path

import superpos as sp
from superpos.cli.demo import demo

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
    assert names["result"].dims == {"feature_probability": 3, "seed": 2}
    assert sp.open("results/five_features.zarr").dims == names["result"].dims


def test_the_other_examples_run():
    exec(compile("import numpy as np\nimport superpos as sp\n" + blocks()[1], "README.md", "exec"), {})


def test_files_the_readme_names_exist():
    for path in re.findall(r"`((?:sweeps|figures|superpos|tests|docs)/[\w./]+\w)`", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_demo_is_what_the_readme_promises():
    defaults = {name: p.default for name, p in inspect.signature(demo).parameters.items()}
    assert (defaults["densities"], defaults["seeds"], defaults["steps"]) == (24, 8, 5_000)
    assert sp.TrainConfig().batch_size == 1_024
    assert "192 models" in README and "24 densities × 8 seeds, 5,000 steps of batch 1,024" in README
