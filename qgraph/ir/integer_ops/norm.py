"""Normalisations and softmax: integer sums, then a few float steps."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.spec import CODES, F32, RESULTS, AttributeSpec, InputSpec, OpSpec, OutputSpec

NORMALISED = (
    "n elements: mean = float32(sum of x / n), in double\n"
    "variance = (n * sum of x^2 - (sum of x)^2) / (n * n), the integers exact, the division in double\n"
    "inverse = float32(1 / sqrt(variance + epsilon)), in double\n"
    "y = quantized(((float(x) - mean) * inverse) * gamma + beta)"
)
SOFTMAX_EQUATION = (
    "t = float(x - x_zero) * scale along the axis; softmax(t, top):\n"
    "u = (t - max t) * 1.44269504, -30 where that is not above -30; n = rne(u); f = u - n\n"
    "e = rne(p(f) * 2^(n + 20)), p of degree 5 in f, from the highest term:\n"
    "    0.0013333558, 0.0096181291, 0.0555041087, 0.2402265070, 0.6931471806, 1\n"
    "y = clamp(rne(float(e) * (top / float(sum of e))), 0, 255 or 32767)      uint8 or int16\n"
    "y = float(e) / float(sum of e)                                           float32\n"
    "all t of -infinity: zeros"
)


def _parameters(shape: str) -> tuple[InputSpec, InputSpec]:
    return (
        InputSpec("gamma", (F32,), f"{shape}; divided by the scale of y", constant=True),
        InputSpec("beta", (F32,), f"{shape}; divided by the scale of y", constant=True),
    )


EPSILON = common.number("epsilon", "divided by the square of the scale of x", low=0.0)

LAYER_NORM = OpSpec(
    "LayerNorm",
    "norm",
    inputs=(InputSpec("x", CODES, "[..., axes of gamma]"), *_parameters("up to 2^20 elements")),
    outputs=(OutputSpec("y", RESULTS, "of the shape of x"),),
    attributes=(EPSILON, *common.Y_CODES),
    equation="over the last axes, those of gamma, of\n" + NORMALISED,
)

GROUP_NORM = OpSpec(
    "GroupNorm",
    "norm",
    inputs=(InputSpec("x", CODES, "[batch, channels, ...]"), *_parameters("[channels]")),
    outputs=(OutputSpec("y", RESULTS, "of the shape of x"),),
    attributes=(EPSILON, AttributeSpec("groups", "int", 1, 1 << 24, 1, meaning="divides the channels"), *common.Y_CODES),
    equation="over the channels and positions of each group, of\n" + NORMALISED,
)

SOFTMAX = OpSpec(
    "Softmax",
    "norm",
    inputs=(InputSpec("x", CODES),),
    outputs=(OutputSpec("y", RESULTS, "of the shape of x"),),
    attributes=(
        common.axis(default=-1),
        common.zero_point("x_zero", "x"),
        common.positive("scale", "scale of x"),
        common.positive("top", "1 / scale of y", 255.0),
        AttributeSpec("y_zero", "int", 0, 0, 0, meaning="probabilities have the zero point 0"),
        *(a for a in common.Y_CODES if a.name != "y_zero"),
    ),
    equation=SOFTMAX_EQUATION + "; clamp_min and clamp_max are not applied, top is the highest code",
    any_layout=True,
)

LOCAL_RESPONSE_NORM = OpSpec(
    "LocalResponseNorm",
    "norm",
    inputs=(InputSpec("x", CODES, "[batch, channels, ...]"),),
    outputs=(OutputSpec("y", RESULTS, "of the shape of x"),),
    attributes=(
        AttributeSpec("size", "int", 1, 1 << 16, 1, meaning="neighbouring channels that count"),
        common.zero_point("x_zero", "x"),
        common.number("factor", "alpha / size * (scale of x)^2", low=0.0),
        common.positive("bias", "added to the sum"),
        common.number("beta", "exponent"),
        common.number("multiplier", "scale of x / scale of y"),
        *common.Y_CODES,
    ),
    equation=(
        "s[c] = sum over the channels c - (size - 1) / 2 to c + size / 2 (rounded down) that there are of (x - x_zero)^2\n"
        "gain = float32((bias + factor * s[c]) ^ -beta), in double\n"
        "y = quantized((float(x - x_zero) * multiplier) * gain)"
    ),
)

OPS = (LAYER_NORM, GROUP_NORM, SOFTMAX, LOCAL_RESPONSE_NORM)
