"""Convolutions: linear ops that work channels last, with their weights in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
from qgraph.passes.lower.linear import linear
from qgraph.passes.lower.registry import lowers
from qgraph.passes.lower.values import QuantSpec

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


@lowers("Conv", "ConvTranspose", alone=False, writes_float=True)
def conv(low: Lowering, node: ir.Node, value: ir.Value, out: QuantSpec) -> ir.Value | None:
    """A convolution with a constant weight."""
    return linear(low, node, value, out)
