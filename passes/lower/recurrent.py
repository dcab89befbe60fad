"""LSTM, GRU and RNN.

LSTM<activations, activation_alpha, activation_beta>   ->   the same with a number for each activation of each direction
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.linear import prove
from qgraph.passes.lower.registry import float_form, lowers
from qgraph.passes.lower.values import FLOAT, QuantizedValue, QuantSpec, f32

from qgraph.errors import QGraphError
from qgraph.ir.matchers.recurrent import activations, quantizes_states
from qgraph.ir.patterns import attr, is_op
from qgraph.ir.scopes import where
from qgraph.ir.weights import Weight

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


LISTED = ("activations", "activation_alpha", "activation_beta")


@float_form("LSTM", "GRU", "RNN")
def recurrent(low: Lowering, node: ir.Node) -> tuple[list[ir.Value | None], dict[str, Any]]:
    return [low.any(v) for v in node.inputs], attributes_of(low, node)


def attributes_of(low: Lowering, node: ir.Node) -> dict[str, Any]:
    """The attributes that the node has in a program."""
    names, *parameters = (attr(node, name) for name in LISTED)
    found = low.attributes(node, without=(*LISTED, "output_sequence"))
    if names:
        directions = 1 + (attr(node, "direction", "forward") == "bidirectional")
        try:
            chosen = activations(node.op_type, directions, names, *parameters)
        except QGraphError as error:
            raise QGraphError(f"{where(node)}: {error}") from error
        for name, values in zip(LISTED, zip(*chosen, strict=True), strict=True):
            found[name] = [int(v) if name == "activations" else f32(v) for v in values]
    return found


@lowers("LSTM", "GRU", "RNN", alone=False, writes_float=True, all_outputs=True)
def quantized(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """The op on codes: a Linear for the inputs, then the steps on its sums; None where it has no codes."""
    if value not in low.new and not _emit(low, node):
        return None
    return low.requantized(QuantizedValue(low.new[value], FLOAT), node, value, out)


@dataclasses.dataclass(frozen=True)
class Rows:
    """int8 codes [directions, rows, k] and a scale for each row [directions, rows]."""

    weight: Weight
    scales: np.ndarray


def _rows(low: Lowering, value: ir.Value | None) -> Rows | None:
    """``value`` as rows of symmetric codes, with one scale for all, for each direction, or for each row."""
    shape = None
    if is_op(value, "Reshape"):
        shape = value.shape.numpy() if value is not None and value.shape is not None and value.shape.is_static() else None
        value = value.producer().inputs[0]  # type: ignore[union-attr]
    weight = low.weights.get(value)  # type: ignore[arg-type]
    if weight is None or weight.levels is not None or weight.params.block or not weight.kind.signed or weight.kind.bits != 8:
        return None
    codes, axis = weight.codes, weight.params.axis
    scale = np.asarray(weight.params.scale, np.float32)
    if np.any(weight.params.zero_point):
        return None
    scales = scale if axis is None else scale.reshape([-1 if i == axis else 1 for i in range(codes.ndim)])
    scales = np.broadcast_to(scales, (*codes.shape[:-1], 1))
    shape = codes.shape if shape is None else shape
    if len(shape) != 3 or axis == codes.ndim - 1 or shape[-1] != codes.shape[-1]:
        return None
    return Rows(dataclasses.replace(weight, codes=codes.reshape(shape)), scales.reshape(shape[:2]))


def _emit(low: Lowering, node: ir.Node) -> bool:
    """Emit the kernels of all outputs of ``node``; False where it is not wholly quantized."""
    x, w, r, b, *rest = (*node.inputs, *[None] * 8)[:8]
    of_input, of_state = _rows(low, w), _rows(low, r)
    bias = low.float_constant(b)
    if not quantizes_states(node) or of_input is None or of_state is None or (b is not None and bias is None):
        return False
    tokens = low.tokens(x)
    if tokens is None:
        return False
    name, attributes = node.outputs[0].name or node.name or "recurrent", attributes_of(low, node)
    attributes.pop("hidden_size", None)
    added, of_product = _biases(bias, bool(attributes.get("linear_before_reset")))
    inputs = [
        _sums(low, node, tokens, of_input, added, name),
        low.weight_constant(of_state.weight),
        low.build.constant(f"{name}.multiplier", of_state.scales),
        None if of_product is None else low.build.constant(f"{name}.state_bias", of_product),
        *(low.any(v) for v in rest),
    ]
    outputs = list(node.outputs)
    while len(outputs) > 1 and not outputs[-1].name:
        outputs.pop()
    first, *others = (v.name or f"{node.name}.{i}" for i, v in enumerate(outputs))
    made = low.build.add(
        node,
        node.op_type,
        inputs,
        attributes,
        name=first,
        type=ir.DataType.FLOAT,
        shape=outputs[0].shape,
        others=[(other, ir.DataType.FLOAT) for other in others],
    )
    for old, new in zip(outputs, made.producer().outputs, strict=True):  # type: ignore[union-attr]
        new.shape = old.shape
        low.new[old] = new
    return True


def _biases(bias: np.ndarray | None, apart: bool) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What the products of the inputs get [directions, rows], and those of the state, where ``apart`` says that they get some."""
    if bias is None:
        return None, None
    of_input, of_state = np.split(bias.astype(np.float32), 2, axis=1)
    if not apart:
        return of_input + of_state, None
    last = np.arange(of_input.shape[1]) >= of_input.shape[1] // 3 * 2
    return np.where(last, of_input, of_input + of_state), np.where(last, of_state, np.float32(0))


def _sums(
    low: Lowering, node: ir.Node, tokens: tuple[ir.Value, ir.Value], rows: Rows, bias: np.ndarray | None, name: str
) -> ir.Value:
    """The products of the inputs with all rows of all directions."""
    flat = dataclasses.replace(rows.weight, codes=rows.weight.codes.reshape(-1, rows.weight.codes.shape[-1]))
    prove(node, flat, 255, None)
    codes, scales = tokens
    inputs = [
        codes,
        low.weight_constant(flat),
        low.build.constant(f"{name}.input_multiplier", rows.scales.reshape(-1)),
        None if bias is None else low.build.constant(f"{name}.bias", bias.reshape(-1)),
        scales,
    ]
    shape = None if codes.shape is None else ir.Shape([*codes.shape[:-1], len(flat.codes)])
    return low.build.add(node, "Linear", inputs, {"x_zero": 128}, name=f"{name}.sums", type=ir.DataType.FLOAT, shape=shape)
