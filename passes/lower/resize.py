"""Resize over the last one or two axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantizedValue, QuantSpec, f32

from qgraph.ir.integer_ops import ResizeCoordinates, ResizeNearest
from qgraph.ir.patterns import attr, constant, rank

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


CODED = list(ResizeCoordinates)[:4]
"""What the kernel of codes knows."""


@lowers("Resize")
def resize(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x, n = low.codes.get(node.inputs[0]), rank(value)  # type: ignore[arg-type]
    mode = attr(node, "mode", "nearest")
    coordinates = ResizeCoordinates.__members__.get(attr(node, "coordinate_transformation_mode", "half_pixel").upper())
    nearest = ResizeNearest[attr(node, "nearest_mode", "round_prefer_floor").upper()]
    if (
        x is None
        or n is None
        or mode not in ("nearest", "linear")
        or coordinates not in CODED
        or attr(node, "axes")
        or attr(node, "antialias", 0)
    ):
        return None
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    sizes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else None
    spatial = min(2, n - 2)
    target = scales if scales is not None and scales.size else sizes
    if target is None or spatial < 1 or (scales is target and np.any(target[:-spatial] != 1)):
        return None
    tail = target[-spatial:].astype(np.float32 if target is scales else np.int64)
    attributes: dict[str, Any] = {
        "linear": int(mode == "linear"),
        "coordinates": int(coordinates),
        "nearest": int(nearest),
        "x_zero": x.zero_point,
    }
    size = low.build.constant(f"{value.name}.size", tail)
    if mode == "nearest":
        made = low.build.kernel(node, "Resize", [x.value, size], x.spec, attributes, value)
        return low.requantized(QuantizedValue(made, x.spec), node, value, out)
    attributes["multiplier"] = f32(x.scale / out.scale)
    return low.build.kernel(node, "Resize", [x.value, size], out, attributes, value)
