"""Ops that nothing has a form of, but which ONNX defines by other ops, become these.

    Attention(q, k, v, mask)  ->  Transpose, Mul, MatMul, Add, Softmax, MatMul, ... : the function body of its schema

So planner, lowering and training see products and a softmax where a model has an Attention. Bodies with graphs of their own stay.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.ir.op_traits import EXPANDED, TRAITS

BY_OTHERS = {op for (domain, op), row in TRAITS.items() if not domain and row.no_torch == EXPANDED}
DOMAIN = "qgraph.expanded"
"""Domain of the bodies until they are inlined."""


def expand_functions(model: ir.Model) -> bool:
    """Replace every such node of ``model`` in place, and say whether there was one; bodies may hold such nodes again."""
    opset = model.graph.opset_imports[""]
    nodes = [node for node in model.graph.all_nodes() if not node.domain and node.op_type in BY_OTHERS]
    found = [(node, body) for node in nodes if (body := _body(node, opset)) is not None]
    for i, (node, proto) in enumerate(found):
        _name_outputs(node)
        schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=opset)
        for name, attribute in schema.attributes.items():
            if name not in node.attributes and attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
                node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)
        for k, inner in enumerate(proto.node):
            inner.name = f"{node.name}/{inner.op_type}_{k}"
        proto.domain, proto.name = DOMAIN, f"{node.op_type}_{i}"
        function = ir.serde.deserialize_function(proto)
        function.opset_imports.update({d: v for d, v in model.graph.opset_imports.items() if d in function.opset_imports})
        model.functions[function.identifier()] = function
        node.domain, node.op_type, node.overload = DOMAIN, proto.name, ""
    if found:
        model.graph.opset_imports[DOMAIN] = 1
        common.InlinePass(criteria=lambda function: function.domain == DOMAIN)(model)
        model.graph.opset_imports.pop(DOMAIN, None)
    return bool(found)


def _name_outputs(node: ir.Node) -> None:
    """Outputs that are left out in the middle have a name in a body."""
    for i, value in enumerate(node.outputs):
        value.name = value.name or f"{node.name}.{i}"


def _body(node: ir.Node, opset: int) -> onnx.FunctionProto | None:
    """The function that ONNX defines the op of ``node`` by, for the types of its inputs; None where there is none."""
    schema: Any = onnx.defs.get_schema(node.op_type, max_inclusive_version=opset)
    proto: onnx.FunctionProto | None = None
    if schema.has_function:
        proto = schema.function_body
    elif schema.has_context_dependent_function:
        types = [_type(v) for v in node.inputs]
        body = schema.get_context_dependent_function(ir.to_proto(node).SerializeToString(), types)
        proto = onnx.FunctionProto.FromString(body) if body else None
    if proto is None or any(attribute.HasField("g") for n in proto.node for attribute in n.attribute):
        return None
    copy = onnx.FunctionProto()
    copy.CopyFrom(proto)
    del copy.output[len(node.outputs) :]
    made = {name for n in copy.node for name in n.output}
    for name in copy.output:
        if name not in made:  # an output that the node does not have
            copy.node.add(op_type="Identity", input=[copy.output[0]], output=[name])
    return copy


def _type(value: ir.Value | None) -> bytes:
    made = onnx.TypeProto()
    if value is not None and value.type is not None:
        made = ir.serde.serialize_type(value.type)
        if value.shape is not None:
            ir.serde.serialize_shape_into(made, value.shape)
    return bytes(made.SerializeToString())
