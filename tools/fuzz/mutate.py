"""Mutations of ONNX files: structure (dims, types, attributes, edges, names, weights, opsets, ops, nodes) and bytes.

The file number and the seed give the mutation, so that every file can be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, TensorProto

Rng = np.random.Generator
DIMS = (0, 1, 2, 3, 7, -1, -5, 64, 1 << 20, 1 << 31, 1 << 62)
INTS = (0, 1, 2, 3, -1, -2, 7, 100, 1 << 20, 1 << 31, -(1 << 31), 1 << 62, -(1 << 63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-38, 1e-45, 3e38, float("inf"), float("-inf"), float("nan"))
NAMES = ("", "x", "y", "None", "class", "a/b", "a[0]", "n" * 300, "?", "weight", "é")
DOMAINS = ("", "ai.onnx", "com.microsoft", "qgraph", "qgraph.integer", "none.such")
TEXTS = ("", "linear", "SAME_UPPER", "NOTSET", "floor", "x", "bilinear", "tanh")
OPS = sorted({s.name for s in onnx.defs.get_all_schemas() if s.domain == ""})
MOST = 3
"""Mutations of one file."""
Mutation = Callable[[ModelProto, Rng], None]
MUTATIONS: list[Mutation] = []


def mutation(function: Mutation) -> Mutation:
    MUTATIONS.append(function)
    return function


def mutate(data: bytes, rng: Rng) -> bytes:
    """``data``, an ONNX file, with one to ``MOST`` mutations; one file in ten is damaged byte by byte instead."""
    if rng.random() < 0.1:
        return damage(data, rng)
    model = onnx.load_from_string(data)
    for _ in range(int(rng.integers(1, MOST + 1))):
        try:
            _pick(rng, MUTATIONS)(model, rng)
        except (ValueError, TypeError, IndexError, DecodeError):  # a message does not take the value, or there is none to change
            continue
    data = model.SerializeToString()
    return _other_names(data, model, rng) if rng.random() < 0.03 else data


def damage(data: bytes, rng: Rng) -> bytes:
    """Flipped bits, and bytes that are cut off, cut out, repeated or overwritten."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 8))):
        if not found:
            break
        place, count = int(rng.integers(len(found))), int(rng.integers(1, 16))
        kind = int(rng.integers(6))
        if kind <= 1:
            found[place] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            found[place : place + count] = rng.integers(0, 256, count, np.uint8).tobytes()
        elif kind == 3:
            del found[place : place + count]
        elif kind == 4:
            found[place:place] = found[place : place + count]
        elif rng.random() < 0.3:
            del found[place:]
    return bytes(found)


def _pick(rng: Rng, items: Any) -> Any:
    items = list(items)
    if not items:
        raise IndexError
    return items[int(rng.integers(len(items)))]


def _graph(model: ModelProto, rng: Rng) -> onnx.GraphProto:
    """The main graph, or sometimes one inside of a node."""
    inner = [a.g for n in model.graph.node for a in n.attribute if a.type == AttributeProto.GRAPH]
    return _pick(rng, inner) if inner and rng.random() < 0.4 else model.graph


