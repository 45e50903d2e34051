"""Every program of every task compiles for an H100 and for a TPU v5e, on a machine that has neither, and stays lean.

The extra `aot` brings the compilers. It may be installed elsewhere, so that this environment stays as users have it: then
`SUPERPOS_AOT_PYTHON` names that environment's Python.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent
PYTHON = os.environ.get("SUPERPOS_AOT_PYTHON", sys.executable)
TABLE = json.loads((HERE / "table.json").read_text())
CARD_BYTES = {"gpu": 80 * 2**30, "tpu": 16 * 2**30}
STAGES = {"start", "advance", "finish"}

# A minute of processor time for these; with the others it is ten minutes and more, most of them for the TPU.
USUAL = {
    "gpu": ("toy 5→2", "toy 400→30", "toy 5→2, expected loss", "computation", "double descent", "sparse autoencoder"),
    "tpu": ("toy 5→2",),
}

pytestmark = pytest.mark.accelerators


def programs():
    """Platform and case of every row of the table; those that take long are marked so."""
    for platform in CARD_BYTES:
        for case in TABLE[platform]:
            mark = pytest.mark.slow if case in USUAL[platform] else pytest.mark.long
            yield pytest.param(platform, case, marks=mark, id=f"{platform} {case}".replace("→", "-"))


def asked_for(request, platform):
    """The cases of a platform that are tested in this run: they are compiled by one process."""
    callspecs = [getattr(item, "callspec", None) for item in request.session.items]
    ours = [c.params for c in callspecs if c is not None and {"platform", "case"} <= set(c.params)]
    chosen = [params["case"] for params in ours if params["platform"] == platform]
    return list(dict.fromkeys(chosen))


@pytest.fixture(scope="module")
def compiled(request):
    """A function from platform and case to what was measured, by stage."""
    modules = {"gpu": "jax_plugins.xla_cuda12", "tpu": "libtpu"}
    costs: dict[str, dict] = {}

    def measure(platform):
        find = f"import importlib.util as u, sys; sys.exit(u.find_spec({modules[platform]!r}) is None)"
        if subprocess.run([PYTHON, "-c", find], capture_output=True, check=False).returncode:
            pytest.skip("the extra aot is not installed, which brings the compilers for accelerators.")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
        env["PYTHONPATH"] = str(HERE.parents[1])
        command = [PYTHON, str(HERE / "measure.py"), platform, *asked_for(request, platform)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        costs[platform] = {}
        for cost in map(json.loads, done.stdout.splitlines()):
            costs[platform].setdefault(cost["case"], {})[cost["stage"]] = cost

    def of(platform, case):
        if platform not in costs:
            measure(platform)
        return costs[platform][case]

    return of


@pytest.mark.parametrize(("platform", "case"), list(programs()))
def test_it_compiles_and_stays_lean(compiled, platform, case):
    stages, row = compiled(platform, case), TABLE[platform][case]
    assert set(stages) == STAGES
    for cost in stages.values():
        assert cost["forbidden"] == []  # doubles, talk with the host, collectives
        assert cost["imprecise"] == []  # products of float32 in less
        assert 0 < cost["bytes"] < CARD_BYTES[platform]
    advance = stages["advance"]
    if platform == "gpu":
        assert advance["trip_count"]  # the host launches a chunk of steps without asking the card
    if advance["jax"] == row["jax"] and advance["block_size"] == row["block_size"]:
        assert advance["kernels"] <= row["kernels"]
        assert advance["step_bytes"] <= 1.01 * row["step_bytes"]


PROGRAM = """HloModule example

%body (p: (s32[], f32[4,2])) -> (s32[], f32[4,2]) {
  %p = (s32[], f32[4,2]{1,0}) parameter(0)
  %k = s32[] get-tuple-element(%p), index=0
  %x = f32[4,2]{1,0} get-tuple-element(%p), index=1
  %y = f32[4,2]{1,0} fusion(%x), kind=kLoop, calls=%fused
  %z = (f32[4,2]{1,0}, f64[3]{0}) fusion(%x, /*index=1*/%y), kind=kLoop, calls=%other
  ROOT %t = (s32[], f32[4,2]{1,0}) tuple(%k, %y)
}

%outer (q: (s32[], f32[4,2])) -> (s32[], f32[4,2]) {
  %q = (s32[], f32[4,2]{1,0}) parameter(0)
  %w = (s32[], f32[4,2]{1,0}) while(%q), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"7"}}
  ROOT %c = (s32[], f32[4,2]{1,0}) copy(%w)
}

ENTRY %main (a: (s32[], f32[4,2])) -> (s32[], f32[4,2]) {
  %a = (s32[], f32[4,2]{1,0}) parameter(0)
  ROOT %w2 = (s32[], f32[4,2]{1,0}) while(%a), condition=%c2, body=%outer
}
"""


def test_the_reader_counts_kernels_and_bytes_by_loop():
    from hlo import forbidden, imprecise_products, loops

    (outer,) = loops(PROGRAM)
    (steps,) = outer.inside
    assert (outer.trip_count, outer.kernels) == (None, 1)
    assert (steps.trip_count, steps.kernels) == (7, 2)
    assert steps.bytes == 2 * 32 + (32 + 24) + 2 * 32
    assert outer.all_kernels() == 1 + 7 * 2
    assert forbidden(PROGRAM) == ["f64"]
    assert forbidden(PROGRAM.replace("f64", "f32").replace("fusion(%x)", "all-reduce(%x)")) == ["all-reduce"]
    product = (
        "%1 = stablehlo.dot_general %a, %b, contracting_dims = [0] x [0], precision = [{0}, {0}] : (f) -> tensor<2xf32>"
    )
    assert imprecise_products(product.format("HIGHEST")) == []
    assert len(imprecise_products(product.format("DEFAULT"))) == 1


class Lowered:
    """A program of this text, which counts how often it is compiled."""

    def __init__(self, text):
        self.text, self.times = text, 0

    def as_text(self):
        return self.text

    def compile(self):
        self.times += 1
        return self

    def memory_analysis(self):
        sizes = {"argument_size_in_bytes": 1, "output_size_in_bytes": 2, "temp_size_in_bytes": 4}
        return SimpleNamespace(**sizes)


def test_a_program_is_compiled_once_for_a_folder_platform_and_flags(tmp_path, monkeypatch):
    from programs import compiled

    monkeypatch.delenv("SUPERPOS_AOT_PROGRAMS", raising=False)
    lowered = Lowered("module")
    for times in (1, 2):
        assert compiled(lowered, "gpu").bytes == 7
        assert lowered.times == times
    monkeypatch.setenv("SUPERPOS_AOT_PROGRAMS", str(tmp_path / "programs"))
    first = compiled(lowered, "gpu")
    assert (compiled(lowered, "gpu"), lowered.times) == (first, 3)
    monkeypatch.setenv("XLA_FLAGS", "--another")
    compiled(lowered, "gpu"), compiled(lowered, "tpu"), compiled(lowered, "tpu")
    assert lowered.times == 5
    assert compiled(Lowered("another"), "tpu").text == "another"
