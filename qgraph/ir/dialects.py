"""The three dialects and which ops belong to each; ``verify`` names the node in every error."""

from __future__ import annotations

from typing import Literal

import onnx
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.integer_ops import INTEGER, check_node
from qgraph.ir.op_traits import family
from qgraph.ir.scopes import where

DOMAIN = "qgraph"
MIN_OPSET = 21
OPSET = 23
"""Opset that captured models are brought to; exported files say the lowest that ONNX Runtime needs for their types."""

Dialect = Literal["float", "quantized", "integer"]
QDQ = {"QuantizeLinear", "DequantizeLinear"}


def dialect_of(model: ir.Model) -> Dialect:
    """The dialect that ``model`` is in, told from its ops; masked weights belong to float and quantized models."""
    found: Dialect = "float"
    for node in model.graph.all_nodes():
        if node.domain == INTEGER:
            return "integer"
        if node.op_type in QDQ or family(node) == "quantized" or (node.domain == DOMAIN and node.op_type != "Mask"):
            found = "quantized"
    return found


def opset(model: ir.Model) -> int:
    return model.graph.opset_imports.get("", 0)


def is_standard(op_type: str, version: int) -> bool:
    """Whether the ONNX standard (default domain) has ``op_type`` at ``version``."""
    try:
        onnx.defs.get_schema(op_type, max_inclusive_version=version, domain="")
    except onnx.defs.SchemaError:
        return False
    return True


def verify(model: ir.Model, dialect: Dialect) -> None:
    """Raise ``QGraphError`` naming the first node that does not belong to ``dialect``, and what of it does not."""
    version = opset(model)
    if version < MIN_OPSET:
        raise QGraphError(f"the model is of opset {version}, {MIN_OPSET} is needed; load it with capture.from_onnx")
    allowed = {"float": {""}, "quantized": {"", DOMAIN}, "integer": {"", INTEGER}}[dialect]
    for node in model.graph.all_nodes():
        if node.domain not in allowed and not (dialect == "float" and node.domain == DOMAIN and node.op_type == "Mask"):
            raise QGraphError(f"{where(node)} (domain {node.domain!r}) does not belong to the {dialect} dialect")
        if node.domain == "" and not is_standard(node.op_type, version):
            raise QGraphError(f"{where(node)} is no op of ONNX opset {version}; replace it before the capture")
        if dialect == "float" and node.domain == "" and node.op_type in QDQ:
            raise QGraphError(f"{where(node)} is a quantization op in a float model; start from the float model")
        if dialect == "integer":
            check_node(node)
