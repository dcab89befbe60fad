"""Elementwise ops."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import broadcast, rule
from qgraph.ir.op_traits import Trait, ops


@rule(*sorted(ops(Trait.ELEMENTWISE) | ops(Trait.ELEMENTWISE, "qgraph")), "CastLike")
def pointwise(graph: AxisGraph, node: ir.Node) -> None:
    """NumPy's broadcasting: axes of equal length from the right."""
    out = node.outputs[0]
    for value in node.inputs[:1] if node.op_type == "CastLike" else node.inputs:
        if value is not None:
            broadcast(graph, value, out)
    for extra in node.outputs[1:]:
        for axis in range(graph.rank(extra)):
            graph.same(out, axis, extra, axis)
