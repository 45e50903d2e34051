"""Labelled tables as bytes, and back, the very same: NetCDF (version 3) that any program reads, where that can hold them.

Where it cannot (whole numbers beyond 32 bits, complex numbers, times, mixed objects, odd names), the same file has one
variable of bytes, `superpos_table`: a list of what there is, as JSON, and after it the arrays.
"""

import base64
import io
import json
import math
import warnings
from typing import Any

import numpy as np
import xarray as xr

_ATTRIBUTES, _VARIABLE_ATTRIBUTES, _TYPES = "superpos_attributes", "superpos_variable_attributes", "superpos_types"
_PACKED, _TAG = "superpos_table", "superpos:"


def encode(table: xr.Dataset) -> bytes:
    """The table as a file that `decode` makes the same table of: every bit, type, name, index and attribute.

    Raises:
        ValueError: there is something in it that no such file holds.
    """
    reason = "it is changed by the file"
    for form in (_plain, _packed):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about what the check below finds
                raw = form(table)
                if _same(table, decode(raw)):
                    return raw
        except Exception as error:  # of NetCDF's writer and reader, of many kinds
            reason = " ".join(str(error).split())[:200] or type(error).__name__
    raise ValueError(reason)


def decode(raw: bytes) -> xr.Dataset:
    """The table of a file made by `encode`."""
    table = xr.load_dataset(io.BytesIO(raw), engine="scipy")
    if _PACKED in table.variables:
        return _unpacked(table[_PACKED].values.tobytes())
    of_variables = json.loads(table.attrs[_VARIABLE_ATTRIBUTES])
    for name, kind in json.loads(table.attrs[_TYPES]).items():
        table[name] = table[name].astype(kind)
    for name, variable in table.variables.items():
        variable.encoding, variable.attrs = {}, _from_plain(of_variables[str(name)])
    table.attrs = _from_plain(json.loads(table.attrs[_ATTRIBUTES]))
    return table


def _plain(table: xr.Dataset) -> bytes:
    """As NetCDF, whose numbers are of at most 32 bits if whole, and whose attributes are flat: both are noted as JSON."""
    if odd := [str(v.dtype) for v in table.variables.values() if v.dtype.kind not in "biufU"]:
        raise TypeError(f"NetCDF has no {odd[0]}")
    types = {str(name): variable.dtype.str for name, variable in table.variables.items()}
    of_variables = {str(name): _to_plain(variable.attrs) for name, variable in table.variables.items()}
    noted = {_ATTRIBUTES: _to_plain(table.attrs), _TYPES: types, _VARIABLE_ATTRIBUTES: of_variables}
    bare = table.drop_attrs().drop_encoding().assign_attrs({name: json.dumps(note) for name, note in noted.items()})
    return bytes(bare.to_netcdf(engine="scipy", format="NETCDF3_64BIT"))


def _packed(table: xr.Dataset) -> bytes:
    several = {}  # levels of indexes over several variables
    for dim in list(table.dims):
        if (index := table.xindexes.get(dim)) is not None and len(index.create_variables()) > 1:
            several[dim] = [name for name in index.create_variables() if name != dim]
    flat = table.reset_index(list(several)) if several else table
    blob, entries = bytearray(), []
    for name, variable in flat.variables.items():
        values = variable.values
        if values.dtype.hasobject or values.dtype.kind == "T":
            stored: Any = {"objects": [_to_plain(v) for v in values.ravel().tolist()], "dtype": _spelled(values.dtype)}
        else:
            stored = {"start": len(blob), "dtype": _spelled(values.dtype)}
            blob += np.ascontiguousarray(values).tobytes()
        dims = [_to_plain(dim) for dim in variable.dims]
        entries.append([_to_plain(name), dims, list(variable.shape), stored, _to_plain(variable.attrs)])
    head = {
        "variables": entries,
        "coordinates": [_to_plain(name) for name in flat.coords],
        "indexes": [_to_plain(name) for name in flat.xindexes],
        "several": [[_to_plain(dim), [_to_plain(name) for name in names]] for dim, names in several.items()],
        "attributes": _to_plain(table.attrs),
    }
    lead = json.dumps(head).encode()
    whole = np.frombuffer(len(lead).to_bytes(8, "little") + lead + bytes(blob), np.int8)
    return bytes(xr.Dataset({_PACKED: ("byte", whole)}).to_netcdf(engine="scipy", format="NETCDF3_64BIT"))


