"""Take units out of a model: slice the weights, and correct what ops say about lengths."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from qgraph.ir.axes import Axis, Group
from qgraph.ir.patterns import add_initializer, attr, constant

Kept = Mapping[Axis, np.ndarray]


def kept_indices(group: Group, keep: np.ndarray) -> dict[Axis, np.ndarray]:
    """The indices of each axis that stay when the units of ``keep`` [units] stay; only axes that lose some."""
    found = {}
    by_class = {number: np.flatnonzero(keep[units]) for number, units in group.unit_of.items()}
    for node, number in group.nodes.items():
        if len(by_class[number]) < len(group.unit_of[number]):
            found[node] = by_class[number]
    return found


def remove(model: ir.Model, kept: Kept) -> None:
    """Keep only ``kept`` of each axis, in place."""
    depthwise = {n for n in model.graph if n.op_type == "Conv" and _is_depthwise(n)}
    for (value, axis), indices in kept.items():
        if value.const_value is not None:
            array = np.take(value.const_value.numpy(), indices, axis)
            value.const_value = ir.Tensor(array, dtype=value.const_value.dtype, name=value.name)
            value.shape = ir.Shape(array.shape)
        else:
            assert value.shape is not None
            shape = list(value.shape)
            shape[axis] = len(indices)
            value.shape = ir.Shape(shape)
    touched = {value for value, _ in kept}
    for node in model.graph:
        if node in depthwise:
            assert node.inputs[0] is not None
            node.attributes["group"] = ir.AttrInt64("group", int(node.inputs[0].shape[1]))  # type: ignore[index, arg-type]
        elif node.op_type == "Reshape" and node.outputs[0] in touched:
            _reshape(model, node)
        elif node.op_type == "Split" and any(v in touched for v in node.outputs):
            _split(model, node)


def untie_vectors(model: ir.Model) -> None:
    """Give every reader of a shared vector its own: equal biases and statistics are stored once, which couples no channels."""
    for value in list(model.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or tensor.size < 2 or tensor.size != max(tensor.numpy().shape) or tensor.dtype != ir.DataType.FLOAT:
            continue
        for use in list(value.uses())[1:]:
            use.node.replace_input_with(use.idx, add_initializer(model, value.name or "vector", tensor.numpy()))


def _is_depthwise(node: ir.Node) -> bool:
    group, weight = attr(node, "group", 1), node.inputs[1]
    return group > 1 and weight is not None and weight.shape is not None and weight.shape[1] == 1


def _reshape(model: ir.Model, node: ir.Node) -> None:
    target, out = constant(node.inputs[1]), node.outputs[0].shape
    if target is None or out is None:
        return
    new = [int(d) if t > 0 and isinstance(d, int) else int(t) for t, d in zip(target.tolist(), out, strict=True)]
    if new != target.tolist():
        node.replace_input_with(1, add_initializer(model, f"{node.name}_shape", np.array(new, np.int64)))


def _split(model: ir.Model, node: ir.Node) -> None:
    axis = attr(node, "axis", 0)
    sizes = np.array([int(v.shape[axis]) for v in node.outputs], np.int64)  # type: ignore[index, arg-type]
    node.attributes.pop("num_outputs", None)
    value = add_initializer(model, f"{node.name}_sizes", sizes)
    if len(node.inputs) > 1:
        node.replace_input_with(1, value)
    else:
        node.resize_inputs(2)
        node.replace_input_with(1, value)
