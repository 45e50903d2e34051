"""Files that somebody broke, or made to break us: a named error or a missing cell, never a silent wrong number."""

import json
import os
import shutil
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import small

import superpos as sp
from superpos.sweeping import layout
from superpos.sweeping.axes import Axis
from superpos.sweeping.store import atomic_io, export_writer, writer

CODE = "import superpos as sp, sys\ntry:\n    sp.open(sys.argv[1]).dataset.load()\nexcept sp.StoreError as e:\n    print(e)"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "r.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CELLS_PER_CHUNK", 4)
        small.go(path)
    return path


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "r.zarr"))


def resigned(path, change):
    """Change the attributes as somebody would who knows how they are signed."""
    root = json.loads((path / "zarr.json").read_text())
    change(root["attributes"])
    root["attributes"]["digest"] = writer.digest(root["attributes"])
    (path / "zarr.json").write_text(json.dumps(root))


def remade(path, name, change):
    """Change an array's metadata, and the attributes with it."""
    metadata = path / name / "zarr.json"
    found = json.loads(metadata.read_text())
    change(found)
    metadata.write_text(json.dumps(found))

    def say(attributes):
        attributes["checksums"][name] = atomic_io.checksum(metadata.read_bytes()).hex()
        said = attributes["variables"][name]
        said["shape"], said["chunks"] = found["shape"], found["chunk_grid"]["configuration"]["chunk_shape"]
        said["dtype"] = found["data_type"]

    resigned(path, say)


@pytest.mark.slow
def test_two_hundred_mutations_over_every_file(whole, copy):
    """Each file in turn: one byte flipped (at a random place), truncated, emptied, deleted."""
    rng, whole_result = np.random.default_rng(3), sp.open(whole).dataset
    everything = sorted(p for p in copy.rglob("*") if p.is_file())
    tried, refused, missing = 0, 0, 0
    for _ in range(1 + 200 // (4 * len(everything))):
        for path in everything:
            good = path.read_bytes()
            for damage in ("flip", "truncate", "empty", "delete"):
                if damage == "flip":
                    bad = bytearray(good)
                    bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
                    path.write_bytes(bad)
                elif damage == "truncate":
                    path.write_bytes(good[: rng.integers(1, len(good))])
                elif damage == "empty":
                    path.write_bytes(b"")
                else:
                    path.unlink()
                tried += 1
                try:
                    found = sp.open(copy)
                    holds = ~found.missing.values
                    missing += not holds.all()
                    for name, values in whole_result.variables.items():
                        mine = found.dataset[name].values
                        where = holds if mine.shape[: holds.ndim] == holds.shape else ...
                        np.testing.assert_array_equal(mine[where], values.values[where], f"{path} {damage}")
                except sp.StoreError as error:
                    refused += 1
                    assert str(error).count("\n") == 0 and "r.zarr" in str(error)
                path.write_bytes(good)
    assert tried >= 200 and refused > tried / 2 and missing >= 4


@pytest.mark.slow
def test_impossible_shapes_are_refused_before_anything_is_allocated(whole, tmp_path):
    def cells(attributes):
        attributes["dims"] = {"cell": 10**12}

    def columns(found):
        found["shape"][0] = found["chunk_grid"]["configuration"]["chunk_shape"][0] = 10**12

    def wide(found):
        found["shape"][1] = found["chunk_grid"]["configuration"]["chunk_shape"][1] = 10**9

    def negative(found):
        found["shape"][0] = -1

    changes = [
        lambda p: resigned(p, cells),
        lambda p: remade(p, "grid_index", columns),
        lambda p: remade(p, "W", columns),
        lambda p: remade(p, "W", wide),
        lambda p: remade(p, "status", columns),
        lambda p: remade(p, "loss", negative),
        lambda p: resigned(p, lambda a: a.update(dims={"seed": 10**6, "feature_probability": 10**6})),
    ]
    for k, change in enumerate(changes):
        path = Path(shutil.copytree(whole, tmp_path / f"{k}.zarr"))
        change(path)
        begin = time.perf_counter()
        with pytest.raises(sp.StoreError, match="damaged|promises"):
            sp.open(path).dataset.load()
        assert time.perf_counter() - begin < 1


def test_nothing_is_allocated_for_cells_that_are_not_there(copy):
    """No model trained, and every model a hundred megabytes: a promise that a folder of some kilobytes cannot keep."""

    def wide(found):
        at = found["dimension_names"].index("hidden")
        found["shape"][at] = found["chunk_grid"]["configuration"]["chunk_shape"][at] = 10**7

    for chunk in (copy / "status").glob("c.*"):
        chunk.unlink()
    for name in ("W", "W_snapshots"):
        remade(copy, name, wide)
    with pytest.raises(sp.StoreError, match="promises"):
        sp.open(copy).dataset.load()


@pytest.mark.parametrize("codec", ["unknown", "zstd", "gzip", "sharding_indexed", "pickle"])
def test_codecs_we_do_not_write_are_refused(codec, copy):
    remade(copy, "W", lambda found: found["codecs"].insert(1, {"name": codec, "configuration": {}}))
    with pytest.raises(sp.StoreError, match=f"stored with bytes, {codec}"):
        sp.open(copy)


def test_what_is_not_ours_is_refused(tmp_path):
    import zarr

    zarr.create_group(tmp_path / "other.zarr", attributes={"made": "elsewhere"})
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "zarr.json").write_text("[" * 100_000)
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "zarr.json").write_text("[1]")
    (tmp_path / "binary").mkdir()
    (tmp_path / "binary" / "zarr.json").write_bytes(os.urandom(200))
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    for path in tmp_path.iterdir():
        with pytest.raises(sp.StoreError, match="no superpos result|damaged"):
            sp.open(path)


