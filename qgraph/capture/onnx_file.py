"""ONNX file -> float dialect: read, upgrade the opset, check, name every node."""

from __future__ import annotations

import os

import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.capture.float32 import to_float32
from qgraph.capture.functions import inline_functions
from qgraph.capture.sequences import resolve_sequences
from qgraph.capture.shapes import correct_shapes
from qgraph.capture.upgrade import check_opset, upgrade
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.dialects import MIN_OPSET, dialect_of, is_standard, verify
from qgraph.ir.op_traits import Trait, has
from qgraph.ir.scopes import where

REMARK = "qgraph.capture"
"""Metadata of a model: what the capture changed, in one line."""


def from_onnx(path: str | os.PathLike[str]) -> ir.Model:
    """Load the ONNX file at ``path`` as a model of the float dialect.

    Model-local functions are inlined, opsets below 21 are upgraded by the ONNX version converter.

    Raises:
        QGraphError: the file cannot be read, an op or opset is not supported (the node is named).
    """
    return as_float(io.load(path), str(path))


def read(path: str | os.PathLike[str]) -> ir.Model:
    """Load an ONNX file in the dialect that it is in: how every command that changes or compiles a model reads it.

    A float model comes in as in ``from_onnx``; a quantized one is brought to opset 21; an integer program stays as it is.

    Raises:
        QGraphError: as ``from_onnx``.
    """
    model = io.load(path)
    dialect = dialect_of(model)
    if dialect == "float":
        return as_float(model, str(path))
    if dialect == "quantized" and check_opset(model, str(path)) < MIN_OPSET:
        common.RemoveInitializersFromInputsPass()(model)
        model.ir_version = max(model.ir_version, 10)
        upgrade(model, str(path))
        name_and_infer(model)
        correct_shapes(model)
    return model


def as_float(model: ir.Model, origin: str) -> ir.Model:
    """Bring a model as it was read into the float dialect, in place; ``origin`` names it in errors."""
    common.RemoveInitializersFromInputsPass()(model)  # IR versions below 4 list weights as inputs
    model.ir_version = max(model.ir_version, 10)
    inline_functions(model, origin)
    prepare(model, origin)
    correct_shapes(model)
    return model


def prepare(model: ir.Model, origin: str) -> None:
    """Upgrade ``model`` in place to the float dialect and verify it; ``origin`` names it in errors."""
    version = check_opset(model, origin)
    for node in model.graph:
        if has(node, Trait.CONTROL_FLOW):
            raise QGraphError(
                f"{origin}: {where(node)} is control flow, which has no fixed graph; "
                "export with the condition decided (constant inputs) or the loop unrolled"
            )
        if node.domain == "" and not is_standard(node.op_type, version):
            raise QGraphError(f"{origin}: {where(node)} is no op of ONNX opset {version}; check the exporter")
    upgrade(model, origin)
    resolve_sequences(model, origin)
    verify_origin(model, origin)
    name_and_infer(model)
    if line := to_float32(model, origin):
        model.metadata_props[REMARK] = line


def name_and_infer(model: ir.Model) -> None:
    """Name every node, and infer the shapes that are missing."""
    common.NameFixPass()(model)
    for i, node in enumerate(model.graph):
        if not node.name:
            node.name = f"{node.op_type}_{i}"
    if any(v.shape is None for n in model.graph for v in n.outputs):
        common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def verify_origin(model: ir.Model, origin: str) -> None:
    try:
        verify(model, "float")
    except QGraphError as error:
        raise QGraphError(f"{origin}: {error}") from None
