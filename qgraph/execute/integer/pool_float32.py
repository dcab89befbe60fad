"""Pools and reductions in float32 and on integers, from their equations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, defines, ordered_sum
from qgraph.execute.integer.functions import exp, exp_wide, log_wide
from qgraph.ir.integer_ops import AutoPad
from qgraph.ir.padding import padding

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


@defines("ReduceMin")
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


@defines("ReduceLogSum")
def reduce_log_sum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    axes = _axes(x, a)
    total = _sums(x[0], axes, dtype, _values)
    if dtype == np.float32:
        return _shaped(log_wide(total).astype(np.float32), axes, a)
    return _shaped(_whole(log_wide(total.view(np.int64).astype(np.float64)), dtype), axes, a)


@defines("ReduceLogSumExp")
def reduce_log_sum_exp(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    axes, t = _axes(x, a), x[0].astype(np.float32)
    m = np.maximum.reduce(t, axis=tuple(axes), keepdims=True, initial=-np.inf)
    total = _sums(exp(t - m), axes, np.dtype(np.float32), _values)
    y = np.where(np.isfinite(m), m + log_wide(total), m).astype(np.float32)
    return _shaped(y if dtype == np.float32 else _whole(y.astype(np.float64), dtype), axes, a)


@defines("GlobalLpPool")
def global_lp_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    total = _over(_powers(x[0], a["p"]), _spatial(x), ordered_sum)
    return _root(total, a["p"])


@defines("LpPool")
def lp_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return _root(_window_sum(_powers(x[0], a["p"]), _Window(x[0], a)), a["p"])


def _powers(x: np.ndarray, p: int) -> np.ndarray:
    made, square = np.ones(x.shape), np.abs(x.astype(np.float64))
    while p:
        made = made * square if p % 2 else made
        square, p = square * square, p // 2
    return made


def _root(total: np.ndarray, p: int) -> np.ndarray:
    made = total if p == 1 else np.sqrt(total) if p == 2 else exp_wide(log_wide(total) / p)
    return made.astype(np.float32)


@defines("ReduceProd")
def reduce_prod(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    axes = _axes(x, a)
    if dtype == np.float32:
        return _shaped(_over(x[0].astype(np.float64), axes, _ordered_product).astype(np.float32), axes, a)
    return _shaped(x[0].prod(tuple(axes), keepdims=True, dtype=dtype), axes, a)


class _Window:
    """The places of a pool's window over ``x``."""

    def __init__(self, x: np.ndarray, a: Mapping[str, Any]) -> None:
        n = len(a["kernel_shape"])
        self.kernel: list[int] = a["kernel_shape"]
        self.strides: list[int] = a.get("strides") or [1] * n
        self.dilations: list[int] = a.get("dilations") or [1] * n
        self.size = x.shape[2:]
        how = AutoPad(a["auto_pad"]).name
        self.begin, self.end = padding(how, a.get("pads"), self.size, self.kernel, self.strides, self.dilations)
        self.places = []
        for i in range(n):
            room = self.size[i] + self.begin[i] + self.end[i] - self.dilations[i] * (self.kernel[i] - 1) - 1
            places = (math.ceil if a["ceil_mode"] else math.floor)(room / self.strides[i]) + 1
            self.places.append(places - (a["ceil_mode"] and (places - 1) * self.strides[i] >= self.size[i] + self.begin[i]))

    def covered(self, x: np.ndarray, fill: Any) -> np.ndarray:
        """``x`` with ``fill`` around it, as far as windows reach."""
        pads = [(0, 0), (0, 0)]
        for i, begin in enumerate(self.begin):
            reach = (self.places[i] - 1) * self.strides[i] + (self.kernel[i] - 1) * self.dilations[i] + 1
            pads.append((begin, max(0, reach - begin - self.size[i])))
        return np.pad(x, pads, constant_values=fill)

    def tap(self, k: int, axis: int) -> slice:
        """What tap ``k`` of an axis reads of ``covered``."""
        start = k * self.dilations[axis]
        return slice(start, start + (self.places[axis] - 1) * self.strides[axis] + 1, self.strides[axis])

    def count(self, with_padding: bool) -> np.ndarray:
        """How many taps of each window count."""
        counts = np.ones([1] * len(self.size), np.int64)
        for i, places in enumerate(self.places):
            at = np.arange(places)[:, None] * self.strides[i] - self.begin[i] + np.arange(self.kernel[i]) * self.dilations[i]
            inside = at < self.size[i] + self.end[i] if with_padding else (at >= 0) & (at < self.size[i])
            counts = counts * inside.sum(-1).reshape([-1 if j == i else 1 for j in range(len(self.size))])
        return counts


