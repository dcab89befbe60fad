"""Small ops, where ONNX says less than the dialect, or its reference evaluator does not do."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer import functions
from qgraph.execute.integer.common import Arrays, defines
from qgraph.ir.integer_ops import ShiftDirection


@defines("Shape")
def shape(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    dims, rank = x[0].shape, x[0].ndim
    first, last = (min(max(at + rank if at < 0 else at, 0), rank) for at in (a["start"], a.get("end", rank)))
    return np.array(dims[first:last], dtype)


@defines("Cast")
def cast(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None  # a program keeps the target as the type of the output only
    if x[0].dtype != np.float32 or dtype.kind not in "iu":
        return x[0].astype(dtype)
    info, wide = np.iinfo(dtype), x[0].astype(np.float64)
    low, high = wide <= info.min, wide >= float(info.max)
    inside = np.where(low | high | np.isnan(wide), 0, wide).astype(dtype)
    return np.where(low & ~np.isnan(wide), info.min, np.where(high, info.max, inside)).astype(dtype)


@defines("CastLike")
def cast_like(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return cast(x[:1], a, dtype)


def _pair(x: Arrays) -> tuple[np.ndarray, np.ndarray]:
    assert x[0] is not None and x[1] is not None
    return x[0], x[1]


@defines("Div")
def divide(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = _pair(x)
    if dtype == np.float32:
        return np.asarray(p / q)
    size = np.abs(p.astype(object)) // np.where(q == 0, 1, np.abs(q.astype(object)))  # of any length
    signed = np.where((p < 0) != (q < 0), -size, size)
    return np.where(q == 0, 0, _wrapped(signed, dtype)).astype(dtype)


def _wrapped(whole: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Integers of any length, modulo 2^bits."""
    bits = 8 * dtype.itemsize
    return np.asarray(np.asarray(whole, object) % (1 << bits), object).astype(np.uint64).astype(f"uint{bits}").view(dtype)


@defines("Mod")
def modulo(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = _pair(x)
    if dtype == np.float32:
        return np.asarray(np.fmod(p, q) if a["fmod"] else np.mod(p, q))
    safe = np.where(q == 0, 1, q)
    return np.where(q == 0, 0, np.fmod(p, safe) if a["fmod"] else np.mod(p, safe)).astype(dtype)


@defines("Pow")
def power(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = _pair(x)
    if dtype.kind == "f" or q.dtype.kind == "f":
        wide = functions.power_wide(*(v.astype(np.float32).astype(np.float64) for v in np.broadcast_arrays(p, q)))
        return cast([wide.astype(np.float32)], a, dtype)
    p, q = np.broadcast_arrays(p.astype(object), q.astype(object))
    exact = [
        pow(b, e, 1 << 64) if e >= 0 else int(b ** (-e % 2)) if b in (1, -1) else 0 for b, e in zip(p.flat, q.flat, strict=True)
    ]
    return _wrapped(np.array(exact, object).reshape(p.shape), dtype)


@defines("Sum")
def total(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return functools.reduce(np.add, (v for v in x if v is not None))  # type: ignore[arg-type]


@defines("Mean")
def mean(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return total(x, a, dtype) / np.float32(len(x))


@defines("Max")
def maximum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return functools.reduce(lambda p, q: np.where((p > q) | (p != p), p, q), (v for v in x if v is not None))


@defines("Min")
def minimum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return functools.reduce(lambda p, q: np.where((p < q) | (p != p), p, q), (v for v in x if v is not None))


@defines("BitShift")
def shift(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    p, q = (v.astype(np.int64) for v in _pair(x))
    q = np.minimum(q, 8)
    return (p >> q if a["direction"] == ShiftDirection.RIGHT else p << q).astype(dtype)


@defines("IsInf")
def is_infinite(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return (np.isneginf(x[0]) & bool(a["detect_negative"])) | (np.isposinf(x[0]) & bool(a["detect_positive"]))


@defines("Neg")
def negated(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return np.asarray(np.negative(x[0]))


@defines("Abs")
def magnitude(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return np.asarray(np.abs(x[0]))


@defines("Sign")
def sign(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return np.asarray(np.sign(x[0]))


@defines("Relu")
def relu(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return np.where(x[0] < 0, dtype.type(0), x[0])


@defines("Clip")
def clip(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, low, high = (*x, None, None)[:3]
    assert data is not None
    if low is not None:
        data = np.where(data < low.reshape(()), low.reshape(()), data)
    return data if high is None else np.where(data > high.reshape(()), high.reshape(()), data)


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
