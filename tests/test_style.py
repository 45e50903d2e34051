"""The house rules that a machine can check."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "superpos").rglob("*.py"))

# Imports run from right to left in this list, never the other way.
ORDER = [
    "console", "errors", "extras", "views", "script", "process", "arrays", "weight_files", "check", "cache", "chips", "identity", "data", "models", "theory", "tasks", "training", "config", "analysis", "landscapes", "sweeping", "plot", "explorer", "experiments", "demos", "problems", "cli",
]  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(ROOT / "superpos").parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    """Rooms of the package that a file imports, anywhere in it, but for its own."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            names += [f"superpos.{a.name}" for a in node.names] if module == "superpos" else [module]
        elif isinstance(node, ast.Import):
            names += [a.name for a in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "superpos":
            names += [f"superpos.{node.attr}"]  # through the package, which imports when asked
    return {name.split(".")[1] for name in names if name.startswith("superpos.")} & set(ORDER) - {room(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    if path == ROOT / "superpos" / "__init__.py":
        return
    above = ORDER[ORDER.index(room(path)) :]
    assert not rooms_imported(path) & set(above)


def test_the_house_has_fourteen_floors():
    """A room's floor is one above the highest room that it imports; the longest chain is as long as there are floors.

    Scripts and notebooks (figures, sweeps, demos) import from the top floors, so they are no higher than the commands.
    """
    floor: dict[str, int] = {}
    for name in ORDER:  # every room comes after those that it imports
        files = [path for path in SOURCES if path != ROOT / "superpos" / "__init__.py" and room(path) == name]
        assert files, f"there is no room {name}"
        floor[name] = 1 + max((floor[other] for path in files for other in rooms_imported(path)), default=0)
    assert max(floor.values()) == 14
    assert max(floor, key=lambda name: floor[name]) == "cli"
    scripts = [path for folder in ("figures", "sweeps", "demos") for path in (ROOT / folder).glob("*.py")]
    assert "cli" not in {imported for path in scripts for imported in imports_of_package(path)}


def imports_of_package(path: Path) -> set[str]:
    """Rooms that a script outside the package imports by path."""
    lines = [
        line.split()
        for line in path.read_text().splitlines()
        if line.startswith(("from superpos.", "import superpos."))
    ]
    return {words[1].split(".")[1] for words in lines}


def imports_of(path: Path, modules: set[str]) -> set[str]:
    """Modules of superpos that a file imports, anywhere in it; what a package's face offers counts as the face."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            imported |= {name if name in modules else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    return imported & modules - {"superpos"}  # which imports nothing before it is asked


def test_no_modules_import_each_other_in_a_circle():
    """Modules that import nothing are taken away, then those that import only them, and so on: nothing is left."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES}
    names = {path: name.removesuffix(".__init__") for path, name in names.items()}
    imports = {name: imports_of(path, set(names.values())) - {name} for path, name in names.items()}
    while done := {name for name, imported in imports.items() if not imported}:
        imports = {name: imported - done for name, imported in imports.items() if name not in done}
    assert not imports, f"circle among {sorted(imports)}"


def test_no_module_has_the_name_of_what_its_package_offers():
    """`superpos.train` is a function and nothing else: no module is hidden by it. Commands alone are named as their files."""
    for face in (ROOT / "superpos").rglob("__init__.py"):
        if face.parent.name == "cli":
            continue
        modules = {path.stem for path in face.parent.glob("*.py")} | {
            path.parent.name for path in face.parent.glob("*/__init__.py")
        }
        package = ".".join(face.parent.relative_to(ROOT).parts)
        offered = set()
        for node in ast.walk(ast.parse(face.read_text())):
            if isinstance(node, ast.ImportFrom):  # a module that is offered as itself hides nothing
                names = {(alias.asname or alias.name) for alias in node.names}
                offered |= names - modules if node.module == package else names
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                offered.add(node.name)
        assert not offered & modules, face


def test_the_table_of_the_architecture_names_every_module_in_the_order_of_imports():
    """There is one such table, in docs/guide/architecture.md."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "guide" / "architecture.md").read_text(), re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`(\w+)(?:\.py|/)`", row)]
    assert names == ORDER


def test_the_source_distribution_holds_what_the_tests_read():
    """Whatever a test names at the top of the clone; hatchling adds the licence and pyproject.toml by itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = {*project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"], "LICENSE", "pyproject.toml"}
    named = re.compile(r'(?:ROOT|HERE\.parent|parents\[1\]\)?) */ *"([^"/]+)')
    read = {name for path in (ROOT / "tests").glob("*.py") for name in named.findall(path.read_text())}
    read -= {".pytest_cache"}  # which the tests make
    assert {"docs", "figures", "superpos"} <= read <= included, read - included


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_of_a_size_one_can_read(path):
    assert len(path.read_text().splitlines()) <= 400


def test_scripts_are_short():
    for path in (*(ROOT / "sweeps").glob("*.py"), *(ROOT / "figures").glob("*.py")):
        assert len(path.read_text().splitlines()) <= 100, path.name


def test_the_only_vmaps_over_models_live_in_one_file():
    """Training: three lines in sweeping/mesh.py. Others map an analysis over trained models, a minimiser over its starts, or one model over sequences."""
    using = {str(p.relative_to(ROOT)) for p in SOURCES if "jax.vmap" in p.read_text()}
    names = (
        "analysis/geometries",
        "analysis/phases",
        "experiments/double_descent",
        "landscapes/descent",
        "theory/minimisation",
    )
    analyses = {f"superpos/{n}.py" for n in names}
    sequences = (
        "models/decomposed_transformer",
        "tasks/induction",
        "tasks/list_function",
        "tasks/skip_trigrams",
        "analysis/attention",
        "analysis/heads",
    )
    figures = (
        "list_maximum",
        "list_reversal",
        "list_sorting",
        "balanced_parentheses",
        "logit_attribution",
        "skip_trigrams",
    )
    over_sequences = {f"superpos/{n}.py" for n in (*sequences, *(f"experiments/{n}" for n in figures))}
    over_chains = {"superpos/landscapes/blocks.py"}  # and over the points that they sample around
    a_users_function = {"superpos/sweeping/mapped.py"}  # over trained models
    over_keys = {"superpos/models/initial_weights.py"}  # several draws at once
    of_a_kernel = {"superpos/training/kernels/blocks.py"}  # the models of a block are programs of a kernel
    others = {*analyses, *over_chains, *over_sequences, *over_keys, *a_users_function}
    assert using == {"superpos/sweeping/mesh.py", *others}
    kernels = {str(p.relative_to(ROOT)) for p in SOURCES if "custom_batching.custom_vmap" in p.read_text()}
    assert kernels == {
        "superpos/models/points_loss.py",
        *of_a_kernel,
    }  # the exceptions that the architecture names


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_everything_public_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        assert ast.get_docstring(method), f"{node.name}.{method.name}"


def test_no_pickle_and_nothing_executed_from_data():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "marshal", "shelve"} & {n.split(".")[0] for n in names}
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec")
