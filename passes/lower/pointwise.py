"""Sums, products and other functions of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower import curves, linear, movement, tables
from qgraph.passes.lower.registry import float_form, lowers
from qgraph.passes.lower.values import QuantizedValue, QuantSpec, f32

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import BinaryOp
from qgraph.ir.matchers.linear import clamp_of
from qgraph.ir.scopes import where

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


BINARY = {**{op.name.capitalize(): op for op in BinaryOp}, "Sum": BinaryOp.ADD}


@lowers(*BINARY, clamps=True)
def arithmetic(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """Arithmetic on two or more activations."""
    return _arithmetic(low, node, value, out, {})


@lowers("Relu", "Clip", alone=False)
def clamped(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """Relu or Clip of a sum that is not stored: the sum's kernel clamps its codes."""
    source = node.inputs[0]
    inner = source.producer() if source is not None else None
    if inner is None or inner.domain or inner.op_type not in BINARY or source in low.codes or out.type == ir.DataType.FLOAT:
        return None
    return _arithmetic(low, inner, value, out, linear.clamp_attributes(clamp_of(node), out))


def _arithmetic(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec, clamp: dict[str, int]) -> ir.Value | None:
    operands = [low.operand(v) for v in node.inputs]
    if any(o is None for o in operands):
        return None
    first, *rest = operands
    assert first is not None
    if len(operands) == 1:
        return None if clamp else low.requantized(first, node, value, out)
    current = first
    for i, other in enumerate(rest):
        assert other is not None
        last = i == len(rest) - 1
        # a sum of many keeps 16 bits between its steps
        largest = current.scale * current.max_abs_code + other.scale * other.max_abs_code
        step = out if last else QuantSpec(ir.DataType.INT16, largest / 32767)
        attributes: dict[str, Any] = {"op": int(BINARY[node.op_type]), "a_zero": current.zero_point, "b_zero": other.zero_point}
        if node.op_type == "Mul":
            attributes["a_multiplier"] = f32(np.float64(current.scale) * other.scale / step.scale)
        elif node.op_type == "Div":
            attributes["a_multiplier"] = f32(np.float64(current.scale) / other.scale / step.scale)
        else:
            attributes["a_multiplier"] = f32(np.float64(current.scale) / step.scale)
            attributes["b_multiplier"] = f32(np.float64(other.scale) / step.scale)
        if last and clamp:
            attributes |= clamp
        made = low.build.kernel(node, "Binary", [current.value, other.value], step, attributes, value)
        current = QuantizedValue(made, step)
    return current.value


@lowers("Dropout", "Identity")
def unchanged(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """The same codes."""
    if node.op_type == "Identity":
        return movement.movement(low, node, value, out)
    x = low.operand(node.inputs[0], out)
    if x is None:
        return None
    low.build.note(x.value, x.spec)
    return low.requantized(x, node, value, out)


def lookup(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """A whole region of functions of one value: a table, or a curve where its codes have 16 bits and the function is smooth."""
    if value not in low.regions.root:
        return None
    root, axis = low.regions.root[value], low.regions.axis[value]
    x = low.codes.get(root)
    if x is None or (x.is_int16 and axis >= 0):
        return None
    members = low.regions.members(value)
    exact = tables.build(members, root, value, axis, x, out, low.model.graph.opset_imports)
    if x.is_int16 and out.type != ir.DataType.FLOAT:
        lowest, highest = out.limits
        curve = curves.fit(exact[0], lowest - out.zero_point, highest - out.zero_point)
        if curve is not None:
            coefficients = low.build.constant(f"{value.name}.curve", curve.coefficients)
            where = {"start": curve.start, "shift": curve.shift}
            return low.build.kernel(node, "Curve", [x.value, coefficients], out, where, value)
    table = tables.rounded(exact, out)
    inputs: list[ir.Value | None] = [x.value, low.table_constant(f"{value.name}.table", table)]
    attributes = {"axis": axis} if axis >= 0 and table.ndim == 2 else {}
    made = low.build.add(node, "Lookup", inputs, attributes, name=value.name or "lookup", type=out.type, shape=value.shape)
    low.build.note(made, out)
    return made


@float_form("Dropout")
def dropout(low: Lowering, node: ir.Node) -> tuple[list[ir.Value | None], dict[str, Any]]:
    """As it is after training, whatever its ratio."""
    training = low.float_constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if len(node.inputs) > 2 and node.inputs[2] is not None and (training is None or training.any()):
        raise QGraphError(f"{where(node)} drops elements at random, as in training; set training_mode to false")
    return [low.any(node.inputs[0])], {}
