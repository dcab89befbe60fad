"""What is wrong with a model as it was read: put right where its meaning is clear, else one sentence."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.scopes import where

ALIAS = "ai.onnx"
"""The other spelling of ONNX's default domain."""
FREE = ("", "?", "-1", "None")
"""What exporters write for a dim that is not known."""


def put_right(model: ir.Model, file: str) -> None:
    """Bring ``model``, in place, into the form that every reader expects; ``file`` names it in errors.

    The default domain is spelled ``""``, nodes stand in topological order, dims that exporters declare as ``?``, -1 or, of an
    input or output, 0 are unknown.

    Raises:
        QGraphError: nodes in a circle, values that nothing makes, two inputs of one name, names that are no text.
    """
    _default_domain(model, file)
    _names(model, file)
    _order(model, file)
    for value in [*model.graph.inputs, *model.graph.outputs, *(v for n in model.graph for v in n.outputs)]:
        _free_dims(value)


def fault_of(proto: onnx.ModelProto) -> str:
    """Which value of a main graph has two origins, as a phrase; empty where none has."""
    made: dict[str, str] = {}
    for name, origin in _origins(proto.graph):
        if name in made and {made[name], origin} != {"a graph input", "an initializer"}:
            return f"the value {name!r} has two origins, {made[name]} and {origin}; rename one of them"
        made[name] = origin
    return ""


def _origins(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    yield from ((value.name, "a graph input") for value in graph.input)
    yield from ((tensor.name, "an initializer") for tensor in graph.initializer)
    for node in graph.node:
        yield from ((name, f"the {node.op_type} node {node.name!r}") for name in node.output if name)


def _default_domain(model: ir.Model, file: str) -> None:
    imports = model.graph.opset_imports
    if ALIAS not in imports:
        return
    version = imports.pop(ALIAS)
    if imports.setdefault("", version) != version:
        raise QGraphError(
            f"cannot read {file}: it imports the opsets {imports['']} and {version} of ONNX at once; export it again"
        )


def _names(model: ir.Model, file: str) -> None:
    graph = model.graph
    outputs = [v for n in graph for v in n.outputs]
    for item in [*graph.inputs, *graph.initializers.values(), *graph, *outputs]:
        if isinstance(item.name, bytes):
            raise QGraphError(f"cannot read {file}: the name {item.name!r} is no UTF-8 text; rename it and export again")
    names = [value.name for value in graph.inputs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise QGraphError(f"cannot read {file}: two graph inputs are called {twice!r}; rename one of them")


def _order(model: ir.Model, file: str) -> None:
    """Sort the nodes where one reads a value before it is made."""
    graph, seen, sorted_ = model.graph, set[ir.Node](), True
    for node in graph:
        for value in node.inputs:
            if value is None or value.is_graph_input() or value.is_initializer():
                continue
            if value.producer() is None:
                raise QGraphError(f"cannot read {file}: {where(node)} reads {value.name!r}, which nothing makes; export it again")
            sorted_ &= value.producer() in seen
        seen.add(node)
    for value in graph.outputs:
        if value.producer() is None and not value.is_graph_input() and not value.is_initializer():
            raise QGraphError(f"cannot read {file}: nothing makes the output {value.name!r}; export it again")
    if sorted_:
        return
    try:
        graph.sort()
    except ValueError:
        raise QGraphError(f"cannot read {file}: {where(_in_circle(graph))} needs its own result; break the circle") from None


def _in_circle(graph: ir.Graph) -> ir.Node:
    """A node of a circle: walk from what cannot be sorted to what it waits for until a node comes again."""
    left = dict.fromkeys(graph)
    while ready := [n for n in left if not any(v is not None and v.producer() in left for v in n.inputs)]:
        for node in ready:
            del left[node]
    node, seen = next(iter(left)), set[ir.Node]()
    while node not in seen:
        seen.add(node)
        node = next(v.producer() for v in node.inputs if v is not None and v.producer() in left)  # type: ignore[assignment]
    return node


def _free_dims(value: ir.Value) -> None:
    if value.shape is None:
        return
    border = value.is_graph_input() or value.is_graph_output()
    dims = list(value.shape)
    free = [(d < 0 or (d == 0 and border)) if isinstance(d, int) else d.value in FREE for d in dims]
    if any(free):
        value.shape = ir.Shape([None if gone else d for d, gone in zip(dims, free, strict=True)])
