"""The processes of one program: how they meet, and how they end. Threads stand in for processes where nothing dies."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import superpos as sp
from superpos.sweeping.engines import distributed, meeting

ROOT = str(Path(sp.__file__).parents[1])
FATAL = (
    "F1128 12:28:30.144926    6856 client.h:80] Terminating process because the JAX distributed service detected fatal "
    "errors. absl::Status: UNAVAILABLE\n\nRPC: /xla.coordination\n*** Check failure stack trace: ***\n    @ 0x7fc1 xla\n"
)


@pytest.fixture
def address():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listening.getsockname()[1]}"


def all_meet(address, *processes, seconds=10.0):
    """What becomes of processes (number, how many they were told, and after how many seconds they come)."""

    def one(number, told, late):
        time.sleep(late)
        try:
            connections = meeting.meet(address, number, told, seconds)
        except (sp.ConfigError, sp.EngineError) as error:
            return error
        return sorted(connections), [each.close() for each in connections.values()]

    with ThreadPoolExecutor(len(processes)) as pool:
        return [w if isinstance(w, Exception) else w[0] for w in pool.map(one, *zip(*processes, strict=True))]


def test_processes_meet_whoever_comes_first(address):
    host, port = address.split(":")
    stranger = threading.Thread(target=knock, args=(host, int(port)))
    stranger.start()
    assert all_meet(address, (2, 3, 0), (0, 3, 0.2), (1, 3, 0.4)) == [[0], [1, 2], [0]]
    stranger.join()
    assert all_meet(address, (0, 1, 0)) == [[]]  # one is a program, too


def knock(host, port):
    """Somebody who tries every port: says something else, says nothing, or leaves."""
    for said in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'{"process_id": "1", "num_processes": 3}\n',
        b"",
        b"\xff" * 9_000,
    ):
        for _ in range(50):
            try:
                one = socket.create_connection((host, port))
                one.sendall(said)
                one.close()
                break
            except OSError:
                time.sleep(0.02)


@pytest.mark.slow
def test_a_process_that_never_comes_is_named_in_all_others(address):
    first, second = all_meet(address, (0, 3, 0), (1, 3, 0), seconds=1)
    for error in (first, second):
        assert isinstance(error, sp.EngineError)
        assert str(error) == (
            f"num_processes: process 2 of 3 did not come to {address} within 1 s; start all processes at about the same time, "
            "or raise wait_seconds."
        )
    (alone,) = all_meet(address, (0, 12, 0), seconds=0.3)
    assert "processes 1, 2, 3, 4, 5, 6, 7, 8 and 3 others of 12 did not come" in str(alone)


@pytest.mark.parametrize(
    ("processes", "sentence"),
    [
        (((0, 3, 0), (1, 3, 0), (1, 3, 0.3)), "process_id: two processes say that they are process 1 of 3"),
        (((0, 3, 0), (1, 2, 0)), "num_processes: process 1 was told 2, and process 0 3; tell all the same."),
    ],
)
def test_processes_that_were_told_different_things_all_hear_what(address, processes, sentence):
    for error in all_meet(address, *processes):
        assert isinstance(error, sp.ConfigError)
        assert sentence in str(error)


@pytest.mark.slow
def test_two_that_are_process_0_and_one_too_many(address):
    host, port = address.split(":")
    with socket.create_server((host, int(port))) as other:
        (error,) = all_meet(address, (0, 2, 0), seconds=5)
        assert f"coordinator_address: process 0 cannot listen at {address} (address already in use)" in str(error)
        for answer in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""):  # another program; JAX's coordinator hangs up
            serving = threading.Thread(target=answer_all, args=(other, answer))
            serving.start()
            begin = time.monotonic()
            (error,) = all_meet(address, (1, 2, 0), seconds=30)
            assert time.monotonic() - begin < 10
            assert f"coordinator_address: who answers at {address} does not wait for process 1" in str(error)
            socket.create_connection((host, int(port))).close()
            serving.join()


def answer_all(server, answer):
    while said := (one := server.accept()[0]).recv(1_000):
        assert said == b'{"process_id": 1, "num_processes": 2}\n'
        one.sendall(answer)
        one.close()
    one.close()


@pytest.mark.slow
def test_who_waits_long_says_for_whom(address, monkeypatch, capsys):
    monkeypatch.setattr(meeting, "WORD_SECONDS", 0.5)
    all_meet(address, (1, 3, 0), (0, 3, 0), seconds=1.4)
    words = sorted(set(re.findall(r"superpos: engine distributed: (process . waits .*?) at", capsys.readouterr().err)))
    assert "process 0 waits for process 2 of 3" in words
    assert "process 1 waits with process 0 for process 2 of 3" in words
    all_meet(address, (0, 2, 0), seconds=0.9)
    assert capsys.readouterr().err == ""  # the sentence at its end comes soon enough


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"process_id": 2}, "process_id must be below num_processes, which is 2, got 2."),
        ({"process_id": -1}, "process_id must be at least 0, got -1."),
        ({"num_processes": 0}, "num_processes must be at least 1, got 0."),
        ({"num_processes": True}, "num_processes must be a whole number"),
        ({"num_processes": "2"}, "num_processes must be a whole number"),
        ({"wait_seconds": 0}, "wait_seconds must be above 0"),
        ({"wait_seconds": float("nan")}, "wait_seconds must be finite"),
        *(
            ({"coordinator_address": garbage}, "coordinator_address must be HOST:PORT")
            for garbage in ("garbage", "host:", ":80", "host:99999", "host:0", "host:-1", "h:²", 80)
        ),
    ],
)
def test_settings_are_judged_before_anything_waits(settings, sentence):
    said = {"coordinator_address": "127.0.0.1:1", "num_processes": 2, "process_id": 1, "wait_seconds": 30} | settings
    with pytest.raises(sp.ConfigError, match=re.escape(sentence)):
        sp.engines.Distributed(**said).connect()


def test_a_process_knows_how_long_it_has_lived():
    """Where the system says so: what it waits for others is counted from there."""
    code = "import time; time.sleep(.5); from superpos.process import age; print(age())"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True, check=True, timeout=60
    )
    assert float(run.stdout) >= 0.4 or not Path("/proc/self/stat").exists()
    assert float(run.stdout) < 60


def test_what_is_not_given_is_asked_of_the_cluster(monkeypatch):
    for name in ("SLURM_JOB_ID", "OMPI_MCA_orte_hnp_uri", "JAX_COORDINATOR_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(sp.ConfigError, match="num_processes must be given"):
        sp.engines.Distributed(coordinator_address="127.0.0.1:1", process_id=0).connect()
    slurm = {"JOB_ID": "1", "STEP_NODELIST": "n[003,7]", "NTASKS": "4", "PROCID": "2", "LOCALID": "1"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    found = distributed._cluster_settings({}, 1.0)
    assert found == {
        "coordinator_address": "n003:61441",
        "num_processes": 4,
        "process_id": 2,
        "local_device_ids": [1],
    }
    monkeypatch.setenv("SLURM_NTASKS", "many")
    with pytest.raises(sp.EngineError, match="give coordinator_address, num_processes and process_id"):
        distributed._cluster_settings({}, 1.0)


PROGRAM = """
import ctypes, json, os, socket, sys, threading, time, warnings
from superpos.errors import ConfigError, Interrupted
from superpos.sweeping.engines import peers as module
warnings.simplefilter("ignore")  # JAX's about forks: it is imported here, and not used
fatal, codes = (json.loads(given) for given in sys.argv[1:])
children = []
for code in codes:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 2)
        here, there = socket.socketpair()
        libc = ctypes.CDLL(None)
        say = lambda words: libc.fputs(words.encode(), ctypes.c_void_p.in_dll(libc, "stderr"))
        peers = module.Peers(0, {1: here})
        peers.begin()
        exec(code)
        sys.exit(0)
    os.close(writing)
    children.append((child, reading))
