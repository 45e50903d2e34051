"""One axis of a grid: its values, and what a value sets of a field."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from superpos import arrays, check
from superpos.data.frequencies import geometric_probabilities, zipf_probabilities
from superpos.errors import ConfigError

LAW_FIELDS = ("feature_probability", "importance")
MAX_VECTOR_NUMBERS = 10**6  # they are written out in a result's attributes


class Rule(StrEnum):
    """What a value of an axis sets, in the order in which axes are applied: whole fields before single entries."""

    VALUE = "value"  # the field, or all entries of it
    VECTOR = "vector"  # all entries, from a list of vectors
    POWER_LAW = "power_law"  # all entries: entry i in proportion to (i + 1)^−(1 + value)
    EXPONENTIAL = "exponential"  # all entries: entry i in proportion to exp(−value · i)
    DECAY = "decay"  # entry i is multiplied by value^i
    ENTRY = "entry"  # one entry

    @property
    def order(self) -> int:
        """Which of several axes over one field is applied first."""
        return list(Rule).index(self)


LAWS = {Rule.POWER_LAW: "power_law", Rule.EXPONENTIAL: "exponential_law"}  # and the functions that make them


@dataclass(frozen=True)
class Axis:
    """Values of one coordinate, and what a value sets: a whole field, one entry of a vector field, its decay or its law."""

    values: Any  # 1-D array; a scipy.stats distribution before a random design has drawn from it
    field: str
    rule: Rule = Rule.VALUE
    index: int = 0  # of the entry
    vectors: Any = None  # (k, n), of which a value is the index
    total: float | None = None  # what the entries of a law add up to; None: the first entry is 1

    @property
    def target(self) -> str:
        """The field or entry this axis sets, as text: `importance[-1]`."""
        return f"{self.field}[{self.index}]" if self.rule is Rule.ENTRY else self.field

    @classmethod
    def described(cls, attrs: Mapping[str, Any]) -> "Axis":
        """The axis that a result's attributes speak of, without its values."""
        rows = attrs.get("vectors")
        check.one_of("rule of a grid axis", attrs["rule"], tuple(Rule))
        vectors = None if rows is None else np.asarray(rows, float)
        field, rule = attrs["field"], Rule(attrs["rule"])
        total = _checked_total("a law", field, attrs["total"]) if rule in LAWS else None
        return cls(None, field, rule, attrs["index"], vectors, total)

    def law(self, value: float, n_features: int) -> np.ndarray:
        """The entries that the law of this axis gives to n features, shape (n_features,); see `power_law`.

        Raises:
            ConfigError: probabilities cannot add up to `total`, or some would be 0.
        """
        power = self.rule is Rule.POWER_LAW
        if self.field == "feature_probability":
            assert self.total is not None
            if self.total > n_features:
                raise ConfigError(
                    f"{LAWS[self.rule]}({self.field!r}): total must be at most the number of features, {n_features}, "
                    f"got {self.total:g}."
                )
            if power:
                return zipf_probabilities(n_features, 1 + value, self.total)
            return geometric_probabilities(n_features, math.exp(-value), self.total)
        index = np.arange(n_features)
        weights = np.exp(-(1 + value) * np.log1p(index)) if power else np.exp(-value * index)
        return weights if self.total is None else self.total * weights / weights.sum()


def entry(field: str, index: int, values: Any) -> Axis:
    """An axis that sets one entry of a vector field and leaves the others as they are.

    `Grid(relative_importance=entry("importance", -1, np.geomspace(0.1, 10, 64)))` sweeps the importance of the last
    feature; `entry("feature_probability", 0, …)` the density of the first.

    >>> sp.Grid(last=sp.entry("importance", -1, [0.1, 1.0, 10.0]), seed=range(2)).sizes
    {'last': 3, 'seed': 2}
    """
    check.integer("entry: index", index, at_least=-(2**31))
    return Axis(_numeric(f"entry({field!r})", values), str(field), Rule.ENTRY, int(index))


def decay(field: str, values: Any) -> Axis:
    """An axis that multiplies entry i of a vector field by value**i: `Grid(importance_decay=decay("importance", …))`.

    >>> sp.Grid(importance_decay=sp.decay("importance", [0.7, 0.9])).sizes
    {'importance_decay': 2}
    """
    return Axis(_numeric(f"decay({field!r})", values), str(field), Rule.DECAY)


