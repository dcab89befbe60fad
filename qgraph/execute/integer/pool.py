"""Pools, defined channels first; they read and write channels last. Means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, channels_first, codes, defines


def _windows(x: np.ndarray, a: Mapping[str, Any]) -> tuple[list[int], Callable[[tuple[int, ...]], tuple[np.ndarray, int]]]:
    """The output's size, and for each place of it the taps on the input and how many count with the padding."""
    n = len(a["kernel"])
    begin, end = a["pads"][:n], a["pads"][n:]
    sizes = []
    for i in range(n):
        room = x.shape[2 + i] + begin[i] + end[i] - (a["dilations"][i] * (a["kernel"][i] - 1) + 1)
        size = (math.ceil if a["ceil"] else math.floor)(room / a["strides"][i]) + 1
        if a["ceil"] and (size - 1) * a["strides"][i] >= x.shape[2 + i] + begin[i]:
            size -= 1
        sizes.append(size)

    def taps(place: tuple[int, ...]) -> tuple[np.ndarray, int]:
        inside, counted = [], 1
        for i, at in enumerate(place):
            positions = at * a["strides"][i] - begin[i] + np.arange(a["kernel"][i]) * a["dilations"][i]
            inside.append(positions[(positions >= 0) & (positions < x.shape[2 + i])])
            counted *= int((positions < x.shape[2 + i] + end[i]).sum()) if a["count_include_pad"] else len(inside[-1])
        return x[(slice(None), slice(None), *np.ix_(*inside))].reshape(*x.shape[:2], -1), counted

    return sizes, taps


@defines("MaxPool")
def max_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data = channels_first(x[0])
    sizes, taps = _windows(data, a)
    y = np.zeros((*data.shape[:2], *sizes), dtype)
    for place in itertools.product(*map(range, sizes)):
        y[(slice(None), slice(None), *place)] = taps(place)[0].max(-1, initial=np.iinfo(dtype).min)  # type: ignore[index]
    return np.ascontiguousarray(np.moveaxis(y, 1, -1))


@defines("AveragePool")
def average_pool(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data = channels_first(x[0])
    sizes, taps = _windows(data.astype(np.int64) - a["x_zero"], a)
    t = np.zeros((*data.shape[:2], *sizes), np.float32)
    for place in itertools.product(*map(range, sizes)):
        values, counted = taps(place)
        t[(slice(None), slice(None), *place)] = values.sum(-1).astype(np.float32) * F(a["multiplier"]) / F(max(counted, 1))  # type: ignore[index]
    return codes(np.ascontiguousarray(np.moveaxis(t, 1, -1)), a, dtype)


@defines("ReduceMean")
def reduce_mean(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    axes = tuple(a["axes"])
    total = (x[0].astype(np.int64) - a["x_zero"]).sum(axes, keepdims=bool(a["keepdims"]))
    count = math.prod(x[0].shape[i] for i in axes)
    return codes(total.astype(np.float32) * F(a["multiplier"]) / F(max(count, 1)), a, dtype)


@defines("CumSum")
def cum_sum(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _running(x, a, dtype, np.add, 0)


@defines("CumProd")
def cum_prod(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    return _running(x, a, dtype, np.multiply, 1)


def _running(x: Arrays, a: Mapping[str, Any], dtype: np.dtype, join: np.ufunc, start: int) -> np.ndarray:
    data, axis = x[:2]
    assert data is not None and axis is not None
    rows = np.moveaxis(data, int(axis.reshape(())), 0)
    rows = rows[::-1] if a["reverse"] else rows
    total, results = np.full(rows.shape[1:], start, dtype), []
    for i, row in enumerate(rows):
        before = total
        total = row if i == 0 else join(total, row)
        results.append(before if a["exclusive"] else total)
    made = np.array(results, dtype).reshape(rows.shape)
    return np.ascontiguousarray(np.moveaxis(made[::-1] if a["reverse"] else made, 0, int(axis.reshape(()))))


@defines("ReduceMax")
def reduce_max(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    return x[0].max(tuple(a["axes"]), keepdims=bool(a["keepdims"]), initial=np.iinfo(dtype).min)  # type: ignore[no-any-return]
