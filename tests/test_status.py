"""How far a sweep is, whatever clocks and journals say."""

import json

import pytest
import small

from superpos.cli.status import pace
from superpos.sweeping import layout
from superpos.sweeping.store.resume import beside
from superpos.sweeping.store.run_log import Entry, read

NOW = 1_000_000.0


def rate(entries, in_chunks=(10,) * 8, n_left=40):
    return pace(sorted(entries, key=lambda e: e.time), in_chunks, n_left, NOW)


def test_rate_and_time_left_by_hand():
    """A start 100 s ago and three chunks since: 30 models in 100 s, so 40 take 133 s."""
    came = [Entry("start", NOW - 100, None), *(Entry("chunk", NOW - t, k) for k, t in enumerate((70, 40, 10)))]
    assert rate(came) == ["rate      0.3 models/s over the last 100 s", "time left 2 min"]
    twice = [*came, Entry("chunk", NOW - 5, 2)]  # trained again by another worker
    assert rate(twice) == rate(came)
    before_a_pause = [*came, *(Entry("chunk", NOW - 500 - t, 4 + t) for t in range(3))]
    assert rate(before_a_pause) == rate(came)


def test_times_after_now_are_left_out_and_said():
    came = [Entry("start", NOW - 100, None), Entry("chunk", NOW - 50, 0)]
    ahead = [Entry("chunk", NOW + 86_400 - t, 1) for t in (0, 30)]
    clocks, *rest = rate([*came, *ahead])
    assert clocks == "clocks    2 lines of the journal are left out: they lie up to 24.0 h after now"
    assert rest == rate(came) == ["rate      0.1 models/s over the last 100 s", "time left 7 min"]
    assert rate(ahead)[1:] == [
        "rate      0 models/s over the last 1 s",
        "time left unknown: nothing was trained lately",
    ]
    assert rate([])[-1] == "time left unknown: nothing was trained lately"
    just_now = [Entry("chunk", NOW + 0.001, 0)]  # rounded, or a clock that is a moment ahead
    assert rate(just_now) == ["rate      10 models/s over the last 1 s", "time left 4.0 s"]


def test_chunks_that_the_store_does_not_have_count_nothing():
    assert rate([Entry("chunk", NOW - 10, 8), Entry("chunk", NOW - 9, 10**30)])[0].startswith("rate      0 models/s")


ODD = [
    b'{"event": "chunk", "time": 5.0, "chunk": null, "models": 1}',
    b'{"event": "chunk", "time": 5.0, "chunk": 1.5}',
    b'{"event": "chunk", "time": 5.0, "chunk": true}',
    b'{"event": "chunk", "time": 5.0, "chunk": -1}',
    b'{"event": "chunk", "time": 5.0, "chunk": [1]}',
    b'{"event": "chunk", "time": 5.0}',
    b'{"event": "start", "time": NaN}',
    b'{"event": "start", "time": Infinity}',
    b'{"event": "start", "time": -5}',
    b'{"event": "start", "time": true}',
    b'{"event": "start", "time": null}',
    b'{"event": "start", "time": "5"}',
    b'{"event": "start", "time": 1e300}',
    b'{"event": "start", "time": 1' + 400 * b"0" + b"}",
    b'{"event": "start", "time": 1' + 4_000 * b"0" + b"}",
    b'{"event": ["chunk"], "time": 5.0}',
    b'{"event": {}, "time": 5.0}',
    b'{"time": 5.0}',
    b"null",
    b"[]",
    b"5",
    b'"chunk"',
    b"",
    b"\xff\xfe\x00",
    b"\x00" * 10,
    b"[" * 3_000,
    b"[" * 100_000,
    b'{"event": "chunk", "time": 5.0, "chunk": 3, "x": "' + b"y" * 100_000 + b'"}',
    b'{"event": "chunk", "ti',
]


def test_lines_that_are_not_ours_are_left_out(tmp_path):
    log = beside(tmp_path / "r.zarr", "log")
    log.mkdir()
    ours = [{"event": "start", "time": 1.5}, {"event": "chunk", "time": 2.5, "chunk": 3, "models": None}]
    lines = [json.dumps(line).encode() for line in ours]
    (log / "worker-digest12.jsonl").write_bytes(b"\n".join([lines[1], *ODD, lines[0], b'{"event": "torn', b""]))
    (log / "binary-digest12.jsonl").write_bytes(bytes(range(256)) * 50)
    (log / "folder-digest12.jsonl").mkdir()
    (log / "gone-digest12.jsonl").symlink_to("nowhere")
    assert read(tmp_path / "r.zarr", "digest12") == [Entry("start", 1.5, None), Entry("chunk", 2.5, 3)]


@pytest.mark.parametrize("line", [b'{"event": "chunk", "time": 1e9, "models": null, "chunk": 0}', b"[" * 100_000])
def test_the_command_survives_odd_lines(line, tmp_path, monkeypatch, capsys):
    from superpos.cli.status import status

    monkeypatch.setattr(layout, "CELLS_PER_CHUNK", 2)
    small.go(tmp_path / "r.zarr", worker="0/2")
    for path in (tmp_path / "r.log").iterdir():
        path.write_bytes(line + b"\n" + path.read_bytes())
    status(tmp_path / "r.zarr")
    printed = capsys.readouterr().out
    assert "models    8 of 12 (66.7%)" in printed and "models/s over" in printed and "time left" in printed
