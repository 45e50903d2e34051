"""Questions to a result that have no answer: refused by name before anything is chosen."""

from typing import Any

import numpy as np
import xarray as xr

from superpos.errors import ConfigError, MissingKeyError


def check(name: str, values: Any, labels: Any) -> None:
    """Refuse coordinates that are not of an axis's kind: finite numbers for numbers, words for words, truths for truths."""
    kind = {"b": "true or false", "U": "a word", "O": "a word", "T": "a word"}.get(values.dtype.kind, "a finite number")
    parts = (labels.start, labels.stop, labels.step) if isinstance(labels, slice) else (labels,)
    for part in parts:
        if part is None and isinstance(labels, slice):
            continue
        array = _array(part)
        if array.size == 0:
            continue  # chooses nothing, which is said later
        right = {"true or false": "b", "a word": "UT", "a finite number": "iuf"}[kind]
        if kind == "a word" and array.dtype.kind == "O":
            fits = all(isinstance(v, str) for v in array.flat)
        else:
            fits = array.dtype.kind in right
        if fits and kind == "a finite number":
            fits = bool(np.isfinite(array).all())
        if not fits:
            raise ConfigError(f"{name} must be {kind} to choose by, got {' '.join(repr(part).split())[:60]}.")


def check_method(method: str | None, coordinates: list[Any]) -> None:
    """Refuse "nearest" where no axis holds numbers to be near to."""
    if method is not None and not any(c.dtype.kind in "iuf" for c in coordinates):
        raise ConfigError(f"method={method!r} needs an axis of numbers to choose along.")


def check_positions(name: str, length: int, positions: Any) -> None:
    """Refuse positions that are not whole numbers; masks must be as long as the axis."""
    if isinstance(positions, slice):
        positions = [part for part in (positions.start, positions.stop, positions.step) if part is not None]
    array = _array(positions)
    mask = array.dtype.kind == "b" and array.ndim == 1 and len(array) == length
    if array.size and array.dtype.kind not in "iu" and not mask:
        raise ConfigError(f"{name} must be chosen by whole positions, got {' '.join(repr(positions).split())[:60]}.")


def _array(given: Any) -> np.ndarray:
    try:
        return np.asarray(getattr(given, "values", given))
    except Exception:  # ragged, or whatever a foreign class raises
        return np.empty(1, object)


def select(dataset: xr.Dataset, name: str, labels: Any, method: str | None) -> xr.Dataset:
    """Choose along one axis: a dimension of its own, or a column over the cells of a flat design.

    Raises:
        ConfigError: no cell is there.
    """
    values = dataset.coords[name]
    numeric = values.dtype.kind in "iuf"
    if name in dataset.dims:
        try:
            return dataset.sel({name: labels}, method=method if numeric else None)
        except Exception:  # xarray and pandas have one for every kind of index
            raise _no_cell(name, labels, numeric) from None
    if values.ndim != 1:
        raise ConfigError(f"result cannot be chosen by {name}, which was chosen before or differs from cell to cell.")
    if isinstance(labels, slice):
        raise ConfigError(
            f"{name} cannot be chosen by a slice here: cells stand in a list; give the values one by one."
        )
    listed = np.atleast_1d(np.asarray(labels)).ravel()
    if method and numeric:
        listed = np.array(
            [values.values[np.abs(values.values.astype(float) - v).argmin()] for v in listed.astype(float)]
        )
    cells = np.flatnonzero(np.isin(values.values, listed))
    if not np.isin(listed, values.values).all():
        raise _no_cell(name, labels, numeric)
    return dataset.isel({values.dims[0]: cells})


def _no_cell(name: str, label: Any, numeric: bool) -> MissingKeyError:
    hint = 'method="nearest" takes the closest' if numeric else "words and truth values must match exactly"
    words = " ".join(str(label).split())[:60]
    return MissingKeyError(f"result has no cell at {name}={words}; {hint}.")
