"""Reductions in float32 and on integers, from their equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, defines, ordered_sum

Fold = Callable[[np.ndarray], np.ndarray]
"""The result over the last axis."""


def _axes(x: Arrays, a: Mapping[str, Any]) -> list[int]:
    assert x[0] is not None
    rank, given = x[0].ndim, x[1] if len(x) > 1 else None
    if given is None or given.size == 0:
        return [] if a["noop_with_empty_axes"] else list(range(rank))
    return sorted({int(i) % rank for i in given})


def _over(t: np.ndarray, axes: list[int], fold: Fold) -> np.ndarray:
    """``fold`` over groups of adjacent axes, the last group first, or each element; reduced axes have length 1 then."""
    shape = [1 if i in axes else d for i, d in enumerate(t.shape)]
    if not axes:
        return fold(t[..., None])
    while axes:
        last = axes[-1]
        first = next(i for i in range(last, -2, -1) if i not in axes) + 1
        merged = t.reshape(*t.shape[:first], int(np.prod(t.shape[first : last + 1])), *t.shape[last + 1 :])
        t = np.expand_dims(fold(np.moveaxis(merged, first, -1)), list(range(first, last + 1)))
        axes = [i for i in axes if i < first]
    return t.reshape(shape)


def _shaped(t: np.ndarray, axes: list[int], a: Mapping[str, Any]) -> np.ndarray:
    return t if a.get("keepdims", 1) else t.reshape([d for i, d in enumerate(t.shape) if i not in axes])


def _count(x: np.ndarray, axes: list[int]) -> int:
    return max(1, int(np.prod([x.shape[i] for i in axes])))


def _whole(t: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Doubles as integers: towards 0, saturated, NaN is 0."""
    info = np.iinfo(dtype)
    low, high = t <= info.min, t >= float(info.max)
    inside = np.where(low | high | np.isnan(t), 0, t).astype(dtype)
    return np.where(low, info.min, np.where(high, info.max, inside)).astype(dtype)


def _integer_sum(t: np.ndarray) -> np.ndarray:
    return t.sum(-1, dtype=np.uint64)


def _ordered_product(t: np.ndarray) -> np.ndarray:
    lanes = np.ones((*t.shape[:-1], 16))
    for first in range(0, t.shape[-1], 16):
        part = t[..., first : first + 16]
        lanes[..., : part.shape[-1]] *= part
    for step in (8, 4, 2, 1):
        lanes = lanes[..., :step] * lanes[..., step:]
    return lanes[..., 0]


def _sums(x: np.ndarray, axes: list[int], dtype: np.dtype, term: Fold) -> np.ndarray:
    """osum of terms, or the sum of integers modulo 2^64."""
    if dtype == np.float32:
        return _over(term(x.astype(np.float64)), axes, ordered_sum)
    return _over(term(x.astype(np.int64).view(np.uint64)), axes, _integer_sum)


def _values(t: np.ndarray) -> np.ndarray:
    return t


def _magnitudes(t: np.ndarray) -> np.ndarray:
    return np.abs(t) if t.dtype == np.float64 else np.where(t.view(np.int64) < 0, np.uint64(0) - t, t)


def _squares(t: np.ndarray) -> np.ndarray:
    return t * t


@defines("ai.onnx.ReduceMax")
def reduce_max(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _extreme(x, _axes(x, a), a, np.maximum)


@defines("ai.onnx.ReduceMin")
def reduce_min(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _extreme(x, _axes(x, a), a, np.minimum)


@defines("GlobalMaxPool")
def global_max_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _extreme(x, _spatial(x), a, np.maximum)


def _extreme(x: Arrays, axes: list[int], a: Mapping[str, Any], better: np.ufunc) -> np.ndarray:
    data = x[0]
    assert data is not None
    largest = better is np.maximum
    if data.dtype == np.float32:
        worst: Any = -np.inf if largest else np.inf
    elif data.dtype == bool:
        worst = not largest
    else:
        worst = np.iinfo(data.dtype).min if largest else np.iinfo(data.dtype).max
    found = better.reduce(data, axis=tuple(axes), keepdims=True, initial=worst)
    return _shaped(found + np.float32(0) if data.dtype == np.float32 else found, axes, a)


def _spatial(x: Arrays) -> list[int]:
    assert x[0] is not None
    return list(range(2, x[0].ndim))


@defines("ReduceSum")
def reduce_sum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _total(x, a, dtype, _values)


@defines("ReduceL1")
def reduce_l1(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _total(x, a, dtype, _magnitudes)


@defines("ReduceSumSquare")
def reduce_sum_square(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _total(x, a, dtype, _squares)


def _total(x: Arrays, a: Mapping[str, Any], dtype: np.dtype, term: Fold) -> np.ndarray:
    assert x[0] is not None
    axes = _axes(x, a)
    return _shaped(_sums(x[0], axes, dtype, term).astype(dtype), axes, a)


@defines("ai.onnx.ReduceMean")
def reduce_mean(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _mean(x, _axes(x, a), a, dtype)


@defines("GlobalAveragePool")
def global_average_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _mean(x, _spatial(x), a, dtype)


def _mean(x: Arrays, axes: list[int], a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    total, n = _sums(x[0], axes, dtype, _values), _count(x[0], axes)
    if dtype == np.float32:
        return _shaped((total / n).astype(np.float32), axes, a)
    signed = total.view(np.int64)
    floor, rest = np.divmod(signed, n)
    return _shaped((floor + ((rest != 0) & (signed < 0))).astype(dtype), axes, a)


@defines("ReduceL2")
def reduce_l2(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    axes = _axes(x, a)
    total = _sums(x[0], axes, dtype, _squares)
    if dtype == np.float32:
        return _shaped(np.sqrt(total).astype(np.float32), axes, a)
    return _shaped(_whole(np.sqrt(total.view(np.int64).astype(np.float64)), dtype), axes, a)


@defines("ReduceProd")
def reduce_prod(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    axes = _axes(x, a)
    if dtype == np.float32:
        return _shaped(_over(x[0].astype(np.float64), axes, _ordered_product).astype(np.float32), axes, a)
    return _shaped(x[0].prod(tuple(axes), keepdims=True, dtype=dtype), axes, a)
