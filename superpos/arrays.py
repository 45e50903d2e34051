"""The one door through which arrays come in: whatever holds numbers goes in, checked numbers of at least float32 come out.

Taken are arrays of NumPy and JAX, `nnx` parameters, tensors of PyTorch (also those that require gradients), labelled arrays
of xarray and pandas, lists, buffers, and anything with `__array__`, `numpy()`, `__dlpack__` or `.values`. Half precision
becomes float32, whole numbers float64; float32 and float64 stay. An array of truth values counts as 0 and 1; True by itself
or in a list is no number, here and in settings. A value that exists only inside a JAX transform passes, and only its type
and shape are looked at: functions stay usable under `jit`, `vmap` and `grad`.
"""

import reprlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from superpos.errors import ConfigError, one_line, shortened

if TYPE_CHECKING:
    import jax

    # Numeric fields of tasks and configurations. They may be traced, and hold a leading axis of cells inside a sweep.
    Scalar: TypeAlias = float | np.number[Any] | np.ndarray | jax.Array
    OptionalScalar: TypeAlias = Scalar | None
    PerFeature: TypeAlias = Scalar | Sequence[float]  # one number, or one per feature
    Table: TypeAlias = Sequence[Any] | np.ndarray | jax.Array | None  # numbers in rows, or none
else:  # what is given is checked by sentences of our own (`superpos.check`)
    Scalar: TypeAlias = Any
    OptionalScalar: TypeAlias = Any
    PerFeature: TypeAlias = Any
    Table: TypeAlias = Any

_T = TypeVar("_T")

# Squares of larger weights overflow in single precision.
MAX_WEIGHT = 1e15
MAX_IMPORTANCE = 1e12  # times the errors of parameters up to a million, it fits single precision


def is_traced(value: Any) -> bool:
    """True for a value that exists only inside a JAX transform (also for the placeholders pytrees hold)."""
    from jax import ShapeDtypeStruct
    from jax.core import Tracer

    return isinstance(value, Tracer | ShapeDtypeStruct)


def as_array(
    name: str,
    value: Any,
    *,
    ndim: int | Sequence[int] | None = None,
    shape: Sequence[int | None] | None = None,
    finite: bool = True,
    empty: bool = False,
    largest: float | None = None,
) -> Any:
    """`value` as an array of floats for work in JAX: a tracer or an array of JAX stays one, all else comes out as NumPy.

    `ndim` says how many axes it has (or may have), `shape` their lengths, None for any. With `finite=False` it may hold
    NaN and infinities, with `empty=True` an axis may have no entries. No entry may exceed `largest` either way.

    Raises:
        ConfigError: it holds no real numbers, or is of another shape; the message names the argument.
    """
    array = plain(name, value)
    array = _floating(array)
    _check_shape(name, array, ndim, shape, empty)
    if (finite or largest is not None) and not is_traced(array):
        _check_numbers(name, np.asarray(array), finite, largest)
    return array


def parameter(name: str, value: Any, shape: Sequence[int | None], *, optional: bool = False) -> Any:
    """A parameter of a model, as `as_array` gives it; it need not be finite. An optional one may be None, and stays so."""
    return None if optional and value is None else as_array(name, value, shape=shape, finite=False, empty=True)


def columns(name: str, value: Any, rows: int, *, ndim: Sequence[int] = (1, 2)) -> Any:
    """Inputs of a model as columns, one of shape (rows,) or many, (rows, batch), as `as_array` gives them."""
    array = as_array(name, value, ndim=ndim, finite=False, empty=True)
    if array.shape[0] != rows:
        raise ConfigError(f"{name} must have {rows} rows, inputs being columns, got an array of shape {array.shape}.")
    import jax.numpy as jnp

    with np.errstate(over="ignore"):  # what single precision cannot hold is infinite there, as inputs may be
        return jnp.asarray(array)


def as_numpy(name: str, value: Any, **options: Any) -> np.ndarray:
    """`value` as a NumPy array of floats, for work outside JAX; options as for `as_array`.

    Raises:
        ConfigError: as `as_array`, and for a value that exists only inside a JAX transform.
    """
    array = as_array(name, value, **options)
    if is_traced(array):  # or something in a list was
        raise ConfigError(
            f"{name} must hold numbers that are known: this function cannot run inside jit, vmap or grad."
        )
    return np.asarray(array)


def weights(name: str, value: Any, **options: Any) -> Any:
    """The W of a model, a run or a result of one cell, or W itself, (n_hidden, n_features), as `as_array` gives it.

    Raises:
        ConfigError: as `as_array`; the model has no W.
    """
    return as_array(name, weights_of(name, value), ndim=2, **{"largest": MAX_WEIGHT, **options})


def weights_of(name: str, value: Any) -> Any:
    """The W of a model, a run or a result of one cell; anything else as it is."""
    from flax import nnx

    if (parameters := _from_elsewhere(value)) is not None:
        return parameters["W"]
    model = model_of(value)
    if model is None:
        return value
    W = getattr(model, "W", None)
    if W is None:
        others = [key for key, leaf in vars(model).items() if isinstance(leaf, nnx.Variable) and leaf[...].ndim == 2]
        hint = f"; pass one of its {', '.join(sorted(others))}" if others else ""
        raise ConfigError(f"{name} cannot be taken from a {type(model).__name__}, which has no W{hint}.")
    return W


