"""Progress that moves: on a terminal, in a notebook without widgets, and as lines in a log."""

import io
import os
import pty
import runpy
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import small

from superpos.sweeping import progress
from superpos.sweeping.progress import Progress

BUILD = runpy.run_path(str(Path(__file__).parents[1] / "demos" / "build.py"))
# Loaded from its file, for the package would bring JAX, which takes seconds.
CELL = f"""
import time
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("progress", {progress.__file__!r})
module = module_from_spec(spec)
spec.loader.exec_module(module)
Progress = module.Progress
with Progress(10) as bar:
    for _ in range(10):
        time.sleep(0.1)
        bar.advance(1)
"""


class Clock:
    """A clock that is set by hand."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def logged(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def trained(clock, seconds, models_per_second, enabled):
    """A bar after so many seconds, drawn once a second; nothing runs in the background."""
    bar = Progress(seconds * models_per_second, enabled=enabled)
    bar._draw()
    for _ in range(seconds):
        clock.now += 1
        bar.advance(models_per_second)
        bar._draw()
    bar._draw(last=True)


def test_a_log_has_lines_at_sensible_times(monkeypatch):
    log = logged(monkeypatch)
    clock = Clock(monkeypatch)
    trained(clock, 9, 5, None)
    assert log.getvalue() == ""  # nobody waits for ten seconds
    trained(clock, 40, 5, None)
    lines = log.getvalue().splitlines()
    assert lines[0] == "superpos: training 50 of 200 models (25%), 5 models/s, 0:30 left, 0:10 so far"
    assert lines[-1] == "superpos: training 200 of 200 models (100%), 0:40 so far" and len(lines) == 5
    log.truncate(log.seek(0))
    trained(clock, 36_000, 1, None)
    assert 50 < len(log.getvalue().splitlines()) < 100  # ten hours


def test_lines_from_the_begin_or_none(monkeypatch):
    log = logged(monkeypatch)
    clock = Clock(monkeypatch)
    trained(clock, 3, 5, False)
    assert log.getvalue() == ""
    trained(clock, 3, 5, True)
    lines = log.getvalue().splitlines()
    assert lines == [
        "superpos: training 0 of 15 models (0%), 0:00 so far",
        "superpos: training 15 of 15 models (100%), 0:03 so far",
    ]


@pytest.mark.parametrize("setting", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_a_log_gets_no_escape_sequences(setting, monkeypatch):
    log = logged(monkeypatch)
    monkeypatch.setenv(setting, "1")
    trained(Clock(monkeypatch), 3, 5, True)
    assert log.getvalue() and "\x1b" not in log.getvalue()


def test_a_rate_is_that_of_lately_and_no_clock_on_the_wall_matters(monkeypatch):
    clock = Clock(monkeypatch)
    monkeypatch.setattr(time, "time", lambda: pytest.fail("the clock on the wall may be set back"))
    bar = Progress(1_000, done=400, enabled=False)
    assert bar.rate() == 0 and bar.words() == "training 400 of 1,000 models (40%)"
    for _ in range(100):
        clock.now += 1
        bar.advance(1)
        bar.rate()
    for _ in range(40):
        clock.now += 1
        bar.advance(5)
        bar.rate()
    assert bar.rate() == pytest.approx(5, rel=0.1)
    assert bar.words() == "training 700 of 1,000 models (70%), 5 models/s, 1:00 left"


def test_a_bar_moves_on_a_terminal():
    leader, follower = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen([sys.executable, "-c", CELL], stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    try:
        while some := os.read(leader, 4_096):
            shown += some
    except OSError:
        pass  # the other end is closed
    assert child.wait(60) == 0
    os.close(leader)
    text = shown.decode()
    assert len({c for c in range(1, 10) if f"training {c} of 10 models" in text}) >= 3 and "━" in text
    assert text.rstrip().endswith("\x1b[2K")  # gone at the end


def test_a_dumb_terminal_and_a_stream_that_cannot_be_written_get_no_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", Terminal())
    trained(Clock(monkeypatch), 12, 1, None)
    assert sys.stderr.getvalue().count("superpos: training") == 2 and "\x1b" not in sys.stderr.getvalue()
    for broken in (None, closed()):
        monkeypatch.setattr(sys, "stderr", broken)
        with Progress(10, enabled=True) as bar:
            bar.advance(10)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.slow
def test_a_bar_moves_in_a_notebook_before_the_cell_ends(monkeypatch):
    """In a real kernel, with ipywidgets and without: one output that changes, and one line in the end."""
    import nbclient

    seen = {0: [], 1: []}

    class Watching(nbclient.NotebookClient):
        def process_message(self, msg, cell, cell_index):
            for k, ours in enumerate(cells):
                if ours is cell:
                    seen[k].append((msg["msg_type"], msg["content"]))
            return super().process_message(msg, cell, cell_index)

    monkeypatch.setattr(nbclient, "NotebookClient", Watching)
    cells = [nbformat.v4.new_code_cell(hide + CELL) for hide in ("", "sys.modules['ipywidgets'] = None\n")]
    cells[1].source = f"import sys\n{cells[1].source}"
    BUILD["execute"](nbformat.v4.new_notebook(cells=cells), quick=True)
    for cell, messages in zip(cells, seen.values(), strict=True):
        changes = [content["data"] for kind, content in messages if kind in ("display_data", "update_display_data")]
        assert [kind for kind, _ in messages].count("display_data") == 1 and len(changes) >= 4
        counts = [int(data["text/plain"].split()[1]) for data in changes]
        assert counts == sorted(counts) and 0 < counts[0] < 10 and counts[-1] == 10
        assert all("<progress" in data["text/html"] for data in changes[:-1])
        assert len({content["transient"]["display_id"] for _, content in messages if "transient" in content}) == 1
        (output,) = cell.outputs
        assert output.data["text/plain"].startswith("training 10 of 10 models (100%), in 0:0")


def test_a_sweep_in_memory_shows_its_bar_while_it_compiles(monkeypatch):
    from superpos.sweeping import api

    order = []
    compile_sweep = api.compile_sweep
    monkeypatch.setattr(api.Progress, "__enter__", lambda self: order.append("bar") or self)
    monkeypatch.setattr(api, "compile_sweep", lambda *a, **k: order.append("compile") or compile_sweep(*a, **k))
    small.go(None)
    assert order == ["bar", "compile"]
