"""Reductions over axes in float32 and on integers; all of the ONNX standard."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.index import NUMBERS
from qgraph.ir.integer_ops.spec import ANY, F32, I64, AttributeSpec, InputSpec, OpSpec, OutputSpec, Types


def _reduction(op: str, types: Types, equation: str) -> OpSpec:
    """A reduction; ``equation`` says what it makes of the elements along the axes."""
    return OpSpec(
        op,
        "pool",
        inputs=(
            InputSpec("data", types),
            InputSpec("axes", (I64,), "negative ones count from the end; none: all", optional=True, known=True),
        ),
        outputs=(OutputSpec("reduced", types, same_as="data"),),
        attributes=(
            common.flag("keepdims", "1: reduced axes stay, with length 1", 1),
            common.flag("noop_with_empty_axes", "1: no axes mean that each element is reduced by itself"),
        ),
        equation=equation,
        domain="",
    )


def _global(op: str, equation: str, attributes: tuple[AttributeSpec, ...] = ()) -> OpSpec:
    """A reduction of the axes behind the channels."""
    x, y = InputSpec("x", (F32,), "[batch, c, size...]"), OutputSpec("y", (F32,), "[batch, c, 1...]")
    return OpSpec(op, "pool", (x,), (y,), attributes, equation, domain="")


ORDER = "\nAdjacent axes are summed as one, the last ones first, with osum; the sums of one group are the terms of the next"
WHOLE = "; integers modulo 2^64, then 2^bits"
TRUNCATED = "towards 0 and saturated for integers, NaN is 0"
P = AttributeSpec("p", "int", 1, 64, 2, meaning="the exponent")
NORM = "y = float(osum(|x|^p))^(1 / p); p = 1: y = float(osum(|x|)); p = 2: y = float(sqrt(osum(x * x)))"

REDUCTIONS = (
    _reduction("ReduceMax", ANY, "y = the largest element, NaN if there is one, a zero is +0; none: -infinity or the lowest"),
    _reduction("ReduceMin", ANY, "y = the smallest element, NaN if there is one, a zero is +0; none: infinity or the highest"),
    _reduction("ReduceSum", NUMBERS, f"y = float(osum(x)){WHOLE}{ORDER}"),
    _reduction("ReduceMean", NUMBERS, f"y = float(osum(x) / n), n at least 1; integers: the sum / n towards 0{ORDER}"),
    _reduction("ReduceProd", NUMBERS, f"y = float(a product in double, in the lanes of osum, from 1 on){WHOLE}"),
    _reduction("ReduceL1", NUMBERS, f"y = float(osum(|x|)){WHOLE}{ORDER}"),
    _reduction("ReduceL2", NUMBERS, f"y = float(sqrt(osum(x * x))), {TRUNCATED}{ORDER}"),
    _reduction("ReduceSumSquare", NUMBERS, f"y = float(osum(x * x)){WHOLE}{ORDER}"),
)
GLOBAL_POOLS = (
    _global("GlobalAveragePool", f"y = float(osum(x) / n), n at least 1{ORDER}"),
    _global("GlobalMaxPool", "y = the largest element, NaN if there is one, a zero is +0; none: -infinity"),
)
OPS = (*REDUCTIONS, *GLOBAL_POOLS)