def _values(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    return [*graph.input, *graph.output, *graph.value_info]


def _names(graph: onnx.GraphProto) -> list[str]:
    made = [name for node in graph.node for name in node.output]
    return [*(v.name for v in graph.input), *(t.name for t in graph.initializer), *made]


def _other_names(data: bytes, model: ModelProto, rng: Rng) -> bytes:
    """A name in the bytes of a file becomes one that is no UTF-8 text."""
    names = [name for name in _names(model.graph) if name]
    if not names:
        return data
    name = _pick(rng, names).encode()
    return data.replace(name, b"\xff" * len(name))


@mutation
def change_dims(model: ModelProto, rng: Rng) -> None:
    shape = _pick(rng, _values(_graph(model, rng))).type.tensor_type.shape
    if not shape.dim or rng.random() < 0.15:
        shape.dim.add().dim_value = _pick(rng, DIMS)
    elif rng.random() < 0.2:
        del shape.dim[int(rng.integers(len(shape.dim)))]
    elif rng.random() < 0.3:
        _pick(rng, shape.dim).dim_param = _pick(rng, ["n", "?", "-1", "n*2", "None", ""])
    else:
        _pick(rng, shape.dim).dim_value = _pick(rng, DIMS)


@mutation
def forget_a_shape(model: ModelProto, rng: Rng) -> None:
    value = _pick(rng, _values(_graph(model, rng)))
    value.ClearField("type") if rng.random() < 0.3 else value.type.tensor_type.ClearField("shape")


@mutation
def change_type(model: ModelProto, rng: Rng) -> None:
    graph = _graph(model, rng)
    kind = int(rng.integers(-1, 27))
    if graph.initializer and rng.random() < 0.5:
        _pick(rng, graph.initializer).data_type = kind
    else:
        _pick(rng, _values(graph)).type.tensor_type.elem_type = kind


@mutation
def change_attribute(model: ModelProto, rng: Rng) -> None:
    node = _pick(rng, [n for n in _graph(model, rng).node if n.attribute])
    attribute = _pick(rng, node.attribute)
    kind = int(rng.integers(10))
    if kind == 0:
        node.attribute.remove(attribute)
    elif kind == 1:
        attribute.type = int(rng.integers(0, 15))  # type: ignore[assignment]
    elif kind == 2:
        attribute.name = _pick(rng, ["axis", "axes", "perm", "pads", "to", "group", "none"])
    elif attribute.type == AttributeProto.INT:
        attribute.i = _pick(rng, INTS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = _pick(rng, FLOATS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = _pick(rng, [*(t.encode() for t in TEXTS), b"\xff\xfe"])
    elif attribute.type == AttributeProto.INTS:
        _change_list(attribute.ints, INTS, rng)
    elif attribute.type == AttributeProto.FLOATS:
        _change_list(attribute.floats, FLOATS, rng)
    elif attribute.type == AttributeProto.TENSOR:
        _change_tensor(attribute.t, rng)


@mutation
def add_attribute(model: ModelProto, rng: Rng) -> None:
    node = _pick(rng, _graph(model, rng).node)
    name = _pick(rng, ["axis", "axes", "perm", "pads", "dilations", "strides", "group", "to", "auto_pad", "alpha", "none"])
    node.attribute.append(onnx.helper.make_attribute(name, _pick(rng, [_pick(rng, INTS), [1, 1], [0], 1.5, "x"])))


def _change_list(items: Any, values: Any, rng: Rng) -> None:
    kind = int(rng.integers(3))
    if kind == 0 or not items:
        items.append(_pick(rng, values))
    elif kind == 1:
        del items[int(rng.integers(len(items)))]
    else:
        items[int(rng.integers(len(items)))] = _pick(rng, values)


@mutation
def change_an_edge(model: ModelProto, rng: Rng) -> None:
    graph = _graph(model, rng)
    node = _pick(rng, graph.node)
    kind = int(rng.integers(5))
    if kind == 0 or not node.input:
        node.input.append(_pick(rng, _names(graph)))
    elif kind == 1:
        del node.input[int(rng.integers(len(node.input)))]
    else:
        name = _pick(rng, ["", "nothing"]) if rng.random() < 0.15 else _pick(rng, _names(graph))
        node.input[int(rng.integers(len(node.input)))] = name


@mutation
def change_outputs(model: ModelProto, rng: Rng) -> None:
    graph = _graph(model, rng)
    kind = int(rng.integers(5))
    if kind == 0:
        del graph.output[int(rng.integers(len(graph.output)))]
    elif kind == 1:
        graph.output.add().name = _pick(rng, _names(graph))
    elif kind == 2:
        graph.output.append(_pick(rng, graph.output))
    elif kind == 3:
        _pick(rng, graph.output).name = _pick(rng, _names(graph))
    else:
        _pick(rng, graph.node).output.append(_pick(rng, ["", "another", *_names(graph)]))


@mutation
def change_inputs(model: ModelProto, rng: Rng) -> None:
    graph = _graph(model, rng)
    kind = int(rng.integers(3))
    if kind == 0:
        del graph.input[int(rng.integers(len(graph.input)))]
    elif kind == 1:
        graph.input.append(_pick(rng, graph.input))
    else:
        _pick(rng, graph.input).name = _pick(rng, [*NAMES, *_names(graph)])


@mutation
def change_a_name(model: ModelProto, rng: Rng) -> None:
    graph = _graph(model, rng)
    new = _pick(rng, [*NAMES, *_names(graph)])
    kind = int(rng.integers(4))
    if kind == 0:
        _pick(rng, graph.node).name = new
    elif kind == 1:
        node = _pick(rng, [n for n in graph.node if n.output])
        node.output[int(rng.integers(len(node.output)))] = new
    else:  # the value keeps its readers
        old = _pick(rng, _names(graph))
        for node in graph.node:
            for names in (node.input, node.output):
                for place, name in enumerate(names):
                    if name == old:
                        names[place] = new
        for item in [*_values(graph), *graph.initializer]:
            if item.name == old:
                item.name = new


@mutation
def change_weights(model: ModelProto, rng: Rng) -> None:
    _change_tensor(_pick(rng, _graph(model, rng).initializer), rng)


def _change_tensor(tensor: TensorProto, rng: Rng) -> None:
    kind = int(rng.integers(8))
    if kind == 0:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
    elif kind == 1:
        tensor.raw_data += b"\0" * int(rng.integers(1, 9))
    elif kind == 2:
        tensor.raw_data = rng.integers(0, 256, len(tensor.raw_data), np.uint8).tobytes()
    elif kind == 3 and tensor.data_type == TensorProto.FLOAT:
        _fill(tensor, np.float32(_pick(rng, FLOATS)), rng)
    elif kind == 4 and tensor.data_type == TensorProto.INT64:
        _fill(tensor, np.int64(_pick(rng, INTS)), rng)
    elif kind == 5:
        _change_list(tensor.dims, DIMS, rng)
    elif kind == 6:
        tensor.data_location = TensorProto.EXTERNAL
        place = _pick(rng, ["none.data", "../none", "/etc/hostname", "."])
        for key, value in (("location", place), ("offset", str(_pick(rng, INTS))), ("length", str(_pick(rng, INTS)))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    else:
        _change_list(tensor.float_data, FLOATS, rng)


def _fill(tensor: TensorProto, value: Any, rng: Rng) -> None:
    array = np.array(onnx.numpy_helper.to_array(tensor))
    flat = array.reshape(-1)
    flat[... if rng.random() < 0.3 else int(rng.integers(flat.size))] = value
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


@mutation
def move_weights(model: ModelProto, rng: Rng) -> None:
    graph = _graph(model, rng)
    tensor = _pick(rng, graph.initializer)
    kind = int(rng.integers(4))
    if kind == 0:
        graph.initializer.remove(tensor)
    elif kind == 1:
        graph.initializer.append(tensor)
    elif kind == 2:
        graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    else:
        graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        graph.initializer.remove(tensor)


@mutation
def change_opsets(model: ModelProto, rng: Rng) -> None:
    kind = int(rng.integers(5))
    if kind == 0:
        model.ir_version = _pick(rng, [0, 1, 3, 4, 8, 10, 13, 99])
    elif kind == 1 and model.opset_import:
        del model.opset_import[int(rng.integers(len(model.opset_import)))]
    elif kind == 2:
        added = model.opset_import.add()
        added.domain, added.version = _pick(rng, DOMAINS), int(rng.integers(-1, 30))
    else:
        _pick(rng, model.opset_import).version = _pick(rng, [-1, 0, 1, 6, 7, 8, 9, 10, 11, 13, 17, 18, 20, 21, 22, 23, 24, 99])


@mutation
def change_op(model: ModelProto, rng: Rng) -> None:
    node = _pick(rng, _graph(model, rng).node)
    if rng.random() < 0.15:
        node.domain = _pick(rng, DOMAINS)
    else:
        node.op_type = _pick(rng, OPS)


@mutation
def change_nodes(model: ModelProto, rng: Rng) -> None:
    graph = _graph(model, rng)
    place, kind = int(rng.integers(max(1, len(graph.node)))), int(rng.integers(4))
    node = onnx.NodeProto()
    node.CopyFrom(graph.node[place])
    if kind <= 1:
        del graph.node[place]
    if kind == 1:
        graph.node.insert(int(rng.integers(len(graph.node) + 1)), node)
    elif kind == 2:
        graph.node.append(node)
    elif kind == 3:
        node.output[:] = [f"{name}_copy" for name in node.output]
        graph.node.insert(place + 1, node)
        if graph.output and node.output:
            _pick(rng, graph.output).name = node.output[0]
