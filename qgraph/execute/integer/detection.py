"""Regions of pictures."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, defines
from qgraph.ir.integer_ops import RoiCoordinates, RoiMode


@defines("RoiAlign")
def roi_align(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, rois, batches = x[:3]
    assert data is not None and rois is not None and batches is not None
    bins = (a["output_height"], a["output_width"])
    y = np.zeros((len(rois), data.shape[1], *bins), F)
    for r, (roi, batch) in enumerate(zip(rois, batches, strict=True)):
        points = [
            _points(roi[[1 - axis, 3 - axis]] * F(a["spatial_scale"]), data.shape[2 + axis], bins[axis], a) for axis in range(2)
        ]
        for p, q in np.ndindex(*bins):
            corners = [_corners(data[batch], s, t) for s in points[0][p] for t in points[1][q]]
            if a["mode"] == RoiMode.MAX:
                every = [v for c in corners for v in c]
                y[r, :, p, q] = functools.reduce(lambda best, v: np.where(best > v, best, v), every) if every else 0
                continue
            total = np.zeros(data.shape[1], F)
            for c in corners:
                total = total + (((c[0] + c[1]) + c[2]) + c[3])
            y[r, :, p, q] = total / F(max(1, len(corners)))
    return y


def _points(ends: np.ndarray, n: int, bins: int, a: Mapping[str, Any]) -> list[list[np.float32]]:
    """The places of each bin's points."""
    half = a["coordinate_transformation_mode"] == RoiCoordinates.HALF_PIXEL
    first, last = ends - F(0.5 if half else 0)
    extent = last - first if half else max(last - first, F(1))
    size = extent / F(bins)
    count = a["sampling_ratio"] or max(0, math.ceil(size))
    return [[(first + F(p) * size) + (F(i) + F(0.5)) * size / F(count) for i in range(count)] for p in range(bins)]


def _corners(x: np.ndarray, s: np.float32, t: np.float32) -> list[np.ndarray]:
    """The weighted corners [C] around a point of ``x`` [C, H, W]."""
    if not (-1 <= s <= x.shape[1] and -1 <= t <= x.shape[2]):
        return [np.zeros(len(x), F)] * 4
    sides = []
    for place, n in ((s, x.shape[1]), (t, x.shape[2])):
        at = max(place, F(0))
        low = int(at)
        at, low, high = (at, low, low + 1) if low < n - 1 else (F(n - 1), n - 1, n - 1)
        f = at - F(low)
        sides.append(((low, F(1) - f), (high, f)))
    return [x[:, i, j] * (u * v) for i, u in sides[0] for j, v in sides[1]]


@defines("NonMaxSuppression")
def non_max_suppression(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    boxes, scores, most, limit, least = (*x, None, None, None)[:5]
    assert boxes is not None and scores is not None
    count, overlap = 0 if most is None else int(most.reshape(())), F(0) if limit is None else limit.reshape(())
    rows = []
    for image in range(len(boxes)):
        low, high = _ends(boxes[image], a["center_point_box"])
        area = (high[:, 0] - low[:, 0]) * (high[:, 1] - low[:, 1])
        for label, values in enumerate(scores[image]):
            order = np.argsort(-np.where(np.isnan(values), F(-np.inf), values), kind="stable")
            if least is not None:
                order = order[values[order] > least.reshape(())]
            kept: list[int] = []
            for i in order:
                if len(kept) >= count:
                    break
                if not any(_overlap(low, high, area, i, j) > overlap for j in kept):
                    kept.append(i)
            rows += [[image, label, i] for i in kept]
    return np.array(rows, np.int64).reshape(-1, 3)


def _ends(boxes: np.ndarray, centred: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = boxes[:, :2], boxes[:, 2:]
    return (a - b / F(2), a + b / F(2)) if centred else (np.minimum(a, b), np.maximum(a, b))


def _overlap(low: np.ndarray, high: np.ndarray, area: np.ndarray, i: int, j: int) -> np.float32:
    extent = np.minimum(high[i], high[j]) - np.maximum(low[i], low[j])
    both = extent[0] * extent[1]
    union = (area[i] + area[j]) - both
    if not (extent[0] > 0 and extent[1] > 0 and both > 0 and area[i] > 0 and area[j] > 0 and union > 0):
        return F(-1)
    return both / union  # type: ignore[no-any-return]
