"""Many processes: killed, racing, in step, or on a Ray cluster; always the same bytes in the end."""

import dataclasses
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import small

import superpos as sp
from superpos.sweeping import layout
from superpos.sweeping.store import atomic_io

HERE = Path(__file__).parent
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "PYTEST_CURRENT_TEST")}
STEPS = 4_000  # a second or two, in eight chunks


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What one process that nobody disturbs ends with."""
    path = tmp_path_factory.mktemp("engines") / "whole.zarr"
    subprocess.run(
        [sys.executable, HERE / "small.py", path, str(STEPS), "0/1"], env=ENVIRONMENT, check=True, timeout=120
    )
    return small.files(path)


def start(path, worker="0/1", **more):
    return subprocess.Popen(
        [sys.executable, HERE / "small.py", path, str(STEPS), worker],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def finish(path, worker="0/1"):
    process = start(path, worker)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error


def committed_are_good(path, whole):
    """Every chunk whose status is there has all of its data, equal to what an undisturbed run wrote."""
    if not path.exists():
        return 0
    now = small.files(path)
    numbers = [name.split("/")[1] for name in now if name.startswith("status/c")]
    for name, data in now.items():
        file = name.split("/")[-1]
        if not name.endswith(atomic_io.TEMPORARY) and (
            (file.split(".")[:2] and ".".join(file.split(".")[:2]) in numbers) or "zarr.json" in name
        ):
            assert whole[name] == data, name
    return len(numbers)


def chunks_there(path):
    return sum(
        p.name.startswith("c.") and not p.name.endswith(atomic_io.TEMPORARY) for p in (path / "status").glob("*")
    )


def killed_at_random_moments(path, whole, n_kills, seed):
    rng, seen = random.Random(seed), set()
    for _ in range(n_kills):
        process = start(path)
        more = committed_are_good(path, whole) + rng.randint(0, 2)
        while process.poll() is None and chunks_there(path) < more:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.08))  # in the middle of a chunk, or of writing one
        process.kill()
        process.communicate()
        seen.add(committed_are_good(path, whole))
    finish(path)
    assert small.files(path) == whole
    return seen


@pytest.mark.slow
def test_killed_at_random_moments_a_sweep_ends_with_the_same_bytes(whole, tmp_path):
    killed_at_random_moments(tmp_path / "r.zarr", whole, 4, seed=1)


@pytest.mark.long
def test_killed_at_twenty_random_moments_a_sweep_ends_with_the_same_bytes(whole, tmp_path):
    seen = set()
    for k in range(4):
        seen |= killed_at_random_moments(tmp_path / f"{k}.zarr", whole, 5, seed=10 + k)
    assert len(seen) > 3  # some came early, some late


@pytest.mark.slow
def test_array_workers_race_to_create_are_killed_and_started_again(whole, tmp_path):
    path, rng = tmp_path / "r.zarr", random.Random(2)
    workers = [start(path, f"{k}/3") for k in (0, 1, 2, 2)]  # one of them started twice
    time.sleep(rng.uniform(3, 5))
    for process in workers[:2]:
        process.kill()
    for process in workers:
        process.communicate(timeout=120)
    committed_are_good(path, whole)
    for k in range(2):
        finish(path, f"{k}/3")
    assert small.files(path) == whole


def test_what_a_twin_removes_is_no_error(tmp_path, monkeypatch):
    """The same worker, started twice: the checkpoints of both have one name, and one is done first."""
    from superpos.sweeping.store import checkpoints

    kept = checkpoints.Checkpoints(tmp_path / "r.checkpoints", "0123456789abcdef", 1)
    kept.folder.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", lambda folder, **_: [folder.rmdir(), folder.parent.rmdir()])
        kept.remove_all()
    assert not kept.folder.parent.exists()
    assert checkpoints._steps(kept.folder) == []
    kept.folder.mkdir(parents=True)
    (kept.folder.parent / "of another sweep").mkdir()
    kept.remove_all()
    assert [p.name for p in kept.folder.parent.iterdir()] == ["of another sweep"]


@pytest.mark.slow
def test_a_signal_from_outside_ends_with_one_line_and_no_traceback(whole, tmp_path):
    """First one signal, then the other to the process that goes on; a third process ends it.

    A process that had no work left when its signal came shows nothing: then all is begun anew, at most four times.
    """

    def signalled(path, number):
        already, process = chunks_there(path), start(path)
        while chunks_there(path) == already and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
        if process.returncode == 0:
            return False
        assert process.returncode == 128 + number
        assert error.count("\n") == 1 and "are kept in" in error
        committed_are_good(path, whole)
        return True

    paths = [tmp_path / f"r{attempt}.zarr" for attempt in range(4)]
    path = next(p for p in paths if signalled(p, signal.SIGTERM) and signalled(p, signal.SIGINT))
    finish(path)
    assert small.files(path) == whole


@pytest.mark.slow
def test_eight_devices_end_with_the_same_bytes(whole, tmp_path):
    eight = ENVIRONMENT | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    command = [sys.executable, HERE / "small.py", tmp_path / "r.zarr", str(STEPS), "0/1"]
    subprocess.run(command, env=eight, check=True, timeout=120)
    assert small.files(tmp_path / "r.zarr") == whole


@pytest.mark.slow
def test_a_closed_pipe_loses_nothing(whole, tmp_path):
    """Whoever reads the output leaves at once: the sweep is trained all the same, and there is no traceback."""
    (tmp_path / "s.toml").write_text(
        "[task]\nn_features = 3\nn_hidden = 2\n[train]\nsteps = 20\nbatch_size = 4\n[grid]\nseed = [0, 1]\n"
    )
    command = f"{sys.executable} -c 'from superpos.cli import main; main()' sweep s.toml --out r.zarr | true"
    run = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    # After ten seconds of work, progress is a line in a log.
    assert [line for line in run.stderr.splitlines() if not line.endswith("so far")] == []
    assert int(sp.open(tmp_path / "r.zarr").missing.sum()) == 0


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_cells(tmp_path):
    """200,000 models of 2→1, and a tenth of them: the same peak within a fifth; the large store opens in two seconds."""
    code = (
        "import sys, resource, numpy as np, superpos as sp\n"
        "grid = sp.Grid(feature_probability=np.geomspace(1, .01, 100), init_scale=np.linspace(.5, 1, 100), seed=range(int(sys.argv[2])))\n"
        "task = sp.tasks.Toy(n_features=2, n_hidden=1, objective='expected', order=16)\n"
        "sp.sweep(task, sp.TrainConfig(steps=20), grid, sys.argv[1], progress=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for n_seeds in (2, 20):
        command = [sys.executable, "-c", code, str(tmp_path / f"{n_seeds}.zarr"), str(n_seeds)]
        run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=600)
        peaks.append(int(run.stdout))
    assert peaks[1] < 1.2 * peaks[0]
    begin = time.perf_counter()
    assert sp.open(tmp_path / "20.zarr").sizes["seed"] == 20
    assert time.perf_counter() - begin < 2


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def together(path, n_processes, n_devices, **options):
    """Processes that train the small sweep together, each with some simulated devices."""
    engine = "dict(engine='local')"
    if n_processes > 1:
        settings = (  # (waiting long, for the machine may be busy)
            f"coordinator_address='127.0.0.1:{free_port()}', num_processes={n_processes}, process_id=int(sys.argv[2]), wait_seconds=60"
        )
        engine = f"dict(engine=sp.engines.Distributed({settings}))"
    code = (
        "import sys, jax, small, superpos as sp\nfrom superpos.cli import one_sentence\nfrom superpos.sweeping import layout\n"
        "layout.CELLS_PER_CHUNK = 2\n"
        f"with one_sentence('superpos'): small.go(sys.argv[1], {STEPS}, devices=None, **{engine}, **{options!r})\n"
        f"assert jax.device_count() == {n_processes * n_devices}"
    )
    devices = ENVIRONMENT | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={n_devices}"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, path, str(k)], env=devices, cwd=HERE, stderr=subprocess.PIPE, text=True
        )
        for k in range(n_processes)
    ]


def in_step(path, n_processes, n_devices, **options):
    """Train the small sweep in some processes to the end."""
    for process in together(path, n_processes, n_devices, **options):
        _, error = process.communicate(timeout=180)
        assert process.returncode == 0, error[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("n_devices", [pytest.param(1, marks=pytest.mark.long), 2])
def test_two_jax_processes_in_step_end_with_the_same_bytes(n_devices, whole, tmp_path):
    path = tmp_path / "r.zarr"
    in_step(path, 2, n_devices)
    assert small.files(path) == whole
    logs = sorted((tmp_path / "r.log").iterdir())
    assert [p.name.rsplit("-", 1)[0] for p in logs] == ["worker-process-0", "worker-process-1"]
    assert all(p.read_text().count('"chunk"') >= 4 for p in logs)  # both committed chunks of their own


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_other_with_one_sentence(whole, tmp_path):
    """Within seconds, with nothing of what JAX's runtime has to say about it; what was committed is kept and gone on with."""
    path = tmp_path / "r.zarr"
    left, killed = together(path, 2, 1)
    while chunks_there(path) == 0:
        assert left.poll() is killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    begin = time.monotonic()
    _, error = left.communicate(timeout=60)
    assert time.monotonic() - begin < 20
    assert left.returncode == 1
    assert error == (
        "superpos: engine distributed: process 1 is gone, so this one ends, too; what was committed is kept, and the same "
        "command in all processes goes on.\n"
    )
    killed.communicate()
    assert committed_are_good(path, whole) > 0
    finish(path)
    assert small.files(path) == whole


