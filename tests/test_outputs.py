"""What commands and functions write: only what is their own is replaced, and what dead writers leave is cleaned away."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import superpos as sp
from superpos.experiments import Claims, publish
from superpos.experiments.publishing import index
from superpos.explorer.assemble import page, write_page
from superpos.sweeping import outputs
from superpos.sweeping.store import atomic_io, export_writer


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A result of two models, made by hand: nothing is trained here."""
    task = sp.tasks.Toy(n_features=2, n_hidden=1, magnitude="constant")
    config = sp.TrainConfig(steps=2, batch_size=2, history=1, evaluation_samples=2)
    result = sp.sweep(task, config, sp.Grid(seed=range(2)), block_size=2, progress=False)
    return result, result.save(tmp_path_factory.mktemp("outputs") / "r.zarr")


@pytest.fixture(scope="module")
def html():
    return page("explorer.js", {}, title="T")


def command(monkeypatch, *arguments):
    """Exit status of a command."""
    from superpos.cli import main

    monkeypatch.setattr(sys, "argv", ["superpos", *map(str, arguments)])
    try:
        main()
    except SystemExit as ended:
        return ended.code
    return 0


def writers(result, path, html):
    """Everything that writes one file: its name, and how it is written with or without `overwrite`."""
    figure = plt.figure(figsize=(1, 1))
    claims = Claims("nobody")
    return {
        "page.html": lambda p, **o: write_page(p, html, **o),
        "r.zip": lambda p, **o: export_writer.pack(path, p, **o),
        "r.parquet": lambda p, **o: export_writer.export(result, p, **o),
        "r.nc": lambda p, **o: export_writer.export(result, p, **o),
        "r.safetensors": lambda p, **o: export_writer.export(result, p, **o),
        "f.svg": lambda p, **o: sp.plot.save(figure, "c", path=p, **o),
        "f.png": lambda p, **o: sp.plot.save(figure, "c", path=p, **o),
        "f.txt": lambda p, **o: sp.plot.save(figure, "c", path=p.with_suffix(""), **o),
        "f.json": lambda p, **o: publish(figure, "c", claims, path=p.with_suffix(""), **o),
    }


NAMES = ["page.html", "r.zip", "r.parquet", "r.nc", "r.safetensors", "f.svg", "f.png", "f.txt", "f.json"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_its_own_is_replaced_on_purpose_only(name, stored, html, tmp_path):
    write = writers(*stored, html)[name]
    mine, target = b"[task]\nn_features = 4\n", tmp_path / name
    target.write_bytes(mine)
    with pytest.raises(sp.ConfigError, match="exists and is no .* of superpos, so it is not replaced"):
        write(target)
    assert target.read_bytes() == mine and [p.name for p in tmp_path.iterdir()] == [name]  # nothing beside it either
    write(target, overwrite=True)
    assert target.read_bytes() != mine
    if name in ("page.html", "f.svg", "f.png", "f.txt", "f.json"):
        write(target)  # an earlier one of its own
    else:
        with pytest.raises(sp.ConfigError, match="exists"):
            write(target)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".") or p.name.endswith(atomic_io.TEMPORARY)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_folders_devices_dead_links_and_results_are_never_written_to(name, stored, html, tmp_path):
    result, path = stored
    write = writers(result, path, html)[name]
    inside = path / "W" / name
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / name).symlink_to(inside)
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / name).symlink_to(tmp_path / "absent")
    (tmp_path / "folder" / name).mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / name)
    packed = export_writer.pack(path, tmp_path / "packed" / name)
    good = packed.read_bytes()
    before = sorted(path.rglob("*"))
    wrong = [inside, path / name, *(tmp_path / n / name for n in ("link", "dead", "folder", "pipe"))]
    for target in wrong if name == "r.zip" else [*wrong, packed]:
        with pytest.raises(sp.ConfigError, match=r"lies inside|link to nowhere|is no file|is a packed result"):
            write(target, overwrite=True)
    assert sorted(path.rglob("*")) == before and packed.read_bytes() == good


def test_a_link_stays_one(stored, html, tmp_path):
    (tmp_path / "public.html").symlink_to(write_page(tmp_path / "a.html", html))
    write_page(tmp_path / "public.html", html + "\n")
    assert (tmp_path / "public.html").is_symlink() and (tmp_path / "a.html").read_text() == html + "\n"


def test_the_page_of_all_figures_replaces_itself_alone(tmp_path):
    index(tmp_path, [])
    index(tmp_path, [])
    (tmp_path / "index.html").write_text("<!doctype html>mine")
    with pytest.raises(sp.ConfigError, match="no page"):
        index(tmp_path, [])


