"""Resizing of the last one or two axes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, codes, defines, real
from qgraph.ir.integer_ops import ResizeCoordinates, ResizeNearest


@defines("Resize")
def resize(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, target = x[:2]
    assert data is not None and target is not None
    n = len(target)
    old = data.shape[-n:]
    if target.dtype == np.float32:
        scales, new = list(target), [math.floor(o * float(s)) for o, s in zip(old, target, strict=True)]
    else:
        new = [int(t) for t in target]
        scales = [F(t) / F(o) for t, o in zip(new, old, strict=True)]

    def source(i: int) -> np.ndarray:
        o = np.arange(new[i]).astype(np.float32)
        if a["coordinates"] == ResizeCoordinates.ASYMMETRIC:
            return o / scales[i]
        if a["coordinates"] == ResizeCoordinates.ALIGN_CORNERS:
            return np.zeros_like(o) if new[i] == 1 else o * F(old[i] - 1) / F(new[i] - 1)
        if a["coordinates"] == ResizeCoordinates.PYTORCH_HALF_PIXEL and new[i] == 1:
            return np.zeros_like(o)
        return (o + F(0.5)) / scales[i] - F(0.5)

    if not a["linear"]:
        for i in range(n):
            s = source(i)
            rounded = {
                ResizeNearest.ROUND_PREFER_FLOOR: np.where(s == np.floor(s) + F(0.5), np.floor(s), np.floor(s + F(0.5))),
                ResizeNearest.ROUND_PREFER_CEIL: np.floor(s + F(0.5)),
                ResizeNearest.FLOOR: np.floor(s),
                ResizeNearest.CEIL: np.ceil(s),
            }
            index = np.clip(rounded[a["nearest"]].astype(np.int64), 0, old[i] - 1)
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