def test_links_are_refused(copy, tmp_path):
    secret = tmp_path / "secret"
    chunk = next(p for p in sorted((copy / "W").iterdir()) if p.name.startswith("c."))
    chunk.rename(secret)
    chunk.symlink_to(secret)
    with pytest.raises(sp.StoreError, match="is a link"):
        sp.open(copy)
    chunk.unlink()
    secret.rename(chunk)
    sp.open(copy)
    (copy / "W").rename(tmp_path / "W")
    (copy / "W").symlink_to(tmp_path / "W")
    with pytest.raises(sp.StoreError, match="refused: W in it is a link"):
        sp.open(copy)


def packed_with(whole, target, **changes):
    """A packed result with a member more: name, data and how it is kept."""
    export_writer.pack(whole, target)
    with zipfile.ZipFile(target, "a") as opened:
        member = zipfile.ZipInfo(changes["name"])
        member.external_attr = changes.get("attr", 0o644 << 16)
        opened.writestr(member, changes.get("data", b"x"), compress_type=changes.get("how", zipfile.ZIP_STORED))


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        ("member named", {"name": "../outside"}),
        ("member named", {"name": "/etc/passwd"}),
        ("member named", {"name": "W/../../outside"}),
        ("member named", {"name": "C:/x"}),
        ("is a link", {"name": "W/link", "attr": 0o120777 << 16}),
        ("compressed", {"name": "W/bomb", "data": bytes(10**7), "how": zipfile.ZIP_DEFLATED}),
        ("two members", {"name": "W/zarr.json"}),
    ],
)
def test_packed_files_with_hostile_members_are_refused(word, changes, whole, tmp_path):
    target = tmp_path / "r.zip"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile mentions the double name
        packed_with(whole, target, **changes)
    with pytest.raises(sp.StoreError, match=word):
        sp.open(target)
    assert [p.name for p in tmp_path.iterdir()] == ["r.zip"]


