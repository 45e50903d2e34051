"""Questions to a result that have no answer: refused by name before anything is chosen."""

from typing import Any

import numpy as np

from superpos.errors import ConfigError


def check(name: str, values: Any, wanted: Any) -> None:
    """Refuse coordinates that are not of an axis's kind: finite numbers for numbers, words for words, truths for truths."""
    kind = {"b": "true or false", "U": "a word", "O": "a word", "T": "a word"}.get(values.dtype.kind, "a finite number")
    parts = (wanted.start, wanted.stop, wanted.step) if isinstance(wanted, slice) else (wanted,)
    for part in parts:
        if part is None and isinstance(wanted, slice):
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


def check_positions(name: str, length: int, wanted: Any) -> None:
    """Refuse positions that are not whole numbers; masks must be as long as the axis."""
    if isinstance(wanted, slice):
        wanted = [part for part in (wanted.start, wanted.stop, wanted.step) if part is not None]
    array = _array(wanted)
    mask = array.dtype.kind == "b" and array.ndim == 1 and len(array) == length
    if array.size and array.dtype.kind not in "iu" and not mask:
        raise ConfigError(f"{name} must be chosen by whole positions, got {' '.join(repr(wanted).split())[:60]}.")


def _array(given: Any) -> np.ndarray:
    try:
        return np.asarray(getattr(given, "values", given))
    except Exception:  # ragged, or whatever a foreign class raises
        return np.empty(1, object)
