"""Weights from elsewhere: what comes in is what was written, and files that are none are refused in one sentence."""

import sys
import types
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import superpos as sp

W = np.array([[0.5, -0.25, 1.0], [1.5, 2.0, -0.75]])
ARRAYS = {"W": W.astype(np.float32), "b": np.float32([0.0, 0.5, -0.5])}


def assert_holds_arrays(path):
    found = sp.load(path)
    assert sorted(found) == ["W", "b"]
    for key, array in found.items():
        assert array.dtype == np.float32
        assert_array_equal(array, ARRAYS[key])


def test_arrays_come_back_as_they_were_written(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    np.savez_compressed(tmp_path / "c.npz", **ARRAYS)
    for name in ("a.npz", "c.npz"):
        assert_holds_arrays(tmp_path / name)
    np.save(tmp_path / "one.npy", W.astype(np.float16))
    assert_array_equal(sp.load(str(tmp_path / "one.npy"))["W"], W)


def test_safetensors_come_back_as_they_were_written(tmp_path):
    """The numbers are exact in bfloat16, too."""
    save_file = pytest.importorskip("safetensors.flax", reason="safetensors is not installed").save_file
    save_file({name: jnp.asarray(array) for name, array in ARRAYS.items()}, tmp_path / "a.safetensors")
    save_file({name: jnp.asarray(array, jnp.bfloat16) for name, array in ARRAYS.items()}, tmp_path / "half.safetensors")
    for name in ("a.safetensors", "half.safetensors"):
        assert_holds_arrays(tmp_path / name)
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(sp.StoreError, match=r"noise\.safetensors.*cannot be read"):
        sp.load(tmp_path / "noise.safetensors")


def test_they_go_into_geometry_expected_loss_and_a_model(tmp_path):
    pair = np.array([[1.0, -1.0]])
    np.savez(tmp_path / "pair.npz", W=pair, b=np.zeros(2))
    found = sp.load(tmp_path / "pair.npz")
    model = sp.ToyModel(found["W"], found["b"])
    assert str(sp.geometry(model.W)).startswith("antipodal pair")
    assert float(sp.expected_loss(found["W"], found["b"], feature_probability=0.1)) == pytest.approx(
        0.1**2 / 6, rel=1e-5
    )


def test_torch_reads_without_executing_anything_and_tables_are_flattened(tmp_path, monkeypatch):
    """torch itself is not among the tests' packages: a stand-in notes how it is called."""
    calls = {}

    def load(path, **options):
        calls.update(options)
        return {"model": {"W": ARRAYS["W"], "layer": {"b": ARRAYS["b"]}}, "step": 7, "name": "run"}

    stand_in = types.ModuleType("torch")
    stand_in.load = load
    monkeypatch.setitem(sys.modules, "torch", stand_in)
    monkeypatch.setattr("superpos.weight_files.find_spec", lambda name: True)
    (tmp_path / "w.pt").write_bytes(b"x")
    found = sp.load(tmp_path / "w.pt")
    assert sorted(found) == ["model.W", "model.layer.b"] and calls == {"map_location": "cpu", "weights_only": True}
    deep = ARRAYS
    for _ in range(20):
        deep = {"a": deep}
    stand_in.load = lambda path, **options: deep
    with pytest.raises(sp.StoreError, match="deep"):
        sp.load(tmp_path / "w.pt")
    monkeypatch.setattr("superpos.weight_files.find_spec", lambda name: None)
    with pytest.raises(sp.ConfigError, match="need torch"):
        sp.load(tmp_path / "w.pt")


def test_files_that_are_no_weights_are_refused_in_one_sentence(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([print, None], object), allow_pickle=True)
    np.savez(tmp_path / "words.npz", W=np.array(["a", "b"]))
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "noise.npz").write_bytes(b"\xff" * 64)
    np.savez(tmp_path / "cut.npz", **ARRAYS)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("W.npy", "w") as member,
    ):
        for _ in range(80):
            member.write(bytes(2**20))
    (tmp_path / "folder.npz").mkdir()
    said = {
        "objects.npy": "allow_pickle", "words.npz": "W", "empty.npz": "cannot be read", "noise.npz": "cannot be read",
        "cut.npz": "cannot be read", "bomb.npz": "unpack", "folder.npz": "no file", "absent.npz": "not there",
    }  # fmt: skip
    for name, words in said.items():
        with pytest.raises(sp.StoreError, match=words) as refused:
            sp.load(tmp_path / name)
        assert "\n" not in str(refused.value) and name in str(refused.value)
    for path in (tmp_path / "w.pkl", "result.zarr", "~nobody_of_this_name/w.npz"):
        with pytest.raises(sp.ConfigError):
            sp.load(path)
