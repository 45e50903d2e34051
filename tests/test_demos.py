"""The notebooks: in step with their sources, executed from a clean kernel, and their questions."""

import ast
import re
import runpy
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
import xarray as xr
from jupyter_client.provisioning import local_provisioner
from kernels import Server

import superpos as sp
from superpos.demos import features_back_out

DEMOS = Path(__file__).parents[1] / "demos"
BUILD = runpy.run_path(str(DEMOS / "build.py"))
SOURCES = BUILD["sources"]()
CHECK = re.compile(r"sp\.demos\.check\(")
each_notebook = pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)


def promised_minutes(book) -> int:
    """The minutes of computing that a notebook promises at its top."""
    return int(re.search(r"\*\*Time\.\*\* (\d+) minutes? of computing on two cores", book.cells[0].source)[1])


def run(path, *, quick: bool, **options) -> float:
    """Execute a notebook with its worked answers; every check says right, and there is a picture. Returns seconds."""
    book = BUILD["solved"](BUILD["notebook"](path))
    seconds = BUILD["execute"](book, quick=quick, **options)
    pictures = 0
    for cell in book.cells:
        if cell.cell_type == "code":
            said = [o.data.get("text/plain", "") for o in cell.outputs if o.output_type == "execute_result"]
            assert len(CHECK.findall(cell.source)) == sum(text.startswith("Right: ") for text in said), said
            pictures += sum("image/png" in o.get("data", {}) for o in cell.outputs)
    assert pictures
    return seconds


def in_the_clone(path):
    """The .ipynb as it lies beside its source."""
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


@each_notebook
def test_the_notebook_is_made_from_its_source(path):
    written, made = in_the_clone(path), BUILD["notebook"](path)
    for book in (written, made):
        book.metadata.pop("superpos", None)
        for cell in book.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
    assert BUILD["as_text"](written) == BUILD["as_text"](made), "run python demos/build.py"


@each_notebook
def test_a_notebook_can_be_read_without_running_it(path):
    """Its outputs come from its present code, with pictures, without errors, warnings or answers, and it stays small."""
    book = in_the_clone(path)
    command = f"run python demos/build.py --store {path.stem[:2]}"
    assert book.metadata.get("superpos", {}).get("outputs_of_code") == BUILD["code_digest"](book), command
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert all(output.name == "stdout" for output in outputs if output.output_type == "stream")
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    assert "Right: " not in "".join(output.get("data", {}).get("text/plain", "") for output in outputs)
    assert path.with_suffix(".ipynb").stat().st_size < 600_000


def test_outputs_are_kept_when_the_prose_changes_and_dropped_when_the_code_does(tmp_path):
    path, text = tmp_path / "00_small.py", "# %% [markdown]\n# {}\n\n# %%\n{}\n"
    path.write_text(text.format("One", "1 + 1"))
    executed = BUILD["notebook"](path)
    warned = nbformat.v4.new_output("stream", name="stderr", text="a progress bar")
    executed.cells[-1].outputs = [warned, nbformat.v4.new_output("stream", text="2")]
    book = BUILD["with_outputs"](BUILD["notebook"](path), executed)
    path.with_suffix(".ipynb").write_text(BUILD["as_text"](book), encoding="utf-8")
    in_quick_form = "1 + sp.demos.size(full=1, quick=5)  # of which the outputs say nothing"
    cases = (("One", "1 + 1", True), ("Two", "1 + 1", True), ("One", in_quick_form, True), ("One", "1 + 2", False))
    for prose, code, kept in cases:
        path.write_text(text.format(prose, code))
        book = BUILD["stored"](path)
        assert [output.text for output in book.cells[-1].outputs] == ["2"] * kept
        assert book.cells[0].source == f"{prose}" and ("superpos" in book.metadata) == kept


@each_notebook
def test_a_notebook_has_its_parts(path):
    book = BUILD["notebook"](path)
    text = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    code = "\n".join(c.source for c in book.cells if c.cell_type == "code")
    assert 12 <= len(book.cells) <= 26 and promised_minutes(book) <= 10
    parts = ("**Question.**", "**Afterwards you can**", "**Predict.**", "**Change", "## What you have seen")
    for part in (*parts, "## What to try next", "**Open problems.**", "**Read.**"):
        assert part in text, part
    assert CHECK.search(code) and "sp.plot." in code
    read = text.split("**Read.**")[1]
    assert re.search(r"\]\(https://(arxiv\.org/abs/|transformer-circuits\.pub/)", read), "a link to a paper"


