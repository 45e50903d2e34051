"""Docstrings as they are written, Markdown with formulas, for autodoc, which reads reStructuredText.

Paragraphs, lists, indented code after `::`, doctests and sections such as `Raises:` are alike in both. Differently written
are `code`, **bold**, $formulas$ on a line and $$formulas$$ on lines of their own; signs that mean something in
reStructuredText alone, such as the bars of |x|, are marked as text.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from public_names import MODULES, public_names
from sphinx.application import Sphinx

INLINE = re.compile(
    r"(?P<code>`[^`]+`)|(?P<formula>\$[^$]+\$)|(?P<bold>\*\*[^*\s][^*]*\*\*)|(?P<italic>\*[^*\s`][^*]*\*)"
)
COLON = "\ue000"  # napoleon would take what stands before the first colon of a property's docstring for a type
DISPLAYED = re.compile(r"\$\$(.+?)\$\$([.,;:]?)", re.DOTALL)


@cache
def links(module: str) -> dict[str, str]:
    """Words in code that are links: names written in full or after `sp.`, classes, and functions of `sp` and of `module`."""
    targets: dict[str, set[str]] = {}
    for entry in public_names():
        last = entry.name.rpartition(".")[2]
        words = [entry.full, f"sp.{entry.name}", *entry.aliases, *[entry.name] * ("." in entry.name)]
        here = [entry.module, *(alias.removeprefix("superpos.").rpartition(".")[0] for alias in entry.aliases)]
        several = entry.kind == "function" and "_" in last  # `train` or `load` may be any word
        if entry.kind in ("class", "exception") or (several and (entry.module == "" or module in here)):
            words.append(last)
        for word in words:
            targets.setdefault(word, set()).add(entry.full)
    return {word: full.pop() for word, full in targets.items() if len(full) == 1}


def restructured(lines: list[str], module: str = "") -> list[str]:
    """The lines of a Markdown docstring of a public module in reStructuredText."""
    out: list[str] = []
    for is_code, block in blocks(lines):
        out += block if is_code else paragraph("\n".join(block), module).split("\n")
    return out


def blocks(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Runs of lines, whether each is code: a doctest, or what is indented after a line that ends with `::`."""
    run: list[str] = []
    k = 0
    while k < len(lines):
        line = lines[k]
        if line.lstrip().startswith(">>> "):
            end = next((j for j in range(k, len(lines)) if not lines[j].strip()), len(lines))
        elif line.rstrip().endswith("::"):
            run.append(line)
            indent = len(line) - len(line.lstrip())
            end = k + 1
            while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
                end += 1
            k += 1
        else:
            run.append(line)
            k += 1
            continue
        if run:
            yield False, run
        yield True, lines[k:end]
        run, k = [], end
    if run:
        yield False, run


def paragraph(text: str, module: str) -> str:
    """Text that may span lines: displayed formulas as directives, everything else in place."""
    parts, place = [], 0
    for match in DISPLAYED.finditer(text):
        indent = re.search(r"[ ]*\Z|^[ ]*", text[: match.start()].rpartition("\n")[2])[0]  # type: ignore[index]
        formula = " ".join(match[1].split()) + match[2]
        parts += [
            inline(text[place : match.start()].rstrip(" "), module),
            f"\n\n{indent}.. math:: {formula}\n\n{indent}",
        ]
        place = match.end()
        while text[place : place + 1] in (" ", "\n") and text[place : place + 2] != "\n\n":
            place += 1
    return "".join([*parts, inline(text[place:], module)])


def inline(text: str, module: str) -> str:
    """Code, formulas and emphasis in reStructuredText; everything else as plain text."""
    out, place = [], 0
    for match in INLINE.finditer(text):
        out.append(plain(text[place : match.start()]))
        word = match[0]
        kind = match.lastgroup
        marked = code(word, module) if kind == "code" else formula(word) if kind == "formula" else word
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        opens = before in ("", *" \n([{-/")  # where reStructuredText lets markup begin, and end
        closes = after in ("", *" \n.,:;!?)]}-/")
        out.append(r"\ " * (not opens) + marked + r"\ " * (not closes))
        place = match.end()
    return "".join([*out, plain(text[place:])])


def code(word: str, module: str) -> str:
    """`word`, a link where it is a public name."""
    text = " ".join(word.strip("`").split())
    full = links(module).get(text.removesuffix("()"))
    return f":py:obj:`{text} <{full}>`" if full else f"``{text}``"


def formula(word: str) -> str:
    """$formula$ as a role."""
    return ":math:`" + " ".join(word.strip("$").split()) + "`"


def plain(text: str) -> str:
    """Text whose signs mean nothing but themselves. A star that begins an item of a list stays one."""
    escaped = re.sub(r"([\\|`_]|(?<!^)(?<!\n)\*)", r"\\\1", text)
    return re.sub(r"^(\s*)\\\*(?=\s)", r"\1*", escaped, flags=re.MULTILINE)


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place."""
    modules = [module for module in MODULES if name.startswith(f"superpos.{module}.")]
    lines[:] = restructured(lines, max(modules, key=len, default=""))
    if what == "property" and lines:
        lines[0] = lines[0].replace(":", COLON)


def restore(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put colons back."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Before napoleon, which reads the sections, and after it."""
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
