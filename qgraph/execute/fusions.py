"""Nodes that become one call together: a list of functions, each of which takes the last node of its pattern.

They are asked in this order; the first that returns something has made the node's output.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch
from torch import fx, nn

from qgraph.errors import QGraphError
from qgraph.execute.masks import MaskWeight
from qgraph.execute.quantizers import FakeQuantize, Ranges, fake_quantize_tokens, least_squares_scale
from qgraph.execute.tensors import tensor_of
from qgraph.execute.torch_ops.attention import attention
from qgraph.execute.torch_ops.linear import linear
from qgraph.execute.torch_ops.movement import gather
from qgraph.execute.torch_ops.quantized import dequantize_linear
from qgraph.ir.dialects import DOMAIN
from qgraph.ir.matchers.attention import probabilities
from qgraph.ir.matchers.linear import added_bias
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.ops.fake_quantize_codebook import chosen_levels
from qgraph.ir.ops.mask import INPUT_AXIS, MOVED
from qgraph.ir.patterns import attr, constant, is_op, only_user
from qgraph.ir.scopes import where
from qgraph.numerics.affine import INT_TYPES

if TYPE_CHECKING:
    from qgraph.execute.converter import Converter

Fusion = Callable[["Converter", ir.Node], fx.Node | None]
FUSIONS: list[Fusion] = []


def fusion(function: Fusion) -> Fusion:
    """Register a function that takes nodes which become one call; it returns None for all others."""
    FUSIONS.append(function)
    return function


@fusion
def mask_weight(converter: Converter, node: ir.Node) -> fx.Node | None:
    """Mask(W, mask) is a module, whose mask training may change."""
    if node.op_type != "Mask" or node.domain != DOMAIN:
        return None
    value, mask = node.inputs
    array = constant(mask)
    if value is None or mask is None or array is None or value.const_value is None:
        raise QGraphError(f"{where(node)} masks a value that is computed; only weights can be masked")
    path = f"masks.{re.sub(r'[^A-Za-z0-9]+', '_', value.name or 'weight')}"
    if not hasattr(converter.root, "masks"):
        converter.root.add_module("masks", nn.Module())
    converter.root.masks.add_module(path.split(".")[1], MaskWeight(torch.from_numpy(array.astype(bool))))  # type: ignore[operator, union-attr]
    converter.masks[path] = {
        "mask": mask.name or "",
        "weight": value.name or "",
        "inputs": node.metadata_props.get(INPUT_AXIS, "0"),
        "movement": node.metadata_props.get(MOVED, ""),
    }
    return converter.graph.call_module(path, (converter.value(value),))


@fusion
def linear_call(converter: Converter, node: ir.Node) -> fx.Node | None:
    """MatMul(x, W) of a constant matrix, with the vector that is added to it where there is one."""
    if node.domain or node.op_type not in ("Add", "MatMul"):
        return None
    bias, product = None, node.outputs[0]
    if node.op_type == "Add":
        parts = added_bias(product)
        if parts is None or only_user(parts[0]) is not node:
            return None
        product, bias = parts
    source = product.producer()
    assert source is not None
    x, weight = source.inputs
    matrix = _matrix(weight)
    if matrix is None or (bias is not None and constant(bias).shape != matrix.shape[1:]):  # type: ignore[union-attr]
        return None
    return converter.graph.call_function(linear, (converter.value(x), converter.value(weight), converter.value(bias)))


@fusion
def attention_call(converter: Converter, node: ir.Node) -> fx.Node | None:
    """MatMul(Softmax(MatMul(q, k) * scale + mask), v) of four dims."""
    if node.op_type != "MatMul" or node.domain:
        return None
    p, v = node.inputs
    scores = probabilities(p)
    if scores is None or len(scores.added) > 1 or any(x is None or x.shape is None or len(x.shape) != 4 for x in (p, v)):
        return None
    mask = next(iter(scores.added), None)
    arguments = (converter.value(scores.q), converter.value(scores.kt), converter.value(v), converter.value(mask), scores.factor)
    return converter.graph.call_function(attention, arguments)


@fusion
def fake_quantize_pair(converter: Converter, node: ir.Node) -> fx.Node | None:
    """DequantizeLinear(QuantizeLinear(x)) is a module, which has a gradient and may learn its scale."""
    if node.op_type != "DequantizeLinear" or not is_op(node.inputs[0], "QuantizeLinear"):
        return None
    first = node.inputs[0].producer()  # type: ignore[union-attr]
    assert first is not None
    source, scale, zero = (*first.inputs, None)[:3]
    if scale is None or source is None or constant(scale) is None:
        return None
    path = _tied(converter, source, scale) or f"quantizers.{re.sub(r'[^A-Za-z0-9]+', '_', source.name or 'value')}"
    if path not in converter.quantizers:
        is_weight = constant(source) is not None
        ranges = converter.weights if is_weight else "fixed" if is_op(source, "Softmax") else converter.activations
        module = _quantizer(converter, first, scale, zero, ranges, is_weight)
        converter.quantizers[path] = {"scale": [], "zero": [], "of": [source.name or ""]}
        if not hasattr(converter.root, "quantizers"):
            converter.root.add_module("quantizers", nn.Module())
        converter.root.quantizers.add_module(path.split(".")[1], module)  # type: ignore[operator, union-attr]
    entry = converter.quantizers[path]
    for one in (first, node):
        for kind, value in zip(("scale", "zero"), one.inputs[1:], strict=False):
            if value is not None and value.name not in entry[kind]:
                entry[kind].append(value.name or "")
    return converter.graph.call_module(path, (converter.value(source),))


def _tied(converter: Converter, source: ir.Value, scale: ir.Value) -> str | None:
    """The quantizer in front of an op that only moves elements, which the one behind it must equal."""
    node = source.producer()
    before = node.inputs[0] if node is not None and has(node, Trait.MOVES) else None
    if not is_op(before, "DequantizeLinear") or not is_op(before.producer().inputs[0], "QuantizeLinear"):  # type: ignore[union-attr]
        return None
    quantizer = before.producer().inputs[0].producer()  # type: ignore[union-attr]
    if not np.array_equal(constant(quantizer.inputs[1]), constant(scale)):  # type: ignore[union-attr, arg-type]
        return None
    made = converter.env.get(before)  # type: ignore[arg-type]
    return str(made.target) if made is not None and made.op == "call_module" else None


def _quantizer(
    converter: Converter, node: ir.Node, scale: ir.Value, zero: ir.Value | None, ranges: Ranges, is_weight: bool
) -> FakeQuantize:
    steps = tensor_of(constant(scale))  # type: ignore[arg-type]
    point = constant(zero)
    kind = INT_TYPES["uint8"]
    if zero is not None and zero.dtype is not None:
        kind = INT_TYPES[zero.dtype.name.lower()]
    whole = torch.zeros_like(steps) if point is None else torch.from_numpy(np.asarray(point, np.float32))
    axis = attr(node, "axis", 1) if steps.ndim else None
    block = attr(node, "block_size", 0)
    if is_weight and ranges == "learned":  # a start that suits few bits better than the range of the largest weight
        array = constant(node.inputs[0])
        steps = least_squares_scale(tensor_of(array).float(), whole, kind, steps, axis, block)  # type: ignore[arg-type]
    return FakeQuantize(steps, whole, kind, axis, block, ranges, converter.stochastic and is_weight)


@fusion
def embedding(converter: Converter, node: ir.Node) -> fx.Node | None:
    """Gather(DequantizeLinear(codes)): gather the codes and dequantize what was gathered."""
    if node.op_type != "Gather" or node.domain or attr(node, "axis", 0) != 0 or not is_op(node.inputs[0], "DequantizeLinear"):
        return None
    table = node.inputs[0].producer()  # type: ignore[union-attr]
    assert table is not None
    codes, scale, zero = (*table.inputs, None)[:3]
    array, steps = constant(codes), constant(scale)
    if array is None or steps is None or steps.ndim > 1 or (steps.ndim and attr(table, "axis", 1) % array.ndim != array.ndim - 1):
        return None
    if attr(table, "block_size", 0):
        return None
    rows = converter.graph.call_function(gather, (converter.value(codes), converter.value(node.inputs[1])))
    return converter.graph.call_function(dequantize_linear, (rows, converter.value(scale), converter.value(zero)), {"axis": -1})


@fusion
def fake_quantize_tokens_call(converter: Converter, node: ir.Node) -> fx.Node | None:
    """FakeQuantizeTokens with a channel of ones, which is no channel."""
    if node.op_type != "FakeQuantizeTokens" or not np.array_equal(constant(node.inputs[1]), np.ones(1, np.float32)):  # type: ignore[arg-type]
        return None
    return converter.graph.call_function(fake_quantize_tokens, (converter.value(node.inputs[0]),))


def _matrix(weight: ir.Value | None) -> np.ndarray | None:
    """The constant matrix behind ``weight``, quantized or not; None where it is something else."""
    while is_op(weight, "DequantizeLinear", "QuantizeLinear") or is_op(weight, "FakeQuantizeCodebook", domain="qgraph"):
        weight = weight.producer().inputs[0]  # type: ignore[union-attr]
    if (codebook := chosen_levels(weight)) is not None:
        weight = codebook[1]
    array = constant(weight)
    return array if array is not None and array.ndim == 2 else None
