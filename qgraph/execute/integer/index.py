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


@defines("ConstantOfShape")
def constant_of_shape(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    shape, value = x[:2]
    assert shape is not None and value is not None  # an attribute in ONNX, an input in a program
    return np.full(shape, value.reshape(()), dtype)


@defines("Range")
def range_of(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    start, limit, delta = (v.reshape(()) for v in x[:3] if v is not None)
    if dtype != np.float32:
        return np.arange(int(start), int(limit), int(delta)).astype(dtype)
    count = max(0, math.ceil((np.float64(limit) - np.float64(start)) / np.float64(delta)))
    return start + np.arange(count).astype(np.float32) * delta


def _ordered(x: np.ndarray) -> np.ndarray:
    """Integers in the order of ``x``: NaN is above infinity, 0 is -0."""
    if x.dtype != np.float32:
        return x.astype(np.int64)
    bits = (x + np.float32(0)).view(np.int32).astype(np.int64)
    return np.where(np.isnan(x), np.iinfo(np.int64).max, np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))


@defines("TopK")
def top_k(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    data, k = x[:2]
    assert data is not None and k is not None
    keys = _ordered(data)
    order = np.argsort(~keys if a["largest"] else keys, axis=a["axis"], kind="stable")
    indices = np.take(order, np.arange(int(k.reshape(()))), a["axis"])
    return np.take_along_axis(data, indices, a["axis"]), indices.astype(np.int64)


@defines("OneHot")
def one_hot(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    index, depth, values = x[:3]
    assert index is not None and depth is not None and values is not None
    count = int(depth.reshape(()))
    place = np.clip(np.nan_to_num(np.trunc(index.astype(np.float64))), -(2.0**40), 2.0**40).astype(np.int64)
    hit = np.where(place < 0, place + count, place)[..., None] == np.arange(count)
    return np.ascontiguousarray(np.moveaxis(np.where(hit, values[1], values[0]), -1, a["axis"]))


@defines("EyeLike")
def eye_like(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return (np.arange(x[0].shape[1]) - np.arange(x[0].shape[0])[:, None] == a["k"]).astype(dtype)


@defines("Unique")
def unique(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, ...]:
    assert x[0] is not None
    data = np.moveaxis(x[0], a["axis"], 0) if "axis" in a else x[0].reshape(-1)
    keys = [tuple(row.reshape(-1).tolist()) for row in _ordered(data)]
    firsts: dict[tuple[int, ...], int] = {}
    for i, key in enumerate(keys):
        firsts.setdefault(key, i)
    chosen = sorted(firsts) if a["sorted"] else list(firsts)
    places = {key: i for i, key in enumerate(chosen)}
    indices = np.array([firsts[key] for key in chosen], np.int64)
    made = np.moveaxis(data[indices], 0, a["axis"]) if "axis" in a else data[indices]
    inverse = np.array([places[key] for key in keys], np.int64)
    return np.ascontiguousarray(made), indices, inverse, np.bincount(inverse, minlength=len(chosen)).astype(np.int64)
