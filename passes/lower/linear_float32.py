"""Products that stay float32, where a program holds them in another form than ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from qgraph.passes.lower.registry import float_form

from qgraph.ir.patterns import attr

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@float_form("Einsum")
def einsum(low: Lowering, node: ir.Node) -> tuple[list[ir.Value | None], dict[str, Any]]:
    """The equation as the codes of its characters."""
    return [low.any(v) for v in node.inputs], {"equation": [ord(c) for c in attr(node, "equation")]}
