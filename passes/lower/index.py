"""Ops on shapes and indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.passes.lower.registry import float_form

from qgraph.ir.patterns import attr

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@float_form("ConstantOfShape")
def constant_of_shape(low: Lowering, node: ir.Node) -> tuple[list[ir.Value | None], dict[str, Any]]:
    fill = node.attributes.get("value")
    array = fill.as_tensor().numpy() if fill else np.zeros(1, np.float32)
    return [low.any(node.inputs[0]), low.build.constant(f"{node.outputs[0].name}.value", array)], {}


@float_form("EyeLike")
def eye_like(low: Lowering, node: ir.Node) -> tuple[list[ir.Value | None], dict[str, Any]]:
    return [low.any(node.inputs[0])], {"k": attr(node, "k", 0)}
