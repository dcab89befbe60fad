"""Recurrent ops with quantized weights."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.capture.quantized.builder import Builder
from qgraph.capture.quantized.registry import rewrites
from qgraph.ir.patterns import attr, constant


@rewrites("DynamicQuantizeLSTM")
def lstm(b: Builder, node: ir.Node) -> None:
    """Inputs: those of LSTM, then scale and zero point of W and of R. The weights stay codes; the activations, which the op
    quantizes by their range in every run, stay float.

    W is [directions, inputs, 4 * hidden] where LSTM's is [directions, 4 * hidden, inputs].
    """
    weights = [_weight(b, index, params) for index, params in ((1, 8), (2, 10))]
    inputs = [b.needed(0), *weights, *(b.input(i) for i in range(3, 8))]
    attributes = {name: attr(node, name) for name in node.attributes}
    outputs = len(node.outputs)
    first = b.add("LSTM", inputs, attributes, name=f"{node.outputs[0].name}_lstm", outputs=outputs)
    made = first.producer().outputs  # type: ignore[union-attr]
    for old, new in zip(node.outputs[1:], made[1:], strict=True):
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        new.name, new.type, new.shape, old.name = old.name, ir.TensorType(ir.DataType.FLOAT), old.shape, f"{old.name}__replaced"
    b.finish(first)


def _weight(b: Builder, index: int, params: int) -> ir.Value:
    """The weight at ``index``, turned, as real numbers: one scale a direction, or one a row of each."""
    value, zero = b.needed(index), b.input(params + 1)
    codes, scale, point = constant(value), constant(b.needed(params)), constant(zero)
    if codes is None or scale is None or (zero is not None and point is None):
        raise b.refuse("has weights or scales that are computed; quantize it again with constant ones")
    turned = np.ascontiguousarray(codes.transpose(0, 2, 1))
    points = np.zeros(scale.size, codes.dtype) if point is None else np.broadcast_to(point.reshape(-1), (scale.size,)).copy()
    rows = scale.size > len(turned)
    parts = (
        b.constant(f"{value.name}.codes", turned.reshape(-1, turned.shape[-1]) if rows else turned, value.dtype),
        b.constant(f"{value.name}_scale", scale.reshape(-1)),
        b.constant(f"{value.name}_zero_point", points, value.dtype),
    )
    real = b.dequantized(*parts, axis=0)
    if not rows:
        return real
    shape = b.constant(f"{value.name}_shape", np.array(turned.shape, np.int64))
    return b.add("Reshape", [real, shape], name=f"{value.name}_rows")
