"""Arrays as compact JSON: sixteen bits a number, in base64. `page/decode.js` reads them back."""

from base64 import b64encode
from typing import Any

import numpy as np

# Codes of numbers, of which the largest means "no number here".
LEVELS = 65_535


def numbers(values: Any, *, log: bool = False) -> dict[str, Any]:
    """Real numbers as 16-bit codes between the least and the largest; NaN keeps a code of its own.

    The error is at most (hi − lo) / 131,068; with `log` the logarithms are coded, so the error is relative (numbers that are
    not positive become NaN).
    """
    array = np.asarray(values, np.float64)
    if log:
        array = np.log(np.where(array > 0, array, np.nan))
    finite = np.isfinite(array)
    lo, hi = (float(array[finite].min()), float(array[finite].max())) if finite.any() else (0.0, 0.0)
    scaled = (np.where(finite, array, lo) - lo) / (hi - lo or 1.0)
    codes = np.where(finite, np.rint(scaled * (LEVELS - 1)), LEVELS).astype("<u2")
    return {"type": "q16", "shape": list(array.shape), "lo": lo, "hi": hi, "log": log, "data": _base64(codes)}


def whole(values: Any) -> dict[str, Any]:
    """Whole numbers in as few bytes as their range needs."""
    array = np.asarray(values, np.int64)
    lo, hi = (int(array.min()), int(array.max())) if array.size else (0, 0)
    name, kind = (
        ("u8", "<u1") if lo >= 0 and hi < 2**8 else ("u16", "<u2") if lo >= 0 and hi < 2**16 else ("i32", "<i4")
    )
    return {"type": name, "shape": list(array.shape), "data": _base64(array.astype(kind))}


def words(values: Any) -> dict[str, Any]:
    """Words as numbers into a list of the different ones, the most frequent first."""
    array = np.asarray(values).astype(str)
    different, index, counts = np.unique(array.ravel(), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return {"words": different[order].tolist(), "index": whole(rank[index].reshape(array.shape))}


def _base64(array: np.ndarray) -> str:
    return b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
