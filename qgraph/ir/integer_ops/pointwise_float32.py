"""Functions of float32 values, element by element, as ONNX names and means them."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops import functions as f
from qgraph.ir.integer_ops.enums import GeluApproximation
from qgraph.ir.integer_ops.spec import ANY, BOOL, F32, AttributeSpec, InputSpec, OpSpec, OutputSpec


def _function(op: str, equation: str, *attributes: AttributeSpec) -> OpSpec:
    y = OutputSpec("y", (F32,), "of the shape of x")
    return OpSpec(op, "pointwise", (InputSpec("x", (F32,)),), (y,), attributes, equation, domain="", any_layout=True)


def _alpha(default: float, meaning: str) -> AttributeSpec:
    return common.number("alpha", meaning, default)


_SINE = f"below 2^20 {f.WIDE}{f.ANGLE}"
_ODD = "of |x|, with the sign of x, "

OPS = (
    _function("Exp", f"y = {f.EXP}"),
    _function("Log", f"y = log(x), {f.WIDE}{f.LOG_WIDE}"),
    _function("Sqrt", "y = sqrt(x), one IEEE operation"),
    _function("Reciprocal", "y = 1 / x"),
    _function("Sin", f"y = sin(x), x where it is 0, {_SINE}"),
    _function("Cos", f"y = cos(x) = sin a quarter turn further, {_SINE}"),
    _function("Tan", f"y = sine / cosine, -cosine / sine where n is odd, x where it is 0, {_SINE}"),
    _function(
        "Sinh",
        f"y = 0.5 * (e - 1 / e), e = exp(|x|), {_ODD}{f.WIDE}|x| < 0.01: ((z / 120 + 1 / 6) * z) * |x| + |x|, z = x * x\n"
        f"{f.EXP_WIDE}",
    ),
    _function("Cosh", f"y = 0.5 * (e + 1 / e), e = exp(|x|), {f.WIDE}{f.EXP_WIDE}"),
    _function("Asin", f"y = arc(|x| / sqrt(1 - x * x)), {_ODD}{f.WIDE}{f.ARC}"),
    _function("Acos", f"a = arc(sqrt(1 - x * x) / |x|); y = x < 0 ? 3.1415926535897931 - a : a, {f.WIDE}{f.ARC}"),
    _function("Atan", f"y = arc(|x|), {_ODD}{f.WIDE}{f.ARC}"),
    _function(
        "Asinh",
        f"y = log(|x| + sqrt(z + 1)), z = x * x, {_ODD}{f.WIDE}|x| < 0.001: ((z * 0.075 - 1 / 6) * z) * |x| + |x|\n{f.LOG_WIDE}",
    ),
    _function("Acosh", f"y = log(x + sqrt(x * x - 1)), NaN below 1, {f.WIDE}{f.LOG_WIDE}"),
    _function(
        "Atanh",
        f"y = 0.5 * log((1 + |x|) / (1 - |x|)), {_ODD}{f.WIDE}|x| < 0.001: ((z * 0.2 + 1 / 3) * z) * |x| + |x|, z = x * x\n"
        f"{f.LOG_WIDE}",
    ),
    _function("Tanh", f"y = {f.TANH}"),
    _function("Erf", f"y = {f.ERF}"),
    _function("Sigmoid", f"y = {f.SIGMOID}"),
    _function("Softplus", f"y = (x < 0 ? 0 : x) + log1p(exp(-|x|)), {f.WIDE}{f.EXP_WIDE}\n{f.LOG1P_WIDE}"),
    _function("Softsign", "y = x / (1 + |x|)"),
    _function("Elu", f"y = x < 0 ? alpha * expm1(x) : x, {f.WIDE}{f.EXP_WIDE}", _alpha(1.0, "the limit at -infinity, negated")),
    _function(
        "Selu",
        f"y = gamma * (x > 0 ? x : alpha * expm1(x)), {f.WIDE}{f.EXP_WIDE}",
        _alpha(1.6732632423543772, "factor below 0"),
        common.number("gamma", "factor", 1.0507009873554805),
    ),
    _function(
        "Celu",
        f"b = alpha * expm1(x / alpha); y = (x < 0 ? 0 : x) + (b > 0 ? 0 : b), {f.WIDE}{f.EXP_WIDE}",
        _alpha(1.0, "the limit at -infinity, negated"),
    ),
    _function("LeakyRelu", "y = x < 0 ? alpha * x : x", _alpha(0.01, "slope below 0")),
    _function("ThresholdedRelu", "y = x > alpha ? x : 0", _alpha(1.0, "what is not above it is 0")),
    _function(
        "HardSigmoid",
        "t = alpha * x + beta, 0 where it is below 0; y = t > 1 ? 1 : t",
        _alpha(0.2, "slope"),
        common.number("beta", "value at 0", 0.5),
    ),
    _function("HardSwish", "t = 0.166666672 * x + 0.5, 0 where it is below 0; y = x * (t > 1 ? 1 : t)"),
    _function("Mish", f"e = exp(x > 40 ? 40 : x), 0 below -150; n = e * (e + 2); y = x * (n / (n + 2)), {f.WIDE}{f.EXP_WIDE}"),
    _function(
        "Gelu",
        "NONE: y = (0.5 * x) * (1 + erf(x * 0.707106781))\n"
        "TANH: y = (0.5 * x) * (1 + tanh(0.797884561 * (x + 0.044715 * ((x * x) * x))))\n"
        "erf as in Erf, tanh as in Tanh",
        AttributeSpec("approximate", "int", 0, 1, 0, enum=GeluApproximation),
    ),
    _function("Swish", f"y = x * sigmoid(alpha * x)\n{f.SIGMOID}", _alpha(1.0, "factor inside")),
    _function(
        "Shrink",
        "y = x < -lambd ? x + bias : x > lambd ? x - bias : 0",
        common.number("bias", "what is taken from |x|", 0.0),
        common.number("lambd", "what is not beyond it is 0", 0.5),
    ),
    _function("Ceil", "y = x rounded up"),
    _function("Floor", "y = x rounded down"),
    _function("Round", "y = rne(x)"),
    OpSpec(
        "PRelu",
        "pointwise",
        (InputSpec("x", (F32,)), InputSpec("slope", (F32,), "broadcasts to the shape of x")),
        (OutputSpec("y", (F32,), "of the shape of x"),),
        (),
        "y = x < 0 ? slope * x : x",
        domain="",
    ),
    OpSpec(
        "Dropout",
        "pointwise",
        (InputSpec("x", ANY),),
        (OutputSpec("y", ANY, same_as="x"), OutputSpec("mask", (BOOL,), "of the shape of x", optional=True)),
        (),
        "y = x; mask = true, as it is after training",
        domain="",
    ),
)
