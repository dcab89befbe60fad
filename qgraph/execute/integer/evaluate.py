"""Runs a model of the integer dialect in NumPy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from qgraph.execute.integer import (  # noqa: F401
    attention,
    control,
    conv,
    conv_float32,
    detection,
    index,
    linear,
    linear_float32,
    movement,
    norm,
    norm_float32,
    pointwise,
    pointwise_float32,
    pool,
    pool_float32,
    recurrent,
    resize,
    signal_float32,
)
from qgraph.execute.integer.common import DEFINITIONS, Arrays
from qgraph.ir.dialects import OPSET
from qgraph.ir.integer_ops import INTEGER_OPS, kind_of


def evaluate(model: ir.Model, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All values of a model of the integer dialect, by name."""
    found = evaluate_graph(model.graph, {v: feed[v.name or ""] for v in model.graph.inputs})
    return {v.name or "": array for v, array in found.items()}


def evaluate_graph(graph: ir.Graph, inputs: Mapping[ir.Value, np.ndarray]) -> dict[ir.Value, np.ndarray]:
    """All values of a graph for values of its inputs."""
    found = dict(inputs)
    found |= {v: v.const_value.numpy() for v in graph.initializers.values() if v.const_value is not None}
    for node in graph:
        operands = [None if v is None else found[v] for v in node.inputs]
        kind = kind_of(node.domain, node.op_type)
        if kind in DEFINITIONS:
            given = {k: v.value for k, v in node.attributes.items()}
            dtype = np.dtype(node.outputs[0].dtype.numpy())  # type: ignore[union-attr]
            with np.errstate(all="ignore"):  # what overflows is clamped to the last code
                result = DEFINITIONS[kind](operands, INTEGER_OPS[node.domain, node.op_type].defaults | given, dtype)
            results = list(result)[: len(node.outputs)] if isinstance(result, tuple) else [result]
        else:
            results = _standard(node, operands, graph.opset_imports.get("", OPSET))
        found |= dict(zip(node.outputs, results, strict=True))
    return found


def _standard(node: ir.Node, inputs: Arrays, opset: int) -> list[np.ndarray]:
    """One node of the standard domain in ONNX's reference evaluator."""
    made = [
        None if x is None else ir.Value(name=f"x{i}", type=ir.TensorType(ir.DataType.from_numpy(x.dtype)))
        for i, x in enumerate(inputs)
    ]
    copy = ir.Node("", node.op_type, made, node.attributes.values(), num_outputs=len(node.outputs))
    for i, value in enumerate(copy.outputs):
        value.name, value.type = f"y{i}", node.outputs[i].type
    given = [v for v in made if v is not None]
    graph = ir.Graph(given, copy.outputs, nodes=[copy], opset_imports={"": opset}, name="one")
    evaluator = ReferenceEvaluator(ir.to_proto(ir.Model(graph, ir_version=10)))
    results = evaluator.run(None, {f"x{i}": x for i, x in enumerate(inputs) if x is not None})
    # rows of packed tables leave them as bytes
    return [array.astype(v.dtype.numpy(), copy=False) for array, v in zip(results, node.outputs, strict=True)]  # type: ignore[union-attr]
