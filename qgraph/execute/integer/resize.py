"""Resizing."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, codes, defines, real
from qgraph.ir.integer_ops import AspectRatio, GridPadding, Interpolation, ResizeCoordinates, ResizeNearest


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


@defines("GridSample")
def grid_sample(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, grid = x[:2]
    assert data is not None and grid is not None
    y = np.zeros((data.shape[0], data.shape[1], *grid.shape[1:-1]), F)
    sizes, wraps = data.shape[2:], a["mode"] != Interpolation.CUBIC
    for n, *place in np.ndindex(grid.shape[:-1]):
        s = [_unnormalized(g, size, a) for g, size in zip(grid[(n, *place)][::-1], sizes, strict=True)]
        if a["mode"] == Interpolation.NEAREST:
            s = [np.rint(v) for v in s]
        if wraps and a["padding_mode"] == GridPadding.BORDER:
            s = [min(max(v, F(0)), F(size - 1)) for v, size in zip(s, sizes, strict=True)]
        elif wraps and a["padding_mode"] == GridPadding.REFLECTION:
            s = [_reflected(v, size, a) for v, size in zip(s, sizes, strict=True)]
        y[(n, slice(None), *place)] = _sampled(data[n], s, [], a)
    return y


def _unnormalized(g: np.float32, n: int, a: Mapping[str, Any]) -> np.float32:
    s = (g + F(1)) / F(2) * F(n - 1) if a["align_corners"] else ((g + F(1)) * F(n) - F(1)) / F(2)
    return F(-(2**30)) if np.isnan(s) else min(max(s, F(-(2**30))), F(2**30))


def _reflected(s: np.float32, n: int, a: Mapping[str, Any]) -> np.float32:
    first, last = (F(0), F(n - 1)) if a["align_corners"] else (F(-0.5), F(n) - F(0.5))
    if first <= s <= last:
        return s
    if first == last:
        return first
    below, length = s < first, last - first
    d = first - s if below else s - last
    q = int(d / length)
    e = d - F(q) * length
    return first + e if below == (q % 2 == 0) else last - e  # type: ignore[no-any-return]


def _sampled(x: np.ndarray, s: list[Any], at: list[int], a: Mapping[str, Any]) -> np.ndarray:
    """[C]: ``x`` [C, ...] at the places ``s`` of its axes, of which the first have the indices ``at``."""
    if len(at) == len(s):
        places = []
        for i, n in zip(at, x.shape[1:], strict=True):
            if a["padding_mode"] == GridPadding.REFLECTION:
                i = int(_reflected(F(i), n, a))
            if a["padding_mode"] != GridPadding.ZEROS:
                i = min(max(i, 0), n - 1)
            if not 0 <= i < n:
                return np.zeros(len(x), F)
            places.append(i)
        where: tuple[Any, ...] = (slice(None), *places)
        return x[where]
    place = s[len(at)]
    if a["mode"] == Interpolation.NEAREST:
        return _sampled(x, s, [*at, int(place)], a)
    low = int(np.floor(place))
    f = place - F(low)
    if a["mode"] == Interpolation.LINEAR:
        return _sampled(x, s, [*at, low], a) * (F(1) - f) + _sampled(x, s, [*at, low + 1], a) * f
    weights = [_cubic(f + F(1)), _cubic(f), _cubic(F(1) - f), _cubic(F(2) - f)]
    return functools.reduce(operator.add, (_sampled(x, s, [*at, low - 1 + i], a) * w for i, w in enumerate(weights)))


def _cubic(d: np.float32) -> np.float32:
    if d <= 1:
        return (F(1.25) * d - F(2.25)) * d * d + F(1)  # type: ignore[no-any-return]
    return ((F(-0.75) * d + F(3.75)) * d - F(6)) * d + F(3)  # type: ignore[no-any-return]


@defines("AffineGrid")
def affine_grid(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    theta, size = x[:2]
    assert theta is not None and size is not None
    places = []
    for n in (int(n) for n in size[2:]):
        i = np.arange(n).astype(F)
        if a["align_corners"]:
            places.append(np.ones(1, F) if n == 1 else F(2) * i / F(n - 1) - F(1))
        else:
            places.append((F(2) * i + F(1)) / F(n) - F(1))
    mesh = np.meshgrid(*places, indexing="ij")[::-1]  # the last axis first
    made = []
    for j in range(len(mesh)):
        row = theta[:, j].reshape(len(theta), -1, *[1] * len(mesh))
        terms = [row[:, i] * c for i, c in enumerate(mesh)]
        made.append(functools.reduce(operator.add, terms) + row[:, len(mesh)])
    return np.stack(made, -1)
