"""Convolutions: they work channels last, with their weights in the same order."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from qgraph.ir.weights import Weight
from qgraph.passes.lower import layout
from qgraph.passes.lower.values import QuantSpec

from qgraph.errors import QGraphError
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where

if TYPE_CHECKING:
    from qgraph.passes.lower.context import Lowering


def emit(
    low: Lowering,
    node: ir.Node,
    weight: Weight,
    inputs: list[ir.Value | None],
    attributes: dict[str, Any],
    value: ir.Value,
    out: QuantSpec,
) -> ir.Value:
    """Emit a Conv or ConvTranspose; ``inputs`` are the codes, the multipliers and the bias."""
    attributes |= geometry(node, weight.codes.ndim - 2)
    attributes["group"] = attr(node, "group", 1)
    kernel = low.weight_constant(dataclasses.replace(weight, codes=np.moveaxis(weight.codes, 1, -1)))
    first, *rest = inputs
    return layout.emit(low.build, node, node.op_type, [first, kernel, *rest], out, attributes, value, weight.codes.ndim)


def geometry(node: ir.Node, spatial: int) -> dict[str, Any]:
    """Strides, dilations and explicit pads of a Conv, ConvTranspose or pooling node."""
    auto = attr(node, "auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID"):
        raise QGraphError(f"{where(node)} uses auto_pad={auto}; export it with explicit pads")
    if spatial > 2:
        raise QGraphError(f"{where(node)} has {spatial} spatial axes; the integer runtime takes one or two")
    if attr(node, "output_shape"):
        raise QGraphError(f"{where(node)} gives output_shape; export it with pads instead")
    made = {
        "strides": attr(node, "strides", [1] * spatial),
        "dilations": attr(node, "dilations", [1] * spatial),
        "pads": attr(node, "pads", [0] * 2 * spatial),
    }
    if attr(node, "output_padding"):
        made["output_padding"] = attr(node, "output_padding")
    return made
