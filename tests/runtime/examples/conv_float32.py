"""Convolutions of float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import AutoPad
from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.linear_float32 import clamp
from tests.runtime.examples.pool import sizes_for, windows

CHANNELS = st.sampled_from([(1, 5, 1), (3, 4, 1), (7, 18, 1), (20, 1, 1), (4, 6, 2), (6, 6, 6), (3, 6, 3), (5, 5, 5)])
CONSTANTS = st.sampled_from([(), (1,), (1, 2)])


def geometry(case: Case, window: dict[str, list[int]], group: int) -> dict[str, Any]:
    """Attributes of a window; at times with those left out that say nothing, or with ONNX's other pads."""
    made = {"strides": window["strides"], "dilations": window["dilations"], "group": group}
    auto = int(case.rng.choice([0, 0, 0, *AutoPad]))
    if auto:
        made["auto_pad"] = auto
    else:
        made["pads"] = window["begin"] + window["end"]
    if case.rng.random() < 0.3:
        made["kernel_shape"] = window["kernel"]
    return {k: v for k, v in made.items() if k not in ("strides", "dilations", "group") or set(np.ravel(v)) != {1}}


@example("ai.onnx.Conv", "FusedConv")
def conv(draw: st.DrawFn, op: str) -> Example:
    case, spatial = Case(draw(SEEDS)), draw(st.integers(1, 3))
    window, (inputs, outputs, group) = draw(windows(spatial)), draw(CHANNELS)
    attributes = geometry(case, window, group)
    if "auto_pad" in attributes:
        window = window | {"begin": [0] * spatial, "end": [0] * spatial}
    elif draw(st.booleans()):
        window["begin"] = attributes["pads"][:spatial] = [b - 1 for b in window["begin"]]
    size = sizes_for(window, draw(st.lists(st.integers(0, 23 // spatial), min_size=spatial, max_size=spatial)))
    arrays: list[np.ndarray | None] = [
        case.floats((2, inputs, *size)),
        case.floats((outputs, inputs // group, *window["kernel"])),
        case.floats((outputs,)) if draw(st.booleans()) else None,
    ]
    if op == "FusedConv":
        attributes |= clamp(case)
        same = attributes.get("auto_pad") in (AutoPad.SAME_UPPER, AutoPad.SAME_LOWER)
        steps = zip(size, window["begin"], window["end"], window["dilations"], window["kernel"], window["strides"], strict=True)
        places = [-(-n // s) if same else (n + b + e - d * (k - 1) - 1) // s + 1 for n, b, e, d, k, s in steps]
        if draw(st.booleans()):
            arrays.append(case.floats((2, outputs, *places)))
    return Example(arrays, attributes, ("float32",), constants=draw(CONSTANTS))


@example("ai.onnx.Conv")
def wide_conv(draw: st.DrawFn, op: str) -> Example:
    """So wide and deep that it is cut into parts."""
    case, kernel, stride = Case(draw(SEEDS)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    arrays: list[np.ndarray | None] = [
        case.floats((1, 130, 19, 17)),
        case.floats((40, 130, kernel, kernel)),
        case.floats((40,)),
    ]
    return Example(arrays, {"strides": [stride, stride], "pads": [kernel // 2] * 4}, ("float32",), constants=draw(CONSTANTS))


@example("ai.onnx.Conv")
def depthwise(draw: st.DrawFn, op: str) -> Example:
    case, kernel, stride = Case(draw(SEEDS)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    arrays: list[np.ndarray | None] = [case.floats((2, 9, 5, draw(st.integers(3, 150)))), case.floats((18, 1, kernel, kernel))]
    return Example(
        arrays, {"strides": [1, stride], "pads": [1, 0, 2, 1], "group": 9}, ("float32",), constants=draw(CONSTANTS)[:1]
    )


@example("ai.onnx.ConvTranspose")
def conv_transpose(draw: st.DrawFn, op: str) -> Example:
    case, spatial = Case(draw(SEEDS)), draw(st.integers(1, 3))
    window, (inputs, outputs, group) = draw(windows(spatial)), draw(CHANNELS)
    size = [draw(st.integers(1, 12 // spatial)) for _ in range(spatial)]
    extra = [min(e, s - 1) for e, s in zip(window["end"], window["strides"], strict=True)]
    full = [
        s * (i - 1) + e + d * (k - 1) + 1
        for s, i, e, d, k in zip(window["strides"], size, extra, window["dilations"], window["kernel"], strict=True)
    ]
    window["begin"] = [min(b, (f - 1) // 2) for b, f in zip(window["begin"], full, strict=True)]
    window["end"] = [min(b, (f - 1) // 2) for b, f in zip(window["end"], full, strict=True)]
    attributes = geometry(case, window, group)
    if any(extra):
        attributes["output_padding"] = extra
    if draw(st.integers(0, 3)) == 0:
        attributes["output_shape"] = [max(1, f + draw(st.integers(-2, 2))) for f in full]
        if draw(st.booleans()):
            attributes["output_shape"] = [2, outputs, *attributes["output_shape"]]
    arrays: list[np.ndarray | None] = [
        case.floats((2, inputs, *size)),
        case.floats((inputs, outputs // group, *window["kernel"])),
        case.floats((outputs,)) if draw(st.booleans()) else None,
    ]
    return Example(arrays, attributes, ("float32",), constants=draw(CONSTANTS))


@example("ai.onnx.ConvTranspose")
def wide_conv_transpose(draw: st.DrawFn, op: str) -> Example:
    case, kernel, stride = Case(draw(SEEDS)), draw(st.integers(2, 4)), draw(st.integers(1, 2))
    arrays: list[np.ndarray | None] = [case.floats((1, 70, 19, 9)), case.floats((70, 70, kernel, kernel)), case.floats((70,))]
    return Example(arrays, {"strides": [stride, stride], "pads": [1] * 4}, ("float32",), constants=draw(CONSTANTS))


@example("DeformConv")
def deform_conv(draw: st.DrawFn, op: str) -> Example:
    case, window = Case(draw(SEEDS)), draw(windows(2))
    (inputs, outputs, group), offset_group = (
        draw(st.sampled_from([(4, 6, 1), (4, 6, 2), (60, 9, 1)])),
        draw(st.sampled_from([1, 2])),
    )
    size = sizes_for(window, [draw(st.integers(0, 6)), draw(st.integers(0, 6))])
    steps = zip(size, *(window[k] for k in ("begin", "end", "dilations", "kernel", "strides")), strict=True)
    places = [(n + b + e - d * (k - 1) - 1) // s + 1 for n, b, e, d, k, s in steps]
    moved = offset_group * int(np.prod(window["kernel"]))
    offset = (case.rng.standard_normal((2, moved * 2, *places)) * 2).astype(np.float32)
    arrays: list[np.ndarray | None] = [
        case.floats((2, inputs, *size)),
        case.floats((outputs, inputs // group, *window["kernel"])),
        np.round(offset) if draw(st.booleans()) else offset,
        case.floats((outputs,)) if draw(st.booleans()) else None,
        case.floats((2, moved, *places)) if draw(st.booleans()) else None,
    ]
    made = {"strides": window["strides"], "dilations": window["dilations"], "pads": window["begin"] + window["end"]}
    return Example(arrays, made | {"group": group, "offset_group": offset_group}, ("float32",), constants=draw(CONSTANTS)[:1])
