"""Pools, reductions over axes and running sums."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import keep_whole, reduce_axes, rule, same_channels
from qgraph.ir.patterns import attr


@rule("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool")
def pool(graph: AxisGraph, node: ir.Node) -> None:
    same_channels(graph, node)


@rule(
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceProd",
    "ReduceSumSquare",
)
def reduce(graph: AxisGraph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    given = graph.numbers(node.inputs[1]) if len(node.inputs) > 1 else None
    axes = list(range(graph.rank(x))) if given is None else [int(a) for a in given.reshape(-1)]
    reduce_axes(graph, node, attr(node, "axes", axes))


@rule("CumSum")
def cum_sum(graph: AxisGraph, node: ir.Node) -> None:
    x, axis = node.inputs[0], graph.numbers(node.inputs[1])
    assert x is not None
    axes = list(range(graph.rank(x))) if axis is None else [int(axis.reshape(()))]
    keep_whole(graph, node, axes, "adds along this axis")