@each_notebook
def test_what_is_left_to_the_reader_is_used_by_checks_or_has_a_stand_in(path):
    """So that a notebook whose dots are still there runs from top to bottom."""
    book = BUILD["notebook"](path)
    trees = [ast.parse(c.source) for c in book.cells if c.cell_type == "code"]
    asked = set().union(*(BUILD["assigned"](c.source, dots=True) for c in book.cells if c.cell_type == "code"))
    assert asked
    for tree in trees:
        allowed = {
            id(part)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("sp.demos.check", "sp.demos.answer_or")
            for part in ast.walk(call)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in asked and isinstance(node.ctx, ast.Load):
                assert id(node) in allowed, node.id


@pytest.fixture(scope="module")
def kernels():
    """A process that kernels are copied from."""
    server = Server()
    yield server
    server.close()


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_in_its_quick_form(path, quick_flags, kernels, monkeypatch):
    """Trainings are long enough to be worth most of the optimiser."""
    monkeypatch.setattr(local_provisioner, "launch_kernel", kernels.launch_kernel)
    run(path, quick=True, variables=quick_flags)


@pytest.mark.long
@each_notebook
def test_a_notebook_keeps_its_time_promise(path):
    assert run(path, quick=False) <= 60 * promised_minutes(BUILD["notebook"](path))


@pytest.mark.slow
def test_every_question_takes_dots_and_nonsense_and_an_unknown_one_is_refused():
    for name in sp.demos.questions():
        assert repr(sp.demos.check(name, ...)).startswith("Not yet: no answer here so far")
        verdict = sp.demos.check(name, "nonsense")
        assert not verdict.right and "cannot be read as" in verdict.sentence
    with pytest.raises(sp.ConfigError, match=r"no question 'pentagn'\. Did you mean pentagon\?"):
        sp.demos.check("pentagn", 1)


def test_an_answer_that_later_cells_need_has_a_stand_in():
    assert sp.demos.answer_or(..., 2) == 2 and sp.demos.answer_or(None, 2) == 2 and sp.demos.answer_or(0, 2) == 0


def test_size_is_chosen_by_the_environment(monkeypatch):
    monkeypatch.delenv("SUPERPOS_QUICK", raising=False)
    assert sp.demos.size(full=3, quick=1) == 3
    monkeypatch.setenv("SUPERPOS_QUICK", "1")
    assert sp.demos.size(full=3, quick=1) == 1


def polygon(n: int, rows: int = 2) -> np.ndarray:
    """W of n unit columns 360°/n apart in the first two of some rows."""
    turn = 2 * np.pi * np.arange(n) / n
    return np.concatenate([[np.cos(turn), np.sin(turn)], np.zeros((rows - 2, n))])


AXIS = np.array([[0.0], [0], [1]])
BIPYRAMID = np.hstack([polygon(5, 3), AXIS, -AXIS])


def branch(jump_at: float) -> sp.theory.Branch:
    """A solution of two features in one dimension whose second column appears at one value."""
    values = np.geomspace(0.1, 1, 31)
    W = np.stack([np.ones_like(values), -1.0 * (values >= jump_at)], axis=1)[:, None]
    return sp.theory.Branch(values, W, np.zeros((31, 2)), values, values)


def logistic(*, eta: float = 0.1, p: float = 0.3) -> xr.Dataset:
    """a(t) of three lone features by the closed form, all from the same small start."""
    steps, importance = np.arange(0, 3_000, 5), np.array([1.0, 0.5, 0.25])
    rate = 8 * eta * importance * p / 3
    share = 1 / (1 + np.exp(5 - rate[:, None] * steps))
    return xr.Dataset(
        {"share": (("importance", "snapshot"), share), "step": ("snapshot", steps)}, {"importance": importance}
    )


W_RANDOM = np.random.default_rng(1).standard_normal((2, 5))


def reconstruct(W, b, x):
    return np.maximum(W.T @ W @ x + b[:, None], 0)


def squares(params, x):
    return (x - reconstruct(*params, x)) ** 2


AUTOENCODER = partial(features_back_out.autoencoder_loss, 0.4)
TEST_LOSS = xr.DataArray([0.97, 1.05, 0.95], {"n_points": [4, 100, 1_500]})
SERVED = xr.DataArray([[1, 1], [3, 0]], {"feature_probability": [1.0, 0.1]}, ("feature_probability", "neuron"))
FAMILY = sp.tasks.SparseAutoencoder(
    n_features=4, n_hidden=4, n_latents=4, feature_probability=np.array([0.6, 0.16, 0.16, 0.16]), parents=(-1, 0, 0, 0)
)
ABSORBED = xr.DataArray([0.8, 0.27, 1.0], dims="seed")
D_STAR = xr.DataArray([1.0, 0.52, 0.5, 0.49, 0.2], {"feature_probability": [1.0, 0.5, 0.33, 0.25, 0.05]})
GROWN = (logistic(), 0.1, 0.3)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("forward", (reconstruct,), (lambda W, b, x: W @ x,)),
        ("forward", (reconstruct,), (lambda W, b, x: np.maximum(W.T @ W @ x, 0),)),
        ("forward", (reconstruct,), (lambda W, b, x: W.T @ W @ x + b[:, None],)),
        ("loss", (lambda params, x: squares(params, x).mean(),), (lambda params, x: squares(params, x).sum(0).mean(),)),
        ("loss", (lambda params, x: squares(params, x).mean(),), (squares,)),
        ("loss_of_nothing", (0.05 / 3,), (0.05 / 2,)),
        ("training", (lambda seed: (1.1 * polygon(5), np.full(5, -0.25)),), (lambda seed: (W_RANDOM, np.zeros(5)),)),
        (
            "training",
            (lambda seed: (1.1 * polygon(5), np.full(5, -0.25)),),
            (lambda seed: (polygon(5).T, np.zeros(5)),),
        ),
        ("polysemantic", (0.1, SERVED), (1.0, SERVED)),
        ("absorption", (0.8, FAMILY, ABSORBED), (0.48, FAMILY, ABSORBED)),
        ("absorption", (0.79, FAMILY, ABSORBED), (1.0, FAMILY, ABSORBED)),
        ("autoencoder", (AUTOENCODER, 0.4), (partial(features_back_out.autoencoder_loss, 0), 0.4)),
        ("autoencoder", (AUTOENCODER, 0.4), (partial(features_back_out.autoencoder_loss, 1), 0.4)),
        ("worst_at", ("between", TEST_LOSS), ("most", TEST_LOSS)),
        ("worst_at", ("most", TEST_LOSS[:2]), ("fewest", TEST_LOSS[:2])),
        ("partner_angles", (90, 180, (88, 179)), (180, 180, (88, 179))),
        ("how_many_fit", (5, polygon(5)), (2, polygon(5))),
        ("pentagon", (polygon(5),), (polygon(6)[:, :5],)),
        ("pentagon", (polygon(5),), (polygon(5) * [1, 1, 1, 1, 2.0],)),
        ("pentagon", (polygon(5),), (polygon(4),)),
        ("boundary", (lambda p: 2 * p / (4 - 5 * p),), (lambda p: p / (2 - p),)),
        ("boundary_without_bias", (lambda p: p / (2 - p),), (lambda p: 2 * p / (4 - 5 * p),)),
        ("boundary", (lambda p: p / 2 / (1 - 1.25 * p),), (lambda p: -p,)),
        ("triple_point", (0.57,), (0.5,)),
        ("hysteresis", ("after", branch(0.6), 0.2), ("at", branch(0.6), 0.2)),
        ("hysteresis", ("at", branch(0.2), 0.2), ("after", branch(0.2), 0.2)),
        ("dimensionalities", (0.5, 0.667, 0.4), (0.5, 0.667, 0.2)),
        ("packing_bound", (3,), (4,)),
        ("packing_bound", (3,), (2.5,)),
        ("tegum", (BIPYRAMID,), (np.hstack([polygon(6, 3), 0.4 * AXIS]),)),
        ("tegum", (np.hstack([polygon(6, 3), AXIS]),), (polygon(7, 3),)),
        ("plateau", (0.5, D_STAR), (0.4, D_STAR)),
        ("levels", ([0, 0.5], [0.0, 0.501, 0.499]), ([0.5], [0.0, 0.5, 0.5])),
        ("levels", ([0.5], [0.5, 0.5]), ([0, 0.5], [0.5, 0.5])),
        (
            "growth_rate",
            (lambda eta, i, p: 8 * eta * i * p / 3, *GROWN),
            (lambda eta, i, p: 4 * eta * i * p / 3, *GROWN),
        ),
        ("growth_rate", (lambda eta, i, p: 8 * eta * i * p / 3, *GROWN), (lambda eta, i, p: 8 * eta * p / 3, *GROWN)),
        ("delay", (4, logistic()), (2, logistic())),
    ],
)
def test_a_right_answer_and_a_wrong_one(name, right, wrong):
    verdict = sp.demos.check(name, *right)
    assert verdict.right, verdict
    verdict = sp.demos.check(name, *wrong)
    assert not verdict.right and "cannot be read" not in verdict.sentence, verdict
