"""Types that ONNX has and ONNX Runtime lacks: 2-bit constants are shown to it as 4-bit ones, with the same codes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.bit_types import carrier
from qgraph.ir.patterns import add_initializer, constant, new_node


def widen(model: ir.Model) -> dict[ir.Value, ir.TensorProtocol]:
    """Store 2-bit initializers in 4 bits, in place; returns what they were."""
    before = {}
    for value in model.graph.initializers.values():
        tensor = value.const_value
        dtype = None if tensor is None else carrier(tensor.dtype)
        if tensor is None or dtype is None:
            continue
        if any(use.node.op_type == "QuantizeLinear" for use in value.uses()):
            raise QGraphError("ONNX Runtime has no 2-bit quantizer; run the pass 'bake' first, which makes the weights codes")
        before[value] = tensor
        value.const_value = ir.Tensor(tensor.numpy().astype(dtype.numpy()), dtype=dtype, name=value.name)
        value.dtype = dtype
    return before


def clip_codes(model: ir.Model) -> None:
    """Let 4-bit activations be 8-bit ones behind a Clip, in place.

    ONNX Runtime moves 4-bit codes into ops that do not take them, such as MaxPool.
    """
    made = False
    for node in list(model.graph):
        if node.op_type != "QuantizeLinear" or node.domain or len(node.inputs) < 3:
            continue
        x, scale, zero = node.inputs
        if zero is None or zero.dtype != ir.DataType.UINT4 or scale is None or constant(scale) is None or constant(x) is not None:
            continue
        step, point = constant(scale), constant(zero)
        assert step is not None and point is not None
        bounds = [(code - point.astype(np.float32)) * step for code in (0, 15)]
        low, high = (add_initializer(model, f"{zero.name}_{i}", b.astype(np.float32).reshape(())) for i, b in enumerate(bounds))
        clip = new_node(node, "Clip", [x, low, high], name=f"{node.name}_limits")
        clip.outputs[0].name = f"{node.name}_limited"
        clip.outputs[0].shape, clip.outputs[0].type = x.shape, x.type  # type: ignore[union-attr]
        model.graph.insert_before(node, clip)
        node.replace_input_with(0, clip.outputs[0])
        wide = add_initializer(model, f"{zero.name}_wide", point.astype(np.uint8))
        for reader in [node, *(u.node for u in node.outputs[0].uses())]:
            if len(reader.inputs) > 2 and reader.inputs[2] is zero:
                reader.replace_input_with(2, wide)
        node.outputs[0].type = ir.TensorType(ir.DataType.UINT8)  # types are shared between values
        made = True
    for name in [n for n, v in model.graph.initializers.items() if made and v.dtype == ir.DataType.UINT4 and not v.uses()]:
        del model.graph.initializers[name]


@contextlib.contextmanager
def widened(model: ir.Model) -> Iterator[ir.Model]:
    """``model`` with types that ONNX Runtime has: with 2-bit initializers in 4 bits for a while, or a copy."""
    if any(v.dtype == ir.DataType.UINT4 for n in model.graph if n.op_type == "QuantizeLinear" for v in n.outputs):
        copy = model.clone()
        clip_codes(copy)
        widen(copy)
        yield copy
        return
    before = widen(model)
    try:
        yield model
    finally:
        for value, tensor in before.items():
            value.const_value, value.dtype = tensor, tensor.dtype
