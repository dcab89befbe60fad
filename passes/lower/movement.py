"""Data movement on codes: what is moved keeps its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.ir.integer_ops import PadMode
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantizedValue, QuantSpec

from qgraph.ir.patterns import attr, constant, scalar

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@lowers(
    "DepthToSpace", "Dropout", "Expand", "Flatten", "Identity", "Reshape", "Slice", "SpaceToDepth", "Squeeze", "Tile",
    "Transpose", "Unsqueeze",
)  # fmt: skip
def movement(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    x = low.operand(node.inputs[0], out)
    if x is None:
        return None
    if node.op_type == "Transpose":
        perm = attr(node, "perm", list(range(len(value.shape or ())))[::-1])
        made = low.build.transpose(node, x.value, perm, value.name or "", value.shape)
    elif node.op_type == "Dropout":
        made = x.value
    else:
        made = low.moved(node, [x.value, *(low.any(v) for v in node.inputs[1:])], value, x.spec.type)
    low.build.note(made, x.spec)
    return low.requantized(QuantizedValue(made, x.spec), node, value, out)


@lowers("Split")
def split(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """All outputs of a Split at once; each is requantized as its reader asks."""
    if node not in low.splits:
        x = low.operand(node.inputs[0], out)
        if x is None:
            return None
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
    fill = scalar(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else 0.0
    mode = PadMode.__members__.get(attr(node, "mode", "constant").upper())
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else np.zeros(0, np.int64)
    if x is None or fill is None or mode is None or axes is None:
        return None
    code = x.zero_point if fill == 0.0 else x.spec.code(fill)
    attributes: dict[str, Any] = {"mode": int(mode), "value": code}
    if axes.size:
        attributes["axes"] = [int(a) for a in axes]
    made = low.build.add(
        node, "Pad", [x.value, low.any(node.inputs[1])], attributes, name=value.name or "pad", type=x.spec.type, shape=value.shape
    )
    return low.requantized(QuantizedValue(made, x.spec), node, value, out)
