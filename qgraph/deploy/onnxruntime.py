"""Export for ONNX Runtime: the quantized dialect in a form that ONNX Runtime executes with integer kernels.

    FakeQuantizeTokens(x) -> MatMul(DQ(W))   ->   QuantizeTokens(x) -> MatMulInteger(codes, W) -> Mul(scales)

Everything else stays Q/DQ, which ONNX Runtime fuses itself. Quantizers whose scales or zero points are equal share them, and
those of biases have no zero point, which is 0. The result passes onnx.checker and is loaded once.
"""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import LONGEST, Engine, part_dilated_pools, session
from qgraph.ir import io
from qgraph.ir.dialects import QDQ, dialect_of
from qgraph.ir.faults import blamed_on
from qgraph.ir.narrow_types import clip_codes, widen
from qgraph.ir.ops import attach
from qgraph.ir.patterns import add_initializer, attr, is_op, new_node, nodes, replace
from qgraph.ir.scopes import forget_sources
from qgraph.ir.weights import read_weight


def export(model: ir.Model, path: str | os.PathLike[str]) -> ir.Model:
    """Write ``model`` (float or quantized dialect) for ONNX Runtime to ``path``; returns what was written.

    Raises:
        QGraphError: the model is an integer program, or ONNX Runtime does not load the result.
    """
    result, _ = load(model)
    io.save(result, path)
    return result


def load(model: ir.Model) -> tuple[ir.Model, Engine]:
    """``model`` as it is exported, checked, and ONNX Runtime's session of it.

    Raises:
        QGraphError: as ``export``.
    """
    if dialect_of(model) == "integer":
        raise QGraphError("the model is lowered to integer kernels; export the quantized model instead")
    with blamed_on("cannot export", lambda: model):
        result = finalize(model.clone())
        clip_codes(result)
        widen(result)
        share_parameters(result)
        forget_sources(result)
    result.metadata_props["qgraph.export"] = "onnxruntime"
    try:
        if io.size_of(result) < io.EXTERNAL_LIMIT:
            onnx.checker.check_model(_with_shapes(ir.to_proto(result)))
    except Exception as error:
        raise QGraphError(f"ONNX's checker refuses the result: {' '.join(str(error).split())[:LONGEST]}") from error
    return result, session(result)


def _with_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """``proto`` with some shape for each input and output: the checker wants one, also where nothing is known of it."""
    for value in [*proto.graph.input, *proto.graph.output]:
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()
    return proto


def share_parameters(model: ir.Model) -> None:
    """Let quantizers with equal scales or zero points read one initializer, and drop zero points of int32 biases, in place."""
    for graph in model.graphs():
        kept: dict[tuple[ir.DataType, tuple[int, ...], bytes], ir.Value] = {}
        for node in graph:
            if node.domain or node.op_type not in QDQ:
                continue
            for place, value in enumerate(node.inputs[1:], 1):
                tensor = value.const_value if value is not None and value.name in graph.initializers else None
                if value is None or tensor is None or value.is_graph_input():
                    continue
                if tensor.dtype == ir.DataType.INT32 and not tensor.numpy().any():  # ONNX Runtime fuses weights with theirs alone
                    node.resize_inputs(place)
                else:
                    key = tensor.dtype, tuple(tensor.shape.numpy()), tensor.tobytes()
                    node.replace_input_with(place, kept.setdefault(key, value))
                if not value.uses() and not value.is_graph_output():
                    del graph.initializers[value.name or ""]


def finalize(model: ir.Model) -> ir.Model:
    """Rewrite per-token matrix products to integer ones, in place."""
    zero = add_initializer(model, "qgraph.tokens_zero_point", np.array(128, np.uint8))
    quantizers: dict[ir.Node, tuple[ir.Value, ir.Value]] = {}
    for node in nodes(model, "MatMul"):
        fake, unpack = node.inputs
        if not is_op(fake, "FakeQuantizeTokens", domain="qgraph") or not is_op(unpack, "DequantizeLinear"):
            continue
        source = unpack.producer()  # type: ignore[union-attr]
        assert source is not None and fake is not None
        weight = read_weight(source)
        if weight is None or weight.codes.dtype != np.int8 or weight.kind.bits != 8 or attr(source, "block_size", 0):
            continue
        codes, scales = _quantizer(node, fake, quantizers)
        product = new_node(node, "MatMulInteger", [codes, source.inputs[0], zero], name=f"{node.name}_integer")
        cast = new_node(node, "Cast", [product.outputs[0]], {"to": int(ir.DataType.FLOAT)}, name=f"{node.name}_cast")
        scale = source.inputs[1]
        assert scale is not None
        rows = new_node(node, "Mul", [cast.outputs[0], scales], name=f"{node.name}_rows")
        columns = new_node(node, "Mul", [rows.outputs[0], scale], name=f"{node.name}_columns")
        for made, kind in ((product, ir.DataType.INT32), (cast, ir.DataType.FLOAT), (rows, ir.DataType.FLOAT)):
            made.outputs[0].name = made.name
            made.outputs[0].shape, made.outputs[0].dtype = node.outputs[0].shape, kind
        node.graph.insert_before(node, [product, cast, rows, columns])  # type: ignore[union-attr]
        replace(node.outputs[0], columns.outputs[0])
    part_dilated_pools(model)
    common.RemoveUnusedNodesPass()(model)
    model.functions.clear()
    attach(model)
    return model


def _quantizer(node: ir.Node, fake: ir.Value, made: dict[ir.Node, tuple[ir.Value, ir.Value]]) -> tuple[ir.Value, ir.Value]:
    producer = fake.producer()
    assert producer is not None
    if producer not in made:
        new = new_node(
            producer, "QuantizeTokens", list(producer.inputs), domain="qgraph", outputs=2, name=f"{producer.name}_codes"
        )
        codes, scales = new.outputs
        codes.name, codes.shape, codes.dtype = f"{producer.name}_codes", fake.shape, ir.DataType.UINT8
        scales.name, scales.dtype = f"{producer.name}_scales", ir.DataType.FLOAT
        producer.graph.insert_before(producer, new)  # type: ignore[union-attr]
        made[producer] = codes, scales
    return made[producer]
