"""The windows of convolutions and pools."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where


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
