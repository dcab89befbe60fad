"""The walk over the nodes of a quantized file."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.capture.quantized.builder import Builder, moves
from qgraph.capture.quantized.registry import MICROSOFT, REWRITES
from qgraph.capture.quantized.signs import is_turned, turn_back
from qgraph.capture.shapes import infer_shapes

TOGETHER = {"QAttention", "QEmbedLayerNormalization", "QMoE", "QOrderedMatMul", "QOrderedAttention"}
"""Several layers in one op."""


def holds_foreign(model: ir.Model) -> bool:
    """Whether ``model`` has quantized ops, or scales below zero, that only files of other tools have."""
    nodes = (n for graph in model.graphs() for n in graph)
    return any((n.domain, n.op_type) in REWRITES or _is_together(n) or is_turned(n) for n in nodes)


def to_quantized(model: ir.Model, origin: str) -> None:
    """Rewrite the quantized ops of ``model``, in place, to Q/DQ pairs around float ops.

    Raises:
        QGraphError: an op has no such form, or its parameters are not what its definition wants; ``origin`` names the file.
    """
    changed = False
    for graph in list(model.graphs()):
        builder = Builder(model, origin)
        for node in list(graph):
            changed |= _visit(builder.at(node), node)
    if changed:
        model.graph.opset_imports.pop(MICROSOFT, None)
        common.RemoveUnusedNodesPass()(model)
        infer_shapes(model)


def _is_together(node: ir.Node) -> bool:
    return node.domain == MICROSOFT and node.op_type in TOGETHER


def _visit(builder: Builder, node: ir.Node) -> bool:
    """Rewrite one node; whether it was."""
    if _is_together(node):
        raise builder.refuse(
            "holds several layers in one quantized op; quantize the file before ONNX Runtime's transformer optimizations, or "
            "start from the float model"
        )
    if (rewrite := REWRITES.get((node.domain, node.op_type))) is not None:
        rewrite(builder, node)
        return True
    if is_turned(node):
        turn_back(builder, node)
        return True
    if node.domain == "" and node.op_type == "QuantizeLinear":
        builder.note(node)
    x = node.inputs[0] if node.inputs else None
    if x in builder.known and moves(node):
        return bool(builder.move_codes(node, builder.known[x]))
    return False
