"""What a Pad fills with, and whether the codes of its input can say it.

inside the range of the input         the output has the scale of the input
outside, at most FAR of its widths    the output has a scale of its own, for both
beyond, in front of MaxPool           the lowest code, which no maximum takes
beyond                                float: one scale cannot hold both
"""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.patterns import attr, scalar
from qgraph.numerics.affine import QParams
from qgraph.pipeline import MeasuredRange

FAR = 8
"""Widths of a range by which it may grow to hold what is filled in: three bits of the codes."""


def fill_of(node: ir.Node) -> float | None:
    """What a Pad node writes around its input; 0 where that is the input itself, None where it is computed."""
    if attr(node, "mode", "constant") != "constant" or len(node.inputs) < 3 or node.inputs[2] is None:
        return 0.0
    return scalar(node.inputs[2])


def in_front_of_maximum(node: ir.Node) -> bool:
    """Whether only MaxPool reads what ``node`` makes."""
    value = node.outputs[0]
    return not value.is_graph_output() and all(u.node.op_type == "MaxPool" and not u.node.domain for u in value.uses())


def holds(params: QParams, node: ir.Node) -> bool:
    """Whether the codes of a Pad's input, which mean ``params``, say what it fills with."""
    fill = fill_of(node)
    if fill is None:
        return False
    scale, zero = float(params.scale), int(params.zero_point)
    low, high = (scale * (code - zero) for code in (params.type.qmin - 0.5, params.type.qmax + 0.5))
    return low <= fill <= high or (fill < low and in_front_of_maximum(node))


def is_far(node: ir.Node, known: MeasuredRange | None) -> bool:
    """Whether a Pad fills with a number that no scale can hold beside the elements of its input."""
    fill = fill_of(node)
    if fill is None or known is None:
        return False
    low, high = min(known.low, 0.0), max(known.high, 0.0)
    if fill < low and in_front_of_maximum(node):
        return False
    return not low - FAR * (high - low) <= fill <= high + FAR * (high - low)


def widened(low: float, high: float, node: ir.Node) -> tuple[float, float]:
    """The range of a Pad's output, with what it fills in."""
    fill = fill_of(node)
    if fill is None or (fill < low and in_front_of_maximum(node)):
        return low, high
    return min(low, fill), max(high, fill)
