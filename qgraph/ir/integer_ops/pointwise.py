"""Quantizers, tables, curves, and two operands element by element."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import BinaryOp
from qgraph.ir.integer_ops.spec import (
    CODES,
    F32,
    I8,
    I16,
    MAX_RANK,
    RESULTS,
    U8,
    AttributeSpec,
    InputSpec,
    OpSpec,
    OutputSpec,
)

SHAPE_OF_X = "of the shape of x"

QUANTIZE = OpSpec(
    "Quantize",
    "pointwise",
    inputs=(InputSpec("x", (F32,)),),
    outputs=(OutputSpec("y", CODES, SHAPE_OF_X),),
    attributes=(common.positive("scale", "scale of y"), *common.Y_CODES),
    equation="y = quantized(x / scale)",
    any_layout=True,
)

DEQUANTIZE = OpSpec(
    "Dequantize",
    "pointwise",
    inputs=(InputSpec("x", CODES),),
    outputs=(OutputSpec("y", (F32,), SHAPE_OF_X),),
    attributes=(common.positive("scale", "scale of x"), common.zero_point("x_zero", "x")),
    equation="y = float(x - x_zero) * scale",
    any_layout=True,
)

REQUANTIZE = OpSpec(
    "Requantize",
    "pointwise",
    inputs=(
        InputSpec("x", (U8, I16, I8)),
        InputSpec("multiplier", (F32,), "one, or one for each index of the last axis; scale of x / scale of y", constant=True),
    ),
    outputs=(OutputSpec("y", RESULTS, SHAPE_OF_X),),
    attributes=(common.zero_point("x_zero", "x"), *common.Y_CODES),
    equation="y = quantized(float(x - x_zero) * multiplier)",
    any_layout=True,
)

QUANTIZE_TOKENS = OpSpec(
    "QuantizeTokens",
    "pointwise",
    inputs=(
        InputSpec("x", (U8, I16, F32), "[..., k]"),
        InputSpec("channel", (F32,), "[k]; factors", optional=True, constant=True),
    ),
    outputs=(
        OutputSpec("y", (U8,), "of the shape of x; zero point 128"),
        OutputSpec("row_scales", (F32,), "[..., 1]"),
    ),
    attributes=(common.positive("scale", "scale of x, where it is codes", 1.0), common.zero_point("x_zero", "x")),
    equation=(
        "v = float(x - x_zero) * scale, or x where it is float32; with channel: v = v * channel[k]\n"
        "peak = max |v| of the row; y = clamp(rne(v * (127 / peak)), -127, 127) + 128, with 1 for a peak of 0\n"
        "row_scales = peak / 127"
    ),
)

LOOKUP = OpSpec(
    "Lookup",
    "pointwise",
    inputs=(
        InputSpec("x", CODES),
        InputSpec(
            "table", RESULTS, "[256] for uint8, [65536] for int16, or [channels, 256] with axis", constant=True, finite=False
        ),
    ),
    outputs=(OutputSpec("y", RESULTS, SHAPE_OF_X, same_as="table"),),
    attributes=(
        AttributeSpec("axis", "int", 0, MAX_RANK - 1, meaning="axis of the channels that have a table each; left out: one table"),
    ),
    equation="y = table[x], table[x + 32768] for int16, table[channel, x] with axis",
    any_layout=True,
)

CURVE = OpSpec(
    "Curve",
    "pointwise",
    inputs=(
        InputSpec("x", (I16,)),
        InputSpec(
            "coefficients", (F32,), "[5, 32]: of each power, the constant terms first, one a segment", constant=True, finite=False
        ),
    ),
    outputs=(OutputSpec("y", CODES, SHAPE_OF_X),),
    attributes=(
        AttributeSpec("start", "int", *common.WIDE, -32768, codes_of="x", meaning="code where the first segment begins"),
        AttributeSpec("shift", "int", 0, 16, 11, meaning="a segment has 2^shift codes"),
        *common.Y_CODES,
    ),
    equation=(
        "i = clamp((x - start) >> shift, 0, 31); d = float(x - start - i * 2^shift - 2^shift / 2)\n"
        "t = (((c[4, i] * d + c[3, i]) * d + c[2, i]) * d + c[1, i]) * d + c[0, i]; y = quantized(t)"
    ),
    any_layout=True,
)

BINARY = OpSpec(
    "Binary",
    "pointwise",
    inputs=(InputSpec("a", CODES), InputSpec("b", CODES, "a and b broadcast")),
    outputs=(OutputSpec("y", RESULTS),),
    attributes=(
        AttributeSpec("op", "int", 0, 5, 0, enum=BinaryOp),
        common.zero_point("a_zero", "a"),
        common.zero_point("b_zero", "b"),
        common.number("a_multiplier", "scale of a / scale of y; for MUL and DIV that of a * b and a / b"),
        common.number("b_multiplier", "scale of b / scale of y; not for MUL and DIV", 0.0),
        *common.Y_CODES,
    ),
    equation=(
        "p = float(a - a_zero); q = float(b - b_zero)\n"
        "ADD: t = p * a_multiplier + q * b_multiplier; SUB, MAX, MIN likewise\n"
        "MUL: t = (p * q) * a_multiplier; DIV: t = (p / q) * a_multiplier\n"
        "y = quantized(t); 0 / 0 is the lowest code"
    ),
)

OPS = (QUANTIZE, DEQUANTIZE, REQUANTIZE, QUANTIZE_TOKENS, LOOKUP, CURVE, BINARY)
