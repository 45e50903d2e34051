"""What is printed never ends a command, and words from files reach no terminal as escape sequences."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small
import xarray as xr

import superpos as sp
from superpos import console
from superpos.cli import main
from superpos.experiments import Claims
from superpos.experiments.publishing import show
from superpos.script import run

COMMAND = [sys.executable, "-c", "from superpos.cli import main; main()"]
# Colour, title of the window, C1's short form, right to left, no width, a lone surrogate, a bell, markup of rich.
HOSTILE = "a\x1b[31mb\x1b]0;t\x07c\x9b2Jd\u202ee\u200bf\ud800g\x07[red]h[/]"
SWEEP = """
[task]
n_features = 3
n_hidden = 2
magnitude = "constant"
[train]
steps = 40
batch_size = 16
history = 4
evaluation_samples = 32
snapshots = [0, 20]
[grid]
feature_probability = [0.1, 0.3, 0.9]
activation = ["relu", "identity"]
seed = { range = 2 }
[sweep]
block_size = 2
"""  # as in small.py
HARMLESS = "a�[31mb�]0;t�c�2Jd�e�f�g�[red]h[/]"


def stream(encoding="cp1252", file=None):
    return io.TextIOWrapper(io.BytesIO() if file is None else open(file, "wb"), encoding, write_through=False)


def printed(output):
    output.flush()
    return output.buffer.getvalue().decode(output.encoding)


def superpos(monkeypatch, out, *arguments, err=None):
    monkeypatch.setattr(sys, "argv", ["superpos", *arguments])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", stream() if err is None else err)
    main()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp437", "shift_jis"])
def test_what_an_encoding_lacks_is_spelt_in_ascii(encoding):
    out = stream(encoding)
    console.Output(console._Sink(out)).write("2 × λ − 1 … ≤ D² ━╭ \ud800 ☃\n")
    text = printed(out)
    if encoding == "ascii":
        assert text == "2 x lambda - 1 ... <= D^2 -? ? ?\n"
    for c in "2 × λ − 1 … ≤ D² ━╭":  # what there is, stays
        assert not c.isascii() or c in text
    assert ("×" in text) == (encoding in ("cp1252", "latin-1", "shift_jis"))


@pytest.mark.slow
def test_a_sweep_leaves_its_results_whatever_becomes_of_the_words(monkeypatch, tmp_path):
    """(The demo on cp1252 is in test_cli.)"""
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(SWEEP)
    err, full = stream(), stream(file="/dev/full")
    superpos(monkeypatch, full, "sweep", "s.toml", "--out", "full.zarr", err=err)
    assert printed(err).endswith("superpos: what it printed could not be written: No space left on device.\n")
    assert int(sp.open("full.zarr").missing.sum()) == 0
    full.close()  # succeeds: what could not be written is let go
    full = stream(file="/dev/full")
    with pytest.raises(SystemExit) as caught:  # here the words are all there is
        superpos(monkeypatch, full, "geometry", "full.zarr")
    full.close()
    assert caught.value.code == 1
    out = stream("ascii")
    superpos(monkeypatch, out, "geometry", "full.zarr")
    assert "SweepResult of 12 toy models over feature_probability (3) x " in printed(out)
    superpos(monkeypatch, None, "status", "full.zarr")
    out.close()
    superpos(monkeypatch, out, "status", "full.zarr")


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        ("> /dev/full", 1, "superpos: what it printed could not be written: No space left on device.\n"),
        ("> /dev/full 2> /dev/full", 1, ""),
        (">&-", 0, ""),
        ("2>&- >&-", 0, ""),
        ("| true", 0, ""),
    ],
)
@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_every_end_of_the_command_line_is_smooth(flag, ending, status, said):
    line = f"set -o pipefail; {sys.executable} -c 'from superpos.cli import main; main()' {flag} {ending}"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (status, said)


def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path):
    """Else messages that compiled libraries write to the error output would end in a result."""
    code = (
        "import sys; from superpos import console\n"
        "with console.outputs('p'): file = open(sys.argv[1], 'w'); file.write(str(file.fileno())); file.close()"
    )
    path = tmp_path / "f"
    line = f'{sys.executable} -c "{code}" {path} <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", line], timeout=60).returncode == 0
    assert int(path.read_text()) > 2


def test_scripts_say_their_last_sentence_and_keep_their_status(monkeypatch):
    def script() -> None:
        """Ends as figures/all.py does."""
        print("claims: 2 × red")
        sys.exit("figures: red claims")

    monkeypatch.setattr(sys, "argv", ["all.py"])
    out, err = stream("ascii"), stream("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as caught:
        run(script)
    assert caught.value.code == 1 and printed(out) == "claims: 2 x red\n"
    assert "figures: red claims\n" in printed(err)


def test_tables_of_claims_go_to_any_stream(monkeypatch):
    claims = Claims(f"{HOSTILE} 2022")
    claims.check(HOSTILE, "≤ 1 %", "0.5 × 2", True)
    for out in (stream("cp1252"), stream("ascii")):
        monkeypatch.setattr(sys, "stdout", out)
        show(claims)
        assert "\x1b" not in printed(out) and "[red]h[/]" in printed(out)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        show(claims)
        console._let_go(console._Sink(full, OSError()))
    monkeypatch.setattr(sys, "stdout", None)
    show(claims)
    monkeypatch.undo()


def test_unprintable_characters_are_replaced_and_nothing_else():
    assert console.printable(HOSTILE) == HARMLESS
    assert console.printable("two\nlines\tand\ra rest") == "two lines and a rest"
    assert console.printable_lines("two\nlines\tand\ra rest") == "two\nlines\tand�a rest"
    for kept in ("W Wᵀ ‖x‖² ≤ ½ … – “é” 漢字 ☃", ""):
        assert console.printable(kept) == kept == console.printable_lines(kept)


def test_all_errors_are_one_line_of_printable_characters():
    for kind in (sp.ConfigError, sp.StoreError, sp.EngineError):
        assert str(kind(f"{HOSTILE}\nand more.")) == f"{HARMLESS} and more."
    assert str(sp.Interrupted(HOSTILE, 2)) == HARMLESS


def dangerous(rng):
    """A result whose axis has a hostile name, as one from a stranger's file may."""
    dims = (HOSTILE, "seed")
    data = {
        "W": ((*dims, "hidden", "feature"), rng.standard_normal((2, 2, 2, 3))),
        "loss": (dims, rng.random((2, 2))),
        "diverged_step": (dims, np.full((2, 2), -1)),
    }
    axes = [{"name": HOSTILE, "field": HOSTILE, "rule": "value", "index": 0}]
    said = {"kind": HOSTILE, "n_features": HOSTILE, "activation": HOSTILE}
    train = {"steps": HOSTILE, "batch_size": HOSTILE, "optimizer": HOSTILE}
    attributes = {"task": said, "train": train, "grid": {"axes": axes, "design": "product"}, "dtype": "float64"}
    return sp.SweepResult(xr.Dataset(data, {HOSTILE: [1, 2], "seed": [0, 1]}, attributes))


