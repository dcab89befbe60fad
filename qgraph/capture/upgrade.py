"""Old opsets -> opset 21: the converter of onnx, and the ops whose change of meaning it leaves out.

    Resize-10(x, scales)                  ->  Resize(x, , scales), asymmetric coordinates, nearest: floor (ceil where it shrinks)
    GroupNormalization-18(x, scale, bias) ->  GroupNormalization(x, ...), scale and bias repeated from groups to channels
    Hardmax-11(x), axis a of a dims       ->  Flatten(a) -> Hardmax -> Reshape

ONNX's operator changelog says what an op meant; where it is silent (``nearest`` of Resize-10), ONNX Runtime does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from qgraph.capture.shapes import infer_shapes
from qgraph.errors import QGraphError
from qgraph.ir.dialects import MIN_OPSET, opset
from qgraph.ir.patterns import add_initializer, attr, constant, new_node, rank
from qgraph.ir.scopes import where

OLDEST = 7
LARGE = 1024
"""Elements from which on a weight is kept out of the converter, which asks for its shape alone."""


def check_opset(model: ir.Model, origin: str) -> int:
    """The opset of ``model``, which can be brought to ``MIN_OPSET``; ``origin`` names it in errors."""
    version = opset(model)
    if not version:
        raise QGraphError(f"{origin}: the model imports no ONNX opset; export it again")
    if version < OLDEST:
        raise QGraphError(f"{origin}: opset {version} is too old (at least {OLDEST} is needed); export it again")
    if version > onnx.defs.onnx_opset_version():
        raise QGraphError(
            f"{origin}: opset {version} is newer than the installed onnx knows "
            f"({onnx.defs.onnx_opset_version()}); upgrade onnx or export with an older opset"
        )
    return version


def upgrade(model: ir.Model, origin: str) -> None:
    """Bring ``model`` in place to ``MIN_OPSET`` where its opset is older; it computes what it did.

    Raises:
        QGraphError: an op cannot be converted; ``origin`` names the model.
    """
    version = check_opset(model, origin)
    if version >= MIN_OPSET:
        return
    scans = _everywhere(model, "Scan") if version < 9 else []
    if scans:
        raise QGraphError(f"{origin}: {where(scans[0])} of opset {version} runs over batches; export with opset 9 or later")
    _convert(model, version, origin)
    if version <= 10:
        for node in _everywhere(model, "Resize"):
            _resize_of_10(model, node, shrinks=version == 10)
    if version < 13:
        for node in _everywhere(model, "Hardmax"):
            _hardmax_of_11(node)
    if groups := _everywhere(model, "GroupNormalization"):
        infer_shapes(model)
        for node in groups:
            _group_normalization_of_18(model, node, origin)


def _everywhere(model: ir.Model, op: str) -> list[ir.Node]:
    """The nodes of one op, also those of branches and loops."""
    return [n for n in model.graph.all_nodes() if n.op_type == op and n.domain == ""]


def _convert(model: ir.Model, version: int, origin: str) -> None:
    """Let onnx's own converter do what it knows; large weights stay out of its way."""
    kept = {name: v.const_value for name, v in model.graph.initializers.items()}
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.size >= LARGE:
            hollow = onnx.TensorProto(name=value.name, dims=list(tensor.shape), data_type=int(tensor.dtype))  # type: ignore[arg-type]
            value.const_value = ir.TensorProtoTensor(hollow)
    try:
        proto = ir.to_proto(model)
        upgraded = ir.from_proto(onnx.version_converter.convert_version(proto, MIN_OPSET))
    except Exception as error:
        raise QGraphError(
            f"{origin}: cannot be upgraded from opset {version} to {MIN_OPSET} ({str(error).strip().splitlines()[0]}); "
            "export it again with a newer opset"
        ) from error
    finally:
        for name, tensor in kept.items():
            model.graph.initializers[name].const_value = tensor
    for name, tensor in kept.items():
        if tensor is not None and name in upgraded.graph.initializers:
            upgraded.graph.initializers[name].const_value = tensor
    model.graph = upgraded.graph
    model.ir_version = max(model.ir_version, upgraded.ir_version)