@pytest.mark.long
@pytest.mark.parametrize("n_processes", [1, 2])
@pytest.mark.parametrize("blocks_per_device", [1, 2, 5])
@pytest.mark.parametrize("n_devices", [1, 2, 4, 8])
def test_devices_blocks_per_call_and_processes_change_no_byte(
    n_devices, blocks_per_device, n_processes, whole, tmp_path
):
    """The whole product; `n_devices` is per process."""
    in_step(tmp_path / "r.zarr", n_processes, n_devices, blocks_per_device=blocks_per_device)
    assert small.files(tmp_path / "r.zarr") == whole


RAY = """
import os, signal, subprocess, sys, threading, time
import small
import superpos as sp
from superpos.sweeping import layout

layout.CELLS_PER_CHUNK = 2
path = sys.argv[1]

def kill_one():
    while len(os.listdir(path + "/status") if os.path.exists(path + "/status") else []) < 3:
        time.sleep(0.02)
    found = subprocess.run(["pgrep", "-f", "ray::_task"], capture_output=True, text=True).stdout.split()
    mine = [int(p) for p in found if os.path.exists(f"/proc/{p}")]
    print("killed", mine[:1], flush=True)
    os.kill(mine[0], signal.SIGKILL)

threading.Thread(target=kill_one, daemon=True).start()
small.go(path, int(sys.argv[2]), engine=sp.engines.Ray(cpus_per_task=1, chunks_per_task=4))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'superpos[ray]'")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare: Ray would listen on an outward address")
def test_ray_workers_one_of_them_killed_end_with_the_same_bytes(whole, tmp_path):
    """In a network namespace that has only a loopback device."""
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces are not allowed here")
    (tmp_path / "go.py").write_text(RAY)
    environment = ENVIRONMENT | {"PYTHONPATH": f"{HERE}:{HERE.parent}"}
    inside = f"ip link set lo up && exec {sys.executable} {tmp_path}/go.py {tmp_path}/r.zarr {STEPS}"
    run = subprocess.run(
        ["unshare", "-n", "sh", "-c", inside], env=environment, cwd=HERE, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "killed [" in run.stdout and "killed []" not in run.stdout
    assert small.files(tmp_path / "r.zarr") == whole


LOST = """
import os, signal, subprocess, sys, threading, time
import small
import superpos as sp
from superpos.cli import one_sentence
from superpos.sweeping import layout

