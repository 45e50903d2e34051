"""Weights that were trained elsewhere, read from their files without executing anything in them."""

import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from superpos import arrays
from superpos.errors import ConfigError, StoreError, one_line

SUFFIXES = (".safetensors", ".npz", ".npy", ".pt", ".pth")
# A compressed file may hold this many times what is on disk, or the second number of bytes if that is more.
MAX_RATIO, SMALL = 500, 64 * 2**20
MAX_DEPTH = 16  # of tables inside tables


def load(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays by name from `.safetensors`, `.npz`, `.npy` (one array, "W"), or PyTorch's `.pt` and `.pth`.

    Half precision comes as float32. Names in nested tables are joined by dots, as in `encoder.weight`; what is no array in a
    PyTorch file is left out. Nothing is renamed or transposed: here W is (n_hidden, n_features), with features as columns.
    The weight of `nn.Linear(n_features, n_hidden)` is just so, and the published notebook's (instance, n_features,
    n_hidden) is `W[k].T`. Then::

        weights = sp.load("theirs.npz")
        model = sp.ToyModel(weights["W"], weights["b"])
        sp.geometry(model.W)

    PyTorch's files need torch, and are read with `weights_only=True`: a file that wants to run code is refused.

    Raises:
        ConfigError: the suffix is another one, or what reads it is not installed.
        StoreError: there is no such file, or it is damaged, unpacks to far more than it is, or an array is none of numbers.
    """
    try:
        path = Path(path).expanduser()
    except (TypeError, RuntimeError, ValueError) as error:
        raise ConfigError(f"path must name a file of weights: {one_line(error)}.") from None
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(
            f"weights are read from {', '.join(SUFFIXES)}, got {path.name!r}; superpos.open reads results."
        )
    needs = {".safetensors": "safetensors", ".pt": "torch", ".pth": "torch"}.get(suffix)
    if needs is not None and find_spec(needs) is None:
        raise ConfigError(f"{suffix} files need {needs}: pip install {needs}.")
    if not path.is_file():
        raise StoreError(f"{path} is not there, or no file.")
    read = {".safetensors": _safetensors, ".npz": _npz, ".npy": _npy}.get(suffix, _torch)
    try:
        weights = read(path)
    except StoreError:
        raise
    except Exception as error:  # every reader has others
        raise StoreError(f"{path} cannot be read as weights: {type(error).__name__}: {one_line(error)}") from None
    return {name: _numbers(path, name, value) for name, value in weights.items()}


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import safe_open  # pyright: ignore[reportMissingImports]

    with safe_open(path, framework="flax") as file:  # NumPy alone has no bfloat16
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _npz(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > max(SMALL, MAX_RATIO * path.stat().st_size):
        raise StoreError(f"{path} would unpack to {size / 2**30:.3g} GiB, far more than weights compress to.")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _npy(path: Path) -> dict[str, Any]:
    return {"W": np.load(path, allow_pickle=False)}


def _torch(path: Path) -> dict[str, Any]:
    import torch  # pyright: ignore[reportMissingImports]

    return dict(_leaves("", torch.load(path, map_location="cpu", weights_only=True), 0))


def _leaves(name: str, value: Any, depth: int) -> Any:
    """Tensors of nested tables, by names joined with dots; words and other settings of a checkpoint are left out."""
    if not isinstance(value, Mapping):
        if hasattr(value, "shape"):
            yield name or "W", value
        return
    if depth == MAX_DEPTH:
        raise StoreError(f"{name} holds tables inside tables, more than {MAX_DEPTH} deep.")
    for key, inner in value.items():
        yield from _leaves(f"{name}.{key}" if name else str(key), inner, depth + 1)


def _numbers(path: Path, name: str, value: Any) -> np.ndarray:
    try:
        return arrays.as_numpy(name, value, finite=False, empty=True)
    except ConfigError as error:
        raise StoreError(f"{path}: {error}") from None
