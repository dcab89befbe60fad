"""Pools and reductions over axes, in float32 and on integers; all of the ONNX standard."""

from __future__ import annotations

from qgraph.ir.integer_ops import common, functions
from qgraph.ir.integer_ops.enums import AutoPad
from qgraph.ir.integer_ops.index import NUMBERS
from qgraph.ir.integer_ops.spec import ANY, F32, I8, I64, U8, AttributeSpec, InputSpec, OpSpec, OutputSpec, Types


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
NORM = (
    "y = float(root(s)); root(s) = s for p = 1, sqrt(s) for p = 2, else exp(log(s) / p)\n"
    "|x|^p by squaring: r = 1, b = |x|; from the lowest bit of p on, r = r * b where it is 1, b = b * b\n"
    f"{functions.LOG_WIDE}\n{functions.EXP_WIDE}"
)

REDUCTIONS = (
    _reduction("ReduceMax", ANY, "y = the largest element, NaN if there is one, a zero is +0; none: -infinity or the lowest"),
    _reduction("ReduceMin", ANY, "y = the smallest element, NaN if there is one, a zero is +0; none: infinity or the highest"),
    _reduction("ReduceSum", NUMBERS, f"y = float(osum(x)){WHOLE}{ORDER}"),
    _reduction("ReduceMean", NUMBERS, f"y = float(osum(x) / n), n at least 1; integers: the sum / n towards 0{ORDER}"),
    _reduction("ReduceProd", NUMBERS, f"y = float(a product in double, in the lanes of osum, from 1 on){WHOLE}"),
    _reduction("ReduceL1", NUMBERS, f"y = float(osum(|x|)){WHOLE}{ORDER}"),
    _reduction("ReduceL2", NUMBERS, f"y = float(sqrt(osum(x * x))), {TRUNCATED}{ORDER}"),
    _reduction("ReduceSumSquare", NUMBERS, f"y = float(osum(x * x)){WHOLE}{ORDER}"),
    _reduction("ReduceLogSum", NUMBERS, f"y = float(log(osum(x))), {TRUNCATED}{ORDER}\n{functions.LOG_WIDE}"),
    _reduction(
        "ReduceLogSumExp",
        NUMBERS,
        f"m = the largest float(x), s = osum(exp(float(x) - m))\ny = float(m + log(s)), {TRUNCATED}; m where it is no finite "
        f"number{ORDER}\n{functions.LOG_WIDE}\n{functions.EXP}",
    ),
)
GLOBAL_POOLS = (
    _global("GlobalAveragePool", f"y = float(osum(x) / n), n at least 1{ORDER}"),
    _global("GlobalMaxPool", "y = the largest element, NaN if there is one, a zero is +0; none: -infinity"),
    _global("GlobalLpPool", f"s = osum(|x|^p); {NORM}{ORDER}", (P,)),
)


def _lengths(name: str, low: int, meaning: str, required: bool = False) -> AttributeSpec:
    return AttributeSpec(name, "ints", low, common.LENGTH, required=required, meaning=meaning)


KERNEL = _lengths("kernel_shape", 1, "one a spatial axis, of which there are up to 6; up to 32768 taps in all", required=True)
STRIDES = _lengths("strides", 1, "one a spatial axis; left out: 1")
PADS = _lengths("pads", 0, "at the begin of each spatial axis, then at the ends; left out: 0")
WINDOW = (
    KERNEL,
    STRIDES,
    _lengths("dilations", 1, "one a spatial axis; left out: 1"),
    PADS,
    AttributeSpec("auto_pad", "int", 0, 3, 0, enum=AutoPad, meaning="pads so that there are size / stride places, or none"),
    common.flag("ceil_mode", "1: places are rounded up, without those whose window begins beyond x and its begin"),
)
PLACES = "places = (size + begin + end - dilation * (kernel - 1) - 1) / stride + 1, rounded down or up\n"
SUM = (
    "\nwhere a window is summed in double: for each column the taps of the other axes, from 0 on and in row-major order, then "
    "the columns from the first to the last"
)


def _pool(op: str, types: Types, outputs: tuple[OutputSpec, ...], equation: str, *attributes: AttributeSpec) -> OpSpec:
    y = OutputSpec("y", types, "[batch, c, places...]", same_as="x")
    x = InputSpec("x", types, "[batch, c, size...]")
    return OpSpec(op, "pool", (x,), (y, *outputs), (*WINDOW, *attributes), PLACES + equation, domain="")


POOLS = (
    _pool(
        "MaxPool",
        (F32, I8, U8),
        (OutputSpec("indices", (I64,), "of the elements of y in x, counted over all of x", optional=True),),
        "y = the largest element under the window that lies on x, NaN if there is one, a zero is +0\n"
        "none: -infinity or the lowest\n"
        "indices: the first such element in row-major order; none: -1",
        common.flag("storage_order", "1: indices count the first spatial axis fastest, then the second"),
    ),
    _pool(
        "AveragePool",
        (F32,),
        (),
        "y = float(the sum of the taps that lie on x / count), count being how many these are, or with count_include_pad those "
        "on x and its padding; at least 1" + SUM,
        common.flag("count_include_pad", "1: the padding counts"),
    ),
    _pool("LpPool", (F32,), (), f"s = the sum of |x|^p over the taps that lie on x; {NORM}{SUM}", P),
)
MAX_UNPOOL = OpSpec(
    "MaxUnpool",
    "pool",
    inputs=(
        InputSpec("x", (F32,), "[batch, c, size...]"),
        InputSpec("indices", (I64,), "of the shape of x"),
        InputSpec("output_shape", (I64,), "at least the size that follows; left out: as much", optional=True, known=True),
    ),
    outputs=(OutputSpec("y", (F32,)),),
    attributes=(KERNEL, STRIDES, PADS),
    equation=(
        "size that follows = (size - 1) * stride + kernel - begin - end\n"
        "y = 0 everywhere, then y[indices[i]] = x[i] for each i in order, counted as if y had the size that follows"
    ),
    domain="",
)
MAX_ROI_POOL = OpSpec(
    "MaxRoiPool",
    "pool",
    inputs=(
        InputSpec("x", (F32,), "[batch, c, height, width]"),
        InputSpec("rois", (F32,), "[n, 5]: the image, then left, top, right, bottom"),
    ),
    outputs=(OutputSpec("y", (F32,), "[n, c, *pooled_shape]"),),
    attributes=(
        _lengths("pooled_shape", 1, "height and width", required=True),
        common.number("spatial_scale", "from a place in rois to one in x", 1.0),
    ),
    equation=(
        "corner = round(roi * spatial_scale between -10^9 and 10^9), halves away from 0; NaN is the lowest\n"
        "length = max(end - start + 1, 1); bin = float(length) / float(pooled)\n"
        "bin i is the places floor(float(i) * bin) to ceil(float(i + 1) * bin), without it, from start on, cut to x\n"
        "y = the largest element in a bin of rows and one of columns, NaN if there is one, a zero is +0; none: 0"
    ),
    domain="",
)
OPS = (*REDUCTIONS, *GLOBAL_POOLS, *POOLS, MAX_UNPOOL, MAX_ROI_POOL)