def test_commands_refuse_and_say_how(stored, tmp_path, monkeypatch, capsys):
    """The issue's input, a sweep file that became a page; and every other command that writes."""
    _, path = stored
    mine = tmp_path / "sweep.toml"
    mine.write_text("[task]\n")
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ("explore", path, "-o", mine),
        ("pack", path, "--out", mine),
        ("explore", path, "-o", path / "W" / "x.html", "--overwrite"),
        ("export", path, "--out", path / "x.parquet"),
        ("sweep", mine, "--out", mine, "task.n_features=2", "task.n_hidden=1", "grid.seed=[0]"),
    ):
        assert command(monkeypatch, *arguments) == 2, arguments
        assert capsys.readouterr().err.count("\n") == 1
    assert mine.read_text() == "[task]\n"
    for name in ("superpos-demo", "superpos-phase"):
        (tmp_path / name).mkdir()
    (tmp_path / "superpos-demo" / "five_features.png").write_text("mine")
    (tmp_path / "superpos-phase" / "phase_2_1.svg").write_text("mine")
    assert command(monkeypatch, "demo") == 2 and command(monkeypatch, "phase") == 2
    (tmp_path / "superpos-demo" / "five_features.png").unlink()
    stored[0].save(tmp_path / "superpos-demo" / "five_features.zarr")
    assert command(monkeypatch, "demo") == 2
    assert "is another result" in capsys.readouterr().err


def test_inside_a_store_packing_writes_beside_it(stored, tmp_path, monkeypatch, capsys):
    result, _ = stored
    monkeypatch.chdir(result.save(tmp_path / "s.zarr"))
    assert command(monkeypatch, "pack", ".") == 0
    xr.testing.assert_identical(sp.open(tmp_path / "s.zarr.zip").dataset, sp.open(tmp_path / "s.zarr").dataset)
    assert command(monkeypatch, "status", ".") == 0
    assert command(monkeypatch, "explore", ".") == 2
    assert "lies inside a result" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from pathlib import Path