def vectors(field: str, values: Any) -> Axis:
    """An axis of whole vectors: `Grid(profile=vectors("importance", [[1, 1, 1], [1, 0.5, 0.2]]))`.

    Under the field's own name a list of lists says the same: `Grid(importance=[[1, 1, 1], [1, 0.5, 0.2]])`. A label is the
    index of the vector, 0 and 1 here; the vectors themselves are in the attributes of a result, and `result.task(…)` has
    that of a cell.

    >>> sp.Grid(profile=sp.vectors("importance", [[1, 1, 1], [1, 0.5, 0.2]]), seed=range(2)).sizes
    {'profile': 2, 'seed': 2}
    """
    return _vectors(str(field), str(field), values)


def power_law(field: str, exponents: Any, *, total: float | None = None) -> Axis:
    r"""An axis of power laws: entry i = 1 … n of a vector field is in proportion to $i^{-(1 + \alpha)}$.

    `field` is `"feature_probability"` or `"importance"`, and the values are the exponents $\alpha \ge -1$ (-1: all entries
    are equal). The entries add up to `total`. For probabilities that is the mean number of active features, at most n; it
    must be given, and entries that would exceed 1 are 1, as in `superpos.data.zipf_probabilities`. For importances None
    makes the first entry 1. New exponents need no compilation.

    The frequencies of Liu, Liu and Gore 2025, "Superposition yields robust neural scaling" (arXiv 2505.10465).

    >>> sp.Grid(alpha=sp.power_law("feature_probability", [0, 0.5, 1], total=1), seed=range(4)).sizes
    {'alpha': 3, 'seed': 4}

    Raises:
        ConfigError: `field` has no law, an exponent is below -1, or `total` is missing or not allowed.
    """
    return _law(Rule.POWER_LAW, field, exponents, total, lowest=-1)


def exponential_law(field: str, rates: Any, *, total: float | None = None) -> Axis:
    r"""An axis of exponential laws: entry i = 0 … n − 1 of a vector field is in proportion to $e^{-\lambda i}$.

    The values are the rates $\lambda \ge 0$. Otherwise as `power_law`. `decay` multiplies the entries that a task has by
    powers, whatever they add up to; this holds their sum.

    >>> sp.Grid(rate=sp.exponential_law("importance", [0.1, 0.2])).sizes
    {'rate': 2}

    Raises:
        ConfigError: as `power_law`, and for a rate below 0.
    """
    return _law(Rule.EXPONENTIAL, field, rates, total, lowest=0)


def _law(rule: Rule, field: str, values: Any, total: float | None, lowest: float) -> Axis:
    check.one_of(f"{LAWS[rule]}: field", field, LAW_FIELDS)
    what = f"{LAWS[rule]}({field!r})"
    numbers = _numeric(what, values)
    if not hasattr(numbers, "rvs"):
        check.in_range(what, numbers, at_least=lowest)
    return Axis(numbers, field, rule, total=_checked_total(what, field, total))


def _checked_total(what: str, field: str, total: Any) -> float | None:
    if total is None:
        if field == "feature_probability":
            raise ConfigError(f"{what}: total is missing: how many features are active in the mean?")
        return None
    check.scalar(f"{what}: total", total)
    check.in_range(f"{what}: total", total, above=0)
    return float(total)


def axis_of(name: str, given: Any) -> Axis:
    """The axis of a field under its own name: of values, or of vectors where each of them is one."""
    if hasattr(given, "detach") or (type(given).__module__.startswith("jax") and not arrays.is_traced(given)):
        given = np.asarray(arrays.plain(f"grid axis {name}", given))
    if isinstance(given, np.ndarray) and not given.ndim:
        return Axis(_values(name, given), name)
    if not hasattr(given, "rvs") and isinstance(given, list | tuple | np.ndarray) and len(given):
        if isinstance(given, np.ndarray) and given.ndim > 1:
            return _vectors(name, name, given)
        if not isinstance(given, np.ndarray) and all(isinstance(v, list | tuple) or np.ndim(v) for v in given):
            return _vectors(name, name, given)
    return Axis(_values(name, given), name)


