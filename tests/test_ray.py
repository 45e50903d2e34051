"""The Ray engine's patience, with a stand-in for Ray whose workers and machines die as they are told. Real: test_engines.py."""

import logging
import re
import socket
import sys
import threading
import time
import types
from pathlib import Path

import pytest
import small

import superpos as sp
from superpos.sweeping import layout
from superpos.sweeping.engines import cluster
from superpos.sweeping.engines import ray as engine
from superpos.sweeping.engines.addresses import HELLO, speaks_grpc
from superpos.sweeping.engines.worker import train_part


class RayError(Exception):
    """As in ray.exceptions."""


class RayTaskError(RayError):
    """An error of the task's own."""

    def __init__(self, cause):
        super().__init__(f"Traceback of {cause}\nlast line: {cause}")
        self.cause = cause


class StandIn(types.ModuleType):
    """Ray, on one machine of two cores, that asks `fate` what becomes of a task: None, an error, or how many chunks it commits
    before its worker dies. Both of its doors are real ports.
    """

    def __init__(self, fate):
        super().__init__("ray")
        self.fate, self.tasks, self.begun = fate, [], False
        self.store, self.machine = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.exceptions = types.SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def is_initialized(self):
        return self.begun

    def init(self, **settings):
        self.begun = True

    def shutdown(self):
        self.begun = False

    def cluster_resources(self):
        return {"CPU": 2.0}

    def nodes(self):
        host, port = self.machine.getsockname()
        return [{"Alive": True, "NodeManagerAddress": host, "NodeManagerPort": port, "Resources": {"CPU": 2.0}}]

    def get_runtime_context(self):
        return types.SimpleNamespace(gcs_address=":".join(map(str, self.store.getsockname())))

    def remote(self, **options):
        assert options["max_retries"] == 0
        return lambda function: types.SimpleNamespace(remote=self.submit)

    def submit(self, *arguments):
        self.tasks.append(arguments)
        return len(self.tasks) - 1

    def wait(self, tasks, timeout):
        if self.fate is None:  # they train for ever
            time.sleep(0.02)
            return [], tasks
        return tasks[:1], tasks[1:]

    def get(self, task):
        path, sweep, modules, chunks, options, n_concurrent = self.tasks[task]
        assert modules == ["superpos.tasks.toy"]  # what a worker must import first
        fate = self.fate(task)
        if isinstance(fate, Exception):
            raise fate
        train_part(Path(path), sweep, chunks[:fate], options, n_concurrent, name="stand-in")
        if fate is not None:
            raise RayError("The worker died unexpectedly.")

    def cancel(self, task):
        pass


@pytest.fixture
def ray(monkeypatch):
    made = []

    def stand_in(fate):
        module = StandIn(fate)
        made.append(module)
        monkeypatch.setitem(sys.modules, "ray", module)
        monkeypatch.setitem(sys.modules, "ray.exceptions", module.exceptions)
        return module

    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 2)
    monkeypatch.setattr(cluster, "LOST_SECONDS", 0.5)
    yield stand_in
    for module in made:
        module.store.close()
        module.machine.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("ray") / "whole.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CELLS_PER_CHUNK", 2)
        small.go(path)
    return small.files(path)


def on_ray(path, **settings):
    return small.go(path, engine=sp.engines.Ray(**{"chunks_per_task": 4, **settings}))


@pytest.mark.slow
def test_workers_that_die_now_and_then_lose_nothing(ray, whole, tmp_path, caplog):
    """The first five each commit one chunk and die: each death is said, and only the rest is trained again."""
    module = ray(lambda task: 1 if task < 5 else None)
    on_ray(tmp_path / "r.zarr")
    assert small.files(tmp_path / "r.zarr") == whole
    assert [len(chunks) for _, _, _, chunks, _, _ in module.tasks] == [4, 4, 3, 3, 2, 2, 1][: len(module.tasks)]
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == ["engine ray: a worker died, and what it trained is tried again (The worker died unexpectedly)"] * 5
    assert not module.begun


