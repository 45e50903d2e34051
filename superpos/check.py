"""Validators for the public boundary: one sentence, naming the field, the value and what is allowed.

They accept one value or an array of values (a whole grid axis at once), and let tracers pass: inside a transform
there is no value to look at yet.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np

from superpos.arrays import is_traced, plain
from superpos.errors import ConfigError, shortened
from superpos.process import check_process

# Words people use for the same thing; spelling distance alone cannot map a synonym.
SYNONYMS = {
    "sparsity": "feature_probability (= 1 - sparsity)",
    "density": "feature_probability",
    "p": "feature_probability",
    "feature_prob": "feature_probability",
    "lr": "learning_rate",
    "wd": "weight_decay",
    "n_feat": "n_features",
    "n_instances": "seed, as a grid axis",
    "d_hidden": "n_hidden",
    "m": "n_hidden",
    "n": "n_features",
    "batch": "batch_size",
    "epochs": "steps",
    "n_steps": "steps",
    "num_steps": "steps",
    "seeds": "seed",
    "optimiser": "optimizer",
}


def suggestion(word: str, known: Iterable[str]) -> str:
    """' Did you mean …?' for the likeliest known field or its synonym, or an empty string."""
    return f" Did you mean {SYNONYMS[word]}?" if word in SYNONYMS else nearest(word, known)


def nearest(word: str, known: Iterable[str]) -> str:
    """The same by spelling alone: for words that are no fields, as the values of one."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""


def known_key(word: str, known: Sequence[str], what: str) -> None:
    """Refuse a name that is none of `known`."""
    if word not in known:
        raise ConfigError(f"{what} has no field {word!r}.{suggestion(word, known)} Fields: {', '.join(known)}.")


def finite_array(name: str, value: Any) -> np.ndarray | None:
    """`value` as a float64 array; None for a tracer; an error for anything that is not finite numbers (see `arrays`)."""
    check_process()  # here, since nearly everything that computes looks at its numbers first
    if is_traced(value):
        return None
    array = plain(name, value)
    if is_traced(array):
        return None
    array = np.asarray(array).astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ConfigError(f"{name} must be finite, got {short(_first(array, np.asarray(~np.isfinite(array))))}.")
    return array


def in_range(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse numbers outside an interval; open ends are `above` and `below`, closed ones `at_least` and `at_most`."""
    array = finite_array(name, value)
    if array is None:
        return
    wrong = np.zeros(array.shape, bool)
    words = []
    for bound, fails, word in (
        (above, lambda a, b: a <= b, "above"),
        (at_least, lambda a, b: a < b, "at least"),
        (below, lambda a, b: a >= b, "below"),
        (at_most, lambda a, b: a > b, "at most"),
    ):
        if bound is not None:
            wrong |= fails(array, bound)
            words.append(f"{word} {bound:g}")
    if wrong.any():
        raise ConfigError(f"{name} must be {' and '.join(words)}, got {short(_first(array, np.asarray(wrong)))}.")


def number(name: str, value: Any, **bounds: Any) -> Any:
    """One number in an interval (see `in_range`), as a float; a tracer stays one."""
    scalar(name, value)
    in_range(name, value, **bounds)
    array = finite_array(name, value)
    return value if array is None else float(array)


def integer(name: str, value: Any, *, at_least: int = 0, at_most: int = 2**31 - 1) -> None:
    """Refuse anything but a whole number (an int, not True or 3.0) in the closed interval."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{name} must be a whole number, got {short(value)}.")
    if not at_least <= value <= at_most:
        limit = f"at least {at_least}" if value < at_least else f"at most {at_most}"
        raise ConfigError(f"{name} must be {limit}, got {value}.")


def whole_numbers(name: str, value: Any) -> None:
    """Refuse numbers with a fraction, one or an array of them; floats such as 3.0 pass."""
    array = finite_array(name, value)
    if array is not None and np.any(array % 1):
        raise ConfigError(f"{name} must be a whole number, got {_first(array, np.asarray(array % 1 != 0)):g}.")


def trained_as(name: str, values: np.ndarray, dtype: Any) -> None:
    """Refuse numbers that are too large, or not 0 but too small, for the precision that models are trained in."""
    large = np.isfinite(values) & (np.abs(values) > np.finfo(dtype).max)
    if large.any():
        raise ConfigError(f"{name} must be at most {np.finfo(dtype).max:.3g} in size, got {_first(values, large):g}.")
    lost = (np.abs(values) < np.finfo(dtype).tiny) & (values != 0)
    if lost.any():
        least, small = f"{np.finfo(dtype).tiny:.3g}", f"{_first(values, np.asarray(lost)):g}"
        raise ConfigError(f"{name} must be 0 or at least {least} in size, got {small}.")


def held_apart(name: str, values: np.ndarray, dtype: Any) -> None:
    """Refuse a list of distinct numbers in which two are one number in the precision that models are trained in."""
    values = np.sort(values)
    with np.errstate(over="ignore"):
        trained = values.astype(dtype)
    merged = (values[1:] != values[:-1]) & (trained[1:] == trained[:-1]) & np.isfinite(trained[1:])
    if merged.any():
        at = int(np.argmax(merged))
        pair = f"{float(values[at])!r} and {float(values[at + 1])!r}"
        raise ConfigError(
            f"{name} holds {pair}, which are one number in {np.dtype(dtype).name}: one model, two labels."
        )


def boolean(name: str, value: Any) -> None:
    """Refuse anything but True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{name} must be true or false, got {short(value)}.")


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Refuse a word that is none of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        hint = nearest(value, allowed) if isinstance(value, str) else ""
        raise ConfigError(f"{name} must be one of {', '.join(allowed)}, got {short(value)}.{hint}")


def vector(name: str, value: Any, length: int) -> None:
    """Refuse a shape that is neither a scalar nor one value per feature."""
    finite_array(name, value)
    if np.shape(value) not in ((), (length,)):
        raise ConfigError(
            f"{name} must be one number or {length} (one per feature), got an array of shape {tuple(np.shape(value))}."
        )


def scalar(name: str, value: Any) -> None:
    """Refuse an array where one number is meant."""
    finite_array(name, value)
    if np.shape(value) != ():
        raise ConfigError(f"{name} must be one number, got an array of shape {tuple(np.shape(value))}.")


def _first(array: np.ndarray, where: np.ndarray) -> float:
    return float(array[where].flat[0])


def short(value: Any) -> str:
    """A value as a sentence quotes it."""
    return shortened(f"{value:g}" if isinstance(value, float) else repr(value))
