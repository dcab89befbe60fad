"""What follows a float32 product becomes part of it, and costs no pass over memory.

    MatMul | Gemm | Conv -> Add(bias) -> Add(residual) -> Relu | Clip    ->    FusedMatMul | FusedConv

The fused ops do the same operations in the same order, so outputs keep their bytes. What is read elsewhere, or is an output of
the graph, stays.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.ir.dialects import INTEGER
from qgraph.ir.patterns import attr, constant, new_node

FUSED = {"MatMul": "FusedMatMul", "Gemm": "FusedMatMul", "Conv": "FusedConv"}


@dataclasses.dataclass
class Match:
    """A product, the ops behind it, and what these add or limit."""

    product: ir.Node
    behind: list[ir.Node]
    inputs: list[ir.Value | None]
    attributes: dict[str, Any]

    @property
    def value(self) -> ir.Value:
        return (self.behind or [self.product])[-1].outputs[0]

    def take(self, node: ir.Node) -> None:
        self.behind.append(node)

    def next(self, *op_types: str) -> ir.Node | None:
        """The only reader of what was matched so far, if it is one of these ops."""
        uses = list(self.value.uses())
        if len(uses) != 1 or self.value.is_graph_output():
            return None
        node = uses[0].node
        return node if not node.domain and node.op_type in op_types else None


def fuse(graph: ir.Graph) -> int:
    """Fuse what follows the products of ``graph``, in place; returns how many ops vanished."""
    fused = 0
    for node in list(graph):
        if node.domain or node.op_type not in FUSED or node.graph is not graph:
            continue
        match = _match(graph, node)
        if match is not None and match.behind:
            _replace(graph, match)
            fused += len(match.behind)
    return fused


def _match(graph: ir.Graph, node: ir.Node) -> Match | None:
    own = {name: attr(node, name) for name in node.attributes}
    inputs = [*node.inputs, None, None, None][:4]
    if node.op_type == "Gemm":
        if inputs[2] is not None and not (own.pop("beta", 1.0) == 1.0 and _is_bias(inputs[2], node.outputs[0])):
            return None
        own.pop("beta", None)
    match = Match(node, [], inputs, own)
    if node.op_type != "Conv" and inputs[2] is None and _rank(node.inputs[1]) > 1 and (add := match.next("Add")) is not None:
        other = _other(add, match.value)
        if _is_bias(other, match.value):
            match.inputs[2] = other
            match.take(add)
    if (add := match.next("Add")) is not None:
        other = _other(add, match.value)
        if other is not None and _shape(other) is not None and _shape(other) == _shape(match.value) == _shape(add.outputs[0]):
            match.inputs[3] = other
            match.take(add)
    if (relu := match.next("Relu")) is not None:
        match.attributes["clamp_min"] = 0.0
        match.take(relu)
    elif (clip := match.next("Clip")) is not None and (bounds := _bounds(clip)) is not None:
        match.attributes |= bounds
        match.take(clip)
    return match


def _other(add: ir.Node, value: ir.Value) -> ir.Value | None:
    return add.inputs[1] if add.inputs[0] is value else add.inputs[0]


def _rank(value: ir.Value | None) -> int:
    return 0 if value is None or value.shape is None else len(value.shape)


def _shape(value: ir.Value) -> list[str] | None:
    return None if value.shape is None else [str(d) for d in value.shape]


def _is_bias(value: ir.Value | None, product: ir.Value) -> bool:
    """Whether ``value`` is a constant with one element for each column of ``product``."""
    array = constant(value)
    if array is None or product.shape is None or not 1 <= array.ndim <= len(product.shape):
        return False
    return array.size == array.shape[-1] and [str(array.size)] == [str(d) for d in product.shape][-1:]


def _bounds(clip: ir.Node) -> dict[str, float] | None:
    """The bounds of a Clip that are finite constants."""
    made = {}
    for name, value in zip(("clamp_min", "clamp_max"), clip.inputs[1:], strict=False):
        if value is None:
            continue
        array = constant(value)
        if array is None or array.size != 1 or not np.isfinite(array).all():
            return None
        made[name] = float(array.reshape(-1)[0])
    return made if made.get("clamp_min", -np.inf) <= made.get("clamp_max", np.inf) else None


def _replace(graph: ir.Graph, match: Match) -> None:
    bias = match.inputs[2]
    if bias is not None and (array := constant(bias)) is not None and array.ndim > 1:
        match.inputs[2] = _flat(graph, bias, array)
    while match.inputs[-1] is None:
        match.inputs.pop()
    op = FUSED[match.product.op_type]
    made = new_node(match.product, op, match.inputs, match.attributes, domain=INTEGER, name=match.product.name)
    last, old, out = match.behind[-1], match.value, made.outputs[0]
    out.type, out.shape = old.type, old.shape
    graph.insert_before(last, made)
    name = old.name
    ir.convenience.replace_all_uses_with(old, out, replace_graph_outputs=True)
    old.name = None
    out.name = name
    graph.remove([*reversed(match.behind), match.product], safe=True)
    if bias is not None and not bias.uses() and not bias.is_graph_output():
        graph.initializers.pop(bias.name or "", None)


def _flat(graph: ir.Graph, bias: ir.Value, array: np.ndarray) -> ir.Value:
    name = f"{bias.name}.flat"
    if name not in graph.initializers:
        tensor = ir.Tensor(np.ascontiguousarray(array.reshape(-1)), name=name)
        made = ir.Value(name=name, const_value=tensor, shape=ir.Shape([array.size]), type=ir.TensorType(tensor.dtype))
        graph.initializers[name] = made
    return graph.initializers[name]