def test_damaged_packed_files_are_refused(whole, tmp_path):
    target = export_writer.pack(whole, tmp_path / "r.zip")
    good = target.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(40):
        bad = bytearray(good)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        target.write_bytes(bad)
        try:
            np.testing.assert_array_equal(sp.open(target)["W"].values, sp.open(whole)["W"].values)
        except sp.StoreError as error:
            assert str(error).count("\n") == 0
    for size in (0, 10, len(good) // 2, len(good) - 5):
        target.write_bytes(good[:size])
        with pytest.raises(sp.StoreError):
            sp.open(target)


def bomb(path):
    """A result of the first format whose chunk of W says it unpacks to eight gigabytes."""
    fixtures = Path(__file__).parent / "fixtures"
    shutil.copytree(fixtures / "format1.zarr", path)
    chunk = next(p for p in sorted((path / "W").rglob("*")) if p.is_file() and p.name != "zarr.json")
    frame = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + struct.pack("<Q", 2**33)
    block = ((131_072 << 3) | (1 << 1)).to_bytes(3, "little") + b"\0"  # 128 KiB of zeros in four bytes
    last = ((131_072 << 3) | (1 << 1) | 1).to_bytes(3, "little") + b"\0"
    raw = frame + block * (2**33 // 131_072 - 1) + last
    chunk.write_bytes(raw + atomic_io.checksum(raw))


@pytest.mark.slow
def test_memory_stays_small_whatever_a_file_promises(whole, tmp_path):
    """In a process of its own: the most memory ever used, against that of opening a good result."""
    bomb(tmp_path / "bomb.zarr")
    wide = Path(shutil.copytree(whole, tmp_path / "wide.zarr"))
    for chunk in (wide / "status").glob("c.*"):
        chunk.unlink()
    remade(
        wide,
        "W",
        lambda f: (
            f["shape"].__setitem__(1, 10**8) or f["chunk_grid"]["configuration"]["chunk_shape"].__setitem__(1, 10**8)
        ),
    )
    code = CODE + "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"

    def peak(path):
        run = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=120
        )
        *said, kilobytes = run.stdout.splitlines()
        return said, int(kilobytes) * 1024

    good, usual = peak(whole)
    assert good == []
    for path in (tmp_path / "bomb.zarr", wide):
        said, used = peak(path)
        assert len(said) == 1 and path.name in said[0]
        assert used < usual + 300e6


def test_names_that_are_markup_or_control_characters_stay_names(tmp_path, capsys):
    """Words of an axis may be anything: they come back as they were, and no figure or table runs them."""
    task = sp.tasks.Toy(n_features=3, n_hidden=2)
    grid = sp.Grid.zipped(seed=[0, 1])
    result = sp.sweep(
        task, small.settings(5)["config"].__class__(steps=5, batch_size=4, evaluation_samples=4), grid, block_size=2
    )
    hostile = ["<script>alert(1)</script>[bold red]$x^2$", "a\u202eb\x1b[31m"]
    named = sp.SweepResult(result.dataset.assign_coords(title=("cell", hostile)))
    again = sp.open(named.save(tmp_path / "t.zarr"))
    assert again["title"].values.tolist() == hostile
    from superpos.cli.report import print_shapes

    print_shapes(again, again.geometry())
    shown = capsys.readouterr().out
    assert "[bold red]" in shown and "\x1b" not in shown


def frame(*, says, blocks=1, length=131_072):
    """A Zstandard frame of blocks of zeros, with or without a word about how much they are."""
    head = bytes([0b11100000]) + struct.pack("<Q", says) if says is not None else bytes([0, 0x98])
    block = [((length << 3) | (1 << 1) | (k == blocks - 1)).to_bytes(3, "little") + b"\0" for k in range(blocks)]
    return b"\x28\xb5\x2f\xfd" + head + b"".join(block)


@pytest.mark.parametrize(
    "raw",
    [
        frame(says=None, blocks=7_000),  # 28 KB that unpack to 905 MB
        frame(says=None, length=192),
        frame(says=192, length=192) * 2,
        frame(says=192, length=192) + b"\x50\x2a\x4d\x18\0\0\0\0",  # a frame that is skipped
        frame(says=191, length=191),
        b"",
    ],
)
def test_chunks_of_the_first_format_hold_one_frame_that_says_its_size(raw, tmp_path):
    path = Path(shutil.copytree(Path(__file__).parent / "fixtures" / "format1.zarr", tmp_path / "r.zarr"))
    chunk = path / "W" / "c" / "0" / "0" / "0"
    good = frame(says=192, length=192)  # 8 × 2 × 3 numbers of four bytes
    chunk.write_bytes(good + atomic_io.checksum(good))
    assert not sp.open(path)["W"].values.any()
    chunk.write_bytes(raw + atomic_io.checksum(raw))
    with pytest.raises(sp.StoreError, match="does not hold what chunks of it hold"):
        sp.open(path)


@pytest.mark.parametrize("codec", ["gzip", "blosc", "sharding_indexed"])
def test_the_first_format_has_exactly_the_codecs_that_it_wrote(codec, tmp_path):
    path = Path(shutil.copytree(Path(__file__).parent / "fixtures" / "format1.zarr", tmp_path / "r.zarr"))
    metadata = path / "W" / "zarr.json"
    found = json.loads(metadata.read_text())
    found["codecs"][1] = {"name": codec, "configuration": {}}
    metadata.write_text(json.dumps(found))
    with pytest.raises(sp.StoreError, match="not stored as earlier versions did"):
        sp.open(path)


def test_an_axis_with_an_unknown_rule_is_refused():
    stated = {"name": "p", "field": "feature_probability", "rule": "squared", "index": 0}
    with pytest.raises(sp.ConfigError, match="rule of a grid axis must be one of value, vector, ") as error:
        Axis.described(stated)
    assert "\n" not in str(error.value)
