"""Products with constant weights, and of two activations."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import SparseForm
from qgraph.ir.integer_ops.spec import F32, I32, RESULTS, U8, WEIGHTS, AttributeSpec, InputSpec, OpSpec, OutputSpec

LINEAR = OpSpec(
    "Linear",
    "linear",
    inputs=(
        InputSpec("x", (U8,), "[..., k]"),
        InputSpec("weights", WEIGHTS, "[n, k]", constant=True),
        InputSpec(
            "multiplier", (F32,), "[n], or [blocks, n] with block; scale of x * scale of weights / scale of y", constant=True
        ),
        InputSpec("bias", (I32, F32), "[n]; float32 with row_scales or block, else int32", optional=True, constant=True),
        InputSpec("row_scales", (F32,), "one a row of x", optional=True),
        common.RESIDUAL,
    ),
    outputs=(OutputSpec("y", RESULTS, "[..., n]"),),
    attributes=(
        common.zero_point("x_zero", "x", 255),
        AttributeSpec("block", "int", 0, 1 << 30, 0, meaning="columns of x that share a multiplier, a multiple of 4; 0: all"),
        common.LEVELS,
        AttributeSpec("sparse", "int", 0, 2, 0, enum=SparseForm, meaning="what the packed int8 weights leave out; without block"),
        *common.RESIDUAL_ATTRIBUTES,
        *common.Y_CODES,
    ),
    equation=(
        "acc[r, n] = sum over k of (x[r, k] - x_zero) * weights[n, k] + bias[n]      (bias: int32 only)\n"
        "t = float(acc) * multiplier[n]\n"
        "row_scales: t = (float(acc) * row_scales[r]) * multiplier[n]\n"
        "block: acc_b over the columns of block b; t = 0; for each b in order: t = t + float(acc_b) * multiplier[b, n];\n"
        "       row_scales: t = t * row_scales[r]\n"
        "bias float32: t = t + bias[n]\n" + common.FINISH
    ),
)

MATMUL = OpSpec(
    "MatMul",
    "linear",
    inputs=(
        InputSpec("a", (U8,), "[..., m, k]; k up to 65536"),
        InputSpec("b", (U8,), "[..., k, n]; the leading axes broadcast"),
    ),
    outputs=(OutputSpec("y", RESULTS, "[..., m, n]"),),
    attributes=(
        common.zero_point("a_zero", "a", 255),
        common.zero_point("b_zero", "b", 255),
        common.number("multiplier", "scale of a * scale of b / scale of y"),
        *common.Y_CODES,
    ),
    equation=("acc[m, n] = sum over k of (a[m, k] - a_zero) * (b[k, n] - b_zero)\ny = quantized(float(acc) * multiplier)"),
)

A = InputSpec("a", (F32,), "[..., m, k]; of rank 1: [k], and y has no m")
B = InputSpec("b", (F32,), "[..., k, n]; the leading axes broadcast; of rank 1: [k], and y has no n")
TRANSPOSED = (common.flag("transA", "1: a is [..., k, m]"), common.flag("transB", "1: b is [..., n, k]"))
PRODUCT = "acc[m, n] = chain over k of a[m, k], b[k, n]"

FLOAT_MATMUL = OpSpec(
    "MatMul",
    "linear",
    inputs=(A, B),
    outputs=(OutputSpec("y", (F32,), "[..., m, n]"),),
    attributes=(),
    equation=f"{PRODUCT}\ny = acc",
    domain="",
)

GEMM = OpSpec(
    "Gemm",
    "linear",
    inputs=(
        InputSpec("a", (F32,), "[m, k]"),
        InputSpec("b", (F32,), "[k, n]"),
        InputSpec("c", (F32,), "broadcasts to y", optional=True),
    ),
    outputs=(OutputSpec("y", (F32,), "[m, n]"),),
    attributes=(
        *TRANSPOSED,
        common.number("alpha", "factor of the product", 1.0),
        common.number("beta", "factor of c", 1.0),
    ),
    equation=f"{PRODUCT}\nt = acc * alpha\ny = t + c[m, n] * beta",
    domain="",
)

FUSED_MATMUL = OpSpec(
    "FusedMatMul",
    "linear",
    inputs=(
        A,
        B,
        InputSpec("bias", (F32,), "[n]", optional=True),
        InputSpec("residual", (F32,), "of the shape of y", optional=True),
    ),
    outputs=(OutputSpec("y", (F32,), "[..., m, n]"),),
    attributes=(*TRANSPOSED, common.number("alpha", "factor of the product", 1.0), *common.CLAMP),
    equation=f"{PRODUCT}\nt = acc * alpha + bias[n]\n{common.FLOAT_FINISH}",
)

EINSUM = OpSpec(
    "Einsum",
    "linear",
    inputs=(InputSpec("x", (F32,), "operands, one for each term of the equation", variadic=True),),
    outputs=(OutputSpec("y", (F32,), "an axis for each label of the result"),),
    attributes=(
        AttributeSpec("equation", "ints", 32, 126, required=True, meaning="that of ONNX, as the codes of its characters"),
    ),
    equation=(
        "t = the first operand; for each next one x: t = chain over the labels of t and x that neither a later operand nor the\n"
        "result has, in the order in which t and x name them, of t, x; one operand alone: x = 1\ny = t"
    ),
    domain="",
)

DET = OpSpec(
    "Det",
    "linear",
    inputs=(InputSpec("x", (F32,), "[..., n, n]"),),
    outputs=(OutputSpec("y", (F32,), "[...]"),),
    attributes=(),
    equation=(
        "in float64: d = 1; for each column k: the row with the first of the largest |x[i, k]|, i >= k, changes places with row\n"
        "k, and d = -d where it is another; d = d * x[k, k], the end where x[k, k] = 0; for the rows i and columns j beyond k:\n"
        "x[i, j] = x[i, j] - (x[i, k] / x[k, k]) * x[k, j]\ny = float32(d)"
    ),
    domain="",
)

OPS = (LINEAR, MATMUL, FLOAT_MATMUL, GEMM, FUSED_MATMUL, EINSUM, DET)
