r"""Pages from modules: every page is one HTML file that asks for nothing.

Modules opened from disk cannot import each other, so those that an entry needs are joined into one: imports first, each
module once, without its `import` lines and without the word `export`. For that to be right, modules keep to three rules:

* `import { a, b } from "./other.js";` at the start of a line, without `as`;
* `export` only before `function`, `class`, `const` or `let`, at the start of a line;
* top-level names differ between modules (the browser refuses a page where they do not).

The page's policy allows its own script and style, by their hashes, and workers made of them; nothing else, and no network.
Data go into a block of JSON in which `<` is escaped, so nothing in them can be taken for markup.
"""

import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from superpos.sweeping import outputs

PAGE = Path(__file__).parent / "page"
# A module that is made here: the source of the worker as a string, from `worker.js` and what it imports.
WORKER = "worker_source.js"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=function|async function|class|const|let)", re.MULTILINE)


@cache
def bundle(entry: str) -> str:
    """One script of `entry` and all the modules it imports."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for other in _IMPORT.findall(_source(name)):
                visit(other)
            order.append(name)

    visit(entry)
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", _source(name))) for name in order)


def page(entry: str, data: dict[str, Any], *, title: str, styles: tuple[str, ...] = ("style.css",)) -> str:
    """The HTML of a page: `entry` is run with `data` (anything JSON holds) in the block `#data`.

    `entry` is a module in `superpos/explorer/page`, which fills `#app`; `styles` are its style sheets.
    """
    script = bundle(entry) + '\nstart(document.getElementById("app"), document.getElementById("data").textContent);\n'
    style = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in styles)
    parts = {
        "TITLE": escape(title),
        "POLICY": (
            f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; worker-src blob:; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": as_json(data),
    }
    template = (PAGE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def free_page(path: str | Path, *, overwrite: bool = False) -> Path:
    """The path, made absolute, if a page may be written there: there is nothing, an earlier page, or `overwrite`.

    Raises:
        ConfigError: something else is there, or it is inside a result.
    """
    return outputs.free(path, "page", _is_page, overwrite=overwrite)


def write_page(path: str | Path, html: str, *, overwrite: bool = False) -> Path:
    """Write a page, whole or not at all; an earlier page is replaced, any other file only with `overwrite`. Returns the path.

    Raises:
        ConfigError: something else is there, or it is inside a result.
        StoreError: it cannot be written.
    """
    outputs.write(free_page(path, overwrite=overwrite), html.encode())
    return Path(path)


def _is_page(head: bytes) -> bool:
    """Whether a file begins as the template does, up to the hash of its script."""
    template = (PAGE / "page.html").read_bytes()
    begin, policy = template.split(b"{{POLICY}}")[0], b"default-src 'none'; script-src 'sha256-"
    return head.startswith(begin + policy) and b'<link rel="icon" href="data:,">' in head


def as_json(data: Any) -> str:
    """JSON that can stand inside a script element."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _source(name: str) -> str:
    if name == WORKER:
        return f"export const WORKER_SOURCE = {as_json(bundle('worker.js'))};\n"
    return (PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
