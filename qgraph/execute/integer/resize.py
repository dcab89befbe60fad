"""Resizing."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, codes, defines, real
from qgraph.ir.integer_ops import AspectRatio, Interpolation, ResizeCoordinates, ResizeNearest


@defines("Resize")
def resize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, target = x[:2]
    assert data is not None and target is not None
    n = len(target)
    old = data.shape[-n:]
    if target.dtype == np.float32:
        scales, new = list(target), [math.floor(F(o) * s) for o, s in zip(old, target, strict=True)]
    else:
        new = [int(t) for t in target]
        scales = [F(t) / F(o) for t, o in zip(new, old, strict=True)]

    def source(i: int) -> np.ndarray:
        return _places(a["coordinates"], old[i], new[i], scales[i])

    if not a["linear"]:
        for i in range(n):
            s = source(i)
            index = _nearest(s, a["nearest"], old[i])
            data = np.take(data, index, data.ndim - n + i)
        return np.ascontiguousarray(data)
    t = real(data, a["x_zero"])
    for i in reversed(range(n)):
        s = np.clip(source(i), F(0), F(old[i] - 1))
        low = s.astype(np.int64)
        high, axis = np.minimum(low + 1, old[i] - 1), data.ndim - n + i
        f = (s - low.astype(np.float32)).reshape([-1 if d == axis else 1 for d in range(data.ndim)])
        t = np.take(t, low, axis) * (F(1) - f) + np.take(t, high, axis) * f
    return codes(t * F(a["multiplier"]), a, dtype)


def _places(how: int, old: int, new: int, scale: Any, crop: tuple[Any, Any] = (0, 1)) -> np.ndarray:
    """Where in the input each output lies, in float32."""
    o, length, count = np.arange(new).astype(np.float32), F(old), F(new)
    first, last = map(F, crop)
    if how == ResizeCoordinates.ASYMMETRIC:
        return o / scale
    if how == ResizeCoordinates.ALIGN_CORNERS:
        return np.zeros_like(o) if new == 1 else o * (length - F(1)) / (count - F(1))
    if how == ResizeCoordinates.PYTORCH_HALF_PIXEL and new == 1:
        return np.zeros_like(o)
    if how == ResizeCoordinates.HALF_PIXEL_SYMMETRIC:
        offset = length / F(2) * (F(1) - count / (scale * length))
        return (np.float64(offset) + (o.astype(np.float64) + 0.5) / np.float64(scale) - 0.5).astype(np.float32)
    if how == ResizeCoordinates.TF_CROP_AND_RESIZE:
        if new == 1:
            return np.full_like(o, F(0.5) * (first + last) * (length - F(1)))
        return first * (length - F(1)) + o * (last - first) * (length - F(1)) / (count - F(1))
    return (o + F(0.5)) / scale - F(0.5)


def _nearest(s: np.ndarray, how: int, old: int) -> np.ndarray:
    low = np.floor(s)
    part = s - low
    half = np.abs(part - F(0.5)) < F(1e-6)
    up = {
        ResizeNearest.ROUND_PREFER_FLOOR: (part > F(0.5)) & ~half,
        ResizeNearest.ROUND_PREFER_CEIL: (part > F(0.5)) | half,
        ResizeNearest.FLOOR: np.zeros_like(half),
        ResizeNearest.CEIL: part > 0,
    }
    return np.clip((low + up[ResizeNearest(how)]).astype(np.int64), 0, old - 1)


@defines("ai.onnx.Resize")
def onnx_resize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, roi, scales, sizes = (*x, None, None, None)[:4]
    assert data is not None
    axes = [axis % data.ndim for axis in a.get("axes", range(data.ndim))]
    old = [data.shape[axis] for axis in axes]
    if scales is not None and scales.size:
        factors, new = list(scales), [math.floor(F(n) * s) for n, s in zip(old, scales, strict=True)]
    else:
        assert sizes is not None
        factors, new = [F(m) / F(n) for m, n in zip(sizes, old, strict=True)], [int(m) for m in sizes]
        if a["keep_aspect_ratio_policy"]:
            one = min(factors) if a["keep_aspect_ratio_policy"] == AspectRatio.NOT_LARGER else max(factors)
            factors, new = [one] * len(old), [math.floor(float(F(n) * one) + 0.5) for n in old]
    crops = a["coordinate_transformation_mode"] == ResizeCoordinates.TF_CROP_AND_RESIZE
    t, beyond = data, np.zeros([1] * data.ndim, bool)
    for i in np.argsort(axes)[::-1]:
        first, last = (roi[i], roi[i + len(axes)]) if crops and roi is not None else (F(0), F(1))
        if new[i] == old[i] and factors[i] == 1 and (first, last) == (0, 1):
            continue
        s = _places(a["coordinate_transformation_mode"], old[i], new[i], factors[i], (first, last))
        if crops:
            away = ~((s >= 0) & (s <= F(old[i] - 1)))
            beyond = beyond | away.reshape([-1 if d == axes[i] else 1 for d in range(data.ndim)])
            s = np.where(away, F(0), s)
        if a["mode"] == Interpolation.NEAREST:
            t = np.take(t, _nearest(s, a["nearest_mode"], old[i]), axes[i])
            continue
        lines = np.moveaxis(t, axes[i], 0)
        made = [_filtered(lines, place, float(factors[i]), a) for place in s]
        t = np.moveaxis(np.stack(made), 0, axes[i]) if made else np.zeros((*t.shape[: axes[i]], 0, *t.shape[axes[i] + 1 :]), F)
    return np.where(beyond, _fill(a["extrapolation_value"], dtype), t)


def _fill(value: float, dtype: np.dtype) -> np.ndarray:
    """The extrapolation value as an element of a type."""
    if dtype.kind != "i" and dtype != np.uint8:
        return np.array(F(value)).astype(dtype)
    limits = np.iinfo(np.int32 if dtype == np.int64 else dtype)
    return np.array(math.trunc(min(max(float(F(value)), limits.min), limits.max)), dtype)


def _filtered(x: np.ndarray, s: np.float32, scale: float, a: Mapping[str, Any]) -> np.ndarray:
    """The element of each line, along axis 0, at the place ``s``."""
    last, linear = len(x) - 1, a["mode"] == Interpolation.LINEAR
    g = min(scale, 1.0) if a["antialias"] else 1.0
    if linear and g == 1:
        s = F(min(max(s, F(0)), F(last)))
        low = int(s)
        return x[low] * (F(1) - (s - F(low))) + x[min(low + 1, last)] * (s - F(low))  # type: ignore[no-any-return]
    at, reach, slope = float(s), (1 if linear else 2) / g, float(F(a["cubic_coeff_a"]))
    taps = range(math.floor(at - reach + 1), math.floor(at + reach + 1))
    if a["exclude_outside"]:
        taps = range(max(taps.start, 0), min(taps.stop, last + 1))
    weights = [_weight(abs(i - at) * g, linear, slope) for i in taps]
    if (a["exclude_outside"] or g < 1) and (total := sum(weights)) != 0:
        weights = [w / total for w in weights]
    products = [F(w) * x[min(max(i, 0), last)] for i, w in zip(taps, weights, strict=True)]
    return functools.reduce(operator.add, products) if products else np.zeros_like(x[0])


def _weight(d: float, linear: bool, a: float) -> float:
    if linear:
        return max(1 - d, 0.0)
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else 0.0
