"""Tables of pointwise functions: a whole region of ops becomes one lookup.

    y = f(x), x uint8          ->  256 entries (a row a channel when f has per-channel constants)
    y = f(x), x int16          ->  a curve where f is smooth (see curves), else 65536 entries

The function is evaluated once, in float32, on every code; the result is quantized like any other value.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.values import QuantizedValue, QuantSpec

from qgraph.ir.patterns import constant


def build(
    members: list[ir.Node], root: ir.Value, end: ir.Value, axis: int, x: QuantizedValue, out: QuantSpec, opsets: dict[str, int]
) -> np.ndarray:
    """The region ``members`` from ``root`` (quantized as ``x``) to ``end``, on every code of ``x``, in steps of ``out``.

    Returns float32 [channels, entries], neither rounded nor clamped; one channel unless the region has constants along ``axis``.
    """
    low, high = (0, 255) if x.spec.type == ir.DataType.UINT8 else x.spec.limits  # an entry for every byte
    real = (np.arange(low, high + 1).astype(np.float32) - np.float32(x.zero_point)) * np.float32(x.scale)
    rank = len(end.shape or ())
    values = evaluate(members, root, end, real.reshape(-1, *[1] * rank), opsets)
    channels = values.shape[axis + 1] if axis >= 0 else 1
    table = values.reshape(len(real), channels).T.astype(np.float32)
    return table if out.type == ir.DataType.FLOAT else table / np.float32(out.scale)


def rounded(table: np.ndarray, out: QuantSpec) -> np.ndarray:
    """What ``build`` made, as elements of ``out``: [entries], or [channels, entries] where there are several."""
    if out.type != ir.DataType.FLOAT:
        bottom, top = out.limits
        with np.errstate(invalid="ignore"):
            codes = np.rint(table) + out.zero_point
        table = np.clip(np.nan_to_num(codes, nan=bottom), bottom, top).astype(out.type.numpy())
    return table[0] if len(table) == 1 else np.ascontiguousarray(table)


def evaluate(members: list[ir.Node], root: ir.Value, end: ir.Value, x: np.ndarray, opsets: dict[str, int]) -> np.ndarray:
    """Run the nodes of a region on ``x`` in ONNX Runtime."""
    import onnxruntime as ort

    names: dict[ir.Value, ir.Value] = {root: ir.Value(name="x", shape=ir.Shape(x.shape), type=ir.TensorType(ir.DataType.FLOAT))}
    initializers = []
    nodes = []
    for i, node in enumerate(members):
        inputs: list[ir.Value | None] = []
        for value in node.inputs:
            if value is not None and value not in names:
                array = constant(value)
                assert array is not None
                made = ir.Value(name=f"c{len(names)}", const_value=ir.Tensor(array, name=f"c{len(names)}"))
                names[value] = made
                initializers.append(made)
            inputs.append(names[value] if value is not None else None)
        copy = ir.Node("", node.op_type, inputs, list(node.attributes.values()), num_outputs=1)
        copy.outputs[0].name = f"y{i}"
        names[node.outputs[0]] = copy.outputs[0]
        nodes.append(copy)
    result = names[end]
    result.type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [names[root]], [result], nodes=nodes, initializers=initializers, opset_imports={"": opsets[""]}, name="region"
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    data = ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()
    run = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return run.run(None, {"x": x})[0]
