"""What the README and the pages of docs/ say works: their code, their commands, their links."""

import inspect
import re
import runpy
import shlex
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import snippets

import superpos as sp
from superpos.cli import main
from superpos.cli.demo import demo
from superpos.cli.phase import phase
from superpos.experiments import five_features
from superpos.experiments.sizes import Sizes
from superpos.identity import registered
from superpos.models.sae import ARCHITECTURES

ROOT = snippets.ROOT
README = ROOT / "README.md"
DOCS = ROOT / "docs"
FOLDERS = ("concepts", "guide", "own")
PAGES = [page for folder in FOLDERS for page in sorted((DOCS / folder).glob("*.md"))]
# The site is built around the index, and building it leaves the ledger as a page.
PAGES += [page for page in sorted(DOCS.glob("*.md")) if page.stem not in ("index", "open-problems")]
# Pages whose code other tests run, and look at what it did.
ELSEWHERE = (DOCS / "own" / "task.md", DOCS / "guide" / "starting.md")
WITH_CODE = [page for page in PAGES if snippets.python_blocks(page) and page not in ELSEWHERE]


def of_docs(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_first_fifteen_lines_run_and_run_again(tmp_path, monkeypatch):
    """At a smaller size."""
    monkeypatch.chdir(tmp_path)
    (code,) = snippets.python_blocks(README)
    assert len(code.splitlines()) <= 15 and snippets.smaller(code).count("steps=20)") == 2
    names = snippets.run(README)
    assert names["result"].sizes == {"feature_probability": 3, "seed": 2}
    assert sp.open("runs/first_sweep.zarr").sizes == names["result"].sizes and Path("first_sweep.png").exists()
    snippets.run(README)


@pytest.fixture
def registries(monkeypatch):
    """What pages give a name to is forgotten after the test: others go through all that are registered."""
    kept = [sp.tasks.REGISTRY, ARCHITECTURES, sp.models.activations.ACTIVATIONS, *registered._FUNCTIONS.values()]
    copies = [dict(names) for names in kept]
    yield
    for names, copy in zip(kept, copies, strict=True):
        names.clear()
        names.update(copy)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=of_docs)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, registries):
    """In order, in one folder, and a second time where the first has left its results."""
    monkeypatch.chdir(tmp_path)
    snippets.run(page)
    plt.close("all")
    if "store=" in page.read_text(encoding="utf-8"):
        snippets.run(page)


def test_every_page_says_how_to_try_it():
    """Concepts and own things have code; what a page calls a command is one."""
    for page in PAGES:
        if page.parent.name in ("concepts", "own"):
            assert snippets.python_blocks(page), page
    assert len(WITH_CODE) >= 25


MINE = """\
[task]
n_features = 3
n_hidden = 2
objective = "expected"
[train]
steps = 20
[grid]
seed = { range = 2 }
"""

# Flags that make a command small; a command that is not here is small as it is.
CUTS = {
    "demo": "--densities 3 --seeds 2 --steps 20",
    "phase": "--cells 3 --seeds 2 --steps 20",
    "sae": "--architectures topk --k 1 --seeds 1 --steps 20",
    "decompose": "--coefficients 0.003 --seeds 1 --steps 20",
}
LANDSCAPE = ("--landscape 0.05 0.2", "--landscape 0.05")  # at .2 minima with dead features are hundreds


def small_command(line: str) -> list[str]:
    """A command of a page with its numbers cut down, as arguments."""
    line = line.replace(*LANDSCAPE)
    command, *arguments = shlex.split(line)
    if command == "superpos" and arguments[0] == "sweep" and arguments[1].endswith("five_features.toml"):
        others = [argument for argument in arguments[2:] if not argument.startswith("train.steps=")]
        arguments = [*arguments[:2], "train.steps=20", *others]
    return [command, *arguments, *shlex.split(CUTS.get(arguments[0], "") if command == "superpos" else "")]


@pytest.mark.slow
def test_the_commands_of_all_pages_run_in_order_in_one_folder(tmp_path, monkeypatch, capsys):
    """After the fifteen lines, and none is stopped by what an earlier one has left. (The first figure, in a small size.)"""
    monkeypatch.chdir(tmp_path)
    for folder in ("sweeps", "figures"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    Path("mine.toml").write_text(MINE)
    Path("my_tasks.py").write_text("")
    size = five_features.Size(densities=3, seeds=2, steps=20, objective="expected")
    monkeypatch.setattr(five_features, "SIZES", Sizes(quick=size, laptop=size, full=size))
    snippets.run(README)
    ran = []
    for page in (README, *PAGES):
        for line in (part for command in snippets.commands(page) for part in command.split(" && ")):
            if not line.startswith(("superpos ", "python figures/five_features.py")):
                continue
            arguments = small_command(line)
            if line in ran and arguments[1] in ("pack", "export"):  # a second one is refused on purpose
                continue
            monkeypatch.setattr(sys, "argv", arguments[1:] if arguments[0] == "python" else arguments)
            try:
                runpy.run_path(arguments[1], run_name="__main__") if arguments[0] == "python" else main()
                status = 0
            except SystemExit as ended:
                status = ended.code or 0
            # A figure of twenty steps does not show what it should, and says so by a 1.
            assert status in ((0, 1) if arguments[0] == "python" else (0,)), (line, capsys.readouterr().err)
            ran.append(line)
            plt.close("all")
    assert {line.split()[1] for line in ran} >= {
        "demo",
        "explore",
        "sweep",
        "geometry",
        "phase",
        "sae",
        "status",
        "pack",
        "export",
    }


def links(page: Path) -> list[str]:
    """What a page links to and shows, but for addresses on the web."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not target.startswith(("http", "#"))]


@pytest.mark.parametrize("page", [README, *PAGES], ids=of_docs)
def test_what_a_page_links_to_and_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    for target in links(page):
        path, _, heading = target.partition("#")
        assert (page.parent / path).exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", (page.parent / path).read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [h.lower().replace(" ", "-") for h in headings], target
    for path in re.findall(r"`((?:sweeps|figures|superpos|tests|docs|demos)/[\w./]+\w)`", text):
        if not path.startswith("superpos/jax"):
            assert (ROOT / path).exists(), path
    for path, options in re.findall(r"^```\{literalinclude\} (\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        code = (page.parent / path).read_text(encoding="utf-8")
        for name in re.findall(r":pyobject: (\w+)", options):
            assert re.search(rf"^(?:class|def) {name}\b", code, re.MULTILINE), name


def test_scripts_that_pages_name_are_there():
    """In the tables of figures and of papers, and all figures are in both."""
    scripts = {path.stem for path in (ROOT / "figures").glob("*.py")} - {"all"}
    for page in (DOCS / "guide" / "figures.md", DOCS / "papers.md"):
        rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        names = {name for row in rows for name in re.findall(r"`([a-z]\w+)`", row)}
        assert names == scripts, names ^ scripts


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 140


def test_the_demo_is_what_the_readme_promises():
    readme = README.read_text(encoding="utf-8")
    defaults = {name: p.default for name, p in inspect.signature(demo).parameters.items()}
    assert (defaults["densities"], defaults["seeds"], defaults["steps"]) == (48, 16, 300)
    assert "768 models" in readme and "48 densities × 16 seeds" in readme
    defaults = {name: p.default for name, p in inspect.signature(phase).parameters.items()}
    assert defaults["cells"] ** 2 * defaults["seeds"] == 32_768 and "32,768 models" in readme