@defines("ai.onnx.MaxPool")
def max_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[np.ndarray, ...]:
    data = x[0]
    assert data is not None
    window, n = _Window(data, a), data.ndim - 2
    lowest = -np.inf if dtype == np.float32 else np.iinfo(dtype).min
    values = window.covered(data, lowest)
    on_x = window.covered(np.ones(data.shape, bool), False)
    numbers = np.arange(data.size).reshape(data.shape)
    if a["storage_order"]:
        spatial = np.arange(math.prod(window.size)).reshape(window.size[::-1]).transpose(*reversed(range(n)))
        numbers = numbers.reshape(*data.shape[:2], -1)[..., :1].reshape(*data.shape[:2], *[1] * n) + spatial
    numbers = window.covered(numbers, -1)
    y = np.full((*data.shape[:2], *window.places), lowest, dtype)
    indices = np.full(y.shape, -1, np.int64)
    for taps in itertools.product(*map(range, window.kernel)):
        part = (slice(None), slice(None), *(window.tap(k, i) for i, k in enumerate(taps)))
        better = on_x[part] & ((indices < 0) | (values[part] > y) | (values[part] != values[part]) & (y == y))
        y, indices = np.where(better, values[part], y), np.where(better, numbers[part], indices)
    return (y + np.float32(0) if dtype == np.float32 else y), indices


@defines("ai.onnx.AveragePool")
def average_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    window = _Window(x[0], a)
    total = _window_sum(x[0].astype(np.float64), window)
    return (total / np.maximum(window.count(bool(a["count_include_pad"])), 1)).astype(np.float32)


def _window_sum(t: np.ndarray, window: _Window) -> np.ndarray:
    values, last = window.covered(t, 0), len(window.kernel) - 1
    outer: Any = 0.0
    for taps in itertools.product(*map(range, window.kernel[:-1])):
        outer = outer + values[(slice(None), slice(None), *(window.tap(k, i) for i, k in enumerate(taps)))]
    total: Any = 0.0
    for k in range(window.kernel[-1]):
        total = total + outer[..., window.tap(k, last)]
    return total


@defines("MaxUnpool")
def max_unpool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, indices, shape = x[0], x[1], x[2] if len(x) > 2 else None
    assert data is not None and indices is not None
    kernel, n = a["kernel_shape"], data.ndim - 2
    strides, pads = a.get("strides") or [1] * n, a.get("pads") or [0] * (2 * n)
    sizes = [(s - 1) * t + k - b - e for s, t, k, b, e in zip(data.shape[2:], strides, kernel, pads[:n], pads[n:], strict=True)]
    counted = np.zeros([*data.shape[:2], *sizes], np.float32)
    for at, value in zip(indices.reshape(-1), data.reshape(-1), strict=True):
        counted.reshape(-1)[at] = value
    if shape is None:
        return counted
    return np.pad(counted, [(0, int(wanted) - had) for wanted, had in zip(shape, counted.shape, strict=True)])


@defines("MaxRoiPool")
def max_roi_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, rois = x[:2]
    assert data is not None and rois is not None
    y = np.zeros((len(rois), data.shape[1], *a["pooled_shape"]), np.float32)
    for r, roi in enumerate(rois):
        scaled = roi[1:] * np.float32(a["spatial_scale"])
        scaled = np.where(scaled > -1e9, np.minimum(scaled, 1e9), -1e9)
        corners = [int(math.copysign(math.floor(abs(float(v)) + 0.5), v)) for v in scaled]
        bins = []
        for start, end, pooled, size in zip(corners[1::-1], corners[:1:-1], a["pooled_shape"], data.shape[2:], strict=True):
            step = np.float32(max(end - start + 1, 1)) / np.float32(pooled)
            edges = [(math.floor(np.float32(i) * step), math.ceil(np.float32(i + 1) * step)) for i in range(pooled)]
            bins.append([tuple(min(max(edge + start, 0), size) for edge in both) for both in edges])
        for i, (top, bottom) in enumerate(bins[0]):
            for j, (left, right) in enumerate(bins[1]):
                found = data[int(roi[0]), :, top:bottom, left:right]
                if found.size:
                    y[r, :, i, j] = found.max((1, 2)) + np.float32(0)
    return y
