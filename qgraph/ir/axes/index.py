"""Ops that make indices."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import keep_whole, reduce_axes, rule
from qgraph.ir.patterns import attr


@rule("ArgMax", "ArgMin")
def arg(graph: AxisGraph, node: ir.Node) -> None:
    reduce_axes(graph, node, [attr(node, "axis", 0)])


@rule("TopK")
def top_k(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, [attr(node, "axis", -1)], "works over this axis")
