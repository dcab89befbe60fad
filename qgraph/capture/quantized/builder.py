"""What the rewriting functions call: nodes in front of a node, Q/DQ nodes, parameters in the shapes that ONNX wants."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.patterns import add_initializer, attr, constant, new_node, rank, replace
from qgraph.ir.scopes import where
from qgraph.ir.weights import store, store_params
from qgraph.numerics.affine import QParams


@dataclasses.dataclass(frozen=True)
class Params:
    """Scale and zero point (None: 0 of type uint8) of a tensor of codes."""

    scale: ir.Value
    zero: ir.Value | None


def moves(node: ir.Node) -> bool:
    """Whether ``node`` takes the elements of its input from one place to another."""
    return not node.domain and (has(node, Trait.MOVES) or node.op_type in ("Identity", "Resize"))


class Builder:
    """Adds nodes to one graph in front of the node that ``at`` names.

    Attributes:
        known: the parameters of the codes that a QuantizeLinear of this graph makes, one scale a tensor.
    """

    def __init__(self, model: ir.Model, origin: str) -> None:
        self.model, self.origin = model, origin
        self.known: dict[ir.Value, Params] = {}
        self.node: ir.Node
        self._names = {v.name for graph in model.graphs() for n in graph for v in n.outputs}
        self._real: dict[tuple[ir.Value | int | None, ...], ir.Value] = {}
        self._numbers: dict[ir.Value, ir.Value] = {}

    def at(self, node: ir.Node) -> Builder:
        self.node = node
        return self

    def refuse(self, why: str) -> QGraphError:
        """The error that names the node at hand; ``why`` says what is wrong and what to do."""
        return QGraphError(f"{self.origin}: {where(self.node)} {why}")

    def input(self, index: int) -> ir.Value | None:
        """An input of the node at hand, None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def needed(self, index: int) -> ir.Value:
        """An input of the node at hand that its definition wants."""
        value = self.input(index)
        if value is None:
            raise self.refuse(f"has no input {index}; export it again")
        return value

    def constant(self, name: str, array: np.ndarray, dtype: ir.DataType | None = None) -> ir.Value:
        return add_initializer(self.model, name, array, dtype)

    def add(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, Any] | None = None,
        *,
        name: str,
        type: ir.DataType = ir.DataType.FLOAT,
        outputs: int = 1,
    ) -> ir.Value:
        """The first output of a new node, called ``name`` (made unique)."""
        unique, n = name, 1
        while unique in self._names:
            unique, n = f"{name}_{n}", n + 1
        self._names.add(unique)
        made = new_node(self.node, op, inputs, attributes, name=unique, outputs=outputs)
        made.outputs[0].name, made.outputs[0].type = unique, ir.TensorType(type)
        self.node.graph.insert_before(self.node, made)  # type: ignore[union-attr]
        return made.outputs[0]

    def number(self, value: ir.Value) -> ir.Value:
        """A scale or zero point of one element as a scalar: ONNX reads a vector of one as an axis of one."""
        array = constant(value)
        if array is None or array.ndim == 0 or array.size != 1:
            return value
        if value not in self._numbers:
            self._numbers[value] = self.constant(f"{value.name}_scalar", array.reshape(()), value.dtype)
        return self._numbers[value]

    def dequantized(self, codes: ir.Value, scale: ir.Value, zero: ir.Value | None, axis: int | None = None) -> ir.Value:
        """``codes`` as real numbers; ``axis`` is the one that a vector of scales runs over."""
        scale, zero = self.number(scale), None if zero is None else self.number(zero)
        array, point = constant(scale), constant(zero)
        if array is not None and array.ndim == 0:
            codes = self._with_scale(codes, Params(scale, zero))
        key = (codes, scale, zero, axis)
        if key in self._real:
            return self._real[key]
        if array is not None and zero is not None and point is not None and point.shape != array.shape:
            zero = self.constant(f"{zero.name}_wide", np.broadcast_to(point.reshape(-1), array.shape).copy(), zero.dtype)
        vector = array is None or array.ndim > 0
        out = self.add(
            "DequantizeLinear", [codes, scale, zero], {"axis": axis} if vector else None, name=f"{codes.name}_dequantized"
        )
        out.shape = codes.shape
        self._real[key] = out
        return out

    def dequantized_constant(self, name: str, codes: np.ndarray, params: QParams) -> ir.Value:
        """New constant ``codes`` as real numbers."""
        stored = store(self.model, f"{name}.codes", codes, params.type)
        inputs = [stored, *store_params(self.model, name, params)]
        attributes = {"axis": params.axis, "block_size": params.block or None}
        out = self.add("DequantizeLinear", inputs, attributes, name=f"{name}_dequantized")
        out.shape = ir.Shape(codes.shape)
        return out

    def product(self, a: ir.Value, b: ir.Value, name: str) -> ir.Value:
        """The product of two scales, computed now where both are constants."""
        x, y = constant(a), constant(b)
        if x is None or y is None:
            return self.add("Mul", [a, b], name=name)
        return self.constant(name, (x.astype(np.float32).reshape(-1) * y.astype(np.float32).reshape(-1)).astype(np.float32))

    def quantize_behind(self, node: ir.Node, out: ir.Value, params: Params) -> ir.Value:
        """Let ``node``, which made the codes ``out``, make real numbers; returns them quantized, for the readers of ``out``."""
        old = new_node(node, "QuantizeLinear", [out, params.scale, params.zero], name=f"{out.name}_quantize")
        kind = params.zero.type if params.zero is not None else ir.TensorType(ir.DataType.UINT8)
        codes, name = old.outputs[0], out.name
        codes.shape, codes.type = out.shape, kind
        ir.convenience.replace_all_uses_with(out, codes, replace_graph_outputs=True)
        old.replace_input_with(0, out)
        out.name, codes.name, out.type = f"{name}_float", name, ir.TensorType(ir.DataType.FLOAT)
        node.graph.insert_after(node, old)  # type: ignore[union-attr]
        self.known[codes] = params
        return codes

    def _with_scale(self, codes: ir.Value, params: Params) -> ir.Value:
        """``codes`` made by a QuantizeLinear: those that are moved from constants or inputs get their scale from their reader."""
        node = codes.producer()
        if codes in self.known or node is None or not moves(node) or node.graph is not self.node.graph:
            return codes
        current, self.node, place = self.node, node, node.outputs.index(codes)
        made = self.move_codes(node, params)
        self.node = current
        return made[place] if place < len(made) else codes

    def move_codes(self, node: ir.Node, params: Params) -> list[ir.Value]:
        """Let an op that moves codes, as in ONNX Runtime's QOperator format, move real numbers, with QuantizeLinear nodes behind
        that give the same codes and are returned; none where it cannot be done."""
        x = node.inputs[0]
        assert x is not None
        if node.op_type == "Pad" and not self._float_fill(node, params):
            return []
        node.replace_input_with(0, self.dequantized(x, params.scale, params.zero))
        outputs = node.outputs[:1] if node.op_type == "MaxPool" else node.outputs
        return [self.quantize_behind(node, out, params) for out in outputs]

    def _float_fill(self, node: ir.Node, params: Params) -> bool:
        """Let a Pad of codes fill with the number that its code stands for; False where that is not known."""
        if attr(node, "mode", "constant") != "constant":
            return True
        given = node.inputs[2] if len(node.inputs) > 2 else None
        fill = np.zeros((), np.uint8) if given is None else constant(given)
        scale, zero = constant(params.scale), np.zeros((), np.uint8) if params.zero is None else constant(params.zero)
        if fill is None or scale is None or zero is None:
            return False
        number = (fill.astype(np.float32) - zero.astype(np.float32)) * scale
        node.resize_inputs(max(3, len(node.inputs)))
        node.replace_input_with(2, self.constant(f"{node.outputs[0].name}_fill", number.astype(np.float32).reshape(())))
        return True

    def finish(self, value: ir.Value) -> None:
        """Let ``value`` be what the node at hand made; the node goes."""
        out = self.node.outputs[0]
        replace(out, value)
        self.node.graph.remove(self.node, safe=True)  # type: ignore[union-attr]

    def finish_codes(self, value: ir.Value, scale: ir.Value, zero: ir.Value | None) -> None:
        """Let ``value``, quantized, be what the node at hand made."""
        out = self.node.outputs[0]
        value.name = f"{out.name}_float"
        value.shape = out.shape
        scale, zero = self.number(scale), None if zero is None else self.number(zero)
        type = ir.DataType.UINT8 if zero is None or zero.dtype is None else zero.dtype
        codes = self.add("QuantizeLinear", [value, scale, zero], name=f"{out.name}_quantize", type=type)
        self.known[codes] = Params(scale, zero)
        self.finish(codes)

    def note(self, node: ir.Node) -> None:
        """Remember the parameters of a QuantizeLinear node with one scale."""
        scale, zero = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
        array = constant(scale)
        if scale is not None and array is not None and array.size == 1 and zero is not None:
            self.known[node.outputs[0]] = Params(scale, zero)

    def turned(self, value: ir.Value, perm: list[int], name: str) -> ir.Value:
        return self.add("Transpose", [value], {"perm": perm}, name=name)

    def channels_first(self, value: ir.Value) -> tuple[ir.Value, list[int]]:
        """A channels-last tensor turned, and the permutation that turns it back.

        Raises:
            QGraphError: the number of its dims is not known.
        """
        dims = rank(value)
        if dims is None:
            raise self.refuse("works channels last on a tensor of unknown dims; export it again with shapes")
        turned = self.turned(value, [0, dims - 1, *range(1, dims - 1)], f"{value.name}_channels_first")
        return turned, [0, *range(2, dims), 1]