ends = [(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), open(reading).read()) for child, reading in children]
print(json.dumps(ends))
"""


def ends_of(codes):
    """Status and error output of programs with a peer, each in a process of its own."""
    environment = os.environ | {"PYTHONPATH": ROOT}
    command = [sys.executable, "-c", PROGRAM, json.dumps(FATAL), json.dumps(list(codes))]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    return [tuple(end) for end in json.loads(run.stdout)]


ENDS = "so this one ends, too; what was committed is kept, and the same command in all processes goes on.\n"


@pytest.mark.slow
def test_the_end_of_a_process_whose_peer_ends():
    cases = {
        # A death is seen at once, also while the main thread is in compiled code.
        "there.close(); libc.sleep(30)": (1, f"superpos: engine distributed: process 1 is gone, {ENDS}"),
        # JAX's runtime finds it first, from a thread of its own: its words are left out.
        "print('ours', file=sys.stderr, flush=True); there.close(); say(fatal)\n"
        "threading.Thread(target=libc.abort).start(); libc.sleep(30)": (
            1,
            f"ours\nsuperpos: engine distributed: process 1 is gone, {ENDS}",
        ),
        # It finds one that no closed connection shows.
        "say(fatal); libc.abort()": (1, f"superpos: engine distributed: another process is gone, {ENDS}"),
        # It aborts for another reason, which is shown.
        r"say('F1128 12:28:30.144926 7 gpu.cc:1] out of luck\n*** Check failure stack trace: ***\n'); libc.abort()": (
            1,
            "F1128 12:28:30.144926 7 gpu.cc:1] out of luck\n*** Check failure stack trace: ***\nsuperpos: engine distributed: "
            "JAX's runtime aborts; what was committed is kept, and the same command in all processes goes on.\n",
        ),
        # One that takes leave is no death. What compiled code says is passed on.
        r"module.send(there, {'bye': True}); there.close(); say('a word\n'); time.sleep(2); sys.exit(7)": (
            7,
            "a word\n",
        ),
        # One that ends with an error says which.
        "module.WORD_SECONDS = 1\n"
        "module.send(there, {'gone': 'process 1 ended with an error (disk full)'}); time.sleep(30)": (
            1,
            f"superpos: engine distributed: process 1 ended with an error (disk full), {ENDS}",
        ),
        # This one is ending by itself when it hears so, and has its own words.
        "module.send(there, {'gone': 'process 1 was interrupted'}); time.sleep(.5); peers.leave(ValueError())\n"
        "there.close(); time.sleep(2)": (1, ""),
        # What ends this one is told to the others.
        "peers.leave(ConfigError('steps must be more.')); print(there.recv(999), file=sys.stderr); there.close()": (
            2,
            """b'{"gone": "process 0 ended with an error (steps must be more)"}\\n'\n""",
        ),
        "peers.leave(Interrupted('interrupted.', 15)); print(there.recv(999), file=sys.stderr); there.close()": (
            143,
            """b'{"gone": "process 0 was interrupted"}\\n'\n""",
        ),
        "print('done', file=sys.stderr)": (0, "done\n"),
    }
    for code, end in zip(cases, ends_of(cases), strict=True):
        assert end == cases[code], code