def _unpacked(raw: bytes) -> xr.Dataset:
    start = 8 + int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8:start])
    variables = {}
    for name, dims, shape, stored, attributes in head["variables"]:
        kind = _dtype(stored["dtype"])
        if "objects" in stored:
            values = np.empty(len(stored["objects"]), kind)
            for k, item in enumerate(stored["objects"]):
                values[k] = _from_plain(item)
        else:
            values = np.frombuffer(raw, kind, math.prod(shape), start + stored["start"]).copy()
        variable = xr.Variable([_from_plain(dim) for dim in dims], values.reshape(shape), _from_plain(attributes))
        variables[_from_plain(name)] = variable
    coords = {_from_plain(name): variables.pop(_from_plain(name)) for name in head["coordinates"]}
    table = xr.Dataset(variables, xr.Coordinates(coords, indexes={}), _from_plain(head["attributes"]))
    for name in head["indexes"]:
        table = table.set_xindex(_from_plain(name))
    for dim, names in head["several"]:
        table = table.set_index({_from_plain(dim): [_from_plain(name) for name in names]})
    return table


def _same(a: xr.Dataset, b: xr.Dataset) -> bool:
    if set(a.variables) != set(b.variables) or set(a.coords) != set(b.coords) or dict(a.sizes) != dict(b.sizes):
        return False
    if set(a.xindexes) != set(b.xindexes) or json.dumps(_to_plain(a.attrs)) != json.dumps(_to_plain(b.attrs)):
        return False
    return all(_described(variable) == _described(b.variables[name]) for name, variable in a.variables.items())


def _described(variable: xr.Variable) -> tuple[Any, ...]:
    values = variable.values
    whole = values.dtype.hasobject or values.dtype.kind == "T"
    stored = json.dumps(_to_plain(values.ravel().tolist())) if whole else values.tobytes()
    return variable.dims, variable.dtype, values.dtype, values.shape, stored, json.dumps(_to_plain(variable.attrs))


def _spelled(kind: np.dtype) -> Any:
    spelled = kind.descr if kind.names else kind.str
    if _dtype(json.loads(json.dumps(spelled))) == kind:
        return spelled
    if np.dtype(kind.name) == kind:  # of other libraries, such as bfloat16
        return kind.name
    raise TypeError(f"numbers of type {kind} have no name")


def _dtype(spelled: Any) -> np.dtype:
    return np.dtype([tuple(field) for field in spelled] if isinstance(spelled, list) else spelled)


def _to_plain(value: Any) -> Any:
    """Attributes and objects as JSON, with their types."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_to_plain(item) for item in value]
    if kind is tuple:
        return {f"{_TAG}tuple": [_to_plain(item) for item in value]}
    if kind is dict:
        if all(type(key) is str and not key.startswith(_TAG) for key in value):
            return {key: _to_plain(item) for key, item in value.items()}
        return {f"{_TAG}dict": [[_to_plain(key), _to_plain(item)] for key, item in value.items()]}
    if kind is complex:
        return {f"{_TAG}complex": [value.real, value.imag]}
    if kind is bytes:
        return {f"{_TAG}bytes": base64.b64encode(value).decode()}
    if kind is np.ndarray or isinstance(value, np.generic):
        array = np.asarray(value)
        if not array.dtype.hasobject and array.dtype.kind != "T":
            raw = base64.b64encode(array.tobytes()).decode()
            return {f"{_TAG}{'array' if kind is np.ndarray else 'number'}": [_spelled(array.dtype), array.shape, raw]}
    raise TypeError(f"a value of type {kind.__name__} cannot be written")


def _from_plain(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_from_plain(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) != 1 or not (tag := next(iter(plain))).startswith(_TAG):
        return {key: _from_plain(item) for key, item in plain.items()}
    stored = plain[tag]
    match tag.removeprefix(_TAG):
        case "tuple":
            return tuple(_from_plain(item) for item in stored)
        case "dict":
            return {_from_plain(key): _from_plain(item) for key, item in stored}
        case "complex":
            return complex(*stored)
        case "bytes":
            return base64.b64decode(stored)
    array = np.frombuffer(base64.b64decode(stored[2]), _dtype(stored[0])).reshape(stored[1]).copy()
    return array if tag == f"{_TAG}array" else array[()]
