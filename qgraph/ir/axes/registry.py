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
    """Put what ``node`` couples into ``graph``."""
    if has(node, Trait.FROM_SHAPES):
        return
    found = AXIS_RULES.get(node.op_type) if node.domain in ("", "qgraph") else None
    values = [v for v in (*node.inputs, *node.outputs) if v is not None]
    if found is None or any(v.shape is None for v in values):
        why = f"{where(node)} has no rule for pruning" if found is None else f"{where(node)} has values of unknown rank"
        for value in values:
            graph.freeze(value, range(len(value.shape or ())), why)
        return
    found(graph, node)


def rank(value: ir.Value) -> int:
    return len(value.shape or ())


def dims(value: ir.Value) -> list[int | str]:
    """Lengths, symbols as text; an unknown length equals no other."""
    return [int(d) if isinstance(d, int) else str(d.value or f"?{id(value)}:{i}") for i, d in enumerate(value.shape or ())]


def keep_whole(graph: AxisGraph, node: ir.Node, axes: list[int], why: str) -> None:
    """The first input and every output have the same axes, and ``axes`` must stay whole, for the reason ``why``."""
    x = node.inputs[0]
    assert x is not None
    for y in node.outputs:
        for axis in range(rank(x)):
            if rank(y) == rank(x):
                graph.same(x, axis, y, axis)
    graph.freeze(x, [a % max(1, rank(x)) for a in axes], f"{where(node)} {why}")
    for other in node.inputs[1:]:
        if other is not None:
            graph.freeze(other, range(rank(other)), f"{where(node)} {why}")


def same_channels(graph: AxisGraph, node: ir.Node) -> None:
    """The first two axes, batch and channels, of the first input are those of every output."""
    x = node.inputs[0]
    assert x is not None
    for axis in (0, 1):
        for out in node.outputs:
            graph.same(x, axis, out, axis)


def reduce_axes(graph: AxisGraph, node: ir.Node, axes: list[int]) -> None:
    """``axes`` of the first input are reduced, its others are those of the output."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    axes = [a % max(1, rank(x)) for a in axes]
    graph.freeze(x, axes, f"{where(node)} reduces this axis")
    kept = [a for a in range(rank(x)) if a not in axes]
    for place, axis in enumerate(kept):
        graph.same(x, axis, y, axis if attr(node, "keepdims", 1) else place)
