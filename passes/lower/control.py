"""If, Loop and Scan: their graphs are lowered, unquantized, to graphs that read nothing of what is around them.

r = If(c) {a + w}  {a}   ->   r = If(c, a) {a' + w'} {a'}       w is a constant, which lies in the file once
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from qgraph.passes.lower.registry import nested_form

from qgraph.ir.dialects import INTEGER
from qgraph.ir.patterns import attr

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


def graphs_of(node: ir.Node) -> list[ir.Graph]:
    return [a.as_graph() for a in node.attributes.values() if a.type == ir.AttributeType.GRAPH]


def outer_values(graph: ir.Graph) -> list[ir.Value]:
    """The values that ``graph`` and the graphs in it read and do not make."""
    own, found = {*graph.inputs, *graph.initializers.values()}, dict[ir.Value, None]()
    for node in graph:
        reads = [*node.inputs, *(v for g in graphs_of(node) for v in outer_values(g))]
        found.update((v, None) for v in reads if v is not None and v not in own)
        own.update(node.outputs)
    found.update((v, None) for v in graph.outputs if v not in own)
    return list(found)


@nested_form("If")
def branch(low: Lowering, node: ir.Node) -> list[ir.Value]:
    return _made(low, node, "If", node.inputs[:1], {}, ("then_branch", "else_branch"))


@nested_form("Loop")
def loop(low: Lowering, node: ir.Node) -> list[ir.Value]:
    inputs = [*node.inputs, None, None][: max(2, len(node.inputs))]
    return _made(low, node, "Loop", inputs, {"carried": len(inputs) - 2}, ("body",))


@nested_form("Scan")
def scan(low: Lowering, node: ir.Node) -> list[ir.Value]:
    scanned = int(attr(node, "num_scan_inputs"))
    attributes: dict[str, Any] = {"carried": len(node.inputs) - scanned, "scanned": scanned}
    for name in ("scan_input_axes", "scan_output_axes", "scan_input_directions", "scan_output_directions"):
        if given := attr(node, name):
            attributes[name] = given
    return _made(low, node, "Scan", node.inputs, attributes, ("body",))


def _made(
    low: Lowering, node: ir.Node, op: str, inputs: Sequence[ir.Value | None], attributes: dict[str, Any], graphs: Sequence[str]
) -> list[ir.Value]:
    """The outputs of the op that runs the lowered ``graphs`` of ``node``, its attributes of these names."""
    old = [node.attributes[name].as_graph() for name in graphs]
    outer = list(dict.fromkeys(v for g in old for v in outer_values(g)))
    captured = [v for v in outer if low.float_constant(v) is None]
    made = [_lowered(low, g, captured) for g in old]
    operands = [low.any(v) for v in (*inputs, *captured)]
    results = made[0].outputs[len(made[0].outputs) - len(node.outputs) :]
    names = [(v.name or f"{node.name}.{i}", r.dtype) for i, (v, r) in enumerate(zip(node.outputs, results, strict=True))]
    if any(kind is None for _, kind in names):  # of what is refused
        low.build.unknown.update(placeholders := [ir.Value(name="refused") for _ in node.outputs])
        return placeholders
    (name, kind), *others = names
    first = low.build.add(
        node,
        op,
        operands,
        {**attributes, **dict(zip(graphs, made, strict=True))},
        name=name,
        type=kind,  # type: ignore[arg-type]
        shape=node.outputs[0].shape,
        domain=INTEGER,
        others=others,  # type: ignore[arg-type]
    )
    maker = first.producer()
    assert maker is not None
    for before, after in zip(node.outputs, maker.outputs, strict=True):
        after.shape = before.shape
    return list(maker.outputs)


def _lowered(low: Lowering, graph: ir.Graph, captured: Sequence[ir.Value]) -> ir.Graph:
    """``graph`` in the integer dialect, with inputs for what it captures."""
    inner = type(low)(ir.Model(graph, ir_version=low.model.ir_version), ())
    inner.weights, inner.baked = low.weights, low.baked
    inputs = []
    for value in (*graph.inputs, *captured):
        new = ir.Value(name=inner.build.unique(value.name or "input"), shape=value.shape, type=value.type)
        inner.new[value] = new
        inputs.append(new)
    outputs = [v for v in map(inner.any, graph.outputs) if v is not None]
    for new, old in zip(outputs, graph.outputs, strict=True):
        new.shape = new.shape or old.shape
    low.refused.update(inner.refused)
    nodes = inner.build.live(outputs)
    return ir.Graph(
        inputs,
        outputs,
        nodes=nodes,
        initializers=list(inner.build.initializers.values()),
        opset_imports={**low.model.graph.opset_imports, INTEGER: 1},
        name=graph.name,
    )
