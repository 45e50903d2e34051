"""The house rules that a machine can check."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "superpos").rglob("*.py"))

# Imports run from right to left in this list, never the other way.
ORDER = [
    "console", "errors", "extras", "script", "process", "arrays", "weight_files", "check", "cache", "identity", "data", "models", "theory", "tasks", "optimizers", "metrics", "start", "stopping", "unread", "train_config", "run_record", "train", "continuing", "config", "analysis", "sweep", "plot", "explorer", "experiments", "demos", "cli",
]  # fmt: skip
# The ways up: a result offers its page and its picture, a run and a model theirs; the package imports them when that is called.
UPWARD = {("superpos/sweep/shown.py", "superpos.explorer"), ("superpos/sweep/shown.py", "superpos.plot")}
UPWARD |= {(f"superpos/{file}.py", "superpos.plot") for file in ("run_record", "models/toy", "sweep/grid")}


def room(path: Path) -> str:
    return path.relative_to(ROOT / "superpos").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    if path == ROOT / "superpos" / "__init__.py":
        return
    here = ORDER.index(room(path))
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            module = node.module or ""
            names = [f"superpos.{a.name}" for a in node.names] if module == "superpos" else [module]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "superpos":
            names = [f"superpos.{node.attr}"]  # through the package, which imports when asked
        for name in names:
            if (str(path.relative_to(ROOT)), name) in UPWARD:
                continue
            parts = name.split(".")
            if parts[0] == "superpos" and len(parts) > 1 and parts[1] in ORDER:
                assert ORDER.index(parts[1]) <= here, f"{path.name} imports {name}"


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


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_of_a_size_one_can_read(path):
    assert len(path.read_text().splitlines()) <= 400


def test_scripts_are_short():
    for path in (*(ROOT / "sweeps").glob("*.py"), *(ROOT / "figures").glob("*.py")):
        assert len(path.read_text().splitlines()) <= 100, path.name


def test_the_only_vmaps_over_models_live_in_one_file():
    """Training: three lines in sweep/mesh.py. Others map an analysis over trained models, a minimiser over its starts, or one model over sequences."""
    using = {str(p.relative_to(ROOT)) for p in SOURCES if "jax.vmap" in p.read_text()}
    names = ("analysis/geometry", "analysis/phases", "experiments/double_descent", "theory/optimum")
    analyses = {f"superpos/{n}.py" for n in names}
    over_sequences = {f"superpos/{n}.py" for n in ("tasks/induction", "analysis/attention", "analysis/heads")}
    a_users_function = {"superpos/sweep/mapped.py"}  # over trained models
    over_keys = {"superpos/models/initial_weights.py"}  # several draws at once
    assert using == {"superpos/sweep/mesh.py", *analyses, *over_sequences, *over_keys, *a_users_function}


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