from superpos.sweeping.store import export_writer, atomic_io
from superpos.explorer.assemble import write_page
real = os.fsync
def dying(descriptor):
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = dying
store, out = map(Path, sys.argv[1:])
write_page(out / "page.html", "<p>") if out.name == "page" else export_writer.pack(store, out / "r.zip")
"""


@pytest.mark.slow
def test_what_killed_writers_leave_is_removed_by_the_next_one(stored, tmp_path, html):
    """Killed in `pack` and in `explore`; then something else is written there."""
    _, path = stored
    for name in ("page", "pack"):
        (folder := tmp_path / name).mkdir()
        died = subprocess.run([sys.executable, "-c", KILLED, path, folder], check=False, capture_output=True)
        assert died.returncode == -signal.SIGKILL and len(list(folder.iterdir())) == 1
        write_page(folder / "another.html", html)
        assert [p.name for p in folder.iterdir()] == ["another.html"]
    for name, owner in (
        (".r.zip.aaaaaaaa", None),
        (".r.zip.bbbbbbbb", b""),
    ):  # killed before they were said to be anybody's
        (tmp_path / name).mkdir()
        if owner is not None:
            (tmp_path / name / atomic_io.OWNER).write_bytes(owner)
    (tmp_path / ".kept.by.somebody").mkdir()
    (tmp_path / ".kept.by.somebody" / "x").write_text("")
    (tmp_path / "notes.tmp").write_text("")
    outputs.write(tmp_path / "a", b"")
    assert {p.name for p in tmp_path.iterdir()} == {"page", "pack", ".kept.by.somebody", "notes.tmp", "a"}


def test_a_writer_that_lives_keeps_its_file(tmp_path, monkeypatch):
    descriptor = os.open(tmp_path / "a.1-0123abcd.tmp", os.O_RDWR | os.O_CREAT)
    assert atomic_io._lock(descriptor)
    with atomic_io.folder_beside(tmp_path / "b") as folder:
        outputs.write(tmp_path / "c", b"")
        assert folder.exists() and (tmp_path / "a.1-0123abcd.tmp").exists()
    os.close(descriptor)
    atomic_io.clean_beside(tmp_path / "d")
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_sizes_that_are_only_promised_take_no_memory(stored, tmp_path):
    """Files with holes, and metadata of nothing but brackets."""
    import json
    import shutil

    from superpos.sweeping.store import writer

    def hostile(name, change):
        copy = Path(shutil.copytree(stored[1], tmp_path / name))
        root = json.loads((copy / "zarr.json").read_text())
        change(copy, root["attributes"])
        root["attributes"]["digest"] = writer.digest(root["attributes"])
        (copy / "zarr.json").write_text(json.dumps(root))
        return copy

    def holes(copy, attributes):
        found = json.loads((copy / "record_step" / "zarr.json").read_text())
        found["shape"] = found["chunk_grid"]["configuration"]["chunk_shape"] = [2**30]
        found["dimension_names"] = ["hole"]
        raw = json.dumps(found).encode()
        (copy / "record_step" / "zarr.json").write_bytes(raw)
        os.truncate(copy / "record_step" / "c.0", 8 * 2**30 + 4)
        attributes["checksums"]["record_step"] = atomic_io.checksum(raw).hex()
        attributes["variables"]["record_step"] |= {"dims": ["hole"], "shape": [2**30], "chunks": [2**30]}

    with pytest.raises(sp.StoreError, match="bytes of labels and holds"):
        sp.open(hostile("holes", holes))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "zarr.json").write_text('{"attributes": [' + "{}," * 600_000 + "{}]}")
    with pytest.raises(sp.StoreError, match="too many lists"):
        sp.open(tmp_path / "deep")
    assert np.isfinite(sp.open(stored[1])["loss"]).all()


SWEEP = "[task]\nn_features = 2\nn_hidden = 1\n[train]\nsteps = 2\n[grid]\nseed = [0, 1]\n"


@pytest.mark.parametrize("flag", ["--tensorboard", "--wandb"])
def test_no_log_goes_inside_a_result(flag, stored, tmp_path, monkeypatch, capsys):
    """Refused before anything is trained or written, whether the result is there already or is the one to come."""
    from superpos.sweeping import loggers

    _, path = stored
    before, file = sorted(path.rglob("*")), tmp_path / "s.toml"
    file.write_text(SWEEP)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "a file").write_text("mine")
    monkeypatch.setattr(loggers, "find_spec", lambda name: name)
    target = tmp_path / "t.zarr"
    for folder in (path, path / "W", path / "new" / "newer", tmp_path / "link" / "x", target, target / "x"):
        monkeypatch.setenv("WANDB_DIR", str(folder))
        value = folder if flag == "--tensorboard" else "project"
        assert command(monkeypatch, "sweep", file, "--out", target, flag, value) == 2, folder
        assert "lies inside a result" in capsys.readouterr().err
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "a file"))
    value = tmp_path / "a file" / "x" if flag == "--tensorboard" else "project"
    assert command(monkeypatch, "sweep", file, "--out", target, flag, value) == 2
    assert "is a file" in capsys.readouterr().err
    assert sorted(path.rglob("*")) == before and not target.exists()


def test_what_a_sweep_keeps_beside_its_store_goes_inside_no_other(stored, tmp_path):
    result, path = stored
    for what in ("log", "checkpoints"):
        other = result.save(tmp_path / f"t.{what}")
        with pytest.raises(sp.ConfigError, match=f"its {what} would go to .*, which is a result"):
            sp.sweep(result.task(seed=0), result.config(seed=0), sp.Grid(seed=[0]), tmp_path / "t.zarr", progress=False)
        assert xr.testing.assert_identical(sp.open(other).dataset, result.dataset) is None
        other.rename(tmp_path / f"moved {what}")
    with pytest.raises(sp.ConfigError, match="lies inside a result"):
        sp.cached(path / "W", geometry_of, result)
    assert not list(path.rglob("*.nc")) and not (tmp_path / "t.zarr").exists()


def geometry_of(result):
    raise AssertionError("nothing is computed")


def test_the_page_of_all_figures_removes_its_own_records_alone(stored, tmp_path, monkeypatch, capsys):
    import runpy

    _, path = stored
    monkeypatch.setattr(sys, "argv", ["all.py"])
    every = runpy.run_path(str(Path(__file__).parents[1] / "figures" / "all.py"))["main"]
    every.__globals__["run_scripts"] = lambda *_: iter(())
    own, mine = tmp_path / "capacity.json", tmp_path / "five_features.json"
    publish(plt.figure(figsize=(1, 1)), "c", Claims("nobody"), path=tmp_path / "capacity")
    record = own.read_bytes()
    for foreign in (
        '{\n "caption": "a photograph of a cat"\n}',
        "[]",
        "no json",
        '{"caption": 1, "claims": 2, "source": 3}',
    ):
        mine.write_text(foreign)
        with pytest.raises(sp.ConfigError, match="is no figure of superpos"):
            every(only=("capacity", "five_features"), out=tmp_path)
        assert mine.read_text() == foreign and own.read_bytes() == record and not (tmp_path / "index.html").exists()
    mine.unlink()
    every(only=("capacity", "five_features"), out=tmp_path)
    assert not own.exists()
    (tmp_path / "index.html").write_text("mine")
    publish(plt.figure(figsize=(1, 1)), "c", Claims("nobody"), path=tmp_path / "capacity")
    with pytest.raises(sp.ConfigError, match="is no page of superpos"):
        every(only=("capacity",), out=tmp_path)
    assert own.read_bytes() == record
    before = sorted(path.rglob("*"))
    with pytest.raises(sp.ConfigError, match="lies inside a result"):
        every(only=("capacity",), out=path / "gallery")
    assert sorted(path.rglob("*")) == before


KILLED_WRITING = """
import os, signal, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import h5netcdf, pyarrow, safetensors.numpy
import test_outputs as here
import superpos as sp
store, out = Path(sys.argv[2]), Path(sys.argv[3])