def model_of(value: Any) -> Any:
    """The model that a value is, or that a run or a result of one cell holds; None for anything else."""
    from flax import nnx

    if isinstance(value, nnx.Module):
        return value
    if type(value).__module__.partition(".")[0] != "superpos" or isinstance(value, nnx.Variable):
        return None
    holder = getattr(value, "model", None)  # a run has a model, a result gives one
    model = holder() if callable(holder) and not isinstance(holder, nnx.Module) else holder
    return model if isinstance(model, nnx.Module) else None


def _from_elsewhere(value: Any) -> Any:
    """The arrays of one model in a result that does not say how it was trained; None for anything else."""
    attrs = getattr(value, "attrs", None) if type(value).__module__.startswith("superpos.") else None
    if not isinstance(attrs, dict) or (attrs.get("task") or {}).get("kind") != "foreign" or "W" not in value.dataset:
        return None
    return value.dataset.squeeze()


def weights_and_bias(name: str, value: Any, b: Any, activation: str | None = None) -> tuple[Any, Any]:
    r"""W and b of $f(W^\top W x + b)$: those given, or those of a model, a run or a result of one cell given as W.

    A model's b is its own where b is None. With `activation`, the f that the function computes with, a model's must be that.

    Raises:
        ConfigError: the model has no W, another f, or a hidden layer that is not Wx.
    """
    if (parameters := _from_elsewhere(value)) is not None:
        return parameters["W"], parameters.get("b") if b is None else b
    model = model_of(value)
    if model is None:
        return value, b
    if getattr(model, "hidden_activation", "identity") != "identity":
        raise ConfigError(
            f"{name} must be of a model with the hidden layer Wx, not with one of {model.hidden_activation}."
        )
    model_activation = getattr(model, "activation", activation)
    if activation is not None and model_activation != activation:
        raise ConfigError(
            f'activation must be "{model_activation}", which is that of the model given as {name}, got "{activation}".'
        )
    return weights_of(name, value), getattr(model, "b", None) if b is None else b


