"""Elementwise ops."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import dims, rank, rule
from qgraph.ir.op_traits import Trait, ops


@rule(*sorted(ops(Trait.ELEMENTWISE) | ops(Trait.ELEMENTWISE, "qgraph")), "CastLike")
def pointwise(graph: AxisGraph, node: ir.Node) -> None:
    """NumPy's broadcasting: axes of equal length from the right."""
    out = node.outputs[0]
    for value in node.inputs:
        if value is None:
            continue
        for back in range(1, rank(value) + 1):
            if dims(value)[-back] == dims(out)[-back]:
                graph.same(value, rank(value) - back, out, rank(out) - back)
    for extra in node.outputs[1:]:
        for axis in range(rank(extra)):
            graph.same(out, axis, extra, axis)
