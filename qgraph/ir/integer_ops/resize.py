"""Resizing: of codes along the last one or two axes, and in float32 along any."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import AspectRatio, GridPadding, Interpolation, ResizeCoordinates, ResizeNearest
from qgraph.ir.integer_ops.spec import (
    ANY,
    CODES,
    F32,
    I64,
    MAX_RANK,
    RESULTS,
    AttributeSpec,
    InputSpec,
    OpSpec,
    OutputSpec,
)

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
        "new = floor(float(old) * scale), or the size and scale = float(new) / float(old)\n"
        "HALF_PIXEL: s = (o + 0.5) / scale - 0.5; ASYMMETRIC: s = o / scale; ALIGN_CORNERS: s = o * (old - 1) / (new - 1);\n"
        "PYTORCH_HALF_PIXEL: HALF_PIXEL; the last two are 0 where new = 1\n"
        "nearest: y[o] = x[clamp(i, 0, old - 1)], i = s rounded: ROUND_PREFER_FLOOR halves down, ROUND_PREFER_CEIL halves up\n"
        "    (|s - floor(s) - 0.5| < 1e-6 is one), FLOOR, CEIL; y_zero, clamp_min and clamp_max are not applied\n"
        "linear: s = clamp(s, 0, old - 1); low = floor(s); high = min(low + 1, old - 1); f = s - low;\n"
        "    v = float(x[low] - x_zero) * (1 - f) + float(x[high] - x_zero) * f, the last axis first, then the other one;\n"
        "    y = quantized(v * multiplier)"
    ),
)

ONNX_RESIZE = OpSpec(
    "Resize",
    "resize",
    inputs=(
        InputSpec("x", ANY, "float32 where mode is not NEAREST"),
        InputSpec("roi", (F32,), "first and last of each axis, for TF_CROP_AND_RESIZE", optional=True, known=True),
        InputSpec("scales", (F32,), "one for each of axes; left out or empty: sizes", optional=True, known=True),
        InputSpec("sizes", (I64,), "one for each of axes", optional=True, known=True),
    ),
    outputs=(OutputSpec("y", ANY, same_as="x"),),
    attributes=(
        AttributeSpec("mode", "int", 0, 2, 0, enum=Interpolation),
        AttributeSpec("coordinate_transformation_mode", "int", 0, 5, 0, enum=ResizeCoordinates),
        AttributeSpec("nearest_mode", "int", 0, 3, 0, enum=ResizeNearest),
        AttributeSpec("keep_aspect_ratio_policy", "int", 0, 2, 0, enum=AspectRatio),
        AttributeSpec("axes", "ints", -MAX_RANK, MAX_RANK - 1, meaning="axes that scales and sizes speak of; left out: all"),
        common.flag("antialias", "1: filters are stretched where an axis shrinks"),
        common.flag("exclude_outside", "1: weights of elements outside of x are left out"),
        common.number("cubic_coeff_a", "a of CUBIC", -0.75),
        common.number(
            "extrapolation_value",
            "what TF_CROP_AND_RESIZE writes outside of x; in integers towards 0, saturated, int64 as int32",
            0.0,
        ),
    ),
    equation=(
        "new = floor(float(old) * scale), or the size and scale = float(new) / float(old); NOT_LARGER, NOT_SMALLER: scale = the\n"
        "    least or the largest of them, new = floor(double(float(old) * scale) + 0.5); s is float32:\n"
        "HALF_PIXEL: s = (o + 0.5) / scale - 0.5; ASYMMETRIC: s = o / scale; ALIGN_CORNERS: s = o * (old - 1) / (new - 1);\n"
        "PYTORCH_HALF_PIXEL: HALF_PIXEL; the last two are 0 where new = 1\n"
        "HALF_PIXEL_SYMMETRIC: s = float(double(old / 2 * (1 - new / (scale * old))) + (o + 0.5) / scale - 0.5), in double\n"
        "TF_CROP_AND_RESIZE: s = first * (old - 1) + o * (last - first) * (old - 1) / (new - 1), where new = 1\n"
        "    0.5 * (first + last) * (old - 1); y = extrapolation_value where not 0 <= s <= old - 1\n"
        "NEAREST: y[o] = x[clamp(i, 0, old - 1)], i = s rounded as nearest_mode says (see Resize of codes)\n"
        "LINEAR: s = clamp(s, 0, old - 1); low = floor(s); f = s - low; y = x[low] * (1 - f) + x[min(low + 1, old - 1)] * f\n"
        "CUBIC, and LINEAR where filters are stretched: in double, g = min(scale, 1), without antialias 1; r = 1 / g or 2 / g;\n"
        "    for i from floor(s - r + 1) to floor(s + r + 1) - 1: d = |i - s| * g; LINEAR: w = max(1 - d, 0); CUBIC: w =\n"
        "    d <= 1: ((a + 2) * d - (a + 3)) * d * d + 1; d < 2: ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; else 0\n"
        "    exclude_outside: those not on x are left out; with it or g < 1: w = w / their sum, in order, if that is not 0\n"
        "    y = float(w) * x[clamp(i, 0, old - 1)] + ... in this order\n"
        "axis after axis, the last one first; one with new = old and scale = 1 (first = 0, last = 1) stays as it is"
    ),
    domain="",
)

GRID_SAMPLE = OpSpec(
    "GridSample",
    "resize",
    inputs=(InputSpec("x", (F32,), "[N, C, ..., W], two or three axes"), InputSpec("grid", (F32,), "[N, ..., W', coordinates]")),
    outputs=(OutputSpec("y", (F32,), "[N, C, ..., W']"),),
    attributes=(
        AttributeSpec("mode", "int", 0, 2, 1, enum=Interpolation, meaning="CUBIC: two axes"),
        AttributeSpec("padding_mode", "int", 0, 2, 0, enum=GridPadding),
        common.flag("align_corners", "1: -1 and 1 are the middles of the outer elements, 0: their edges"),
    ),
    equation=(
        "the coordinates of a point are those of the last axis first; n = the length of the axis, first = 0 and last = n - 1\n"
        "    with align_corners, else -0.5 and n - 0.5\n"
        "s = (g + 1) / 2 * (n - 1) with align_corners, else ((g + 1) * n - 1) / 2; s = clamp(s, -2^30, 2^30), NaN is -2^30\n"
        "NEAREST: s = rne(s); then, but for CUBIC, BORDER: s = clamp(s, 0, n - 1), REFLECTION: s = r(s)\n"
        "r(s) = s on [first, last], else d = first - s or s - last, q = floor(d / (last - first)), e = d - q * (last - first),\n"
        "    first + e where s is below and q even or above and q odd, else last - e; with last = first: first\n"
        "x[i] = 0 outside of x; BORDER: the nearest element; REFLECTION: that of trunc(r(i)), limited to x\n"
        "NEAREST: y = x[int(s)]; LINEAR: i = floor(s), f = s - i: v = x[i] * (1 - f) + x[i + 1] * f, the last axis first\n"
        "CUBIC: v = ((x[i - 1] * w(f + 1) + x[i] * w(f)) + x[i + 1] * w(1 - f)) + x[i + 2] * w(2 - f), the last axis first;\n"
        "    w(d) = (1.25 * d - 2.25) * d * d + 1 up to 1, then ((-0.75 * d + 3.75) * d - 6) * d + 3"
    ),
    domain="",
)
AFFINE_GRID = OpSpec(
    "AffineGrid",
    "resize",
    inputs=(InputSpec("theta", (F32,), "[N, 2, 3] or [N, 3, 4]"), InputSpec("size", (I64,), "[N, C, ..., W]", known=True)),
    outputs=(OutputSpec("grid", (F32,), "[N, ..., W, coordinates]"),),
    attributes=(common.flag("align_corners", "1: -1 and 1 are the middles of the outer elements, 0: their edges"),),
    equation=(
        "c = (2 * i) / (n - 1) - 1 with align_corners, 1 where n = 1; else (2 * i + 1) / n - 1, for the n places of an axis\n"
        "grid[..., j] = ((theta[j, 0] * c_last + theta[j, 1] * c_before) + ...) + theta[j, axes]"
    ),
    domain="",
)

OPS = (RESIZE, ONNX_RESIZE, GRID_SAMPLE, AFFINE_GRID)
