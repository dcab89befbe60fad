"""Pools over one or two spatial axes, channels last, means, and sums along an axis."""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.index import INTEGERS, NUMBERS
from qgraph.ir.integer_ops.spec import CODES, MAX_RANK, RESULTS, AttributeSpec, InputSpec, OpSpec, OutputSpec


def _lengths(name: str, low: int, meaning: str) -> AttributeSpec:
    return AttributeSpec(name, "ints", low, common.LENGTH, required=True, meaning=meaning)


X = InputSpec("x", CODES, "[batch, size..., c]")
WINDOW = (
    _lengths("kernel", 1, "one a spatial axis; up to 32768 taps in all"),
    _lengths("strides", 1, "one a spatial axis"),
    _lengths("dilations", 1, "one a spatial axis"),
    _lengths("pads", 0, "at the begin of each spatial axis, then at the ends"),
    common.flag("ceil", "1: places are rounded up, without those whose window begins beyond x and its begin"),
    common.flag("count_include_pad", "1: a mean counts the padding"),
)
PLACES = "places = (size + begin + end - dilation * (kernel - 1) - 1) / stride + 1, rounded down or up\n"
MULTIPLIER = common.number("multiplier", "scale of x / scale of y")

MAX_POOL = OpSpec(
    "MaxPool",
    "pool",
    inputs=(X,),
    outputs=(OutputSpec("y", CODES, "[batch, places..., c]", same_as="x"),),
    attributes=(*WINDOW, *common.Y_CODES),
    equation=(
        PLACES + "y = the largest of the codes under the window that lie on x; none: the lowest code of the type\n"
        "count_include_pad, y_zero, clamp_min and clamp_max are not applied"
    ),
)

AVERAGE_POOL = OpSpec(
    "AveragePool",
    "pool",
    inputs=(X,),
    outputs=(OutputSpec("y", RESULTS, "[batch, places..., c]"),),
    attributes=(*WINDOW, common.zero_point("x_zero", "x"), MULTIPLIER, *common.Y_CODES),
    equation=(
        PLACES + "acc = sum of x - x_zero over the taps that lie on x\n"
        "count = how many these are, or with count_include_pad those on x and its padding; at least 1\n"
        "y = quantized((float(acc) * multiplier) / float(count))"
    ),
)

REDUCE_MEAN = OpSpec(
    "ReduceMean",
    "pool",
    inputs=(InputSpec("x", CODES),),
    outputs=(OutputSpec("y", RESULTS),),
    attributes=(
        AttributeSpec("axes", "ints", -MAX_RANK, MAX_RANK - 1, required=True, meaning="negative ones count from the end"),
        common.flag("keepdims", "1: reduced axes stay, with length 1", 1),
        common.zero_point("x_zero", "x"),
        MULTIPLIER,
        *common.Y_CODES,
    ),
    equation=(
        "acc = sum of x - x_zero over the axes; count = their elements, at least 1\n"
        "y = quantized((float(acc) * multiplier) / float(count))"
    ),
    any_layout=True,
)

REDUCE_MAX = OpSpec(
    "ReduceMax",
    "pool",
    inputs=(InputSpec("x", CODES),),
    outputs=(OutputSpec("y", CODES, same_as="x"),),
    attributes=REDUCE_MEAN.attributes[:2],
    equation="y = the largest code along the axes; none: the lowest code of the type",
    any_layout=True,
)

CUM_SUM = OpSpec(
    "CumSum",
    "pool",
    inputs=(
        InputSpec("x", NUMBERS),
        InputSpec("axis", INTEGERS, "one element; negative ones count from the end", known=True),
    ),
    outputs=(OutputSpec("y", NUMBERS, "of the shape of x", same_as="x"),),
    attributes=(
        common.flag("exclusive", "1: y[i] is the sum before x[i], from 0 on"),
        common.flag("reverse", "1: from the end of the axis to its begin"),
    ),
    equation="y[0] = x[0]; y[i] = y[i - 1] + x[i] along the axis, one IEEE operation, or integers modulo 2^bits",
    domain="",
)

CUM_PROD = OpSpec(
    "CumProd",
    "pool",
    inputs=CUM_SUM.inputs,
    outputs=CUM_SUM.outputs,
    attributes=(
        common.flag("exclusive", "1: y[i] is the product before x[i], from 1 on"),
        common.flag("reverse", "1: from the end of the axis to its begin"),
    ),
    equation="y[0] = x[0]; y[i] = y[i - 1] * x[i] along the axis, one IEEE operation, or integers modulo 2^bits",
    domain="",
)

OPS = (MAX_POOL, AVERAGE_POOL, REDUCE_MEAN, REDUCE_MAX, CUM_SUM, CUM_PROD)
