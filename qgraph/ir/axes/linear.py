"""Matrix products."""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.axes.graph import AxisGraph
from qgraph.ir.axes.registry import broadcast, rule
from qgraph.ir.patterns import attr, constant
from qgraph.ir.scopes import where


@rule("MatMul")
def matmul(graph: AxisGraph, node: ir.Node) -> None:
    """A vector has no axis of rows (the first input) or columns (the second); the axes in front of the last two are batches."""
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    computed = constant(a) is None and constant(b) is None
    rows, columns = graph.rank(a) > 1, graph.rank(b) > 1
    graph.same(a, graph.rank(a) - 1, b, max(0, graph.rank(b) - 2))
    if computed:
        graph.sums(a, graph.rank(a) - 1, node)
    if columns:
        graph.same(b, graph.rank(b) - 1, y, graph.rank(y) - 1)
    if rows:
        graph.same(a, graph.rank(a) - 2, y, graph.rank(y) - 1 - columns)
    for value in (a, b):
        for back in range(3, graph.rank(value) + 1):
            out = graph.rank(y) - back + (not rows) + (not columns)
            if graph.dims(value)[-back] != 1:
                graph.same(value, graph.rank(value) - back, y, out)
            if computed:
                graph.mark_heads(y, out)


@rule("Gemm")
def gemm(graph: AxisGraph, node: ir.Node) -> None:
    a, b, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    ta, tb = attr(node, "transA", 0), attr(node, "transB", 0)
    graph.same(a, 0 if ta else 1, b, 1 if tb else 0)
    graph.same(b, 0 if tb else 1, y, 1)
    graph.same(a, 1 if ta else 0, y, 0)
    if constant(a) is None and constant(b) is None:
        graph.sums(a, 0 if ta else 1, node)
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        broadcast(graph, node.inputs[2], y)


@rule("Einsum")
def einsum(graph: AxisGraph, node: ir.Node) -> None:
    """Axes of one letter go together; one that only a single input has is summed over."""
    equation, y = attr(node, "equation", "").replace(" ", ""), node.outputs[0]
    terms, arrow, result = equation.partition("->")
    letters, values = terms.split(","), [v for v in node.inputs if v is not None]
    fits = len(letters) == len(values) and all(len(t) == graph.rank(v) for t, v in zip(letters, values, strict=True))
    if not arrow or "." in equation or not fits or len(result) != graph.rank(y):
        for value in (*values, y):
            graph.freeze(value, range(graph.rank(value)), f"{where(node)} has an equation that is not read: {equation!r}")
        return
    computed = sum(constant(v) is None for v in values) > 1
    places: dict[str, list[tuple[ir.Value, int]]] = {}
    for text, value in [*zip(letters, values, strict=True), (result, y)]:
        for axis, letter in enumerate(text):
            if graph.dims(value)[axis] != 1:
                places.setdefault(letter, []).append((value, axis))
    for letter, found in places.items():
        readers = sum(letter in text for text in letters)
        if letter not in result and readers < 2:
            graph.freeze(found[0][0], (found[0][1],), f"{where(node)} sums over this axis")
        elif letter not in result and computed:
            graph.sums(*found[0], node)
        elif readers > 1 and computed:
            graph.mark_heads(*found[-1])
        for value, axis in found[1:]:
            graph.same(*found[0], value, axis)
