"""Normalizations and softmax."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import keep_whole, rule
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where


@rule("BatchNormalization")
def batch_norm(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis in range(graph.rank(x)):
        graph.same(x, axis, y, axis)
    for parameter in node.inputs[1:]:
        if parameter is not None:
            graph.same(parameter, 0, y, 1)


@rule("InstanceNormalization")
def instance_norm(graph: AxisGraph, node: ir.Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    graph.same(x, 0, y, 0)
    graph.same(x, 1, y, 1)
    for parameter in node.inputs[1:]:
        if parameter is not None:
            graph.same(parameter, 0, y, 1)
    for value in (x, y):
        graph.freeze(value, range(2, graph.rank(value)), f"{where(node)} takes its statistics over this axis")


@rule("LayerNormalization", "RMSNormalization")
def layer_norm(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    first = attr(node, "axis", -1) % graph.rank(x)
    keep_whole(graph, node, list(range(first, graph.rank(x))), "takes its statistics over this axis")


@rule("Softmax", "LogSoftmax", "Hardmax", "LpNormalization")
def softmax(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, [attr(node, "axis", -1)], "works over this axis")


@rule("GroupNormalization")
def group_norm(graph: AxisGraph, node: ir.Node) -> None:
    """Whole groups can go: their statistics are their own."""
    instance_norm(graph, node)
    x, groups = node.inputs[0], attr(node, "num_groups", 1)
    assert x is not None
    if (channels := graph.length((x, 1))) is not None:
        every = np.arange(channels)
        graph.pairs(x, 1, x, 1, every, every - every % (channels // groups))


@rule("LRN")
def lrn(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, [1], "mixes channels")


@rule("MeanVarianceNormalization")
def mean_variance(graph: AxisGraph, node: ir.Node) -> None:
    keep_whole(graph, node, attr(node, "axes", [0, 2, 3]), "takes its statistics over this axis")
