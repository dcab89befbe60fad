"""Data movement on codes: what is moved keeps its scale. Embeddings: rows of a quantized table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.asymmetric import is_symmetric
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import FLOAT, QuantizedValue, QuantSpec, spec_of

from qgraph.ir.bit_types import code_type
from qgraph.ir.integer_ops import PadMode
from qgraph.ir.patterns import attr, constant, is_op, scalar
from qgraph.ir.weights import Weight
from qgraph.numerics.affine import QParams

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@lowers(
    "Compress", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Reshape", "ReverseSequence",
    "Slice", "SpaceToDepth", "Squeeze", "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
def movement(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.operand(node.inputs[0], out)
    if x is None:
        return None
    if node.op_type == "Transpose":
        perm = attr(node, "perm", list(range(len(value.shape or ())))[::-1])
        made = low.build.transpose(node, x.value, perm, value.name or "", value.shape)
    else:
        made = low.moved(node, [x.value, *(low.any(v) for v in node.inputs[1:])], value, x.spec.type)
    low.build.note(made, x.spec)
    return low.requantized(QuantizedValue(made, x.spec), node, value, out)


@lowers("Split", all_outputs=True)
def split(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """All outputs of a Split at once; each is requantized as its reader asks."""
    if node not in low.splits:
        source = node.inputs[0]
        assert source is not None
        x = low.operand(source, out) or QuantizedValue(low.as_float(source), FLOAT)
        low.splits[node] = x, _parts(low, node, x)
    x, parts = low.splits[node]
    part = parts[next(i for i, v in enumerate(node.outputs) if v is value)]
    return low.requantized(QuantizedValue(part, x.spec), node, value, out)


def _parts(low: Lowering, node: ir.Node, x: QuantizedValue) -> list[ir.Value]:
    made = low.moved(node, [x.value, *(low.any(v) for v in node.inputs[1:])], node.outputs[0], x.spec.type)
    one = made.producer()
    assert one is not None
    new = ir.Node("", "Split", list(one.inputs), list(one.attributes.values()), num_outputs=len(node.outputs), name=one.name)
    for old, value in zip(node.outputs, new.outputs, strict=True):
        value.name, value.shape, value.dtype = low.build.unique(old.name or "part"), old.shape, x.spec.type
    low.build.nodes[-1] = new
    return list(new.outputs)


@lowers("Concat")
def concat(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    if out.type == ir.DataType.FLOAT:
        return None
    parts: list[ir.Value | None] = []
    for v in node.inputs:
        x = low.operand(v, out)
        if x is None or v is None:
            return None
        parts.append(low.requantized(x, node, v, out))
    made = low.moved(node, parts, value, out.type)
    low.build.note(made, out)
    return made


@lowers("Pad")
def pad(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.codes.get(node.inputs[0])  # type: ignore[arg-type]
    mode = PadMode.__members__.get(attr(node, "mode", "constant").upper())
    fill = scalar(node.inputs[2]) if mode == PadMode.CONSTANT and len(node.inputs) > 2 and node.inputs[2] is not None else 0.0
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else np.zeros(0, np.int64)
    if x is None or fill is None or mode is None or axes is None:
        return None
    lowest, highest = x.spec.limits
    if not lowest <= fill / x.scale + x.zero_point <= highest:  # then the codes of the output are filled in
        if out.type == ir.DataType.FLOAT:
            return None
        x = QuantizedValue(low.requantized(x, node, node.inputs[0], out), out)  # type: ignore[arg-type]
    code = x.zero_point if fill == 0.0 else x.spec.code(fill)
    attributes: dict[str, Any] = {"mode": int(mode), "value": code}
    if axes.size:
        attributes["axes"] = [int(a) for a in axes]
    made = low.build.add(
        node, "Pad", [x.value, low.any(node.inputs[1])], attributes, name=value.name or "pad", type=x.spec.type, shape=value.shape
    )
    return low.requantized(QuantizedValue(made, x.spec), node, value, out)


def codes_of_table(low: Lowering, gathered: ir.Value | None, unpack: ir.Node) -> QuantizedValue | None:
    """What DQ(Gather(codes)) reads where the constant codes have one scale for all: the codes as activations have them."""
    gather = gathered.producer() if gathered is not None else None
    table, scale = (None, None) if gather is None else (constant(gather.inputs[0]), constant(unpack.inputs[1]))
    if gather is None or gathered is None or table is None or scale is None or scale.size != 1:
        return None
    spec = spec_of(unpack)
    if gathered not in low.new:
        codes = table.astype(np.int64) + (128 if table.dtype == np.int8 else 0)
        rows = low.build.constant(f"{gather.inputs[0].name}.codes", codes.astype(spec.type.numpy()))  # type: ignore[union-attr]
        index = low.any(gather.inputs[1])
        low.new[gathered] = low.moved(gather, [rows, index], gathered, spec.type)
    return QuantizedValue(low.new[gathered], spec)


def embedding(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """DQ(Gather(codes)) or Gather(DQ(codes)): gather codes, then requantize with a scale a column."""
    if not is_op(value, "DequantizeLinear", "Gather"):
        return None
    source = node if node.op_type == "Gather" else node.inputs[0].producer()  # type: ignore[union-attr]
    if source is None or source.op_type != "Gather" or attr(source, "axis", 0) != 0:
        return None
    weight = low.weights.get(source.inputs[0]) if node is source else _table(node, source)  # type: ignore[arg-type]
    if weight is None or weight.codes.ndim != 2 or weight.params.axis != 1 or weight.params.block or not is_symmetric(weight):
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
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    last = attr(node, "axis", 1) in (-1, len(node.outputs[0].shape or ()) - 1)
    if codes is None or scale is None or scale.ndim != 1 or not last:
        return None
    table = gather.inputs[0]
    assert table is not None and table.const_value is not None
    kind = code_type(table.const_value.dtype)
    assert kind is not None
    zeros = np.zeros(scale.shape, np.int64) if zero is None else np.broadcast_to(zero.astype(np.int64), scale.shape)
    return Weight(table.name or "", codes.astype(kind.container), QParams(kind, scale, zeros, 1))
