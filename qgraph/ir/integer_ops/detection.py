"""Regions of pictures, in float32."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import RoiCoordinates, RoiMode
from qgraph.ir.integer_ops.spec import F32, I64, AttributeSpec, InputSpec, OpSpec, OutputSpec

ROI_ALIGN = OpSpec(
    "RoiAlign",
    "detection",
    inputs=(
        InputSpec("x", (F32,), "[N, C, H, W]"),
        InputSpec("rois", (F32,), "[R, 4]: x and y of two corners"),
        InputSpec("batch_indices", (I64,), "[R]; one that is not of the batch is an error"),
    ),
    outputs=(OutputSpec("y", (F32,), "[R, C, output_height, output_width]"),),
    attributes=(
        AttributeSpec("mode", "int", 0, 1, 0, enum=RoiMode),
        AttributeSpec("coordinate_transformation_mode", "int", 0, 1, 0, enum=RoiCoordinates),
        AttributeSpec("output_height", "int", 1, 1 << 16, 1),
        AttributeSpec("output_width", "int", 1, 1 << 16, 1),
        AttributeSpec(
            "sampling_ratio", "int", 0, 1 << 10, 0, meaning="points of a bin along each axis; 0: ceil(extent / output)"
        ),
        common.number("spatial_scale", "size of x / size of the picture that rois speak of", 1.0),
    ),
    equation=(
        "for each of two axes, of length n, with b bins: first, last = roi * spatial_scale - 0.5 (HALF_PIXEL), else - 0;\n"
        "    extent = last - first, OUTPUT_HALF_PIXEL: at least 1; bin = extent / b; at most 2^20 points g, none for extent < 0\n"
        "    s = (first + p * bin) + (i + 0.5) * bin / g for bin p and point i; v = 0 unless -1 <= s <= n; s = max(s, 0)\n"
        "    low = floor(s), where low >= n - 1 low = high = s = n - 1, else high = low + 1; f = s - low, e = 1 - f\n"
        "four corners: x[low, low] * (e * e'), x[low, high] * (e * f'), x[high, low] * (f * e'), x[high, high] * (f * f')\n"
        "AVG: y = 0 + the points in order, each ((first + second) + third) + fourth corner, divided by their number, at least 1\n"
        "MAX: y = y > v ? y : v over the corners v of all points in order; 0 where there are none"
    ),
    domain="",
)
NON_MAX_SUPPRESSION = OpSpec(
    "NonMaxSuppression",
    "detection",
    inputs=(
        InputSpec("boxes", (F32,), "[N, boxes, 4]"),
        InputSpec("scores", (F32,), "[N, classes, boxes]"),
        InputSpec("max_output_boxes_per_class", (I64,), "one element; left out: 0, so that none is chosen", optional=True),
        InputSpec("iou_threshold", (F32,), "one element on [0, 1]; left out: 0", optional=True),
        InputSpec("score_threshold", (F32,), "one element; left out: any score", optional=True),
    ),
    outputs=(OutputSpec("y", (I64,), "[chosen, 3]: batch, class and box"),),
    attributes=(
        common.flag("center_point_box", "1: x and y of the middle, width, height; 0: y and x of two corners, in any order"),
    ),
    equation=(
        "for each class the boxes whose score is above score_threshold, highest first, equal ones in order (NaN is -infinity):\n"
        "one is chosen unless its overlap with one that is chosen is above iou_threshold\n"
        "center_point_box: corners are x - w / 2, x + w / 2, and so for y; area = (x2 - x1) * (y2 - y1), both = the same of the\n"
        "larger first and the smaller last corners, 0 where these leave nothing; union = area + area' - both; no overlap where\n"
        "both, an area or union is not above 0; overlap = both / union"
    ),
    domain="",
)

OPS = (ROI_ALIGN, NON_MAX_SUPPRESSION)