def of_kind(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    """Refuse anything but an instance of a class, or of one of several."""
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ConfigError(f"{name} must be of type {' or '.join(k.__name__ for k in kinds)}, got {_short(value)}.")


def plain(name: str, value: Any) -> Any:
    """`value` as an array of real numbers of NumPy or JAX (or a tracer), in the machine's byte order.

    Raises:
        ConfigError: it is none: words, objects, complex numbers, a ragged list, a masked entry.
    """
    try:
        array = _read(value)
    except ConfigError:
        raise
    except Exception as error:  # whatever a foreign class raises
        ragged = isinstance(error, ValueError) and isinstance(value, list | tuple)
        why = (
            "it is ragged, with rows of different lengths" if ragged else f"reading it failed: {one_line(error)[:120]}"
        )
        raise ConfigError(f"{name} must be a number or an array of numbers; {why}.") from None
    if array is None:
        raise ConfigError(f"{name} must be a number or an array of numbers, got {_short(value)}.")
    if isinstance(array, np.ma.MaskedArray):
        if np.ma.is_masked(array):
            raise ConfigError(f"{name} must not have masked entries.")
        array = array.data
    if not _is_real(array.dtype):
        raise ConfigError(f"{name} must hold real numbers, got an array of {array.dtype}.")
    if array.dtype == bool and array.ndim == 0:
        raise ConfigError(f"{name} must be a number or an array of numbers, got a truth value.")
    if isinstance(array, np.ndarray):
        array = np.asarray(array)  # not a subclass, whose products may mean something else
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return array


def labelled(
    name: str, value: Any, dims: Sequence[str] = (), *, variables: Sequence[str] = (), values: bool = False
) -> None:
    """Refuse anything but a labelled array over (at least) `dims`, or a dataset with (at least) `variables`.

    With `values` the array must hold real numbers.
    """
    import xarray as xr

    kind = xr.Dataset if variables else xr.DataArray
    if not isinstance(value, kind):
        raise ConfigError(f"{name} must be an xarray.{kind.__name__}, got {_short(value)}.")
    if lacking := [d for d in dims if d not in value.dims]:
        dimensions = ", ".join(map(str, value.dims)) or "none"
        raise ConfigError(f"{name} must be labelled along {', '.join(lacking)}; its dimensions: {dimensions}.")
    if lacking := [v for v in variables if v not in value]:
        raise ConfigError(f"{name} must have {', '.join(lacking)}, got {', '.join(map(str, value))}.")
    if values and not _is_real(value.dtype):
        raise ConfigError(f"{name} must hold real numbers, got an array of {value.dtype}.")


def own(value: _T) -> _T:
    """A frozen task whose numeric fields are arrays of others, with arrays of our own in their place."""
    from dataclasses import fields, is_dataclass, replace

    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {}
    for field in fields(value):
        field_value = getattr(value, field.name)
        if is_foreign(field_value):
            changed[field.name] = plain(field.name, field_value)
    return replace(value, **changed) if changed else value  # pyright: ignore[reportReturnType]


def is_foreign(value: Any) -> bool:
    """Whether a value is an array of another library than NumPy and JAX."""
    import jax

    ordinary = (int, float, complex, str, bytes, list, tuple, dict, set, type, type(None), np.ndarray, np.generic)
    if isinstance(value, (*ordinary, jax.Array)) or is_traced(value):
        return False
    return any(hasattr(value, name) for name in ("detach", "to_numpy", "__array__", "numpy", "__dlpack__"))


def _unwrapped(value: Any) -> Any:
    from flax import nnx

    return value[...] if isinstance(value, nnx.Variable) else value


def _read(value: Any) -> Any:
    """What `value` holds, of any type; None where it holds no array."""
    import jax

    value = _unwrapped(value)
    if isinstance(value, jax.Array | np.ndarray):  # tracers are JAX arrays, too
        return value
    if isinstance(value, bool | int | float | np.generic | memoryview):
        return np.asarray(value)
    if value is None or isinstance(value, str | bytes | bytearray | complex | dict | set | frozenset | type):
        return None
    if isinstance(value, list | tuple | range):
        return _stacked(value)
    if _has(value, "detach"):  # PyTorch: out of the graph, off the device, and to a precision NumPy knows
        value = value.detach()
        value = value.cpu() if _has(value, "cpu") else value
        try:
            return np.asarray(value.numpy())
        except TypeError:
            return np.asarray(value.float().numpy())
    for method in ("to_numpy", "numpy"):  # xarray, pandas, polars; TensorFlow
        if method == "numpy" and hasattr(value, "__array__"):
            return np.asarray(value)
        if _has(value, method):
            return np.asarray(getattr(value, method)())
    if hasattr(value, "__dlpack__"):
        return np.from_dlpack(value)
    values = getattr(value, "values", None)
    if values is not None and not callable(values):
        return _read(values)
    try:
        return np.asarray(memoryview(value))
    except TypeError:
        return None


def _stacked(rows: Any) -> Any:
    """An array from nested lists, whose entries may be arrays of others."""
    import jax

    if isinstance(rows, range):
        return np.arange(rows.start, rows.stop, rows.step)
    if any(isinstance(row, bool | np.bool_) for row in rows):
        return None
    if all(isinstance(row, int | float | np.generic) for row in rows):
        return np.asarray(rows)
    read = [_read(row) for row in rows]
    if any(row is None for row in read):
        return None
    if any(isinstance(row, jax.Array) for row in read):
        return jax.numpy.stack(read)
    return np.stack(read)


def _is_real(dtype: Any) -> bool:
    import jax.numpy as jnp

    real = (np.bool_, np.integer, np.floating)
    return any(jnp.issubdtype(dtype, kind) for kind in real) and not np.issubdtype(dtype, np.timedelta64)


def _floating(array: Any) -> Any:
    """The array as floats of at least single precision."""
    import jax.numpy as jnp

    if array.dtype in (np.float32, np.float64):
        return array
    if not jnp.issubdtype(array.dtype, np.floating):
        return array.astype(float)
    if array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    return array.astype(np.float32)


def _check_shape(
    name: str, array: Any, ndim: int | Sequence[int] | None, shape: Sequence[int | None] | None, empty: bool
) -> None:
    actual = tuple(array.shape)
    if shape is not None:
        fits = len(actual) == len(shape) and all(n is None or n == m for n, m in zip(shape, actual, strict=True))
        if not fits:
            lengths = ", ".join("any" if n is None else str(n) for n in shape)
            if len(shape) == 1:
                lengths += ","
            raise ConfigError(f"{name} must have shape ({lengths}), got shape {actual}.")
    if ndim is not None:
        allowed = (ndim,) if isinstance(ndim, int) else tuple(ndim)
        if len(actual) not in allowed:
            expected = " or ".join(_AXES.get(n, f"an array of {n} axes") for n in allowed)
            raise ConfigError(f"{name} must be {expected}, got an array of shape {actual}.")
    if not empty and 0 in actual:
        raise ConfigError(f"{name} must not be empty, got an array of shape {actual}.")


_AXES = {0: "one number", 1: "a vector", 2: "a matrix (rows, columns)"}


def _check_numbers(name: str, array: np.ndarray, finite: bool, largest: float | None) -> None:
    if finite and not np.isfinite(array).all():
        raise ConfigError(f"{name} must be finite, got {array[~np.isfinite(array)].flat[0]:g}.")
    if largest is not None and array.size:
        with np.errstate(invalid="ignore"):
            beyond = np.abs(array) > min(largest, float(np.finfo(array.dtype).max))
        if beyond.any():
            raise ConfigError(f"{name} must lie within ±{largest:g}, got {array[beyond].flat[0]:g}.")


def _has(value: Any, method: str) -> bool:
    return callable(getattr(value, method, None))


def _short(value: Any) -> str:
    return shortened(reprlib.repr(value))