def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)

for call, names in {"fsync": here.WRITERS, "replace": ["r.nc", "publish"], "rename": here.FOLDERS}.items():
    for name in names:
        if not (child := os.fork()):  # JAX has started nothing by then
            (folder := out / call / name).mkdir(parents=True)
            first, again = here.killed_writers(sp.open(store), store, folder)[name]
            first()
            setattr(os, call, die)
            again()
            os._exit(1)
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            print("it lives:", call, name)
"""
FOLDERS = ["r.zarr", "saved", "demo", "phase"]
WRITERS = ["r.nc", "r.parquet", "r.safetensors", "packed.zip", "page.html", "plot", "publish", *FOLDERS]


def killed_writers(result, store, out, trained=True):
    """Everything that writes, by name: a first call, and one more that replaces what the first wrote.

    Nothing is trained: what a command would train is the result, or it stops there.
    """
    from unittest.mock import patch

    from superpos.cli.demo import demo
    from superpos.cli.phase import phase

    def sweep(*given, store=None, **options):
        if not trained:
            raise sp.ConfigError("no training today")
        return result if store is None else result.save(store, overwrite=True)

    def commanded(do, name, **options):
        def call():
            with patch.object(sp, "sweep", sweep), patch("superpos.cli.demo._of_a_demo", return_value=True):
                do(out=out, **options)

        return lambda: result.save(out / name), call

    def twice(do):
        return do, do

    def picture():
        return plt.figure(figsize=(1, 1))

    return {
        **{
            n: twice(lambda n=n: export_writer.export(result, out / n, overwrite=True))
            for n in (*WRITERS[:3], "r.zarr")
        },
        "packed.zip": twice(lambda: export_writer.pack(store, out / "packed.zip", overwrite=True)),
        "page.html": twice(lambda: write_page(out / "page.html", page("explorer.js", {}, title="T"))),
        "plot": twice(lambda: sp.plot.save(picture(), "c", path=out / "plot")),
        "publish": twice(lambda: publish(picture(), "c", Claims("nobody"), path=out / "publish")),
        "saved": twice(lambda: result.save(out / "saved", overwrite=True)),
        "demo": commanded(demo, "five_features.zarr"),
        "phase": commanded(phase, "phase_2_1.zarr", cells=2, seeds=1, steps=1, overwrite=True),
    }


@pytest.mark.slow
def test_killed_while_it_writes_every_command_leaves_the_earlier_file_and_cleans_next_time(stored, tmp_path):
    """Killed before a file is on disk, before it has its name, and before a folder has: then the same is done again."""
    pytest.importorskip("h5netcdf"), pytest.importorskip("pyarrow"), pytest.importorskip("safetensors")
    result, path = stored
    environment = os.environ | {"MPLBACKEND": "agg"}
    arguments = [sys.executable, "-c", KILLED_WRITING, Path(__file__).parent, path, tmp_path]
    ran = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0 and "it lives" not in ran.stdout, ran.stdout + ran.stderr

    def found(folder):
        everything = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        dead = {n for n in everything if n.startswith(".") or n.endswith(atomic_io.TEMPORARY)}
        return {n: raw for n, raw in everything.items() if n not in dead}, dead

    for folder in sorted(tmp_path.glob("*/*")):
        before, dead = found(folder)
        assert before and dead, folder
        again = killed_writers(result, path, folder, trained=False)[folder.name][1]
        if folder.name in ("demo", "phase"):
            with pytest.raises(sp.ConfigError, match="no training today"):
                again()
        else:
            again()
        after, dead = found(folder)
        same = [n for n in before if n.endswith(".safetensors") or after[n] == before[n]]  # whose lists have no order
        assert same == list(before) and len(after) == len(before) and not dead, folder
        assert not [p for p in folder.iterdir() if p.name.startswith(".")]
