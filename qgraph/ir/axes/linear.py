"""Matrix products."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import dims, rank, rule
from qgraph.ir.patterns import attr


@rule("MatMul")
def matmul(graph: AxisGraph, node: ir.Node) -> None:
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    graph.same(a, rank(a) - 1, b, max(0, rank(b) - 2))
    if rank(b) > 1:
        graph.same(b, rank(b) - 1, y, rank(y) - 1)
    if rank(a) > 1 and rank(b) > 1:
        graph.same(a, rank(a) - 2, y, rank(y) - 2)
    for value in (a, b):
        for back in range(3, rank(value) + 1):
            if dims(value)[-back] == dims(y)[-back]:
                graph.same(value, rank(value) - back, y, rank(y) - back)


@rule("Gemm")
def gemm(graph: AxisGraph, node: ir.Node) -> None:
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    ta, tb = attr(node, "transA", 0), attr(node, "transB", 0)
    graph.same(a, 0 if ta else 1, b, 1 if tb else 0)
    graph.same(b, 0 if tb else 1, y, 1)
    graph.same(a, 1 if ta else 0, y, 0)
    c = node.inputs[2] if len(node.inputs) > 2 else None
    if c is not None and rank(c) and dims(c)[-1] == dims(y)[-1]:
        graph.same(c, rank(c) - 1, y, 1)
