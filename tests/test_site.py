"""The documentation site: the gallery's records, and what is built from them, from the docstrings and from the pages."""

import ast
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import matplotlib.pyplot as plt
import pytest
import snippets

import superpos as sp
from superpos.experiments import Claims, publish
from superpos.experiments.claims import tally

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
FIGURES = sorted(file.stem for file in (ROOT / "figures").glob("*.py") if file.stem != "all")
# Methods of `Claims`, which take a statement first of three or more.
NAMING = ("add", "check", "identity", "needs_full")


def record(name):
    return json.loads((GALLERY / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_record_and_a_picture(name):
    """As `publish` writes it, at the size of a laptop, judged."""
    content = record(name)
    assert {"caption", "source", "size", "seconds", "claims"} <= set(content)
    assert content["size"] == "laptop" and content["seconds"] > 0
    assert content["claims"] and all(claim["verdict"] != "not judged" for claim in content["claims"])
    assert (GALLERY / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert all((GALLERY / file).exists() for file in content.get("extra", ()))


def strings(tree):
    """Patterns of all strings in a piece of code; what is computed in them may be anything."""
    return [pattern(node) for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]


def pattern(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern(value) for value in node.values)
    return re.escape(str(node.value)) if isinstance(node, ast.Constant) else ".+"


@cache
def statements(name):
    """Patterns of the statements that an experiment passes to its claims, in calls and by way of variables."""
    place = ROOT / "superpos" / "experiments" / name
    direct, possible = [], []
    for file in place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            is_method = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_method and node.func.attr in NAMING and len(node.args) > 2:
                if isinstance(node.args[0], ast.Constant | ast.JoinedStr):
                    direct.append(pattern(node.args[0]))
                else:
                    possible += [known for known in strings(tree) if len(re.sub(r"\.\+|\W", "", known)) > 3]
    return direct, possible


@pytest.mark.parametrize("name", FIGURES)
def test_a_record_makes_the_claims_that_the_experiment_makes_today(name):
    direct, possible = statements(name)
    made = [claim["statement"] for claim in record(name)["claims"]]
    again = "the record is older than the experiment: python figures/all.py && python docs/take_records.py"
    assert [text for text in made if not any(re.fullmatch(known, text) for known in direct + possible)] == [], again
    assert [known for known in direct if not any(re.fullmatch(known, text) for text in made)] == [], again


@pytest.mark.slow
def test_a_published_figure_is_taken_into_the_gallery(tmp_path, monkeypatch):
    """The record as it is, the picture no wider than the gallery's, an animation beside it."""
    taking = runpy.run_path(str(ROOT / "docs" / "take_records.py"))["main"]
    monkeypatch.setitem(taking.__globals__, "GALLERY", tmp_path / "gallery")
    monkeypatch.setitem(taking.__globals__, "WIDTH", 200)
    (tmp_path / "gallery").mkdir()
    with pytest.raises(SystemExit, match="holds no published figure"):
        taking(tmp_path)
    figure, _ = plt.subplots()
    publish(figure, "A caption.", Claims("A & B 2022"), path=tmp_path / "f")
    taking(tmp_path)
    assert (tmp_path / "gallery" / "f.json").read_bytes() == (tmp_path / "f.json").read_bytes()
    assert plt.imread(tmp_path / "gallery" / "f.png").shape[1] == 200


MARKDOWN = r"""$x' = f(W x)$ of `W`, (n, m), with |x| and **n** of *one* model; a_ is no link, `Toy`s are:

* `a`: $b$,
  * and c

Like this::

    |x| * `y`

$$L = \sum_i
  x_i$$

>>> f(`1`) * 2
"""


def test_docstrings_become_restructured_text(monkeypatch):
    pytest.importorskip("sphinx", reason="the extra that builds the site is not installed (pip install '.[docs]')")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extensions"))
    lines = import_module("docstrings").restructured(MARKDOWN.splitlines())
    link = ":py:obj:`Toy <superpos.tasks.Toy>`"
    first = (
        rf":math:`x' = f(W x)` of ``W``, (n, m), with \|x\| and **n** of *one* model; a\_ is no link, {link}\ s are:"
    )
    assert lines[:4] == [first, "", "* ``a``: :math:`b`,", "  * and c"]
    assert "    |x| * `y`" in lines and ".. math:: L = \\sum_i x_i" in lines and ">>> f(`1`) * 2" in lines


@pytest.fixture(scope="module")
def site(tmp_path_factory, quick_environment):
    """The site, built once with the README's command, to another folder, with small live pages; every warning is an error."""
    pytest.importorskip("sphinx", reason="the extra that builds the site is not installed (pip install '.[docs]')")
    folder = tmp_path_factory.mktemp("site")
    (line,) = [line for line in snippets.commands(ROOT / "README.md") if "sphinx-build" in line]
    program, *arguments = shlex.split(line.split(" && ")[1])
    assert program == "sphinx-build" and arguments[-1] == "docs/_build"
    command = [sys.executable, "-m", "sphinx", *arguments[:-1], folder / "html", "-q", "-d", folder / "doctrees"]
    environment = os.environ | quick_environment | {"SUPERPOS_QUICK": "1", "PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "html"


@pytest.mark.slow
def test_every_sidebar_marks_its_own_page_and_is_that_of_its_neighbours_otherwise(site):
    own = ' current active"><a class="current reference internal" href="#"'
    trees = set()
    for page in (site / "reference").glob("superpos.theory.*.html"):
        (tree,) = re.findall(r'<nav class="bd-links.*?</nav>', page.read_text("utf-8"), re.DOTALL)
        assert tree.count(own) == 1 and f'href="{page.name}"' not in tree, page
        assert f"{own}>{page.stem.replace('superpos', 'sp', 1)}</a>" in tree, page
        trees.add(tree.replace(own, f'"><a class="reference internal" href="{page.name}"'))
    assert len(trees) == 1


LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "embed": "src",
    "object": "data",
}


class Links(HTMLParser):
    """What a page refers to: links, what it loads, and the places in it that can be linked to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and "canonical" not in given.get("rel", "") and "href" in given:
            self.loads.append(given["href"])
        if LOADS.get(tag) in given:
            self.loads.append(given[LOADS[tag]])


@pytest.fixture(scope="module")
def parsed(site):
    """Every page of the site by its path, but for the live ones, whose own tests are elsewhere."""
    return {
        page: Links(page.read_text(encoding="utf-8"))
        for page in sorted(site.rglob("*.html"))
        if page.parent.name != "live" and "_static" not in page.parts
    }


def is_elsewhere(address):
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


@pytest.mark.slow
def test_every_link_between_pages_leads_somewhere(parsed):
    broken = []
    for page, content in parsed.items():
        for address in [*content.links, *content.loads]:
            parts = urlsplit(address)
            if is_elsewhere(address):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            place = unquote(parts.fragment)
            if not target.exists() or (place and target in parsed and place not in parsed[target].anchors):
                broken.append((page.name, address))
    assert len(parsed) > 250 and broken == []


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site, parsed):
    assert [(page.name, url) for page, content in parsed.items() for url in content.loads if is_elsewhere(url)] == []
    for sheet in site.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//[^)]*", text) == [], sheet


def of_superpos(module):
    """What a public module offers of superpos: `__all__`, or what a package imports, or what a file defines."""
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    for name in names:
        target = getattr(module, name)
        home = getattr(target, "__module__", "")
        is_ours = home == module.__name__ or (
            hasattr(module, "__path__") and home.partition(".")[0] in ("superpos", "")
        )
        if is_ours and not isinstance(target, ModuleType):
            yield name


PUBLIC = (
    "tasks", "models", "models.sae", "data", "analysis", "theory", "plot", "engines", "metrics", "optimizers", "experiments",
    "explorer", "demos", "landscapes",
)  # fmt: skip


@pytest.mark.slow
def test_every_public_name_has_a_page(site):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        entries = InventoryFile.load(file, "", lambda base, uri: uri)
    known = {name for kind, names in entries.items() if kind.startswith("py:") for name in names}
    expected = {f"superpos.{name}" for name in sp.__all__ if not isinstance(getattr(sp, name), ModuleType)}
    for module in PUBLIC:
        loaded = attrgetter(module)(sp)
        expected |= {f"superpos.{module}.{name}" for name in of_superpos(loaded)}
        assert (site / "reference" / f"module-{module}.html").exists()
    assert len(expected) > 200 and expected - known - {"superpos.__version__"} == set()
    assert {name for name in sp.__all__ if isinstance(getattr(sp, name), ModuleType)} - set(PUBLIC) == set()


DRAWN = re.compile(
    r'<span class="formula.*?</math></span>|<div class="formula.*?</math></div>|<(pre|code|dt).*?</\1>', re.DOTALL
)


@pytest.mark.slow
def test_docstrings_are_drawn_not_quoted(site):
    """Formulas, code and links of docstrings, which are Markdown, are elements of the pages: no sign of them is left."""
    for file in sorted((site / "reference").glob("*.html")):
        page = file.read_text(encoding="utf-8")
        article = page[page.index("<article") : page.index("</article>")]
        assert re.findall(r"[`$]|\\\w|:math:|:py:", re.sub(r"<[^>]+>", "", DRAWN.sub("", article))) == [], file.name
        if file.stem == "superpos.expected_loss":
            assert article.count("<math") > 10 and 'href="superpos.ConfigError.html' in article


@pytest.mark.slow
def test_the_gallery_counts_what_the_records_say(site):
    page = (site / "gallery" / "index.html").read_text(encoding="utf-8")
    names = sorted(file.stem for file in GALLERY.glob("*.json"))
    total = tally(claim["verdict"] for name in names for claim in record(name)["claims"])
    assert f"{len(names)} figures, {total}." in page
    assert all(f"{name}.html" in page for name in names)
    assert record("five_features")["claims"][0]["measured"] in (site / "gallery" / "five_features.html").read_text(
        "utf-8"
    )


@pytest.mark.slow
def test_notebooks_are_pages(site):
    books = sorted(file.stem for file in (ROOT / "demos").glob("[0-9]*.ipynb"))
    assert books and all((site / "notebooks" / f"{name}.html").exists() for name in books)


@pytest.mark.parametrize("words", ["dead latents", "seed", "GPU"])
def test_the_search_finds(words, site, running):
    """Opened from disk: the list of results has links, and nothing is asked of any server."""
    page = running.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((site / "search.html").as_uri() + f"?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    assert page.locator("#search-results li a").count() >= 1
    assert all(url.startswith(("file:", "data:")) for url in requests)
    page.close()


def test_pages_ask_nothing_of_anyone_and_fit_narrow_screens(site, running):
    context = running.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    names = ["index", "gallery/index", "gallery/five_features", "explorer/plane", "reference/superpos.expected_loss"]
    names += [
        "reference/superpos.SweepResult",
        "reference/module-analysis",
        "notebooks/01_superposition_in_ten_minutes",
    ]
    for name in names:
        page.goto((site / f"{name}.html").as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, name
    assert complaints == [] and all(url.startswith(("file:", "data:", "blob:")) for url in requests)
    context.close()


def test_versions_are_listed_the_newest_first(tmp_path):
    """For the switcher and for the page above them; what is no site is no version."""
    for name in ("v0.9.0", "latest", "v0.10.0", "v0.10.0rc1", "v0.10.1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").touch()
    (tmp_path / ".git").mkdir()
    runpy.run_path(str(ROOT / "docs" / "versions.py"))["main"](tmp_path, "https://a.example/b/")
    listed = json.loads((tmp_path / "versions.json").read_text("utf-8"))
    names = ["latest", "v0.10.1", "v0.10.0", "v0.10.0rc1", "v0.9.0"]
    assert [entry["version"] for entry in listed] == names
    assert listed[1]["url"] == "https://a.example/b/v0.10.1/"
    assert re.findall('href="(.*?)/"', (tmp_path / "index.html").read_text("utf-8")) == names


def test_a_published_site_switches_versions_and_one_on_a_disk_asks_for_none(monkeypatch):
    conf = ROOT / "docs" / "conf.py"
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("SITE_ADDRESS", raising=False)
    assert "switcher" not in runpy.run_path(str(conf))["html_theme_options"]
    monkeypatch.setenv("SITE_ADDRESS", "https://a.example/b")
    monkeypatch.setenv("SITE_FOLDER", "v0.2.0")
    settings = runpy.run_path(str(conf))
    known = {"json_url": "https://a.example/b/versions.json", "version_match": "v0.2.0"}
    assert settings["html_theme_options"]["switcher"] == known
    assert "version-switcher.html" in settings["html_sidebars"]["**"]


@pytest.fixture
def addresses(monkeypatch):
    """The module that knows where the project lives; no forge builds here."""
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "extensions"))
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    return import_module("addresses")


def test_the_repository_is_said_in_one_place(addresses, monkeypatch):
    """Without an address in pyproject.toml the site takes the forge's own, where one builds it; notebooks take none."""
    stated = addresses.stated()
    assert addresses.repository() == stated
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://forge.example")
    monkeypatch.setenv("GITHUB_REPOSITORY", "a/b")
    assert addresses.repository() == (stated or "https://forge.example/a/b") and addresses.stated() == stated


def test_an_address_in_pyproject_reaches_notebooks_and_their_pages(addresses, monkeypatch, tmp_path):
    """The notebook installs from it and has a badge; its page has a link in the badge's place."""
    place = tmp_path / "pyproject.toml"
    place.write_text('[project]\n[project.urls]\nRepository = "https://github.com/a/b"\n', encoding="utf-8")
    monkeypatch.setattr(addresses, "PYPROJECT", place)
    build = runpy.run_path(str(ROOT / "demos" / "build.py"))
    book = build["notebook"](build["sources"]()[0])
    link = f"https://colab.research.google.com/github/a/b/blob/main/demos/{build['sources']()[0].stem}.ipynb"
    assert f"badge.svg)]({link})" in book.cells[0].source
    assert 'SOURCE = "git+https://github.com/a/b"' in book.cells[1].source
    file = tmp_path / f"{build['sources']()[0].stem}.ipynb"
    file.write_text(build["as_text"](book), encoding="utf-8")
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    page = import_module("notebooks").page_of(file)
    assert page.count(link) == 1 and "badge.svg" not in page
    assert addresses.colab("https://elsewhere.example/a/b", "x.ipynb") is None


def test_no_file_says_another_address_of_the_repository(addresses):
    """README, notebooks and pages take it from `[project.urls]`; a copy of it elsewhere would go stale."""
    stated = addresses.stated()
    files = [ROOT / "README.md", ROOT / "CITATION.cff", *(ROOT / "docs").rglob("*.md"), *(ROOT / "demos").glob("*.py")]
    for file in files:
        addresses = set(re.findall(r"https://github\.com/[\w-]+/superpos\b", file.read_text(encoding="utf-8")))
        assert addresses <= {stated}, file
