"""A page for every public name, and one for every public module with a table of its names."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

from docstrings import inline, restructured
from docutils import nodes
from public_names import MODULES, PublicName, file_names, loaded_module, public_names
from sphinx.application import Sphinx

INTRODUCTION = """\
API reference
=============

Everything here is made from the docstrings. ``import superpos as sp`` is taken for granted, so ``sp.train`` is
``superpos.train``. What is used most stands in ``sp`` itself, the other names in the modules where they belong.

.. list-table::
   :class: names
   :widths: 25 75
"""


def build(app: Sphinx) -> None:
    """Write reference/*.rst, and only those whose text has changed, so that Sphinx does not read the others again."""
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    names = public_names()
    files = file_names(names)
    texts = {f"{files[entry.name]}.rst": page_of(entry) for entry in names}
    texts["index.rst"] = index()
    for module in ("", *MODULES):
        here = [entry for entry in names if entry.module == module]
        texts[f"{module_file(module)}.rst"] = page_of_module(module, here, names, files)
    for file in folder.glob("*.rst"):
        if file.name not in texts:
            file.unlink()
    for name, text in texts.items():
        file = folder / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def module_file(module: str) -> str:
    """The page of a module. Pages of names begin with `superpos.`, so none of them is meant."""
    return f"module-{module or 'superpos'}"


def title_of(module: str) -> str:
    """A module as it is written in code."""
    return f"sp.{module}" if module else "sp"


def words_of(module: str) -> str:
    """What a module is for, in its own words."""
    if not module:
        return "What is used most: training, sweeps, results, errors."
    return inspect.getdoc(loaded_module(module)) or ""


def index() -> str:
    """All modules, each with its first sentence."""
    lines = [INTRODUCTION]
    for module in ("", *MODULES):
        sentence = inline(first_sentence(words_of(module)), module)
        lines += [f"   * - :doc:`{title_of(module)} <{module_file(module)}>`", f"     - {sentence}"]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {module_file(module)}" for module in ("", *MODULES))]
    return "\n".join(lines) + "\n"


def page_of(entry: PublicName) -> str:
    """One name, with the methods of a class."""
    lines = [f"sp.{entry.name}", "=" * len(f"sp.{entry.name}"), ""]
    if entry.kind == "data":
        lines += [f".. py:data:: {entry.name}", "   :module: superpos", ""]
        lines += [f"   {line}" for line in restructured(comment_of(entry), entry.module)]
    else:
        lines += [f".. auto{entry.kind}:: superpos::{entry.name}"]
    if entry.kind == "class":
        lines += ["   :members:"]  # those of flax or JAX are left out
        lines += ["   :show-inheritance:"] * any(base is not object for base in entry.target.__bases__)
    if entry.aliases:
        others = [alias.replace("superpos.", "sp.", 1) for alias in entry.aliases]
        lines += ["", f"Also under {', '.join(f'``{name}``' for name in others)}."]
    return "\n".join(lines) + "\n"


def page_of_module(module: str, here: list[PublicName], names: list[PublicName], files: dict[str, str]) -> str:
    """What a module is for, and a table of its names; names whose page stands elsewhere are in it too."""
    title, doc = title_of(module), words_of(module)
    there = [
        e
        for e in names
        if module and e.module != module and any(a.rpartition(".")[0] == f"superpos.{module}" for a in e.aliases)
    ]
    lines = [title, "=" * len(title), "", *restructured(doc.splitlines(), module), ""]
    lines += [".. list-table::", "   :class: names", "   :widths: 35 65", ""]
    for entry in sorted([*here, *there], key=lambda entry: entry.name.rpartition(".")[2].lower()):
        lines += [f"   * - :doc:`{entry.name.rpartition('.')[2]} <{files[entry.name]}>`", f"     - {summary(entry)}"]
    lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {files[entry.name]}" for entry in here)]
    return "\n".join(lines) + "\n"


def summary(entry: PublicName) -> str:
    """The first sentence about a name, in reStructuredText."""
    text = " ".join(comment_of(entry)) if entry.kind == "data" else inspect.getdoc(entry.target) or ""
    return inline(first_sentence(text), entry.module) or "\\ "


def first_sentence(text: str) -> str:
    """Up to the first full stop or displayed formula of the first paragraph."""
    first = " ".join(text.split("\n\n")[0].split())
    end = re.search(r"(?<=[^.\s][.:])\s+(?=[A-Z`$])", re.sub(r"\$\$.*", "", first))
    return re.sub(r"\$\$.*", "…", first[: end.start()] if end else first).strip().rstrip(":")


def comment_of(entry: PublicName) -> list[str]:
    """What the source says about a constant: the comment above it or behind it."""
    for module in [m for n, m in sorted(inspect.sys.modules.items()) if n.startswith("superpos")]:
        source = getattr(module, "__file__", None)
        last = entry.name.rpartition(".")[2]
        if source is None or last not in vars(module) or vars(module)[last] is not entry.target:
            continue
        lines = Path(source).read_text(encoding="utf-8").splitlines()
        for node in ast.parse("\n".join(lines)).body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if any(isinstance(target, ast.Name) and target.id == last for target in targets):
                return comment_at(lines, node.lineno - 1, (node.end_lineno or node.lineno) - 1)
    return []


def comment_at(lines: list[str], first: int, last: int) -> list[str]:
    """The comment above a statement's first line, or else behind its last one."""
    above = []
    for line in reversed(lines[:first]):
        if not line.startswith("#"):
            break
        above.insert(0, line.lstrip("#: "))
    behind = lines[last].partition("  # ")[2]
    return above or [behind] * bool(behind)


def finish(app: Sphinx, tree: nodes.document) -> None:
    """Let links and the inventory find an object under its other names, too; a dash is a dash."""
    docname = app.env.docname
    if not docname.startswith("reference/superpos."):
        return
    for text in list(tree.findall(nodes.Text)):
        if text == " -- ":  # between an error and when it is raised
            text.parent.replace(text, nodes.Text(" – "))
    domain = app.env.domains.python_domain
    here = {name: entry for name, entry in domain.objects.items() if entry.docname == docname}
    for entry in public_names():
        if entry.full in here:
            for alias in entry.aliases:
                domain.note_object(alias, here[entry.full].objtype, here[entry.full].node_id, aliased=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Pages are written before Sphinx looks for them."""
    app.connect("builder-inited", build)
    app.connect("doctree-read", finish)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
