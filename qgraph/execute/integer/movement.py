"""Moving elements, where ONNX's reference evaluator does not do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, defines
from qgraph.ir.integer_ops import CacheMode, PadMode, ScatterReduction


@defines("Pad")
def pad(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, pads = x[:2]
    assert data is not None and pads is not None
    return _padded(data, list(pads), a.get("axes", range(data.ndim)), PadMode(a["mode"]), a["value"])


@defines("ai.onnx.Pad")
def onnx_pad(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, pads, value, axes = (*x, None, None)[:4]
    assert data is not None and pads is not None
    along = range(data.ndim) if axes is None else list(axes)
    return _padded(data, list(pads), along, PadMode(a["mode"]), 0 if value is None else value.reshape(()))


@defines("CenterCropPad")
def center_crop_pad(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, shape = x[:2]
    assert data is not None and shape is not None
    axes = list(a.get("axes", range(data.ndim)))
    more = [int(n) - data.shape[axis] for n, axis in zip(shape, axes, strict=True)]
    begins = [n // 2 if n > 0 else -(-n // 2) for n in more]
    return _padded(data, [*begins, *(n - b for n, b in zip(more, begins, strict=True))], axes, PadMode.CONSTANT, 0)


def _padded(data: np.ndarray, pads: Sequence[int], axes: Sequence[int], mode: PadMode, fill: Any) -> np.ndarray:
    for i, axis in enumerate(axes):
        begin, end, size = int(pads[i]), int(pads[i + len(axes)]), data.shape[axis]
        kept = np.arange(size)[max(0, -begin) : max(0, size - max(0, -end))]  # the places that are not cut
        place = np.arange(size + begin + end) - max(0, begin)  # in kept
        inside = (place >= 0) & (place < len(kept))
        if mode == PadMode.REFLECT:
            period = max(1, 2 * (len(kept) - 1))
            place = place % period
            place = np.where(place >= len(kept), period - place, place)
        elif mode == PadMode.EDGE:
            place = np.clip(place, 0, len(kept) - 1)
        elif mode == PadMode.WRAP:
            place = place % max(1, len(kept))
        form = [-1 if d == axis % data.ndim else 1 for d in range(data.ndim)]
        if mode == PadMode.CONSTANT:
            filled = np.full((*data.shape[: axis % data.ndim], len(place), *data.shape[axis % data.ndim + 1 :]), fill, data.dtype)
            if inside.any():
                moved = np.take(data, kept[np.where(inside, place, 0)], axis)
                filled = np.where(inside.reshape(form), moved, filled)
            data = filled
        else:
            data = np.take(data, kept[place], axis)
    return data


@defines("Trilu")
def trilu(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, k = (*x, None)[:2]
    assert data is not None
    rows, columns = np.arange(data.shape[-2])[:, None], np.arange(data.shape[-1])
    diagonal = 0 if k is None else int(k.reshape(()))
    kept = columns - rows >= diagonal if a["upper"] else columns - rows <= diagonal
    return np.where(kept, data, np.zeros((), data.dtype))


@defines("ReverseSequence")
def reverse_sequence(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, lengths = x[:2]
    assert data is not None and lengths is not None
    first = np.moveaxis(data, a["batch_axis"], 0)
    rows = [np.concatenate([row[:n][::-1], row[n:]]) for row, n in zip(first, lengths, strict=True)]
    return np.moveaxis(np.stack(rows), 0, a["batch_axis"]) if rows else data


REDUCTIONS: dict[ScatterReduction, Callable[[Any, Any], Any]] = {
    ScatterReduction.NONE: lambda y, u: u,
    ScatterReduction.ADD: lambda y, u: y + u,
    ScatterReduction.MUL: lambda y, u: y * u,
    ScatterReduction.MAX: lambda y, u: np.where(y > u, y, u),
    ScatterReduction.MIN: lambda y, u: np.where(y < u, y, u),
}


@defines("ScatterElements")
def scatter_elements(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, index, updates = x[:3]
    assert data is not None and index is not None and updates is not None
    y, axis = data.copy(), a["axis"] % data.ndim
    for place in np.ndindex(index.shape):
        at = (*place[:axis], int(index[place]), *place[axis + 1 :])
        y[at] = REDUCTIONS[a["reduction"]](y[at], updates[place])
    return y


@defines("ScatterND")
def scatter_nd(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, index, updates = x[:3]
    assert data is not None and index is not None and updates is not None
    y = data.copy()
    for place in np.ndindex(index.shape[:-1]):
        at = tuple(int(i) for i in index[place])
        y[at] = REDUCTIONS[a["reduction"]](y[at], updates[place])
    return y


@defines("GatherElements")
def gather_elements(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, index = x[:2]  # ONNX's evaluator refuses an index that is smaller than the data
    assert data is not None and index is not None
    axis = a["axis"] % data.ndim
    part = data[tuple(slice(None) if d == axis else slice(n) for d, n in enumerate(index.shape))]
    return np.take_along_axis(part, index, axis)


@defines("DepthToSpace")
def depth_to_space(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    assert x[0] is not None
    (n, c, h, w), b = x[0].shape, a["blocksize"]
    if a["dcr"]:
        split = x[0].reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        split = x[0].reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(split.reshape(n, c // (b * b), h * b, w * b))


@defines("TensorScatter")
def tensor_scatter(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, update, starts = (*x, None)[:3]
    assert data is not None and update is not None
    y, axis = data.copy(), a["axis"] % data.ndim
    for batch in range(data.shape[0]):
        for i in range(update.shape[axis]):
            place = i + (0 if starts is None else int(starts[batch]))
            if a["mode"] == CacheMode.CIRCULAR:
                place %= data.shape[axis]
            outer = (batch, *(slice(None),) * (axis - 1))
            y[(*outer, place)] = update[(*outer, i)]
    return y


@defines("Compress")
def compress(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, condition = x[:2]
    assert data is not None and condition is not None
    axis = a.get("axis")
    places = np.flatnonzero(condition[: data.size if axis is None else data.shape[axis]])
    return np.ascontiguousarray(np.take(data.reshape(-1) if axis is None else data, places, axis or 0))


@defines("Col2Im")
def col2im(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, image, block = x
    assert data is not None and image is not None and block is not None
    n = len(image)
    strides, dilations, pads = a.get("strides", [1] * n), a.get("dilations", [1] * n), a.get("pads", [0] * 2 * n)
    reach = [d * (b - 1) + 1 for d, b in zip(dilations, block, strict=True)]
    padded = [i + b + e for i, b, e in zip(image, pads[:n], pads[n:], strict=True)]
    places = [max(0, (p - r) // s + 1) for p, r, s in zip(padded, reach, strides, strict=True)]
    parts = data.reshape(data.shape[0], -1, int(np.prod(block)), *places)
    y = np.zeros((*parts.shape[:2], *padded), np.float32)
    for t, k in enumerate(itertools.product(*(range(b) for b in block))):
        at = [slice(i * d, i * d + s * p, s) for i, d, s, p in zip(k, dilations, strides, places, strict=True)]
        seen = y[(slice(None), slice(None), *at)]
        seen[(slice(None), slice(None), *(slice(p) for p in places))] += parts[:, :, t]
    return y[(slice(None), slice(None), *(slice(b, b + i) for b, i in zip(pads[:n], image, strict=True)))]
