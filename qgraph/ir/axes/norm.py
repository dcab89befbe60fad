"""Normalizations and softmax."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import keep_whole, rank, rule
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where


@rule("BatchNormalization")
def batch_norm(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis in range(rank(x)):
        graph.same(x, axis, y, axis)
    for parameter in node.inputs[1:]:
        if parameter is not None:
            graph.same(parameter, 0, y, 1)


@rule("InstanceNormalization")
def instance_norm(graph: AxisGraph, node: ir.Node) -> None:
    batch_norm(graph, node)
    x = node.inputs[0]
    assert x is not None
    graph.freeze(x, range(2, rank(x)), f"{where(node)} takes its statistics over this axis")


@rule("LayerNormalization", "RMSNormalization")
def layer_norm(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    first = attr(node, "axis", -1) % rank(x)
    keep_whole(graph, node, list(range(first, rank(x))), "takes its statistics over this axis")


@rule("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")
def softmax(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, [attr(node, "axis", -1)], "works over this axis")


@rule("GroupNormalization")
def group_norm(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    keep_whole(graph, node, list(range(1, rank(x))), "takes its statistics over this axis")


@rule("LRN")
def lrn(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, [1], "mixes channels")


@rule("MeanVarianceNormalization")
def mean_variance(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, attr(node, "axes", [0, 2, 3]), "takes its statistics over this axis")