layout.CELLS_PER_CHUNK = 2
path = sys.argv[1]

def kill_it():
    while len(os.listdir(path + "/status") if os.path.exists(path + "/status") else []) < 3:
        time.sleep(0.02)
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), sys.argv[3]], capture_output=True, text=True).stdout.split()
    print(time.monotonic(), flush=True)
    for one in found:
        os.kill(int(one), signal.SIGKILL)

threading.Thread(target=kill_it, daemon=True).start()
try:
    with one_sentence("superpos"):
        small.go(path, int(sys.argv[2]), engine=sp.engines.Ray(cpus_per_task=1, chunks_per_task=4))
finally:
    print(time.monotonic())
"""


@pytest.mark.long
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'superpos[ray]'")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare: Ray would listen on an outward address")
@pytest.mark.parametrize("victim", ["gcs_server", "raylet"])
def test_a_ray_cluster_that_dies_midway_ends_with_one_sentence(victim, whole, tmp_path):
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("network namespaces are not allowed here")
    (tmp_path / "go.py").write_text(LOST)
    environment = ENVIRONMENT | {"PYTHONPATH": f"{HERE}:{HERE.parent}"}
    inside = f"ip link set lo up && exec {sys.executable} {tmp_path}/go.py {tmp_path}/r.zarr 1000000 {victim}"
    run = subprocess.run(
        ["unshare", "-n", "sh", "-c", inside], env=environment, cwd=HERE, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 1
    killed, ended = map(float, run.stdout.split())
    assert ended - killed < 20
    said = [line for line in run.stderr.splitlines() if not line.startswith("[")]  # without those of Ray's own log
    assert len(said) == 1
    assert re.match("superpos: engine ray: .* what was committed is kept, and the same command goes on", said[0])
    assert len(list((tmp_path / "r.zarr" / "status").glob("c.*"))) >= 1
    assert sp.open(tmp_path / "r.zarr").missing.any()


def test_ray_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(sp.ConfigError, match="Ray: pip install .*\\[ray\\]"):
        small.go(tmp_path / "r.zarr", engine="ray")


@pytest.mark.usefixtures("unchecked")
def test_settings_of_engines_are_checked(tmp_path):
    for options, word in (
        ({"engine": "slurm"}, "engine must be one of"),
        ({"engine": sp.engines.Ray}, r"engine must be made from its class: Ray\(\)"),
        ({"engine": sp.engines.Ray(cpus_per_task=0)}, "cpus_per_task"),
        ({"engine": sp.engines.Distributed(wait_seconds=-1)}, "wait_seconds"),
        ({"engine": "ray", "worker": "0/2"}, "worker is for the local engine"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
    ):
        with pytest.raises(sp.ConfigError, match=word):
            small.go(tmp_path / "r.zarr", **options)
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Backwards(sp.engines.Engine):
    """An engine of one's own: the last chunk first."""

    def train(self, job):
        for chunk in reversed(job.chunks):
            sp.engines.Local().train(dataclasses.replace(job, chunks=[chunk]))