def _resize_of_10(model: ir.Model, node: ir.Node, *, shrinks: bool) -> None:
    """Resize before opset 11: output index / scale is the place in the input; ``nearest`` takes the element before it where an
    axis grows and the one after it where it shrinks (Upsample, before opset 10, only grows)."""
    node.attributes["coordinate_transformation_mode"] = ir.AttrString("coordinate_transformation_mode", "asymmetric")
    if attr(node, "mode", "nearest") != "nearest":
        return
    node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "floor")
    x, _, scales = node.inputs[:3]
    assert x is not None and scales is not None
    known = constant(scales)
    if not shrinks or (known is not None and (known >= 1).all()):
        return
    ceil = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"}
    if known is not None and (known <= 1).all():
        node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "ceil")
        return
    name = f"{node.outputs[0].name}_shrunk"
    one = add_initializer(model, f"{name}_one", np.ones(1, np.float32))
    less, more = (_inserted(node, op, [scales, one], f"{name}_{op.lower()}", scales) for op in ("Min", "Max"))
    shrunk = _inserted(node, "Resize", [x, None, less], name, x, ceil)
    shrunk.shape = None
    node.replace_input_with(0, shrunk)
    node.replace_input_with(2, more)


def _hardmax_of_11(node: ir.Node) -> None:
    """Hardmax before opset 13 takes its input as a matrix: the axes from ``axis`` on are one."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    axis, dims = attr(node, "axis", 1), rank(x)
    node.attributes["axis"] = ir.AttrInt64("axis", -1)
    if axis == -1 or (dims is not None and axis == dims - 1):
        return
    flat = _inserted(node, "Flatten", [x], f"{y.name}_flat", x, {"axis": axis})
    shape = _inserted(node, "Shape", [x], f"{y.name}_shape", x)
    flat.shape, shape.shape, shape.type = None, None, ir.TensorType(ir.DataType.INT64)
    node.replace_input_with(0, flat)
    final = new_node(node, "Reshape", [y, shape], name=f"{y.name}_unflattened")
    out, name = final.outputs[0], y.name
    out.shape, out.type = y.shape, y.type
    ir.convenience.replace_all_uses_with(y, out, replace_graph_outputs=True)
    final.replace_input_with(0, y)
    y.name, y.shape, out.name = f"{name}_matrix", None, name
    node.graph.insert_after(node, final)  # type: ignore[union-attr]


def _group_normalization_of_18(model: ir.Model, node: ir.Node, origin: str) -> None:
    """GroupNormalization before opset 21 has a scale and a bias a group, not a channel."""
    x, groups = node.inputs[0], attr(node, "num_groups")
    channels = x.shape[1] if x is not None and x.shape is not None else None
    if not isinstance(channels, int):
        raise QGraphError(
            f"{origin}: {where(node)} (opset 18) has a scale a group and its number of channels is not known; "
            "export it again with opset 21"
        )
    if channels == groups:
        return
    for index in (1, 2):
        value = node.inputs[index]
        assert value is not None
        name, array = f"{value.name}_of_channels", constant(value)
        if array is not None:
            made = add_initializer(model, name, np.repeat(array, channels // groups))
        else:
            column = add_initializer(model, f"{name}_column", np.array((groups, 1), np.int64))
            wide = add_initializer(model, f"{name}_wide", np.array((groups, channels // groups), np.int64))
            flat = add_initializer(model, f"{name}_flat", np.array((channels,), np.int64))
            made = value
            for op, shape in (("Reshape", column), ("Expand", wide), ("Reshape", flat)):
                made = _inserted(node, op, [made, shape], f"{name}_{op.lower()}_{shape.name}", value)
                made.shape = None
        node.replace_input_with(index, made)


def _inserted(
    node: ir.Node,
    op: str,
    inputs: Sequence[ir.Value | None],
    name: str,
    like: ir.Value,
    attributes: dict[str, Any] | None = None,
) -> ir.Value:
    """The output ``name`` of a new node in front of ``node``, with shape and type of ``like``."""
    made = new_node(node, op, list(inputs), attributes, name=name)
    out = made.outputs[0]
    out.name, out.shape, out.type = name, like.shape, like.type
    node.graph.insert_before(node, made)  # type: ignore[union-attr]
    return out
