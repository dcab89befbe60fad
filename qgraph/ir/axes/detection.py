"""Regions of pictures."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import rule


@rule("RoiAlign")
def roi_align(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    graph.same(x, 1, node.outputs[0], 1)
