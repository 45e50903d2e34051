"""The fused kernel compiled for an H100 that is not here: what it holds, and what it is predicted to cost."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NEEDED = ("jax_plugins.xla_cuda12", "nvidia.cuda_nvcc", "described", "hlo")  # the last two are beside this file


def lacking() -> list[str]:
    """What is not installed of what compiles for a card that is not there."""
    return [name for name in NEEDED if not find_spec(name.split(".")[0]) or not find_spec(name)]


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(lacking()), reason=f"needs the extra aot: {', '.join(lacking())} is not installed"),
]


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """By size, of a process of its own: XLA writes down what it does, and nobody else should see a card."""
    environment = {**os.environ, "XLA_FLAGS": f"--xla_dump_to={tmp_path_factory.mktemp('dump')}"}
    command = [sys.executable, str(HERE / "fused_program.py"), "2,1", "5,2"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {tuple(told["size"]): told for told in lines}


@pytest.mark.parametrize("size", [(2, 1), (5, 2)])
def test_models_stay_in_registers(costs, size):
    told = costs[size]
    assert told["registers"] <= 255 and told["spill_stores"] == told["spill_loads"] == 0
    assert told["shared_memory"] <= 1_024


@pytest.mark.parametrize("size", [(2, 1), (5, 2)])
def test_an_interval_is_one_kernel_and_little_beside(costs, size):
    """Beside it: the sums begin anew, numbers of steps are looked up, the record gets its point. Nothing by step."""
    told = costs[size]
    assert told["kernels_per_interval"] <= 6
    assert told["bytes_per_interval"] < 0.01 * told["plain"]["bytes_per_step"]


def test_five_features_are_predicted_to_train_ten_times_as_fast(costs):
    """A prediction by launches, bytes and operations; no card has confirmed it."""
    told = costs[5, 2]
    assert told["plain"]["seconds_per_step"] > 10 * told["seconds_per_step"]
