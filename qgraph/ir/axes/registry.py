"""Which op has which rule for axes: one table, filled by a decorator, and what rules share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx_ir as ir

from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where

if TYPE_CHECKING:
    from qgraph.ir.axes.graph import AxisGraph

AxisRule = Callable[["AxisGraph", ir.Node], None]
AXIS_RULES: dict[str, AxisRule] = {}


def rule(*ops: str) -> Callable[[AxisRule], AxisRule]:
    """Register a function as the rule of ``ops``."""

    def keep(function: AxisRule) -> AxisRule:
        AXIS_RULES.update(dict.fromkeys(ops, function))
        return function

    return keep


def apply(graph: AxisGraph, node: ir.Node) -> None:
    """Put what ``node`` couples into ``graph``; axes of which its rule says nothing stay whole."""
    if has(node, Trait.FROM_SHAPES):
        for value in node.outputs:
            graph.freeze(value, range(graph.rank(value)), f"{where(node)} makes this axis, and no weight")
        return
    found = AXIS_RULES.get(node.op_type) if node.domain in ("", "qgraph") else None
    values = [v for v in (*node.inputs, *node.outputs) if v is not None and (v.name or v.uses())]
    if found is None or not all(map(graph.known, values)):
        why = f"{where(node)} has no rule for pruning" if found is None else f"{where(node)} has values of unknown rank"
        for value in values:
            graph.freeze(value, range(graph.rank(value)), why)
        return
    graph.touched.clear()
    found(graph, node)
    for value in values:
        if value.const_value is not None and len(value.uses()) == 1:
            continue  # its axes go with others or not at all
        made = value.producer() is node
        why = f"{where(node)} makes this axis, and no weight" if made else f"{where(node)} reads this axis whole"
        left = [i for i, d in enumerate(graph.dims(value)) if d != 1 and (value, i) not in graph.touched]
        graph.freeze(value, left, why)


def freeze_subgraphs(graph: AxisGraph, node: ir.Node) -> None:
    """What the graphs inside of ``node`` read stays whole."""
    for attribute in node.attributes.values():
        bodies = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else []
        for body in attribute.value if attribute.type == ir.AttributeType.GRAPHS else bodies:
            for inner in ir.traversal.RecursiveGraphIterator(body):
                for value in inner.inputs:
                    if value is not None:
                        graph.freeze(value, range(graph.rank(value)), f"a graph inside of {where(node)} reads it")


def keep_whole(graph: AxisGraph, node: ir.Node, axes: list[int], why: str) -> None:
    """The first input and every output have the same axes, and ``axes`` must stay whole, for the reason ``why``."""
    x = node.inputs[0]
    assert x is not None
    whole = {a % max(1, graph.rank(x)) for a in axes}
    graph.freeze(x, whole, f"{where(node)} {why}")
    for y in node.outputs:
        graph.freeze(y, whole if graph.rank(y) == graph.rank(x) else range(graph.rank(y)), f"{where(node)} {why}")
        for axis in range(graph.rank(x)):
            if graph.rank(y) == graph.rank(x) and axis not in whole:
                graph.same(x, axis, y, axis)
    for other in node.inputs[1:]:
        if other is not None:
            graph.freeze(other, range(graph.rank(other)), f"{where(node)} {why}")


def broadcast(graph: AxisGraph, value: ir.Value, out: ir.Value) -> None:
    """Axes of ``value``, counted from the right, are those of ``out``, or stretched to them (NumPy's broadcasting)."""
    for back in range(1, graph.rank(value) + 1):
        if graph.dims(value)[-back] != 1:
            graph.same(value, graph.rank(value) - back, out, graph.rank(out) - back)


def same_channels(graph: AxisGraph, node: ir.Node) -> None:
    """The first two axes, batch and channels, of the first input are those of every output."""
    x = node.inputs[0]
    assert x is not None
    for axis in (0, 1):
        for out in node.outputs:
            if graph.rank(out) == graph.rank(x):
                graph.same(x, axis, out, axis)


def reduce_axes(graph: AxisGraph, node: ir.Node, axes: list[int]) -> None:
    """``axes`` of the first input are reduced, its others are those of the output."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    axes = [a % max(1, graph.rank(x)) for a in axes]
    graph.freeze(x, axes, f"{where(node)} reduces this axis")
    kept = [a for a in range(graph.rank(x)) if a not in axes]
    for place, axis in enumerate(kept):
        graph.same(x, axis, y, axis if attr(node, "keepdims", 1) else place)
