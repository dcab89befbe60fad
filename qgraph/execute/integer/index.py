"""Small ops, where ONNX says less than the dialect, or its reference evaluator does not do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, defines


@defines("Shape")
def shape(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    dims, rank = x[0].shape, x[0].ndim
    first, last = (min(max(at + rank if at < 0 else at, 0), rank) for at in (a["start"], a.get("end", rank)))
    return np.array(dims[first:last], dtype)


@defines("Cast")
def cast(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None  # a program keeps the target as the type of the output only
    if x[0].dtype != np.float32 or dtype.kind != "i":
        return x[0].astype(dtype)
    info, wide = np.iinfo(dtype), x[0].astype(np.float64)
    low, high = wide <= info.min, wide >= float(info.max)
    inside = np.where(low | high | np.isnan(wide), 0, wide).astype(dtype)
    return np.where(low, info.min, np.where(high, info.max, inside)).astype(dtype)


@defines("Div")
def divide(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = x[:2]
    assert p is not None and q is not None
    if dtype == np.float32:
        return np.asarray(p / q)
    safe = np.where(q == 0, 1, q).astype(np.int64)
    floor, rest = np.divmod(p.astype(np.int64), safe)
    towards_zero = floor + ((rest != 0) & (floor < 0))
    return np.where(q == 0, 0, towards_zero).astype(dtype)


@defines("Mod")
def modulo(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = x[:2]
    assert p is not None and q is not None
    return np.where(q == 0, 0, np.mod(p, np.where(q == 0, 1, q))).astype(dtype)


@defines("Max")
def maximum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = x[:2]
    assert p is not None and q is not None
    return np.where(p > q, p, q)


@defines("Min")
def minimum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = x[:2]
    assert p is not None and q is not None
    return np.where(p < q, p, q)


@defines("ArgMax")
def arg_max(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _place(x, a, np.greater_equal if a["select_last_index"] else np.greater)


@defines("ArgMin")
def arg_min(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _place(x, a, np.less_equal if a["select_last_index"] else np.less)


def _place(x: Arrays, a: Mapping[str, Any], better: np.ufunc) -> np.ndarray:
    assert x[0] is not None
    rows = np.moveaxis(x[0], a["axis"], 0)
    best, at = rows[0], np.zeros(rows.shape[1:], np.int64)
    for i, row in enumerate(rows):
        found = better(row, best) & (i > 0)
        best, at = np.where(found, row, best), np.where(found, i, at)
    return np.expand_dims(at, a["axis"]) if a["keepdims"] else at


@defines("Range")
def range_(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    start, limit, delta = (np.asarray(v).reshape(()) for v in x)
    n = max(0, math.ceil((float(limit) - float(start)) / float(delta)))
    return np.asarray(start + np.arange(n).astype(dtype) * delta, dtype)


@defines("ConstantOfShape")
def constant_of_shape(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    shape, value = x[:2]
    assert shape is not None and value is not None  # an attribute in ONNX, an input in a program
    return np.full(shape, value.reshape(()), dtype)
