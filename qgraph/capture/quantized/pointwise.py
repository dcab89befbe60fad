"""Functions of elements, joins and reductions on codes; Q/DQ nodes of ONNX Runtime's own domain."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.capture.quantized.builder import Builder
from qgraph.capture.quantized.registry import rewrites
from qgraph.ir.patterns import attr, rank


@rewrites("QuantizeLinear", "DequantizeLinear")
def same(b: Builder, node: ir.Node) -> None:
    """The standard has had the types of ONNX Runtime's own forms since opset 21."""
    scale = b.number(b.needed(1))
    inputs = [b.needed(0), scale, None if b.input(2) is None else b.number(b.needed(2))]
    attributes = {"axis": attr(node, "axis", 1)} if scale.const_value is not None and len(scale.const_value.shape) else None
    kind = node.outputs[0].dtype or ir.DataType.FLOAT
    if node.op_type == "QuantizeLinear":
        kind = inputs[2].dtype if inputs[2] is not None and inputs[2].dtype is not None else ir.DataType.UINT8
    made = b.add(node.op_type, inputs, attributes, name=f"{node.outputs[0].name}_standard", type=kind)
    b.finish(made)
    if node.op_type == "QuantizeLinear":
        b.note(made.producer())  # type: ignore[arg-type]


@rewrites("QLinearAdd", "QLinearMul")
def arithmetic(b: Builder, node: ir.Node) -> None:
    """Inputs: a, its scale and zero point, the same of b and of c."""
    one, other = (b.dequantized(b.needed(i), b.needed(i + 1), b.input(i + 2)) for i in (0, 3))
    op = node.op_type.removeprefix("QLinear")
    b.finish_codes(b.add(op, [one, other], name=f"{node.outputs[0].name}_{op.lower()}"), b.needed(6), b.input(7))


@rewrites("QLinearSigmoid", "QLinearLeakyRelu", "QLinearReduceMean")
def function(b: Builder, node: ir.Node) -> None:
    """Inputs: x, its scale and zero point, the same of y."""
    op, out = node.op_type.removeprefix("QLinear"), node.outputs[0]
    inputs: list[ir.Value | None] = [b.dequantized(b.needed(0), b.needed(1), b.input(2))]
    attributes = {"alpha": attr(node, "alpha", 0.01)} if op == "LeakyRelu" else {}
    if op == "ReduceMean":
        axes = attr(node, "axes")
        inputs += [None if axes is None else b.constant(f"{out.name}_axes", np.array(axes, np.int64))]
        attributes = {"keepdims": attr(node, "keepdims", 1)}
    b.finish_codes(b.add(op, inputs, attributes, name=f"{out.name}_{op.lower()}"), b.needed(3), b.input(4))


@rewrites("QLinearSoftmax")
def softmax(b: Builder, node: ir.Node) -> None:
    """Inputs: x, its scale and zero point, the same of y; before opset 13 the axes from ``axis`` on are one."""
    x, axis, name = b.needed(0), attr(node, "axis", -1), node.outputs[0].name
    dims = rank(x)
    real = b.dequantized(x, b.needed(1), b.input(2))
    if attr(node, "opset", 13) >= 13 or axis == -1 or (dims is not None and axis == dims - 1):
        made = b.add("Softmax", [real], {"axis": axis}, name=f"{name}_softmax")
    else:
        shape = b.add("Shape", [real], name=f"{name}_shape", type=ir.DataType.INT64)
        rows = b.add("Flatten", [real], {"axis": axis}, name=f"{name}_rows")
        made = b.add("Softmax", [rows], {"axis": -1}, name=f"{name}_softmax")
        made = b.add("Reshape", [made, shape], name=f"{name}_shaped")
    b.finish_codes(made, b.needed(3), b.input(4))


@rewrites("QLinearConcat")
def concat(b: Builder, node: ir.Node) -> None:
    """Inputs: scale and zero point of y, then each part with its own."""
    parts = [b.dequantized(b.needed(i), b.needed(i + 1), b.input(i + 2)) for i in range(2, len(node.inputs), 3)]
    made = b.add("Concat", parts, {"axis": attr(node, "axis")}, name=f"{node.outputs[0].name}_concat")
    b.finish_codes(made, b.needed(0), b.input(1))


@rewrites("QLinearWhere")
def where(b: Builder, node: ir.Node) -> None:
    """Inputs: condition, x with scale and zero point, y, z's."""
    one, other = (b.dequantized(b.needed(i), b.needed(i + 1), b.input(i + 2)) for i in (1, 4))
    b.finish_codes(b.add("Where", [b.needed(0), one, other], name=f"{node.outputs[0].name}_where"), b.needed(7), b.input(8))