@pytest.mark.slow
def test_workers_that_die_again_and_again_end_with_a_sentence(ray, whole, tmp_path, monkeypatch):
    module = ray(lambda task: 0 if task else None)
    with pytest.raises(
        sp.EngineError, match=r"3 workers in a row died before they committed anything \(The worker died unex"
    ):
        on_ray(tmp_path / "r.zarr")
    assert len(module.tasks) == 4  # two bundles, and the second twice again
    monkeypatch.setattr(engine, "DEATHS_SECONDS", 0.0)  # it takes long: earlier
    with pytest.raises(sp.EngineError, match="2 workers in a row died"):
        on_ray(ray(lambda task: 0) and tmp_path / "r.zarr")
    ray(lambda task: None)
    on_ray(tmp_path / "r.zarr")
    assert small.files(tmp_path / "r.zarr") == whole


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["store", "machine"])
def test_a_cluster_that_dies_is_said_within_seconds(ray, tmp_path, dies, monkeypatch):
    """Its control store, or all of its machines; Ray's own shutdown then hangs, and nobody waits for it."""
    module = ray(None)
    monkeypatch.setattr(engine, "END_SECONDS", 0.1)
    module.shutdown = lambda: time.sleep(20)
    threading.Timer(1.5, lambda: getattr(module, dies).close()).start()
    begin = time.monotonic()
    with pytest.raises(
        sp.EngineError, match="the cluster has not answered for 0.5 seconds; what was committed is kept"
    ):
        on_ray(tmp_path / "r.zarr")
    assert time.monotonic() - begin < 15


def test_errors_of_tasks_and_lost_folders_are_sentences(ray, tmp_path, monkeypatch):
    for error, kind, sentence in (
        (RayTaskError(sp.StoreError("the disk is full.")), sp.StoreError, "the disk is full."),
        (RayTaskError(KeyError("bug")), sp.EngineError, "engine ray: a task failed: last line: 'bug'"),
    ):
        ray(lambda task, error=error: error)
        with pytest.raises(kind, match=re.escape(sentence)):
            on_ray(tmp_path / "r.zarr")
    monkeypatch.setattr(engine, "SEEN_SECONDS", 0.1)
    module = ray(lambda task: None)
    module.get = lambda task: None  # wrote to a folder of the same name, elsewhere
    with pytest.raises(sp.StoreError, match="lacks what Ray's workers have written: the path must lead to one folder"):
        on_ray(tmp_path / "r.zarr")


def test_needs_that_no_machine_meets_are_said(ray, tmp_path, monkeypatch, caplog):
    ray(None)
    with pytest.raises(sp.ConfigError, match="cpus_per_task is 3, and no machine of the cluster has more than 2"):
        on_ray(tmp_path / "r.zarr", cpus_per_task=3)
    with pytest.raises(sp.ConfigError, match="gpus_per_task is 0.5, and no machine of the cluster has more than 0"):
        on_ray(tmp_path / "r.zarr", gpus_per_task=0.5)
    module = ray(lambda task: sp.EngineError("enough"))
    monkeypatch.setattr(engine, "_entrance", lambda address: None)
    with pytest.raises(sp.EngineError, match="enough"):
        on_ray(tmp_path / "r.zarr", address="auto", cpus_per_task=3)  # a cluster may grow
    assert "cpus_per_task is 3, and no machine of the cluster has more than 2: this waits" in caplog.text
    assert not module.begun


@pytest.mark.slow
def test_a_port_that_is_not_rays_is_said_at_once(ray, tmp_path):
    ray(None)
    settings = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0])  # the head of a frame of settings
    for answer, grpc in (
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH_9.9\r\n", False),
        (b"", False),
        (settings + b"\0\4\0\1\0\0", True),
    ):
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            serving = threading.Thread(target=answer_all, args=(server, answer))
            serving.start()
            assert speaks_grpc(address, 5) is grpc
            if not grpc:
                for prefix in ("", "ray://"):
                    with pytest.raises(sp.EngineError, match=f"address: who answers at {address} is no Ray cluster"):
                        on_ray(tmp_path / "r.zarr", address=prefix + address)
            with socket.create_connection(server.getsockname()) as last:
                last.sendall(b"end")
            serving.join()


def answer_all(server, answer):
    while (said := (one := server.accept()[0]).recv(1_000)) in (HELLO, b""):
        if said:
            one.sendall(answer)
        one.close()
    one.close()


def test_what_rays_listener_prints_is_logged_for_debugging(capsys, caplog):
    with caplog.at_level(logging.DEBUG, "superpos"), cluster.errors_are_not_printed():
        listener = threading.Thread(target=print, args=("(raylet) a worker died",), name="ray_listen_error_messages")
        listener.start()
        listener.join()
        print("ours")
    assert capsys.readouterr().out == "ours\n"
    assert "(raylet) a worker died" in caplog.text


def test_nobody_waits_for_a_call_that_hangs():
    begin = time.monotonic()
    assert cluster.within(0.1, lambda: time.sleep(5)) is None
    assert cluster.within(5, lambda: [1]) == [1]
    assert cluster.within(5, lambda: 1 / 0) is None
    assert time.monotonic() - begin < 4
