"""float16, bfloat16 and double inside of a graph become float32, the float type of every later stage.

    x (float16) -> Conv(W float16) -> y (float16)
    x (float16) -> Cast -> Conv(W float32) -> Cast -> y (float16)

Inputs and outputs keep their types, so that the model is fed as before; those of bfloat16, which NumPy lacks, become float32.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.patterns import new_node

D = ir.DataType
OTHERS = {D.FLOAT16, D.BFLOAT16, D.DOUBLE}
TYPE_ATTRIBUTES = ("to", "dtype")


def to_float32(model: ir.Model, origin: str) -> str:
    """Rewrite ``model`` in place, its branches and loops too; returns a line that says what was changed, or an empty string.

    Raises:
        QGraphError: a weight in double precision has values that float32 does not reach; ``origin`` names the file.
    """
    graph = model.graph
    changed: Counter[str] = Counter()
    border = [v for v in graph.inputs if v.dtype in OTHERS]
    results = [(i, v, v.dtype) for i, v in enumerate(graph.outputs) if v.dtype in OTHERS and v.dtype != D.BFLOAT16]
    for inner in model.graphs():
        _inside(inner, border, changed, origin)
    for value in border:
        _input(graph, value)
    for place, value, kind in results:
        _output(graph, place, value, kind)
    if not changed:
        return ""
    for inner in model.graphs():
        for node in list(inner):
            _drop_cast(inner, node)
    kinds = ", ".join(sorted(changed))
    return f"weights and values of type {kinds} are float32 now; inputs and outputs keep their types"


def _inside(graph: ir.Graph, border: list[ir.Value], changed: Counter[str], origin: str) -> None:
    """Convert the constants of one graph and the types of its values but for ``border``."""
    for value in graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype in OTHERS:
            changed[value.const_value.dtype.name.lower()] += 1
            value.const_value = _converted(value.const_value, origin)
            value.type = ir.TensorType(D.FLOAT)
    for node in graph:
        _attributes(node, origin)
    for value in (*graph.inputs, *(v for node in graph for v in node.outputs)):
        if value.dtype in OTHERS and value not in border:
            changed[value.dtype.name.lower()] += 1  # type: ignore[union-attr]
            value.type = ir.TensorType(D.FLOAT)


def _converted(tensor: ir.TensorProtocol, origin: str) -> ir.Tensor:
    array = tensor.numpy()
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if np.isinf(single).sum() != np.isinf(array.astype(np.float64)).sum():
        raise QGraphError(f"{origin}: initializer {tensor.name!r} has values beyond float32's range; scale the model")
    return ir.Tensor(single, name=tensor.name, doc_string=tensor.doc_string)


def _attributes(node: ir.Node, origin: str) -> None:
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in OTHERS:
            node.attributes[name] = ir.AttrTensor(name, _converted(attribute.as_tensor(), origin))
        elif name in TYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT and attribute.as_int() in OTHERS:
            node.attributes[name] = ir.AttrInt64(name, int(D.FLOAT))


def _input(graph: ir.Graph, value: ir.Value) -> None:
    """Let the readers of an input read it as float32."""
    if value.dtype == D.BFLOAT16:
        value.type = ir.TensorType(D.FLOAT)
        return
    readers = [(use.node, use.idx) for use in value.uses()]
    if not readers:
        return
    cast = new_node(readers[0][0], "Cast", [value], {"to": int(D.FLOAT)}, name=f"{value.name}_to_float32")
    out = cast.outputs[0]
    out.name, out.shape, out.type = f"{value.name}_float32", value.shape, ir.TensorType(D.FLOAT)
    graph.insert_before(graph[0], cast)
    for reader, index in readers:
        reader.replace_input_with(index, out)


def _output(graph: ir.Graph, place: int, value: ir.Value, kind: ir.DataType) -> None:
    """Give an output its type back; an input that is an output stays."""
    node = value.producer()
    if node is None:
        return
    cast = new_node(node, "Cast", [value], {"to": int(kind)}, name=f"{value.name}_from_float32")
    out, name = cast.outputs[0], value.name
    value.name = f"{name}_float32"
    out.name, out.shape, out.type = name, value.shape, ir.TensorType(kind)
    graph.append(cast)
    graph.outputs[place] = out


def _drop_cast(graph: ir.Graph, node: ir.Node) -> None:
    """Take out a Cast from float32 to float32."""
    if node.op_type not in ("Cast", "CastLike") or node.domain or node.inputs[0] is None:
        return
    out = node.outputs[0]
    if node.inputs[0].dtype != D.FLOAT or out.dtype != D.FLOAT or out.is_graph_output():
        return
    ir.convenience.replace_all_uses_with(out, node.inputs[0])
    graph.remove(node, safe=True)
