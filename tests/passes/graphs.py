"""Graphs in ONNX text form: to start from, and to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

HEAD = '<ir_version: 10, opset_import: ["" : 21, "qgraph" : 1]>\n'


def model_of(text: str) -> ir.Model:
    """The model of a graph's text, with inferred shapes; nodes are named by what they make."""
    model = ir.from_onnx_text(HEAD + text)
    for node in model.graph:
        node.name = node.outputs[0].name
    common.ShapeInferencePass(data_prop=True)(model)
    return model


def described(model: ir.Model) -> tuple[list[Any], dict[str, Any]]:
    """Nodes in order (op, inputs, outputs, attributes) and initializers (type, shape, values), to compare graphs by."""
    nodes = [
        (
            f"{node.domain}:{node.op_type}",
            [v.name if v is not None else "" for v in node.inputs],
            [v.name for v in node.outputs],
            {name: a.value for name, a in sorted(node.attributes.items())},
        )
        for node in model.graph
    ]
    tensors = {name: value.const_value for name, value in model.graph.initializers.items()}
    return nodes, {n: (t.dtype.name, t.shape.numpy(), t.numpy().tolist()) for n, t in sorted(tensors.items()) if t is not None}


def assert_graph(model: ir.Model, text: str) -> None:
    """``model`` has the nodes, values, attributes and initializers of the graph in ``text``, in this order."""
    wanted, found = described(ir.from_onnx_text(HEAD + text)), described(model)
    assert found[0] == wanted[0]
    assert found[1] == wanted[1]
    assert [v.name for v in model.graph.outputs] == [v.name for v in ir.from_onnx_text(HEAD + text).graph.outputs]


def quantizers(model: ir.Model) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """By the name of the value that a QuantizeLinear reads: type, scale and zero point."""
    found = {}
    for node in model.graph:
        if node.op_type == "QuantizeLinear":
            source, scale, zero = (v for v in node.inputs if v is not None)
            found[source.name or ""] = (zero.dtype.name.lower(), array(scale), array(zero))  # type: ignore[union-attr]
    return found


def array(value: ir.Value | None) -> np.ndarray:
    """The values of an initializer."""
    assert value is not None and value.const_value is not None
    return value.const_value.numpy()
