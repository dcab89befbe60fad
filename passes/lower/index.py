"""Gathers of codes, and embeddings: rows of a quantized table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from qgraph.ir.bit_types import code_type
from qgraph.ir.weights import Weight
from qgraph.passes.lower import movement
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantSpec

from qgraph.ir.patterns import attr, constant, is_op
from qgraph.numerics.affine import QParams

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@lowers("Gather", "GatherElements", "GatherND")
def gather(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """QuantizedValue by index."""
    return movement.movement(low, node, value, out)


def embedding(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """DQ(Gather(codes)) or Gather(DQ(codes)): gather codes, then requantize with a scale a column."""
    if not is_op(value, "DequantizeLinear", "Gather"):
        return None
    source = node if node.op_type == "Gather" else node.inputs[0].producer()  # type: ignore[union-attr]
    if source is None or source.op_type != "Gather" or attr(source, "axis", 0) != 0:
        return None
    weight = low.weights.get(source.inputs[0]) if node is source else _table(node, source)  # type: ignore[arg-type]
    if (
        weight is None
        or weight.codes.ndim != 2
        or weight.params.axis != 1
        or weight.params.block
        or np.any(weight.params.zero_point)
    ):
        return None
    index = low.any(source.inputs[1])
    codes = low.build.add(
        node,
        "Gather",
        [low.weight_constant(weight), index],
        {"axis": 0},
        name=f"{value.name}_codes",
        type=ir.DataType.INT8,
        shape=value.shape,
        domain="",
    )
    factors = (weight.params.scale.astype(np.float64) / out.scale).astype(np.float32)
    return low.build.kernel(node, "Requantize", [codes, low.build.constant(f"{value.name}.multiplier", factors)], out, {}, value)


def _table(node: ir.Node, gather: ir.Node) -> Weight | None:
    """The table behind DQ(Gather(codes)): the DequantizeLinear's parameters speak of the gathered tensor."""
    codes, scale = constant(gather.inputs[0]), constant(node.inputs[1])
    last = attr(node, "axis", 1) in (-1, len(node.outputs[0].shape or ()) - 1)
    if codes is None or scale is None or scale.ndim != 1 or not last:
        return None
    table = gather.inputs[0]
    assert table is not None and table.const_value is not None
    kind = code_type(table.const_value.dtype)
    assert kind is not None
    params = QParams(kind, scale, np.zeros(scale.shape, np.int64), 1)
    return Weight(table.name or "", codes.astype(np.int8), params)
