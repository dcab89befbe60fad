"""Convolutions: integer ones over one or two spatial axes, channels last; float32 ones over one to three, channels first."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import AutoPad
from qgraph.ir.integer_ops.spec import F32, I32, RESULTS, U8, WEIGHTS, AttributeSpec, InputSpec, OpSpec, OutputSpec


def _lengths(name: str, low: int, meaning: str, required: bool = True) -> AttributeSpec:
    return AttributeSpec(name, "ints", low, common.LENGTH, required=required, meaning=meaning)


X = InputSpec("x", (U8,), "[batch, size..., c]")
MULTIPLIER = InputSpec("multiplier", (F32,), "[o]; scale of x * scale of weights / scale of y", constant=True)
BIAS = InputSpec("bias", (I32,), "[o], of scale of x * scale of weights", optional=True, constant=True)
GEOMETRY = (
    _lengths("strides", 1, "one a spatial axis"),
    _lengths("dilations", 1, "one a spatial axis"),
    AttributeSpec(
        "pads", "ints", -(1 << 20), common.LENGTH, required=True, meaning="at the begin of each spatial axis, then at the ends"
    ),
    AttributeSpec("group", "int", 1, 1 << 24, 1, meaning="divides c and o"),
)

CONV = OpSpec(
    "Conv",
    "conv",
    inputs=(X, InputSpec("weights", WEIGHTS, "[o, kernel..., c / group]", constant=True), MULTIPLIER, BIAS, common.RESIDUAL),
    outputs=(OutputSpec("y", RESULTS, "[batch, places..., o]"),),
    attributes=(
        *GEOMETRY,
        common.zero_point("x_zero", "x", 255),
        common.LEVELS,
        *common.RESIDUAL_ATTRIBUTES,
        *common.Y_CODES,
    ),
    equation=(
        "places = (size + begin + end - dilation * (kernel - 1) - 1) / stride + 1, rounded down\n"
        "acc[p, o] = sum over taps k and the channels c of the group of o of\n"
        "            (x[p * stride - begin + k * dilation, c] - x_zero) * weights[o, k, c] + bias[o]; 0 for taps beyond x\n"
        "t = float(acc) * multiplier[o]\n" + common.FINISH
    ),
)

CONV_TRANSPOSE = OpSpec(
    "ConvTranspose",
    "conv",
    inputs=(X, InputSpec("weights", WEIGHTS, "[c, kernel..., o / group]", constant=True), MULTIPLIER, BIAS),
    outputs=(OutputSpec("y", RESULTS, "[batch, places..., o]"),),
    attributes=(
        *GEOMETRY,
        _lengths("output_padding", 0, "one a spatial axis; left out: zeros", required=False),
        common.zero_point("x_zero", "x", 255),
        common.LEVELS,
        *common.Y_CODES,
    ),
    equation=(
        "places = stride * (size - 1) + output_padding + dilation * (kernel - 1) + 1 - begin - end\n"
        "acc[p, o] = sum over taps k, the places i of x with i * stride - begin + k * dilation = p and the channels c of the\n"
        "            group of o of (x[i, c] - x_zero) * weights[c, k, o] + bias[o]\n"
        "y = quantized(float(acc) * multiplier[o])"
    ),
)

FLOAT_X = InputSpec("x", (F32,), "[batch, c, size...]")
FLOAT_W = InputSpec("w", (F32,), "[o, c / group, kernel...]")
FLOAT_BIAS = InputSpec("bias", (F32,), "[o]", optional=True)
FLOAT_Y = OutputSpec("y", (F32,), "[batch, o, places...]")
FLOAT_GEOMETRY = (
    AttributeSpec("auto_pad", "int", 0, 3, 0, enum=AutoPad, meaning="whether pads say it; places are size / stride, rounded up"),
    _lengths("kernel_shape", 1, "that of w", required=False),
    _lengths("strides", 1, "one a spatial axis; left out: 1", required=False),
    _lengths("dilations", 1, "one a spatial axis; left out: 1", required=False),
    AttributeSpec(
        "pads", "ints", -(1 << 20), common.LENGTH, meaning="at the begin of each spatial axis, then at the ends; left out: 0"
    ),
    AttributeSpec("group", "int", 1, 1 << 24, 1, meaning="divides c and o"),
)
CHAIN = (
    "places = (size + begin + end - dilation * (kernel - 1) - 1) / stride + 1, rounded down\n"
    "acc[o, p] = chain over the channels c of the group of o, for each over the taps k, of\n"
    "            w[o, c, k], x[c, p * stride - begin + k * dilation], which is 0 beyond x"
)

FLOAT_CONV = OpSpec(
    "Conv",
    "conv",
    inputs=(FLOAT_X, FLOAT_W, FLOAT_BIAS),
    outputs=(FLOAT_Y,),
    attributes=FLOAT_GEOMETRY,
    equation=f"{CHAIN}\ny = acc + bias[o]",
    domain="",
)

FUSED_CONV = OpSpec(
    "FusedConv",
    "conv",
    inputs=(FLOAT_X, FLOAT_W, FLOAT_BIAS, InputSpec("residual", (F32,), "of the shape of y", optional=True)),
    outputs=(FLOAT_Y,),
    attributes=(*FLOAT_GEOMETRY, *common.CLAMP),
    equation=f"{CHAIN}\nt = acc + bias[o]\n{common.FLOAT_FINISH}",
)

FLOAT_CONV_TRANSPOSE = OpSpec(
    "ConvTranspose",
    "conv",
    inputs=(FLOAT_X, InputSpec("w", (F32,), "[c, o / group, kernel...]"), FLOAT_BIAS),
    outputs=(FLOAT_Y,),
    attributes=(
        *FLOAT_GEOMETRY,
        _lengths("output_padding", 0, "one a spatial axis; left out: 0", required=False),
        _lengths("output_shape", 0, "one a spatial axis, batch and o before them or not; left out: as below", required=False),
    ),
    equation=(
        "places = stride * (size - 1) + output_padding + dilation * (kernel - 1) + 1 - begin - end\n"
        "acc[o, p] = chain over the channels c of the group of o, for each over the taps k for which\n"
        "            p + begin - k * dilation is i * stride, of w[c, o, k], x[c, i], which is 0 beyond x\n"
        "y = acc + bias[o]"
    ),
    domain="",
)

DEFORM_CONV = OpSpec(
    "DeformConv",
    "conv",
    inputs=(
        InputSpec("x", (F32,), "[batch, c, height, width]"),
        FLOAT_W,
        InputSpec("offset", (F32,), "[batch, offset_group * taps * 2, places...]: down, then right"),
        FLOAT_BIAS,
        InputSpec("mask", (F32,), "[batch, offset_group * taps, places...]", optional=True),
    ),
    outputs=(FLOAT_Y,),
    attributes=(*FLOAT_GEOMETRY[1:], AttributeSpec("offset_group", "int", 1, 1 << 24, 1, meaning="divides c")),
    equation=(
        "v, u = float(p * stride - begin + k * dilation) + offset[k, p] along each axis; i, j = floor(v), floor(u);\n"
        "d = v - i; r = u - j; s = 0 where not -1 < v < height and -1 < u < width, else, with x = 0 beyond the image,\n"
        "s = ((1 - d) * (1 - r)) * x[i, j] + ((1 - d) * r) * x[i, j + 1] + (d * (1 - r)) * x[i + 1, j]\n"
        "    + (d * r) * x[i + 1, j + 1]\n"
        "acc[o, p] = chain over the channels c of the group of o, for each over the taps k, of w[o, c, k], s * mask[k, p]\n"
        "y = acc + bias[o]"
    ),
    domain="",
)

OPS = (CONV, CONV_TRANSPOSE, FLOAT_CONV, FUSED_CONV, FLOAT_CONV_TRANSPOSE, DEFORM_CONV)
