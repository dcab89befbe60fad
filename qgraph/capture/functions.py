"""Calls of local functions become the nodes of the functions, whatever opset these were written for.

A function whose ops mean the same in the opset of the model is taken as it is; an older one goes through onnx's converter.
"""

from __future__ import annotations

import onnx
import onnx.inliner
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.errors import QGraphError


def inline_functions(model: ir.Model, origin: str) -> None:
    """Inline every local function of ``model``, in place.

    Raises:
        QGraphError: a function calls itself, is of a newer opset than the model, or cannot be converted; it is named.
    """
    older = []
    for function in model.functions.values():
        for domain, version in list(function.opset_imports.items()):
            wanted = model.opset_imports.setdefault(domain, version)
            if domain or version == wanted or _means_the_same(function, version, wanted):
                function.opset_imports[domain] = wanted
            elif version > wanted:
                raise QGraphError(
                    f"{origin}: local function {_name(function)!r} is of opset {version} and the model of {wanted}; "
                    f"export the model with opset {version}"
                )
            else:
                older.append(function)
    if older:
        _convert(model, older, origin)
        return
    try:
        common.InlinePass()(model)
    except Exception as error:
        raise QGraphError(f"{origin}: its local functions cannot be inlined: {_first_line(error)}; export it without") from error


def _means_the_same(function: ir.Function, one: int, other: int) -> bool:
    """Whether every standard op of ``function`` has the same definition in two opsets."""
    try:
        return all(
            onnx.defs.get_schema(n.op_type, max_inclusive_version=one).since_version
            == onnx.defs.get_schema(n.op_type, max_inclusive_version=other).since_version
            for n in function.all_nodes()
            if n.domain == ""
        )
    except onnx.defs.SchemaError:
        return False


def _convert(model: ir.Model, older: list[ir.Function], origin: str) -> None:
    """Inline with onnx's inliner, which converts bodies; it needs the types of all values."""
    kept = {name: v.const_value for name, v in model.graph.initializers.items()}
    try:
        typed = onnx.shape_inference.infer_shapes(ir.to_proto(model))
        inlined = ir.from_proto(onnx.inliner.inline_local_functions(typed, convert_version=True))
    except Exception as error:
        names = ", ".join(repr(_name(f)) for f in older)
        raise QGraphError(
            f"{origin}: local function {names} cannot be upgraded to the opset of the model ({_first_line(error)}); "
            "export it again with one opset for all"
        ) from error
    for name, tensor in kept.items():
        if tensor is not None and name in inlined.graph.initializers:
            inlined.graph.initializers[name].const_value = tensor
    model.graph = inlined.graph
    model.functions.clear()


def _name(function: ir.Function) -> str:
    return f"{function.domain}::{function.name}"


def _first_line(error: BaseException) -> str:
    """The sentence of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
