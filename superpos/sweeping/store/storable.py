"""What of a dataset a file can hold so that the very same is read again: judged before anything is written, by name."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from superpos.errors import ConfigError, one_line
from superpos.sweeping.store import tables
from superpos.sweeping.store.handle import MAX_METADATA, METADATA

# Attributes that describe the form of a store on disk, and are no part of a result.
FORM = (
    "dims", "coordinate_dims", "coordinate_names", "words", "coordinates", "variables", "checksums", "labels",
    "chunk", "digest",
)  # fmt: skip
# The numbers of results, by their names in Zarr.
TYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
)  # fmt: skip
KINDS = "biufU"
CALLED = {"M": "times", "m": "spans of time", "c": "complex numbers", "S": "bytes", "V": "records", "O": "objects"}
LONGEST_NAME = 200  # bytes: it is the name of a folder
NOT_IN_NAMES = "/\\:\0"


def checked(dataset: xr.Dataset, *, kinds: str = KINDS, empty: bool = False, unicode: bool = False) -> xr.Dataset:
    """The dataset with words as text of one width and numbers in the machine's byte order, at most of 64 bits.

    `kinds` are NumPy's kinds of numbers that the file holds, `empty` whether it holds dimensions of length 0, `unicode`
    whether words must be valid text without zeros.

    Raises:
        ConfigError: a variable, a dimension or an attribute is none that could be read again.
    """
    changed: dict[Any, xr.Variable] = {}
    for name, variable in dataset.variables.items():
        check_name("variable", name)
        for dim in variable.dims:
            if not isinstance(dim, str) or not dim:
                raise ConfigError(f"variable {name} cannot be stored: its dimension {dim!r} is no word.")
        if isinstance(dataset.indexes.get(name), pd.MultiIndex):
            raise ConfigError(
                f"variable {name} cannot be stored: it is an index of several; reset_index takes it apart."
            )
        if not empty and 0 in variable.shape:
            dim = variable.dims[variable.shape.index(0)]
            raise ConfigError(f"variable {name} cannot be stored: it has no entries along {dim}.")
        if (plain := _plain(str(name), variable, kinds)) is not variable:
            changed[name] = plain
        if unicode and plain.dtype.kind == "U":
            _check_text(str(name), plain.values)
    check_attributes(dataset.attrs)
    if len(json.dumps(dataset.attrs)) > MAX_METADATA:
        raise ConfigError(f"attributes cannot be stored: they take more than {MAX_METADATA:,} bytes.")
    coords = {name: variable for name, variable in changed.items() if name in dataset.coords}
    others = {name: variable for name, variable in changed.items() if name not in coords}
    return dataset.assign_coords(coords).assign(others) if changed else dataset


def attributes_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The attributes of every variable that has some, as JSON with their types; `tables` reads them.

    Raises:
        ConfigError: one cannot be written.
    """
    attributes = {}
    for name, variable in dataset.variables.items():
        try:
            attributes |= {str(name): tables._to_plain(dict(variable.attrs))} if variable.attrs else {}
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"attributes of variable {name} cannot be stored: {one_line(error)}.") from None
    return attributes


def check_not_form(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes without those of the form on disk, which a plain reader of a store shows among the others.

    Raises:
        ConfigError: one of somebody's own has such a name, and would be lost.
    """
    of_a_store = {"digest", "variables", "checksums"} <= set(attributes)
    if not of_a_store and (taken := next((name for name in FORM if name in attributes), None)):
        raise ConfigError(f"attribute {taken} cannot be stored: results use the name for something else; rename it.")
    return {name: value for name, value in attributes.items() if name not in FORM}


def check_name(what: str, name: Any) -> None:
    """Raise `ConfigError` for a name that is no word, or that files cannot be called."""
    if (
        not isinstance(name, str)
        or not name.strip(".")
        or name == METADATA
        or set(name) & set(NOT_IN_NAMES)
        or len(name.encode(errors="replace")) > LONGEST_NAME
    ):
        raise ConfigError(
            f"{what} {name!r:.80} cannot be stored: its name must be a word of at most {LONGEST_NAME} bytes, not "
            f"{METADATA}, without / \\ and :."
        )


def _plain(name: str, variable: xr.Variable, kinds: str) -> xr.Variable:
    kind = variable.dtype.kind
    if kind == "T" or (kind == "O" and all(isinstance(word, str) for word in variable.values.ravel())):
        words = np.array(variable.values.tolist(), dtype=str)
        return xr.Variable(variable.dims, words.reshape(variable.shape), variable.attrs)
    if kind not in kinds or (kind in "biuf" and variable.dtype.name not in (*TYPES, "float128", "longdouble")):
        raise ConfigError(
            f"variable {name} cannot be stored: it holds {CALLED.get(kind, 'values')} ({variable.dtype}), and results hold "
            "numbers, truth values and words."
        )
    if kind == "f" and variable.dtype.itemsize > 8:
        return variable.astype(np.float64)
    return variable if variable.dtype.isnative else variable.astype(variable.dtype.newbyteorder("="))


def _check_text(name: str, words: np.ndarray) -> None:
    for word in words.ravel().tolist():
        if "\0" in word or (not word.isascii() and any(0xD800 <= ord(c) < 0xE000 for c in word)):
            raise ConfigError(f"variable {name} cannot be stored: {word!r:.60} is no text of Unicode without zeros.")


def check_attributes(attributes: Mapping[Any, Any]) -> None:
    """Raise `ConfigError` for the first attribute that is none that could be read again."""
    for name, value in attributes.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f"attribute {name!r} cannot be stored: its name is no word.")
        owner = name if name in ("task", "train") and isinstance(value, dict) else None
        for key, part in value.items() if owner else ((name, value),):
            try:
                json.dumps(part)
            except (TypeError, ValueError, RecursionError):
                raise ConfigError(
                    f"{f'{owner}.{key}' if owner else f'attribute {name}'} must be numbers, words, truth values or lists of "
                    f"them to be stored, got {type(part).__name__}."
                ) from None
        if (odd := _odd_key(value)) is not None:
            raise ConfigError(f"attribute {name} cannot be stored: its key {odd!r} is no word.")


def _odd_key(value: Any) -> Any:
    """The first key of a table, at any depth, that is no word and would come back as one."""
    if isinstance(value, dict):
        odd = next((key for key in value if not isinstance(key, str)), None)
        return odd if odd is not None else next((k for v in value.values() if (k := _odd_key(v)) is not None), None)
    return next((k for v in value if (k := _odd_key(v)) is not None), None) if isinstance(value, list | tuple) else None