@pytest.mark.slow
def test_an_engine_of_ones_own_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 4)
    small.go(tmp_path / "local.zarr", 20)
    small.go(tmp_path / "own.zarr", 20, engine=Backwards())
    assert small.files(tmp_path / "own.zarr") == small.files(tmp_path / "local.zarr")
    order = [json.loads(line) for line in next((tmp_path / "own.log").iterdir()).read_text().splitlines()]
    chunks = [line["chunk"] for line in order if line["event"] == "chunk"]
    assert chunks == sorted(chunks, reverse=True) and len(chunks) > 1


@pytest.mark.slow
def test_the_processes_of_one_program_make_equally_many_calls():
    from superpos.sweeping.compiled import compile_sweep, lay_out
    from superpos.sweeping.engines.distributed import in_step

    said = small.settings(20)
    grid = sp.Grid(feature_probability=[0.1, 0.3, 0.5, 0.7, 0.9], seed=[0, 1, 2])
    where = lay_out(said["task"], said["config"], grid, block_size=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CELLS_PER_CHUNK", 2)
        work = compile_sweep(where, grid.n_cells)
        calls = [list(in_step(work, list(range(where.n_chunks)), k, 4)) for k in range(4)]
    assert len({len(c) for c in calls}) == 1
    trained = sorted(number for some in calls for call in some for number, _ in call.real)
    assert trained == list(range(where.n_blocks))


@pytest.mark.slow
def test_an_address_where_nobody_listens_is_said_within_seconds(tmp_path, monkeypatch):
    from superpos.sweeping.engines import ray

    closed = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(ray, "FIND_SECONDS", 0.5)
    settings = {"coordinator_address": closed, "num_processes": 2, "process_id": 1, "wait_seconds": 0.5}
    with pytest.raises(sp.EngineError, match=f"coordinator_address: process 0 did not answer at {closed} within 0"):
        small.go(tmp_path / "r.zarr", engine=sp.engines.Distributed(**settings))
    if find_spec("ray") is not None:
        for address in (closed, f"ray://{closed}"):
            with pytest.raises(sp.EngineError, match=f"engine ray: address: nobody answers at {closed}: "):
                small.go(tmp_path / "r.zarr", engine=sp.engines.Ray(address=address))
