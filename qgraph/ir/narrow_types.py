"""Types that ONNX has and ONNX Runtime lacks: 2-bit constants are shown to it as 4-bit ones, with the same codes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import onnx_ir as ir

from qgraph.errors import QGraphError

WIDER = {ir.DataType.INT2: ir.DataType.INT4, ir.DataType.UINT2: ir.DataType.UINT4}


def widen(model: ir.Model) -> dict[ir.Value, ir.TensorProtocol]:
    """Store 2-bit initializers in 4 bits, in place; returns what they were."""
    before = {}
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.dtype not in WIDER:
            continue
        if any(use.node.op_type == "QuantizeLinear" for use in value.uses()):
            raise QGraphError("ONNX Runtime has no 2-bit quantizer; run the pass 'bake' first, which makes the weights codes")
        dtype = WIDER[tensor.dtype]
        before[value] = tensor
        value.const_value = ir.Tensor(tensor.numpy().astype(dtype.numpy()), dtype=dtype, name=value.name)
        value.dtype = dtype
    return before


@contextlib.contextmanager
def widened(model: ir.Model) -> Iterator[None]:
    """``model`` with its 2-bit initializers in 4 bits, for a while."""
    before = widen(model)
    try:
        yield
    finally:
        for value, tensor in before.items():
            value.const_value, value.dtype = tensor, tensor.dtype