def _vectors(name: str, field: str, given: Any) -> Axis:
    """Vectors in the order in which they first come, and the index of each that was given."""
    what = f"grid axis {name}"
    listed = _listed(what, given)
    listed = [v if isinstance(v, np.ndarray) else np.asarray(arrays.plain(what, v)) for v in listed]
    if any(np.ndim(v) != 1 or np.shape(v) != np.shape(listed[0]) or not np.size(v) for v in listed):
        raise ConfigError(f"{what} must be a list of vectors of one length, each a list of numbers.")
    rows = np.stack([_finite(what, v) for v in listed])
    if rows.size > MAX_VECTOR_NUMBERS:
        raise ConfigError(f"{what} holds {rows.size:,} numbers; vectors may hold {MAX_VECTOR_NUMBERS:,} together.")
    _, first, code = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return Axis(np.argsort(order)[code.ravel()], field, Rule.VECTOR, 0, rows[first[order]])


def _listed(what: str, given: Any) -> list[Any]:
    if isinstance(given, str | bytes | Mapping | memoryview) or not isinstance(given, Iterable) or is_single(given):
        raise ConfigError(f"{what} must be a list of vectors, got {check.short(given)}.")
    if not (listed := list(given)):
        raise ConfigError(f"{what} is empty.")
    return listed


def is_single(given: Any) -> bool:
    """Whether something says that it can be walked through, and is an array of no axes."""
    return getattr(given, "ndim", 1) == 0


def _finite(what: str, given: Any) -> np.ndarray:
    values = check.finite_array(what, given)
    assert values is not None
    return values


def _numeric(name: str, given: Any) -> Any:
    values = _values(name, given)
    if not hasattr(values, "rvs") and values.dtype.kind not in "iuf":
        raise ConfigError(f"{name} must hold numbers, got {values[0]!r}.")
    return values


def _values(name: str, given: Any) -> Any:
    """A 1-D array of numbers, words or truth values; distributions pass through for random designs."""
    if hasattr(given, "rvs"):
        return given
    if arrays.is_traced(given):
        raise ConfigError(f"grid axis {name} must hold values that are known, and is inside a transform.")
    if hasattr(given, "detach") or isinstance(given, memoryview) or type(given).__module__.startswith("jax"):
        given = np.asarray(arrays.plain(f"grid axis {name}", given))
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ConfigError(f"grid axis {name} must be a list of values, got {' '.join(repr(given).split())[:60]}.")
    if isinstance(given, range) and given and -(2**63) <= min(given[0], given[-1]) <= max(given[0], given[-1]) < 2**63:
        step = given.step if len(given) > 1 else 1  # of one value it may be any number
        return given[0] + step * np.arange(len(given), dtype=np.int64)
    if isinstance(given, np.ndarray) and given.ndim == 1 and given.size and given.dtype.kind in "iuf":
        check.finite_array(f"grid axis {name}", given)
        return given.copy()
    values: Sequence[Any] | np.ndarray = given if isinstance(given, np.ndarray) else list(given)
    nested = (list, tuple, np.ndarray)
    if (
        np.ndim(values) != 1
        if isinstance(values, np.ndarray)
        else any(isinstance(v, nested) or np.ndim(v) for v in values)
    ):
        raise ConfigError(
            f"grid axis {name} must be a flat list; entry(…), decay(…) and vectors(…) sweep vector fields."
        )
    if len(values) == 0:
        raise ConfigError(f"grid axis {name} is empty.")
    kinds = {bool: "truth values", np.bool_: "truth values", str: "words"}
    kinds_of_values = {
        next((word for kind, word in kinds.items() if issubclass(t, kind)), "numbers") for t in set(map(type, values))
    }
    if len(kinds_of_values) > 1:
        raise ConfigError(f"grid axis {name} mixes {' and '.join(sorted(kinds_of_values))}.")
    if kinds_of_values == {"numbers"}:
        check.finite_array(f"grid axis {name}", values)
    return np.asarray(list(values))  # of a list: arrays of objects become arrays of what they hold
