"""Rows of attention scores whose keys are all masked are zeros, as they are in torch.

    Softmax(s + Where(m, 0, -3.4e38)) -> p, Where(IsNaN(p), 0, p)   ->  the same with -infinity
    Softmax(s + mask) -> p                                          ->  Where(IsNaN(p), 0, p)

The exporter masks with the lowest float32, behind which its own guard sees no NaN and a row is the mean of all values; behind a
float mask it writes no guard, and a row of -infinity is NaN. Prompts that are padded on the left have such rows.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.ir.matchers.attention import guarded
from qgraph.ir.patterns import add_initializer, is_op, new_node, nodes
from qgraph.ir.scopes import SCOPES

FUSED = "scaled_dot_product_attention"


def zero_masked_rows(model: ir.Model) -> None:
    """Give the fused attention of a captured model torch's zeros; masks that follow from shapes alone stay as they are."""
    for softmax in nodes(model, "Softmax"):
        total = softmax.inputs[0]
        if FUSED not in softmax.metadata_props.get(SCOPES, "") or not is_op(total, "Add"):
            continue
        mask, p = total.producer().inputs[1], softmax.outputs[0]  # type: ignore[union-attr]
        if mask is None or not _varies(mask):
            continue
        guard = next((u.node for u in p.uses() if u.node.op_type == "Where" and guarded(u.node.outputs[0]) is p), None)
        if guard is None:
            _guard(model, softmax)
        elif is_op(mask, "Where"):
            lowest = np.array(-np.inf, p.dtype.numpy())  # type: ignore[union-attr]
            mask.producer().replace_input_with(2, add_initializer(model, f"{mask.name}_fill", lowest))  # type: ignore[union-attr]


def _guard(model: ir.Model, softmax: ir.Node) -> None:
    p = softmax.outputs[0]
    readers = list(p.uses())
    test = new_node(softmax, "IsNaN", [p], name=f"{softmax.name}_masked")
    test.outputs[0].name, test.outputs[0].type, test.outputs[0].shape = (
        f"{p.name}_masked",
        ir.TensorType(ir.DataType.BOOL),
        p.shape,
    )
    zero = add_initializer(model, f"{p.name}_zero", np.array(0, p.dtype.numpy()))  # type: ignore[union-attr]
    made = new_node(softmax, "Where", [test.outputs[0], zero, p], name=f"{softmax.name}_guard")
    made.outputs[0].name, made.outputs[0].type, made.outputs[0].shape = f"{p.name}_guarded", p.type, p.shape
    softmax.graph.insert_after(softmax, [test, made])  # type: ignore[union-attr]
    for node, place in readers:
        node.replace_input_with(place, made.outputs[0])


def _varies(mask: ir.Value) -> bool:
    """Whether ``mask`` follows from an input or a stored array, and not from shapes alone."""
    seen, ahead = set[ir.Value](), [mask]
    while ahead:
        value = ahead.pop()
        node = value.producer()
        if node is None and (value.is_graph_input() or (value.const_value is not None and value.const_value.size > 1)):
            return True
        if node is None or value in seen or node.op_type == "Shape":
            continue
        seen.add(value)
        ahead += [v for v in node.inputs if v is not None]
    return False