def test_words_from_files_are_harmless_on_every_way_out(rng, monkeypatch, caplog, tmp_path):
    """On a terminal, where escape sequences would do something."""
    from superpos.cli.report import print_shapes

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return True

    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "argv", ["superpos"])
    monkeypatch.setenv("TERM", "xterm")

    def everything() -> None:
        """Print what a file says."""
        result = dangerous(rng)
        print(result)
        print(HOSTILE)
        names = xr.full_like(result["loss"], HOSTILE.replace("\ud800", ""), dtype="U60")
        share = xr.ones_like(result["loss"]).expand_dims(feature=3, axis=-1)
        print_shapes(result, xr.Dataset({"shape": names, "dimensionality": share, "represented": share > 0}))
        logging.getLogger("superpos").warning("%s lacks chunk %d", HOSTILE, 3)
        raise sp.StoreError(HOSTILE)

    with pytest.raises(SystemExit):
        run(everything)
    assert "in float64" in out.getvalue()
    assert f"{HARMLESS} lacks chunk 3" in caplog.text
    assert err.getvalue().endswith(f"superpos: {HARMLESS}\n")
    ours = out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")  # bold heads of the table
    for text in (ours, err.getvalue(), caplog.messages[-1]):
        assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert ours.count("[red]h[/]") >= 4


def test_hostile_words_of_sweep_files_and_names_of_files(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    word = "x\\u001b[2J\\u202e"
    Path("s.toml").write_text(f'[task]\n"{word}" = 1\n[grid]\nseed = [0]\n')
    bad = tmp_path / "n\x1b[2Jn.zarr"
    bad.mkdir()
    for arguments in (("sweep", "s.toml"), ("geometry", str(bad)), ("status", str(bad)), ("sweep", str(bad))):
        err = stream("utf-8")
        with pytest.raises(SystemExit):
            superpos(monkeypatch, stream("utf-8"), *arguments, err=err)
        text = printed(err)
        assert text.count("\n") == 1 and text.startswith("superpos: ") and not set(text) & {"\x1b", "\u202e"}, text


@pytest.mark.slow
def test_a_warning_about_a_store_with_a_hostile_name_is_harmless(tmp_path, caplog):
    path = tmp_path / "r\x1b[2J.zarr"
    small.go(path)
    chunk = next((path / "W").glob("c.*"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    small.go(path)
    assert "is trained again" in caplog.text and "\x1b" not in caplog.text
