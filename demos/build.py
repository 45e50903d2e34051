"""Make the notebooks from their sources: demos/NN_name.py is what people write, read and diff; the .ipynb opens anywhere.

    python demos/build.py                                    # write every demos/NN_name.ipynb
    python demos/build.py --store [01 05]                    # run them and keep the outputs in the .ipynb
    python demos/build.py --execute results/demos [--quick]  # executed copies, with the worked answers filled in

A source is Python in jupytext's percent form. What a reader is asked to fill in is written as dots, `guess = ...`, and a
folded worked answer (`<details>`) further down assigns the same names.

Stored outputs are those of the notebook as a reader meets it, with the dots still there. They belong to the code of its
cells, whose digest stands in the metadata: a change of the prose or of a quick size keeps them, one of the code drops them.
"""

import ast
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jupytext
import nbformat

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "docs" / "extensions"))
from addresses import colab, stated

SETUP = """\
# Run this first. It installs superpos if it is not there: from the clone that this notebook lies in, or,
# where there is no clone (on Colab, say), from the address that you write here, such as "git+https://…".
SOURCE = "{source}"
import importlib.util, subprocess, sys
if importlib.util.find_spec("superpos") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", SOURCE], check=True)"""
STRICT, LENIENT = (f'import warnings; warnings.simplefilter("{action}")' for action in ("error", "ignore"))
WORKED = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def sources() -> list[Path]:
    """The sources of all notebooks, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def notebook(path: Path) -> Any:
    """One source as a notebook without outputs, beginning with a cell that installs superpos where it is missing."""
    book, address = jupytext.read(path, fmt="py:percent"), stated()
    first = nbformat.v4.new_code_cell(SETUP.format(source=f"git+{address}" if address else ".."))
    book.cells.insert(1, first)
    if link := colab(address, f"{path.stem}.ipynb"):
        badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"
        book.cells[0].source += f"\n\n{badge}"
    book.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    seen: dict[str, int] = {}
    for cell in book.cells:  # an id that follows from the text: a cell that did not change keeps it
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id, cell.metadata = digest + "-" * (seen[digest] > 1) + "x" * (seen[digest] - 1), {}
    book.nbformat, book.nbformat_minor = 4, 5
    return book


class _FullSize(ast.NodeTransformer):
    """Code as a reader runs it: `sp.demos.size(full=a, quick=b)` is a."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if ast.unparse(node.func) != "sp.demos.size":
            return node
        return {keyword.arg: keyword.value for keyword in node.keywords}["full"]


def code_digest(book: Any) -> str:
    """SHA-256 of the code that outputs come from: all code cells but the first, which installs.

    Comments, line breaks, and the sizes of the quick form are no part of it.
    """
    code = [cell.source for cell in book.cells if cell.cell_type == "code"][1:]
    plain = [ast.unparse(_FullSize().visit(ast.parse(source))) for source in code]
    return hashlib.sha256("\n# %%\n".join(plain).encode()).hexdigest()


def with_outputs(book: Any, executed: Any) -> Any:
    """The notebook with the outputs of an executed one of the same code, and the digest of that code.

    What is written to standard error is left out: progress bars, which are over.
    """
    cells, donors = ([c for c in b.cells if c.cell_type == "code"] for b in (book, executed))
    for cell, donor in zip(cells, donors, strict=True):
        cell.execution_count = donor.execution_count
        cell.outputs = [output for output in donor.outputs if output.get("name") != "stderr"]
    book.metadata["superpos"] = {"outputs_of_code": code_digest(book)}
    return book


def stored(path: Path) -> Any:
    """A notebook with the outputs that its .ipynb has, if those come from the present code."""
    book, file = notebook(path), path.with_suffix(".ipynb")
    if file.exists():
        earlier = nbformat.read(file, as_version=4)
        if earlier.metadata.get("superpos", {}).get("outputs_of_code") == code_digest(book):
            return with_outputs(book, earlier)
    return book


def as_text(book: Any) -> str:
    """What is written to disk."""
    return nbformat.writes(book) + "\n"


def assigned(code: str, *, dots: bool) -> set[str]:
    """Names that top-level statements of some code assign; with `dots`, those they assign `...` to."""
    names = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign):
            empty = isinstance(node.value, ast.Constant) and node.value.value is ...
            if empty or not dots:
                names |= {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.FunctionDef) and not dots:
            names.add(node.name)
    return names


def solved(book: Any) -> Any:
    """The notebook with the worked answers filled in wherever it has dots."""
    answers = [code for cell in book.cells if cell.cell_type == "markdown" for code in WORKED.findall(cell.source)]
    for cell in book.cells:
        if cell.cell_type == "code" and (asked := assigned(cell.source, dots=True)):
            used = [code for code in answers if assigned(code, dots=False) & asked]
            missing = asked - set().union(*(assigned(code, dots=False) for code in used))
            if missing:
                raise SystemExit(f"no worked answer for {', '.join(sorted(missing))}")
            cell.source = "\n".join([cell.source, *used])
    return book


def execute(book: Any, *, quick: bool, variables: Mapping[str, str] = MappingProxyType({})) -> float:
    """Run all cells in a kernel of their own, warnings being errors; the outputs stay in the notebook. Returns seconds.

    `variables` are added to the kernel's environment.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    environment = {k: v for k, v in os.environ.items() if k not in ("MPLBACKEND", "XLA_FLAGS", "SUPERPOS_QUICK")}
    environment |= ({"SUPERPOS_QUICK": "1"} if quick else {}) | dict(variables)
    with tempfile.TemporaryDirectory() as sockets:  # in a folder of its own: no ports that others could reach
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(Path(sockets) / "kernel"))
        client = NotebookClient(
            book, km=kernel, timeout=1_800, record_timing=False, resources={"metadata": {"path": str(HERE)}}
        )
        strict, lenient = (nbformat.v4.new_code_cell(code) for code in (STRICT, LENIENT))
        book.cells = [strict, *book.cells, lenient]  # lenient, because a kernel shuts down with warnings of its own
        with client.setup_kernel(env=environment, cleanup_kc=True):
            start = time.perf_counter()
            for index, cell in enumerate(book.cells):
                client.execute_cell(cell, index, store_history=cell not in (strict, lenient))
            seconds = time.perf_counter() - start
        book.cells = book.cells[1:-1]
    return seconds


def main(names: list[str], execute_to: Path | None = None, store: bool = False, quick: bool = False) -> None:
    """Write the notebooks, keep outputs in them, or write executed copies of them."""
    for path in (p for p in sources() if not names or any(p.stem.startswith(name) for name in names)):
        book = notebook(path) if execute_to is None else solved(notebook(path))
        if store or execute_to:
            print(f"{path.stem}: {execute(book, quick=quick):.0f} s", flush=True)
        if execute_to:
            execute_to.mkdir(parents=True, exist_ok=True)
            (execute_to / f"{path.stem}.ipynb").write_text(as_text(book), encoding="utf-8")
        else:
            book = with_outputs(notebook(path), book) if store else stored(path)
            path.with_suffix(".ipynb").write_text(as_text(book), encoding="utf-8")


if __name__ == "__main__":
    import argparse

    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument(
        "names", nargs="*", metavar="NN", help="beginnings of names; all notebooks where there are none"
    )
    options.add_argument("--execute", type=Path, metavar="FOLDER", dest="execute_to")
    options.add_argument("--store", action="store_true", help="run the notebooks and keep the outputs in them")
    options.add_argument("--quick", action="store_true")
    main(**vars(options.parse_args()))
