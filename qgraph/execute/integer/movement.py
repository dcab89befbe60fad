"""Moving elements, where ONNX's reference evaluator does not do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, defines
from qgraph.ir.integer_ops import PadMode


@defines("Pad")
def pad(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    data, pads = x[:2]
    assert data is not None and pads is not None
    axes = a.get("axes", range(data.ndim))
    width = [(0, 0)] * data.ndim
    for i, axis in enumerate(axes):
        width[axis] = (int(pads[i]), int(pads[i + len(axes)]))
    data = data[tuple(slice(max(0, -b), size - max(0, -e)) for (b, e), size in zip(width, data.shape, strict=True))]
    width = [(max(0, b), max(0, e)) for b, e in width]
    mode = PadMode(a["mode"]).name.lower()
    return np.pad(data, width, mode, **({"constant_values": a["value"]} if mode == "constant" else {}))  # type: ignore[call-overload]


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
