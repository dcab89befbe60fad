"""Resizing and sampling."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import rule, same_channels
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where


@rule("Resize")
def resize(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    scales = graph.numbers(node.inputs[2]) if len(node.inputs) > 2 else None
    axes = [a % graph.rank(x) for a in attr(node, "axes", range(graph.rank(x)))]
    resized = set(axes)
    if scales is not None and len(scales) == len(axes):
        resized = {a for a, scale in zip(axes, scales, strict=True) if scale != 1}
    if resized & {0, 1}:
        for value in (x, node.outputs[0]):
            graph.freeze(value, (0, 1), f"{where(node)} is given sizes, not scales")
        return
    same_channels(graph, node)


@rule("GridSample")
def grid_sample(graph: AxisGraph, node: ir.Node) -> None:
    same_channels(graph, node)
