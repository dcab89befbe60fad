"""Resizing of the last one or two axes."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import ResizeCoordinates, ResizeNearest
from qgraph.ir.integer_ops.spec import CODES, F32, I64, RESULTS, AttributeSpec, InputSpec, OpSpec, OutputSpec

RESIZE = OpSpec(
    "Resize",
    "resize",
    inputs=(
        InputSpec("x", CODES, "[..., old]"),
        InputSpec("target", (F32, I64), "float32 scales or int64 sizes of the last one or two axes", known=True),
    ),
    outputs=(OutputSpec("y", RESULTS, "[..., new]; without linear of the type of x"),),
    attributes=(
        common.flag("linear", "1: linear, 0: nearest"),
        AttributeSpec("coordinates", "int", 0, 3, 0, enum=ResizeCoordinates),
        AttributeSpec("nearest", "int", 0, 3, 0, enum=ResizeNearest),
        common.zero_point("x_zero", "x"),
        common.number("multiplier", "scale of x / scale of y; linear only", 1.0),
        *common.Y_CODES,
    ),
    equation=(
        "new = floor(old * scale), or the size and scale = float(new) / float(old)\n"
        "HALF_PIXEL: s = (o + 0.5) / scale - 0.5; ASYMMETRIC: s = o / scale; ALIGN_CORNERS: s = o * (old - 1) / (new - 1);\n"
        "PYTORCH_HALF_PIXEL: HALF_PIXEL; the last two are 0 where new = 1\n"
        "nearest: y[o] = x[clamp(i, 0, old - 1)], i = s rounded: ROUND_PREFER_FLOOR halves down, ROUND_PREFER_CEIL halves up,\n"
        "    FLOOR, CEIL; y_zero, clamp_min and clamp_max are not applied\n"
        "linear: s = clamp(s, 0, old - 1); low = floor(s); high = min(low + 1, old - 1); f = s - low;\n"
        "    v = float(x[low] - x_zero) * (1 - f) + float(x[high] - x_zero) * f, the last axis first, then the other one;\n"
        "    y = quantized(v * multiplier)"
    ),
)

OPS = (RESIZE,)
