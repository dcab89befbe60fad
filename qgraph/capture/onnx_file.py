"""ONNX file -> float dialect: read, upgrade the opset, check, name every node."""

from __future__ import annotations

import os

import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.capture.branches import resolve_branches
from qgraph.capture.expand import expand_functions
from qgraph.capture.fix import Fixed, fix_inputs
from qgraph.capture.float32 import to_float32
from qgraph.capture.functions import inline_functions
from qgraph.capture.ml_ops import standardize
from qgraph.capture.quantized import holds_foreign, to_quantized
from qgraph.capture.sequences import resolve_sequences
from qgraph.capture.shapes import correct_shapes, infer_shapes
from qgraph.capture.upgrade import check_opset, upgrade
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.dialects import MIN_OPSET, dialect_of, is_standard, verify
from qgraph.ir.faults import blamed_on
from qgraph.ir.patterns import unused
from qgraph.ir.scopes import where

REMARK = "qgraph.capture"
"""Metadata of a model: what the capture changed, in one line."""


def from_onnx(path: str | os.PathLike[str], *, fix: Fixed | None = None) -> ir.Model:
    """Load the ONNX file at ``path`` as a model of the float dialect, or of the quantized one where it is quantized already.

    Model-local functions are inlined, opsets below 21 are upgraded by the ONNX version converter, an If whose condition is known
    becomes the branch that it takes; other control flow stays.

    Args:
        fix: values of inputs and sizes of dims by name, see ``qgraph.capture.fix``.

    Raises:
        QGraphError: the file cannot be read or is an integer program, an op or opset is not supported (the node is named).
    """
    model = read(path, fix=fix)
    if dialect_of(model) == "integer":
        raise QGraphError(f"{path}: it is in the integer dialect already; start from the model that it was lowered from")
    return model


def read(path: str | os.PathLike[str], *, fix: Fixed | None = None) -> ir.Model:
    """Load an ONNX file in the dialect that it is in: how every command that changes or compiles a model reads it.

    Quantized ops of other tools become Q/DQ pairs (``qgraph.capture.quantized``); what qgraph wrote stays as it is.

    Args:
        fix: as for ``from_onnx``; not for integer programs.

    Raises:
        QGraphError: as ``from_onnx``, but for integer programs, which are taken.
    """
    model = io.load(path)
    with blamed_on(f"cannot read {path}", lambda: io.load(path)):
        _bring_in(model, str(path), fix or {})
    return model


def _bring_in(model: ir.Model, origin: str, fix: Fixed) -> None:
    """Bring a model as it was read into the form that its dialect has, in place."""
    dialect = dialect_of(model)
    ready = dialect == "quantized" and check_opset(model, origin) >= MIN_OPSET and not holds_foreign(model)
    if (dialect == "integer" or ready) and not fix:
        return
    if dialect == "integer":
        raise QGraphError(f"{origin}: it is in the integer dialect; --fix is for the model that it was lowered from")
    common.RemoveInitializersFromInputsPass()(model)  # IR versions below 4 list weights as inputs
    fix_inputs(model, fix, origin)
    model.ir_version = max(model.ir_version, 10)
    inline_functions(model, origin)
    standardize(model)
    prepare(model, origin)
    correct_shapes(model)


def prepare(model: ir.Model, origin: str) -> None:
    """Upgrade ``model`` in place to the float or quantized dialect and verify it; ``origin`` names it in errors."""
    version = check_opset(model, origin)
    for node in model.graph.all_nodes():
        if node.domain == "" and not is_standard(node.op_type, version):
            raise QGraphError(f"{origin}: {where(node)} is no op of ONNX opset {version}; check the exporter")
    upgrade(model, origin)
    resolve_branches(model)
    to_quantized(model, origin)
    resolve_sequences(model, origin)
    verify_origin(model, origin)
    name_and_infer(model)
    while expand_functions(model):
        name_and_infer(model)
    if line := to_float32(model, origin):
        model.metadata_props[REMARK] = line


def name_and_infer(model: ir.Model) -> None:
    """Name every node, and infer the shapes that are missing."""
    _name_nodes(model)
    common.NameFixPass()(model)
    if any(v.shape is None for n in model.graph for v in n.outputs):
        infer_shapes(model)


def _name_nodes(model: ir.Model) -> None:
    """Give every node without a name one of its op and of what it makes: Conv that makes /head/3/a is /head/3/Conv_a.

    What stands in front of the last slash is the module, as in the names that exporters give; values have names of their own, so
    the names are the same at every capture.
    """
    taken = {node.name for node in model.graph if node.name}
    for node in model.graph:
        made = next((v.name for v in node.outputs if v.name), None)
        if node.name or made is None:
            continue
        module, slash, last = made.rpartition("/")
        name = unused(f"{module}{slash}{node.op_type}_{last}", taken)
        taken.add(name)
        node.name = name


def verify_origin(model: ir.Model, origin: str) -> None:
    try:
        verify(model, dialect_of(model))
    except QGraphError as error:
        raise QGraphError(f"{origin}: {error}") from None
