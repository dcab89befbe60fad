"""Normalisations and softmax of float32, as ONNX names and means them."""

from __future__ import annotations

from qgraph.ir.integer_ops import common, functions
from qgraph.ir.integer_ops.spec import F32, FLOAT_MAX, MAX_RANK, AttributeSpec, InputSpec, OpSpec, OutputSpec

X = InputSpec("x", (F32,))
Y = OutputSpec("y", (F32,), "of the shape of x")
STASH = AttributeSpec("stash_type", "int", 1, 16, 1, meaning="not applied: sums are doubles")
MOMENTS = (
    "n elements: m = osum of x / n; v = osum of (x - m)^2 / n, in double\n"
    "mean = float32(m); inverse = float32(1 / sqrt(v + epsilon))\n"
)
NORMALISED = "y = ((x - mean) * inverse) * scale + bias, without + bias where there is none"
SHARES = f"p = the largest x along the axis; s = osum of exp0(x - p)\n{{}}\n{functions.EXP_BELOW}"


def _epsilon() -> AttributeSpec:
    return common.number("epsilon", "added to the variance", 1e-5, 0.0)


def _op(op: str, inputs: tuple[InputSpec, ...], attributes: tuple[AttributeSpec, ...], equation: str) -> OpSpec:
    return OpSpec(op, "norm", inputs, (Y,), attributes, equation, domain="")


def _rows(op: str, inputs: tuple[InputSpec, ...], outputs: tuple[OutputSpec, ...], equation: str) -> OpSpec:
    attributes = (common.axis(default=-1, meaning="the first of those that are normalized"), _epsilon(), STASH)
    return OpSpec(op, "norm", (X, *inputs), outputs, attributes, "over the axes from axis on, of\n" + equation, domain="")


def _parameter(name: str, shape: str = "[channels]", optional: bool = False) -> InputSpec:
    return InputSpec(name, (F32,), shape, optional=optional)


_AXES = "of the normalized axes, or one element"
_EACH = OutputSpec("mean", (F32,), "of the shape of x with normalized axes of length 1", optional=True)
_CHANNELS = (InputSpec("x", (F32,), "[batch, channels, ...]"), _parameter("scale"), _parameter("bias"))

OPS = (
    _op(
        "Softmax",
        (X,),
        (common.axis(default=-1),),
        SHARES.format("y = exp0(x - p) * float32(1 / s)"),
    ),
    _op(
        "LogSoftmax",
        (X,),
        (common.axis(default=-1),),
        SHARES.format("y = (x - p) - float32(log(s))") + "\n" + functions.LOG_WIDE,
    ),
    _op("Hardmax", (X,), (common.axis(default=-1),), "y = 1 at the first of the largest elements along the axis, else 0"),
    _rows(
        "LayerNormalization",
        (_parameter("scale", _AXES), _parameter("bias", "of the shape of scale", optional=True)),
        (Y, _EACH, OutputSpec("inverse", (F32,), "of the shape of mean", optional=True)),
        MOMENTS + NORMALISED,
    ),
    _rows(
        "RMSNormalization",
        (_parameter("scale", _AXES),),
        (Y,),
        "n elements: inverse = float32(1 / sqrt(osum of x^2 / n + epsilon)), in double; y = (x * inverse) * scale",
    ),
    _op(
        "GroupNormalization",
        _CHANNELS,
        (
            _epsilon(),
            AttributeSpec("num_groups", "int", 1, 1 << 24, required=True, meaning="divides the channels"),
            STASH,
        ),
        "over the channels and positions of each group, of\n" + MOMENTS + NORMALISED,
    ),
    _op(
        "InstanceNormalization",
        _CHANNELS,
        (_epsilon(),),
        "over the positions of each channel, of\n" + MOMENTS + NORMALISED,
    ),
    _op(
        "BatchNormalization",
        (*_CHANNELS, _parameter("mean"), _parameter("variance")),
        (
            _epsilon(),
            AttributeSpec("momentum", "float", -FLOAT_MAX, FLOAT_MAX, 0.9, meaning="of training, not applied"),
            AttributeSpec("training_mode", "int", 0, 0, 0, meaning="mean and variance are given"),
        ),
        "inverse = float32(1 / sqrt(variance + epsilon)), in double; y = ((x - mean) * inverse) * scale + bias",
    ),
    _op(
        "LRN",
        (InputSpec("x", (F32,), "[batch, channels, ...]"),),
        (
            common.number("alpha", "factor of the mean square", 1e-4),
            common.number("beta", "exponent", 0.75),
            common.number("bias", "added to it", 1.0),
            AttributeSpec("size", "int", 1, 1 << 16, required=True, meaning="neighbouring channels that count"),
        ),
        "s[c] = sum of x^2, in double and in their order, over those of the channels c - (size - 1) / 2 (rounded down)\n"
        "to c + size / 2 that there are; y = x * float32(exp(-beta * log(bias + alpha / size * s))), in double\n"
        f"{functions.EXP_WIDE}\n{functions.LOG_WIDE}",
    ),
    _op(
        "LpNormalization",
        (X,),
        (common.axis(default=-1), AttributeSpec("p", "int", 1, 2, 2, meaning="1: of magnitudes; 2: of squares")),
        "p = 1: s = float32(osum of |x|); p = 2: s = float32(sqrt(osum of x^2)); y = x / (s = 0 ? 1 : s)",
    ),
    _op(
        "MeanVarianceNormalization",
        (X,),
        (
            AttributeSpec(
                "axes", "ints", -MAX_RANK, MAX_RANK - 1, meaning="left out: 0, 2 and 3; negative ones count from the end"
            ),
        ),
        "over the axes, of n elements in the order of x: m = osum of x / n; v = osum of (x - m)^2 / n, in double\n"
        "y = (x - float32(m)) / float32(sqrt(v) + 1e-9)",
    ),
)
