"""A linear op with what follows it: the bias that a batched MatMul has as an Add of its own, and a clamp.

Clip(Add(MatMul(x, W), b))        Relu(Conv(x, W, b))
"""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import attr, constant, is_op, only_user, scalar


def weight_of(node: ir.Node) -> ir.Value | None:
    """The constant float weight (two dims or more) of a linear op that is nothing but ``x W + b``; else None."""
    if not has(node, Trait.LINEAR):
        return None
    value = node.inputs[1]
    array = constant(value)
    if array is None or array.ndim < 2 or array.dtype.kind != "f" or array.size == 0:
        return None
    if node.op_type == "Gemm" and (attr(node, "alpha", 1.0), attr(node, "beta", 1.0), attr(node, "transA", 0)) != (1, 1, 0):
        return None
    return value if has_bias_of_columns(node) else None


def quantized_weight_of(node: ir.Node) -> ir.Value | None:
    """The weight of a linear op that is constant codes behind a DequantizeLinear; else None."""
    value = node.inputs[1] if has(node, Trait.LINEAR) else None
    codes = value.producer().inputs[0] if is_op(value, "DequantizeLinear") else None  # type: ignore[union-attr]
    return value if constant(codes) is not None else None


def has_bias_of_columns(node: ir.Node) -> bool:
    """Whether what a Gemm adds is a constant with one number a column (or one for all), or nothing; true of other ops."""
    given = node.inputs[2] if node.op_type == "Gemm" and len(node.inputs) > 2 else None
    if given is None or is_op(given, "DequantizeLinear"):
        return True
    array = constant(given)
    return array is not None and (array.size == 1 or (array.size == array.shape[-1] and _columns(node) in (None, array.size)))


def _columns(node: ir.Node) -> int | None:
    """Output columns of a Gemm; None where they are unknown."""
    weight = node.inputs[1]
    if weight is None or weight.shape is None:
        return None
    columns = weight.shape[0 if attr(node, "transB", 0) else 1]
    return columns if isinstance(columns, int) else None


def added_bias(value: ir.Value | None) -> tuple[ir.Value, ir.Value] | None:
    """(product, bias) where ``value`` is Add(MatMul(...), constant vector or scalar), in either order; else None."""
    if not is_op(value, "Add"):
        return None
    a, b = value.producer().inputs  # type: ignore[union-attr]
    for product, bias in ((a, b), (b, a)):
        array = constant(bias)
        if array is not None and array.ndim <= 1 and is_op(product, "MatMul"):
            return product, bias  # type: ignore[return-value]
    return None


def bias_add(value: ir.Value) -> ir.Node | None:
    """The Add of a constant vector or scalar that alone reads the output ``value`` of a linear op; else None."""
    user = only_user(value)
    if user is None or user.op_type != "Add" or user.domain:
        return None
    array = constant(other_input(user, value))
    return user if array is not None and array.ndim <= 1 else None


def bias_of(node: ir.Node) -> ir.Value | None:
    """The bias of a linear op: its third input, or the constant that is added behind a MatMul; None where it has none."""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return node.inputs[2]
    add = bias_add(node.outputs[0]) if node.op_type == "MatMul" else None
    return None if add is None else other_input(add, node.outputs[0])


def other_input(node: ir.Node, value: ir.Value | None) -> ir.Value | None:
    """The input of a node of two inputs beside ``value``."""
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def clamp_of(node: ir.Node) -> tuple[float | None, float | None]:
    """The bounds of a Relu or Clip node, None where there is none."""
    if node.op_type == "Relu":
        return 0.0, None
    low, high = (None if v is None else scalar(v) for v in (*node.inputs[1:], None, None)[:2])
    return low, high
